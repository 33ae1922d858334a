package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
)

// store is all that a store of limits can do.
type store interface {
	ratelimit.Limiter
	ratelimit.Counter
}

// clock is a clock that stands still until it is told to go on.
type clock struct{ ms atomic.Int64 }

func newClock(at string) *clock {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	c := &clock{}
	c.ms.Store(t.UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// bench is one store under test with its clock.
type bench struct {
	t     testing.TB
	clock *clock
	store store
	drain func() // waits until what was settled has arrived
	tag   string
	limit map[string]*ratelimit.Limit
}

// maker makes a store that follows a clock.
type maker func(t testing.TB, c *clock) (store, func())

func makeMemory(_ testing.TB, c *clock) (store, func()) { return ratelimit.NewMemory(c.now), func() {} }

// noon is a Thursday.
const noon = "2026-11-26T12:00:00Z"

var tags atomic.Int64

func newBench(t testing.TB, m maker, limits ...*ratelimit.Limit) *bench {
	b := &bench{t: t, clock: newClock(noon), limit: map[string]*ratelimit.Limit{}, tag: fmt.Sprintf("org_%d", tags.Add(1))}
	b.store, b.drain = m(t, b.clock)
	for _, l := range limits {
		if err := l.Validate(); err != nil {
			t.Fatalf("%s: %v", l.Key, err)
		}
		b.limit[l.Key] = l
		if l.Kind == ratelimit.Amount {
			b.seed(l.Key, 0)
		}
	}
	return b
}

// hold is a hold of pairs of a limit's key and a number.
func (b *bench) hold(id string, pairs ...any) *ratelimit.Hold {
	h := &ratelimit.Hold{ID: id, Tag: b.tag}
	for i := 0; i < len(pairs); i += 2 {
		h.Takes = append(h.Takes, ratelimit.Take{Limit: b.limit[pairs[i].(string)], N: int64(pairs[i+1].(int))})
	}
	return h
}

// take takes a hold, and says what became of it: ok, or which limit refuses and for how long.
func (b *bench) take(h *ratelimit.Hold) string {
	b.t.Helper()
	b.drain()
	d, err := b.store.Take(context.Background(), h)
	switch {
	case errors.Is(err, ratelimit.ErrEnded):
		return "ended"
	case err != nil:
		b.t.Fatal(err)
	case d.OK:
		return "ok"
	case d.Cold != nil:
		return "cold " + d.Cold.Key
	case d.Never:
		return "never " + d.Refused.Key
	}
	return fmt.Sprintf("%s %v", d.Refused.Key, d.RetryAfter)
}

// try takes a new hold of pairs.
func (b *bench) try(id string, pairs ...any) string {
	b.t.Helper()
	return b.take(b.hold(id, pairs...))
}

// want fails unless it is what is wanted.
func (b *bench) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s, want %s", got, want)
	}
}

func (b *bench) seed(key string, spent int64) {
	b.t.Helper()
	b.must(b.store.Seed(context.Background(), b.tag, b.limit[key], b.clock.now(), spent))
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// use says what is used of a limit: used, held and overrun.
func (b *bench) use(key string) string {
	b.t.Helper()
	b.drain()
	u, err := b.store.Uses(context.Background(), b.tag, []*ratelimit.Limit{b.limit[key]})
	b.must(err)
	if u[0].Cold {
		return "cold"
	}
	return fmt.Sprintf("%d+%d over %d", u[0].Used, u[0].Held, u[0].Overrun)
}

func (b *bench) renew(hs ...*ratelimit.Hold) {
	b.t.Helper()
	var all []ratelimit.Hold
	for _, h := range hs {
		all = append(all, *h)
	}
	b.must(b.store.Renew(context.Background(), all))
}

func (b *bench) holds(expired bool) (ids []string) {
	b.t.Helper()
	b.drain()
	all, err := b.store.Holds(context.Background(), b.tag, expired)
	b.must(err)
	for _, h := range all {
		ids = append(ids, h.ID)
	}
	return ids
}

func rate(key string, perMinute, burst int64) *ratelimit.Limit {
	return &ratelimit.Limit{Key: key, Kind: ratelimit.Rate, Per: ratelimit.Minute, Max: perMinute, Burst: burst}
}

func window(key string, per ratelimit.Per, most int64) *ratelimit.Limit {
	return &ratelimit.Limit{Key: key, Kind: ratelimit.Window, Per: per, Max: most}
}

func slots(key string, most int64) *ratelimit.Limit {
	return &ratelimit.Limit{Key: key, Kind: ratelimit.Slots, Max: most}
}

func amount(key string, per ratelimit.Per, most int64) *ratelimit.Limit {
	return &ratelimit.Limit{Key: key, Kind: ratelimit.Amount, Per: per, Max: most}
}

// sweep books what expired at an estimate of the money.
func (b *bench) sweep(usd int64) {
	b.t.Helper()
	all, err := b.store.Holds(context.Background(), b.tag, true)
	b.must(err)
	for i := range all {
		estimate := make([]int64, len(all[i].Takes))
		for j, k := range all[i].Takes {
			if k.Limit.Kind == ratelimit.Amount && k.Limit.Key == "usd" {
				estimate[j] = usd
			}
		}
		b.must(b.store.Sweep(context.Background(), &all[i], estimate))
	}
}
