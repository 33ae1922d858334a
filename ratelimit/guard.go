package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Guard is the limiter that calls go through. It asks a store, decides by itself as each limit says while the store is
// away or does not know what was spent of a budget, and renews what it took until that is settled.
//
// It has one goroutine, which renews. Close ends it.
type Guard struct {
	store Limiter
	o     GuardOptions
	local *Memory  // this process's shares, while the store is away
	rests rests    // what was left of budgets when the store was last asked
	live  livelist // what is to be renewed
	alone atomic.Int64

	wake    chan struct{}
	closing sync.Once
	quit    chan struct{}
	done    sync.WaitGroup
}

// GuardOptions say what a Guard knows of its house. The zero value of each has a meaning.
type GuardOptions struct {
	Nodes   func() int       // how many nodes live, as last heard; 0: it was never heard; nil: this one is alone
	Assumed int              // how many nodes there are taken to be where it was never heard; 0: 10
	Clock   func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is said
}

// How holds are renewed: three times before they expire, so that twice it may fail.
const (
	RenewEvery   = Lifetime / 3
	renewTimeout = 5 * time.Second
	renewAgain   = time.Second // after a failure, and the shortest time between two
)

const defaultAssumed = 10

// NewGuard makes a limiter that decides also without its store.
func NewGuard(store Limiter, o GuardOptions) *Guard {
	o.Assumed = cmp.Or(o.Assumed, defaultAssumed)
	if o.Nodes == nil {
		o.Nodes = func() int { return 1 }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{store: store, o: o, local: NewMemory(o.Clock), wake: make(chan struct{}, 1), quit: make(chan struct{})}
	g.done.Go(g.renewAll)
	return g
}

// Close ends the renewing. What is held then expires, unless it is settled.
func (g *Guard) Close() {
	g.closing.Do(func() { close(g.quit) })
	g.done.Wait()
}

// Alone is how many decisions were made without the store, or without it about a budget.
func (g *Guard) Alone() int64 { return g.alone.Load() }

// Live is how many holds are renewed.
func (g *Guard) Live() int { return g.live.len() }

// Take is Limiter's. A part of a hold that was decided here stays decided here when the hold grows.
func (g *Guard) Take(ctx context.Context, h *Hold) (Decision, error) {
	if h.apart != 0 {
		return g.without(ctx, h, h.apart)
	}
	d, err := g.store.Take(ctx, h)
	switch {
	case errors.Is(err, ErrAway):
		return g.takeAlone(h), nil
	case err != nil:
		return d, err
	case d.Cold != nil:
		g.hurry() // what we hold of it is to be known before the budget is warm again
		return g.without(ctx, h, d.cold)
	}
	g.rests.learn(h, &d)
	if d.OK {
		g.live.keep(h)
	}
	return d, nil
}

// takeAlone decides about everything.
func (g *Guard) takeAlone(h *Hold) Decision {
	all := uint64(1)<<len(h.Takes) - 1
	d, a := g.decide(h, all)
	if d.OK {
		g.put(h, a, all)
		g.live.keep(h)
	}
	return d
}

// without decides about some takes, such as budgets of which the store knows nothing, and lets the store decide about the
// others.
func (g *Guard) without(ctx context.Context, h *Hold, which uint64) (Decision, error) {
	ours, a := g.decide(h, which)
	if !ours.OK {
		return ours, nil
	}
	before := h.apart
	h.apart = which
	d, err := g.store.Take(ctx, h)
	h.apart = before
	switch {
	case err == nil && d.OK:
		d.Alone = true
		g.put(h, a, which)
		g.rests.learn(h, &d)
		g.live.keep(h)
		return d, nil
	case errors.Is(err, ErrAway):
		g.drop(a)
		return g.takeAlone(h), nil
	case err == nil && d.Refused == nil: // another budget is cold
		d.Refused, d.RetryAfter, d.Cold = d.Cold, soonAgain, nil
	}
	g.drop(a)
	return d, err
}

// Settle is Limiter's.
func (g *Guard) Settle(h *Hold, actual []int64) {
	g.live.forget(h)
	if a := h.aside; a != nil {
		g.local.Settle(&a.hold, a.pick(actual))
	}
	g.store.Settle(h, actual)
	h.aside, h.apart = nil, 0
}

// Renew is Limiter's. A Guard renews by itself what it took.
func (g *Guard) Renew(ctx context.Context, holds []Hold) error { return g.store.Renew(ctx, holds) }

// Drop is Limiter's.
func (g *Guard) Drop(ctx context.Context, tag string, ids []string) error {
	return g.store.Drop(ctx, tag, ids)
}

// Holds is Limiter's.
func (g *Guard) Holds(ctx context.Context, tag string, expired bool) ([]Hold, error) {
	return g.store.Holds(ctx, tag, expired)
}

// hurry lets everything be renewed soon.
func (g *Guard) hurry() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// renewAll renews what is held until quit.
func (g *Guard) renewAll() {
	next := time.NewTimer(RenewEvery)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-g.wake:
		case <-g.quit:
			return
		}
		wait := RenewEvery
		if err := g.renewOnce(); err != nil {
			g.o.Log.Warn("what calls hold of limits could not be renewed", "error", err)
			wait = renewAgain
		}
		select { // nobody hurries us more often
		case <-time.After(renewAgain):
		case <-g.quit:
			return
		}
		next.Reset(wait)
	}
}

// renewOnce renews everything once.
func (g *Guard) renewOnce() error {
	holds, asides := g.live.all()
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	if err := g.local.Renew(ctx, asides); err != nil {
		return err
	}
	return g.store.Renew(ctx, holds)
}
