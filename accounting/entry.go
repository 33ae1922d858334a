package accounting

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
)

// Entry is what is held of a provider's own limits for one attempt. It is a value inside the call.
type Entry struct {
	hold   ratelimit.Hold
	actual [8]int64
}

// Enter holds one request of the limits that a provider sets to our account, before an attempt; false: there is no room
// now, and when there may be. n is the number of the attempt in its call.
func (l *Ledger) Enter(ctx context.Context, e *Entry, call string, n int, account string, limits []*ratelimit.Limit) (ok bool, after time.Duration, err error) {
	if len(limits) == 0 || len(limits) > len(e.actual) {
		return true, 0, nil
	}
	e.hold.Reset()
	e.hold.ID, e.hold.Tag = call+"/"+strconv.Itoa(n), account
	for _, limit := range limits {
		e.hold.Takes = append(e.hold.Takes, ratelimit.Take{Limit: limit, N: 1})
	}
	d, err := l.limiter.Take(ctx, &e.hold)
	if err != nil {
		e.hold.Reset()
		return false, 0, fmt.Errorf("hold a request of a provider's limits: %w", err)
	}
	if !d.OK {
		e.hold.Reset()
		l.refusals.WithLabelValues("account", "provider").Inc()
	}
	return d.OK, d.RetryAfter, nil
}

// Leave gives the place back that Enter held, if it did.
func (l *Ledger) Leave(e *Entry) {
	if e.hold.ID == "" {
		return
	}
	n := e.actual[:len(e.hold.Takes)]
	for i := range n {
		n[i] = 1
	}
	l.limiter.Settle(&e.hold, n)
	e.hold.Reset()
}

// Reset forgets an entry that was left, and keeps its memory.
func (e *Entry) Reset() { e.hold.Reset() }
