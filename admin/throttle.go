package admin

import (
	"net/netip"
	"sync"
	"time"
)

// How often a password may be tried from one address, and how many addresses are remembered: about 100 bytes each.
const (
	mostTries     = 5
	triesWithin   = time.Minute
	mostAddresses = 16384
)

// throttle slows down who guesses passwords: mostTries in any triesWithin for each address. It is safe for
// concurrent use.
type throttle struct {
	mu   sync.Mutex
	seen map[string]*recent // guarded by mu
}

// recent is when the last tries were, the oldest at next.
type recent struct {
	at   [mostTries]time.Time
	next int
}

func newThrottle() *throttle { return &throttle{seen: map[string]*recent{}} }

// try counts one try. If it is one too many, wait is how long until the next is allowed, and it does not count.
func (t *throttle) try(address string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := network(address)
	r, ok := t.seen[name]
	if !ok {
		t.makeRoom(now)
		r = &recent{}
		t.seen[name] = r
	}
	if wait := r.wait(now); wait > 0 {
		return wait
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % mostTries
	return 0
}

// full tells how long an address has to wait, and counts nothing: for what counts only when it fails.
func (t *throttle) full(address string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.seen[network(address)]
	if !ok {
		return 0
	}
	return r.wait(now)
}

// wait is how long until the next try is allowed.
func (r *recent) wait(now time.Time) time.Duration {
	if oldest := r.at[r.next]; !oldest.IsZero() && now.Before(oldest.Add(triesWithin)) {
		return oldest.Add(triesWithin).Sub(now)
	}
	return 0
}

// makeRoom forgets addresses that have been quiet, and if there are none any one: who has that many addresses gains
// little by it.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.seen) < mostAddresses {
		return
	}
	for name, r := range t.seen {
		if last := r.at[(r.next+mostTries-1)%mostTries]; !now.Before(last.Add(triesWithin)) {
			delete(t.seen, name)
		}
	}
	for name := range t.seen {
		if len(t.seen) < mostAddresses {
			return
		}
		delete(t.seen, name)
	}
}

// network is what counts as one address: one of IPv4, and the /64 of IPv6 that one household or machine has.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.Masked().String()
}
