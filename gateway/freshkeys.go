package gateway

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Finder looks a key up where keys are kept. It knows a key that another node has just made before the news of it
// reaches this one.
type Finder interface {
	// FindKey finds the principal of a key, as KeyIndex.Lookup does and with its errors. *tenancy.Unavailable says
	// that nothing is known of the key, because the database does not answer.
	FindKey(ctx context.Context, hash tenancy.Hash) (*tenancy.Principal, error)
}

// How much of the database strangers may take with keys that nobody knows.
const (
	findRate   = 50 // look-ups a second, and as many at once after a pause
	findWithin = 2 * time.Second
)

// How long the outcome of a look-up holds. A key that was found is known to the index soon; until then its calls need
// no look-up each.
const (
	foundFor   = time.Second
	missingFor = 10 * time.Second
	awayFor    = time.Minute
)

// sweepAbove is from how many look-ups on those that hold no longer are swept out. It is more than findRate lets
// hold at the same time, so that it bounds the memory.
const sweepAbove = 1024

// freshKeys looks up keys that the index does not know: a few a second, each key once at a time.
type freshKeys struct {
	finder Finder

	mu    sync.Mutex // guards what follows, and until of every look: calls come on many goroutines
	looks map[tenancy.Hash]*look
	left  float64   // look-ups that may begin now
	at    time.Time // when left was counted
	away  error     // what the last look-up that the database did not answer said
	until time.Time // how long away holds
}

// look is one look-up, under way or done.
type look struct {
	done  chan struct{} // closed when who and err are known
	who   *tenancy.Principal
	err   error
	until time.Time // how long the outcome holds; zero while it is under way
}

func newFreshKeys(f Finder) *freshKeys {
	return &freshKeys{finder: f, looks: map[tenancy.Hash]*look{}, left: findRate}
}

// find looks a key up, or waits for the look-up of the same key that is under way. Where too many look-ups are asked
// for, the key is unknown; unless the database is away, so that nothing is known of it.
func (f *freshKeys) find(hash tenancy.Hash, now time.Time) (*tenancy.Principal, error) {
	l, ours := f.claim(hash, now)
	switch {
	case l == nil:
		return f.recall(hash, now)
	case ours:
		f.ask(l, hash)
	}
	<-l.done // at most findWithin
	return l.who, l.err
}

// recall says what is remembered of a key, without a look-up.
func (f *freshKeys) recall(hash tenancy.Hash, now time.Time) (*tenancy.Principal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.looks[hash]; l != nil && now.Before(l.until) {
		return l.who, l.err
	}
	if now.Before(f.until) {
		return nil, f.away
	}
	return nil, tenancy.ErrUnknownKey
}

// claim finds the look-up that holds or is under way, or begins one that is ours to make. It is nil if none may begin.
func (f *freshKeys) claim(hash tenancy.Hash, now time.Time) (l *look, ours bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l = f.looks[hash]; l != nil && (l.until.IsZero() || now.Before(l.until)) {
		return l, false
	}
	f.left = min(findRate, f.left+findRate*now.Sub(f.at).Seconds())
	if f.at = now; f.left < 1 {
		return nil, false
	}
	f.left--
	if len(f.looks) >= sweepAbove {
		maps.DeleteFunc(f.looks, func(_ tenancy.Hash, l *look) bool { return !l.until.IsZero() && !now.Before(l.until) })
	}
	l = &look{done: make(chan struct{})}
	f.looks[hash] = l
	return l, true
}

// ask makes a look-up. Whatever happens in it, nobody waits for ever.
func (f *freshKeys) ask(l *look, hash tenancy.Hash) {
	ctx, cancel := context.WithTimeout(context.Background(), findWithin)
	defer cancel()
	l.err = errInternal // should the finder panic
	defer f.answered(l)
	l.who, l.err = f.finder.FindKey(ctx, hash)
	if l.err != nil && ctx.Err() != nil {
		l.err = &tenancy.Unavailable{Cause: l.err}
	}
}

func (f *freshKeys) answered(l *look) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch {
	case l.err == nil:
		l.until, f.until = now.Add(foundFor), time.Time{}
	case unavailable(l.err):
		l.until, f.until, f.away = now.Add(foundFor), now.Add(awayFor), l.err
	default:
		l.until, f.until = now.Add(missingFor), time.Time{}
	}
	close(l.done)
}

// forget drops what is remembered, because the index knows better now: a key that was found may be revoked. That holds
// for what is being looked up too: who waits for it gets it, and nobody after.
func (f *freshKeys) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.looks)
}
