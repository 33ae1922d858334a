package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
)

// faulty is a store that can be away. What is settled meanwhile arrives, as it does from a queue.
type faulty struct {
	store
	away atomic.Bool
}

func (f *faulty) Take(ctx context.Context, h *ratelimit.Hold) (ratelimit.Decision, error) {
	if f.away.Load() {
		return ratelimit.Decision{}, fmt.Errorf("take: %w", ratelimit.ErrAway)
	}
	return f.store.Take(ctx, h)
}

func (f *faulty) Renew(ctx context.Context, holds []ratelimit.Hold) error {
	if f.away.Load() {
		return fmt.Errorf("renew: %w", ratelimit.ErrAway)
	}
	return f.store.Renew(ctx, holds)
}

// guarded is a bench whose holds go through a guard.
type guarded struct {
	*bench
	faulty *faulty
	guard  *ratelimit.Guard
}

// passing is a guard that keeps books in the store behind it.
type passing struct {
	*ratelimit.Guard
	ratelimit.Counter
}

func newGuarded(t testing.TB, nodes int, limits ...*ratelimit.Limit) *guarded {
	g := &guarded{}
	g.bench = newBench(t, func(_ testing.TB, c *clock) (store, func()) {
		g.faulty = &faulty{store: ratelimit.NewMemory(c.now)}
		g.guard = ratelimit.NewGuard(g.faulty, ratelimit.GuardOptions{Nodes: func() int { return nodes }, Clock: c.now})
		t.Cleanup(g.guard.Close)
		return passing{g.guard, g.faulty}, func() {}
	}, limits...)
	return g
}

// A guard whose store is there is the store.
func TestGuardIsItsStore(t *testing.T) {
	t.Parallel()
	for name, test := range suite {
		if name == "a budget is cold until somebody says what was spent" || name == "what the store forgot is held again" {
			continue // there a guard decides by itself
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t testing.TB, c *clock) (store, func()) {
				m := ratelimit.NewMemory(c.now)
				g := ratelimit.NewGuard(m, ratelimit.GuardOptions{Clock: c.now})
				t.Cleanup(g.Close)
				return passing{g, m}, func() {}
			})
		})
	}
}

func TestGuardGivesItsShareWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, 4, rate("rpm", 60, 40), window("rph", ratelimit.Hour, 100), slots("at once", 8), rate("slow", 3, 3))
	g.faulty.away.Store(true)
	g.want(g.try("a", "rpm", 10), "ok")
	g.want(g.try("b", "rpm", 1), "rpm 4s") // a quarter of one each second
	g.want(g.try("c", "rph", 25), "ok")
	g.want(g.try("d", "rph", 1), "rph 1h0m0s")
	h := g.hold("e", "at once", 1)
	g.want(g.take(h), "ok")
	g.want(g.try("f", "at once", 1), "ok")
	g.want(g.try("g", "at once", 1), "at once 1s")
	g.guard.Settle(h, []int64{1})
	g.want(g.try("h", "at once", 1), "ok")
	g.want(g.try("i", "slow", 1), "slow 1s") // a share of nothing
	g.want(g.try("j", "rpm", 11), "rpm 1s")  // more than the share, but not more than the limit
	g.want(g.try("k", "rpm", 41), "never rpm")
	if n := g.guard.Alone(); n != 11 {
		t.Errorf("it decided %d times alone", n)
	}
	g.faulty.away.Store(false)
	g.want(g.try("l", "rpm", 40), "ok")
}

func TestGuardDoesWhatALimitSaysWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	closed, open := rate("closed", 60, 10), rate("open", 60, 10)
	closed.OnStoreFailure, open.OnStoreFailure = ratelimit.Closed, ratelimit.Open
	g := newGuarded(t, 1, closed, open)
	g.faulty.away.Store(true)
	g.want(g.try("a", "closed", 1), "closed 1s")
	for i := range 100 {
		g.want(g.try(fmt.Sprint("b", i), "open", 1), "ok")
	}
	g.want(g.try("c", "open", 1, "closed", 1), "closed 1s")
}

func TestGuardSpendsAnAllowanceWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, 4, amount("usd", ratelimit.Day, 10_000), amount("unknown", ratelimit.Day, 10_000))
	g.want(g.try("a", "usd", 2000), "ok") // 8,000 are left
	g.faulty.away.Store(true)
	g.want(g.try("x", "unknown", 1), "unknown 1s") // the store was never asked
	h := g.hold("b", "usd", 300)
	g.want(g.take(h), "ok")
	g.want(g.try("c", "usd", 101), "usd 1s") // 5 % are 400
	g.guard.Settle(h, []int64{250})
	g.want(g.try("c", "usd", 150), "ok")
	g.want(g.try("d", "usd", 1), "usd 1s")
	g.faulty.away.Store(false)
	g.want(g.use("usd"), "250+2000 over 250")
	g.want(g.try("e", "usd", 750), "ok") // 7,000 are left
	g.faulty.away.Store(true)
	g.want(g.try("f", "usd", 351), "usd 1s")
	g.want(g.try("f", "usd", 350), "ok")
}

func TestGuardDecidesAboutColdBudgets(t *testing.T) {
	t.Parallel()
	open := amount("open", ratelimit.Day, 100)
	open.OnStoreFailure = ratelimit.Open
	g := newGuarded(t, 1, rate("rpm", 60, 10), amount("usd", ratelimit.Day, 10_000), open)
	a := g.hold("a", "usd", 4000)
	g.want(g.take(a), "ok")
	g.guard.Settle(a, []int64{4000})
	for _, l := range []string{"usd", "open"} {
		g.must(g.faulty.Forget(t.Context(), g.tag, g.limit[l]))
	}
	h := g.hold("b", "rpm", 1, "usd", 100, "open", 1000)
	g.want(g.take(h), "ok") // 5 % of 6,000 are 300
	g.want(g.use("rpm"), "1+0 over 0")
	g.want(g.try("c", "rpm", 1, "usd", 201), "usd 1s")
	g.want(g.use("rpm"), "1+0 over 0")
	g.want(g.try("d", "rpm", 10, "usd", 1), "rpm 1s") // what it took aside is given back
	e := g.hold("e", "usd", 200)
	g.want(g.take(e), "ok")
	h.Takes[1].N = 101
	g.want(g.take(h), "usd 1s") // it does not grow beyond what is allowed, whoever knows of it
	g.guard.Settle(h, []int64{1, 90, 900})
	g.guard.Settle(e, []int64{200})
	g.seed("usd", 4000)
	g.want(g.try("f", "usd", 6001), "usd 12h0m0s")
	g.want(g.try("f", "usd", 6000), "ok")
}

// What is held is renewed until it is settled, also what is held apart from the store, and held again when the store
// has forgotten it.
func TestGuardRenews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{store: ratelimit.NewMemory(time.Now)}
		g := ratelimit.NewGuard(f, ratelimit.GuardOptions{})
		defer g.Close()
		one, usd := slots("at once", 1), amount("usd", ratelimit.Total, 1000)
		ctx := t.Context()
		check := func(what string, want int64) {
			t.Helper()
			u, err := f.Uses(ctx, "org", []*ratelimit.Limit{one, usd})
			if err != nil || u[0].Used != want || u[1].Held != 100*want {
				t.Errorf("%s: %+v %v", what, u, err)
			}
		}
		seedAll(t, f, "org", []ratelimit.Take{{Limit: usd}}, time.Now())
		h := &ratelimit.Hold{ID: "a", Tag: "org", Takes: []ratelimit.Take{{Limit: one, N: 1}, {Limit: usd, N: 100}}}
		if d, err := g.Take(ctx, h); !d.OK || err != nil {
			t.Fatalf("%+v %v", d, err)
		}
		time.Sleep(10 * ratelimit.Lifetime) // of the test's clock
		check("after ten lifetimes", 1)
		for _, l := range []*ratelimit.Limit{one, usd} {
			if err := f.Forget(ctx, "org", l); err != nil {
				t.Fatal(err)
			}
		}
		d, err := g.Take(ctx, &ratelimit.Hold{ID: "b", Tag: "org", Takes: []ratelimit.Take{{Limit: usd, N: 900_000}}})
		if d.OK || err != nil {
			t.Fatalf("%+v %v", d, err)
		}
		synctest.Wait() // the cold answer makes it hurry
		check("after all was forgotten", 1)
		f.away.Store(true)
		time.Sleep(ratelimit.Lifetime / 2)
		f.away.Store(false)
		time.Sleep(ratelimit.RenewEvery)
		check("after the store was away", 1)
		g.Settle(h, []int64{1, 100})
		check("when it is settled", 0)
		if n := g.Live(); n != 0 {
			t.Errorf("%d holds are still renewed", n)
		}
	})
}

func TestGuardRenewsWhatItTookAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{store: ratelimit.NewMemory(time.Now)}
		f.away.Store(true)
		g := ratelimit.NewGuard(f, ratelimit.GuardOptions{})
		defer g.Close()
		one := slots("at once", 1)
		try := func(id string) (*ratelimit.Hold, bool) {
			h := &ratelimit.Hold{ID: id, Tag: "org", Takes: []ratelimit.Take{{Limit: one, N: 1}}}
			d, err := g.Take(t.Context(), h)
			return h, err == nil && d.OK
		}
		h, ok := try("a")
		time.Sleep(10 * ratelimit.Lifetime)
		if _, second := try("b"); !ok || second {
			t.Errorf("the first was taken: %v, the second: %v", ok, second)
		}
		f.away.Store(false)
		time.Sleep(ratelimit.RenewEvery)
		if _, second := try("c"); second {
			t.Error("the store that is back does not know what is in use")
		}
		g.Settle(h, []int64{1})
		if _, ok := try("d"); !ok {
			t.Error("it is not given back")
		}
	})
}

// An error that is not the store's absence is the caller's.
func TestGuardPassesErrorsOn(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, 1, rate("rpm", 60, 10))
	h := g.hold("a", "rpm", 1)
	g.want(g.take(h), "ok")
	g.guard.Settle(h, []int64{1})
	if _, err := g.guard.Take(t.Context(), g.hold("a", "rpm", 1)); !errors.Is(err, ratelimit.ErrEnded) {
		t.Errorf("a settled hold: %v", err)
	}
}

// Greedy nodes on a store that goes away and comes back take no more than the worst case says, and nearly as much.
func TestWorstCase(t *testing.T) {
	t.Parallel()
	const nodes = 5
	rpm, rph := rate("rpm", 600, 100), window("rph", ratelimit.Hour, 1000)
	usd := amount("usd", ratelimit.Hour, 1_000_000)
	open, closed := rate("open", 60, 10), rate("closed", 60, 10)
	open.OnStoreFailure, closed.OnStoreFailure = ratelimit.Open, ratelimit.Closed
	cases := []struct {
		limit   *ratelimit.Limit
		n       int64 // of one take
		outage  time.Duration
		allowed int64 // by the limit in that time
		tight   bool
	}{
		{rpm, 1, 20 * time.Second, 100 + 200, true},
		{rpm, 20, 20 * time.Second, 100 + 200, false},
		{rph, 1, time.Minute, 1000, true},
		{usd, 500, time.Minute, 1_000_000, false}, // what is left of it is divided, not what there was
		{closed, 1, 10 * time.Second, 10 + 10, false},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s of %d", c.limit.Key, c.n), func(t *testing.T) {
			t.Parallel()
			got := greedy(t, nodes, c.limit, c.n, c.outage)
			worst, bounded := ratelimit.WorstCase(c.limit, nodes, nodes)
			if !bounded || got > c.allowed+worst {
				t.Errorf("%d were taken, %d beyond the limit, but at worst it is %d", got, got-c.allowed, worst)
			}
			if c.tight && got-c.allowed < worst*9/10 {
				t.Errorf("only %d beyond the limit: the worst case %d is not the worst", got-c.allowed, worst)
			}
		})
	}
	if _, bounded := ratelimit.WorstCase(open, nodes, nodes); bounded {
		t.Error("an open limit has a bound")
	}
	if n, bounded := ratelimit.WorstCase(closed, nodes, nodes); n != 0 || !bounded {
		t.Error("a closed limit can be exceeded")
	}
}

// greedy lets nodes take all they get: at once, then while the store is away, and at once when it is back.
func greedy(t *testing.T, nodes int, l *ratelimit.Limit, n int64, outage time.Duration) (taken int64) {
	c := newClock(noon)
	f := &faulty{store: ratelimit.NewMemory(c.now)}
	if l.Kind == ratelimit.Amount {
		seedAll(t, f, "org", []ratelimit.Take{{Limit: l}}, c.now())
	}
	guards := make([]*ratelimit.Guard, nodes)
	for i := range guards {
		guards[i] = ratelimit.NewGuard(f, ratelimit.GuardOptions{Nodes: func() int { return nodes }, Clock: c.now})
		t.Cleanup(guards[i].Close)
	}
	id := 0
	grab := func() {
		for _, g := range guards {
			for ok := true; ok; {
				id++
				h := ratelimit.Hold{ID: fmt.Sprint(id), Tag: "org", Takes: []ratelimit.Take{{Limit: l, N: n}}}
				d, err := g.Take(t.Context(), &h)
				if ok = err == nil && d.OK; ok {
					taken += n
				}
			}
		}
	}
	grab()
	f.away.Store(true)
	const steps = 100
	for range steps {
		grab()
		c.advance(outage / steps)
	}
	f.away.Store(false)
	grab()
	return taken
}

// Callers of three nodes go on while their Redis is killed, and take no more of a budget than it has and the nodes'
// allowances are.
func TestGuardsSurviveTheirRedis(t *testing.T) {
	t.Parallel()
	const nodes, most = 3, 10_000_000
	s := newServer(t)
	budget, tag := amount("usd", ratelimit.Total, most), "org"
	var guards []*ratelimit.Guard
	var stores []*ratelimit.Redis
	for i := range nodes {
		r := limiter(t, "redis://"+s.Addr(), ratelimit.RedisOptions{Node: fmt.Sprint("node", i), Timeout: 200 * time.Millisecond})
		g := ratelimit.NewGuard(r, ratelimit.GuardOptions{Nodes: r.Nodes})
		t.Cleanup(g.Close)
		guards, stores = append(guards, g), append(stores, r)
	}
	seedAll(t, stores[0], tag, []ratelimit.Take{{Limit: budget}}, time.Now())
	var alone, together, id atomic.Int64
	take := func(g *ratelimit.Guard, n int64) bool {
		h := ratelimit.Hold{ID: fmt.Sprint(id.Add(1)), Tag: tag, Takes: []ratelimit.Take{{Limit: budget, N: n}}}
		d, err := g.Take(t.Context(), &h)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case d.OK && d.Alone:
			alone.Add(n)
		case d.OK:
			together.Add(n)
		}
		return d.OK
	}
	for _, g := range guards {
		until(t, "a take", func() bool { before := together.Load(); take(g, 1_000_000); return together.Load() > before })
	}
	s.End(syscall.SIGKILL)
	for _, g := range guards {
		for take(g, 10_000) { // until its allowance is spent
		}
	}
	worst, _ := ratelimit.WorstCase(budget, nodes, nodes)
	if a := alone.Load(); a < 3*300_000 || a > worst {
		t.Errorf("%d were taken alone, want what 5 %% of the rests are, and at most %d", a, worst)
	}
	if sum := alone.Load() + together.Load(); sum > most+worst {
		t.Errorf("%d were taken of %d", sum, most)
	}
}
