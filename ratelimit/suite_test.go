package ratelimit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/ratelimit"
)

// suite is what every store does.
var suite = map[string]func(t *testing.T, m maker){
	"a rate gives its burst at once and the rest evenly": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 7, 3))
		for i := range 3 {
			b.want(b.try(fmt.Sprint("burst", i), "rpm", 1), "ok")
		}
		b.want(b.try("x", "rpm", 1), "rpm 8.572s") // 60 s ÷ 7, and no millisecond too early
		b.clock.advance(8571 * time.Millisecond)
		b.want(b.try("x", "rpm", 1), "rpm 1ms")
		b.clock.advance(time.Millisecond)
		b.want(b.try("x", "rpm", 1), "ok")
		b.want(b.try("y", "rpm", 1), "rpm 8.571s") // what is left of the fraction
		b.clock.advance(time.Hour)
		b.want(b.try("all", "rpm", 3), "ok")
		b.want(b.try("z", "rpm", 1), "rpm 8.572s")
	},
	"settling a rate moves it by the difference": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("tpm", 60_000, 1000))
		h := b.hold("a", "tpm", 800)
		b.want(b.take(h), "ok")
		b.store.Settle(h, []int64{100})
		b.want(b.use("tpm"), "100+0 over 0")
		b.want(b.try("b", "tpm", 901), "tpm 1ms")
		h = b.hold("c", "tpm", 900)
		b.want(b.take(h), "ok")
		b.store.Settle(h, []int64{2900}) // it used more than it said
		b.want(b.try("d", "tpm", 1), "tpm 2.001s")
	},
	"what is more than the burst is never given": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("tpm", 60_000, 1000), slots("none", 0), window("day", ratelimit.Day, 5), amount("usd", ratelimit.Total, 10))
		b.want(b.try("a", "tpm", 1001), "never tpm")
		b.want(b.try("b", "none", 1), "never none")
		b.want(b.try("c", "day", 6), "never day")
		b.want(b.try("d", "usd", 11), "never usd")
		b.want(b.try("e", "day", 5, "tpm", 1001), "never tpm")
	},
	"all or nothing": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10), window("rph", ratelimit.Hour, 10), slots("at once", 10), amount("usd", ratelimit.Day, 1000), window("tight", ratelimit.Day, 1))
		all := []any{"rpm", 1, "rph", 1, "at once", 1, "usd", 100, "tight", 1}
		b.want(b.try("a", all...), "ok")
		b.want(b.try("b", all...), "tight 12h0m0s")
		b.want(b.use("rpm"), "1+0 over 0")
		b.want(b.use("rph"), "1+0 over 0")
		b.want(b.use("at once"), "1+0 over 0")
		b.want(b.use("usd"), "0+100 over 0")
		b.want(b.use("tight"), "1+0 over 0")
	},
	"of several that refuse the last one to give is named": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 1), window("rph", ratelimit.Hour, 1), slots("at once", 1))
		b.want(b.try("a", "rpm", 1, "at once", 1, "rph", 1), "ok")
		b.want(b.try("b", "rpm", 1, "at once", 1, "rph", 1), "rph 1h0m0s")
		b.want(b.try("b", "rpm", 1, "at once", 1), "rpm 1s")
	},
	"windows are those of the calendar": func(t *testing.T, m maker) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		day := window("rpd", ratelimit.Day, 2)
		day.Location = berlin
		b := newBench(t, m, window("rph", ratelimit.Hour, 2), day)
		b.clock.advance(59 * time.Minute)
		b.want(b.try("a", "rph", 2), "ok")
		b.want(b.try("b", "rph", 1), "rph 1m0s")
		b.clock.advance(time.Minute)
		b.want(b.try("b", "rph", 2), "ok")
		b.want(b.try("c", "rpd", 2), "ok")
		b.want(b.try("d", "rpd", 1), "rpd 10h0m0s")
		b.clock.advance(10 * time.Hour)
		b.want(b.try("d", "rpd", 1), "ok")
	},
	"what ends in another window belongs to the one it began in": func(t *testing.T, m maker) {
		b := newBench(t, m, window("tph", ratelimit.Hour, 100), amount("usd", ratelimit.Hour, 100))
		b.clock.advance(59 * time.Minute)
		h := b.hold("a", "tph", 60, "usd", 60)
		b.want(b.take(h), "ok")
		b.clock.advance(time.Minute)
		b.renew(h)
		b.want(b.try("b", "tph", 100, "usd", 100), "ok")
		b.store.Settle(h, []int64{90, 90})
		b.want(b.use("tph"), "100+0 over 0")
		b.want(b.use("usd"), "0+100 over 0")
		b.clock.advance(-time.Minute) // as after a step of the clock
		b.want(b.use("tph"), "90+0 over 0")
		b.want(b.use("usd"), "90+0 over 30")
		b.want(b.try("c", "usd", 11), "usd 1m0s")
	},
	"slots are free when they are given back, or not renewed": func(t *testing.T, m maker) {
		b := newBench(t, m, slots("at once", 2))
		h, i := b.hold("a", "at once", 1), b.hold("b", "at once", 1)
		b.want(b.take(h), "ok")
		b.want(b.take(i), "ok")
		b.want(b.try("c", "at once", 1), "at once 1s")
		b.store.Settle(h, []int64{1})
		b.want(b.try("c", "at once", 1), "ok")
		b.clock.advance(ratelimit.Lifetime - time.Millisecond)
		b.renew(i)
		b.want(b.try("d", "at once", 1), "at once 1s")
		b.clock.advance(time.Millisecond)
		b.want(b.try("d", "at once", 1), "ok")
		b.want(b.try("e", "at once", 1), "at once 1s")
		b.want(b.use("at once"), "2+0 over 0")
	},
	"a budget is cold until somebody says what was spent": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10))
		b.limit["usd"] = amount("usd", ratelimit.Month, 1000)
		b.want(b.try("a", "rpm", 1, "usd", 1), "cold usd")
		b.want(b.use("rpm"), "0+0 over 0")
		b.want(b.use("usd"), "cold")
		b.seed("usd", 600)
		b.want(b.try("a", "rpm", 1, "usd", 400), "ok")
		b.want(b.use("usd"), "600+400 over 0")
		b.seed("usd", 500) // it only raises
		b.want(b.use("usd"), "600+400 over 0")
		b.seed("usd", 700)
		b.want(b.use("usd"), "700+400 over 0")
	},
	"a refusal is not hidden by a cold budget": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 1))
		b.limit["usd"] = amount("usd", ratelimit.Month, 1000)
		b.want(b.try("a", "rpm", 1), "ok")
		b.want(b.try("b", "usd", 1, "rpm", 1), "rpm 1s")
	},
	"a new window of a known budget is empty, not cold": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 100))
		b.want(b.try("a", "usd", 100), "ok")
		b.clock.advance(12 * time.Hour)
		b.want(b.try("b", "usd", 100), "ok")
		b.want(b.use("usd"), "0+100 over 0")
	},
	"money is held, then spent": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.want(b.try("b", "usd", 50), "usd 1s") // others may give some back
		b.store.Settle(h, []int64{55})
		b.want(b.use("usd"), "55+0 over 0")
		b.want(b.try("b", "usd", 50), "usd 12h0m0s")
		h = b.hold("c", "usd", 45)
		b.want(b.take(h), "ok")
		b.store.Settle(h, []int64{50})
		b.want(b.use("usd"), "105+0 over 5")
		b.want(b.try("d", "usd", 0), "usd 12h0m0s")
	},
	"money that is spent for ever never comes back": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Total, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.want(b.try("b", "usd", 50), "usd 1s")
		b.store.Settle(h, []int64{60})
		b.want(b.try("b", "usd", 50), "never usd")
		b.want(b.try("b", "usd", 40), "ok")
	},
	"everything is done once": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10), window("rph", ratelimit.Hour, 10), slots("at once", 10), amount("usd", ratelimit.Day, 1000))
		all := []any{"rpm", 1, "rph", 1, "at once", 1, "usd", 100}
		h := b.hold("a", all...)
		for range 3 {
			b.want(b.take(h), "ok")
			b.want(b.use("rpm"), "1+0 over 0")
			b.want(b.use("rph"), "1+0 over 0")
			b.want(b.use("at once"), "1+0 over 0")
			b.want(b.use("usd"), "0+100 over 0")
		}
		for range 3 {
			b.store.Settle(h, []int64{2, 2, 1, 150})
			b.want(b.use("rpm"), "2+0 over 0")
			b.want(b.use("rph"), "2+0 over 0")
			b.want(b.use("at once"), "0+0 over 0")
			b.want(b.use("usd"), "150+0 over 50")
			b.want(b.take(b.hold("a", all...)), "ended")
		}
	},
	"a hold grows": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("tpm", 60, 100), slots("at once", 1), amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "tpm", 10, "at once", 1, "usd", 60)
		b.want(b.take(h), "ok")
		h.Takes[2].N = 101
		b.want(b.take(h), "usd 1s")
		h.Takes[0].N, h.Takes[2].N = 20, 100
		b.want(b.take(h), "ok")
		h.Takes[2].N = 50 // it never shrinks
		b.want(b.take(h), "ok")
		b.want(b.use("tpm"), "20+0 over 0")
		b.want(b.use("usd"), "0+100 over 0")
		b.store.Settle(h, []int64{20, 1, 70})
		b.want(b.use("usd"), "70+0 over 0")
	},
	"what grows in another window belongs to the one it began in": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Hour, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.clock.advance(time.Hour)
		b.want(b.try("b", "usd", 100), "ok")
		h.Takes[0].N = 100
		b.want(b.take(h), "ok")
		b.want(b.use("usd"), "0+100 over 0")
		b.clock.advance(-time.Hour)
		b.want(b.use("usd"), "0+100 over 0")
		b.store.Settle(h, []int64{100})
		b.want(b.use("usd"), "100+0 over 0")
	},
	"what was never held is booked as a whole": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10), window("rph", ratelimit.Hour, 10), amount("usd", ratelimit.Day, 1000))
		h := b.hold("a", "rpm", 1, "rph", 1, "usd", 10)
		b.store.Settle(h, []int64{2, 3, 20})
		b.want(b.use("rpm"), "2+0 over 0")
		b.want(b.use("rph"), "3+0 over 0")
		b.want(b.use("usd"), "20+0 over 20")
		b.want(b.take(h), "ended")
	},
	"money of an expired hold stays held until it is swept": func(t *testing.T, m maker) {
		b := newBench(t, m, slots("at once", 1), amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "at once", 1, "usd", 60)
		b.want(b.take(h), "ok")
		b.want(fmt.Sprint(b.holds(false), b.holds(true)), "[a] []")
		b.clock.advance(ratelimit.Lifetime)
		b.want(fmt.Sprint(b.holds(false), b.holds(true)), "[a] [a]")
		b.want(b.try("b", "at once", 1), "ok")
		b.want(b.use("usd"), "0+60 over 0")
		b.sweep(60)
		b.want(b.use("usd"), "60+0 over 0")
		b.want(fmt.Sprint(b.holds(false), b.holds(true)), "[] []")
		b.want(b.take(h), "ended")
		b.renew(h) // its node was away, and is too late
		b.want(b.use("usd"), "60+0 over 0")
		b.store.Settle(h, []int64{1, 75}) // but it knows better
		b.want(b.use("usd"), "75+0 over 15")
		b.store.Settle(h, []int64{1, 80})
		b.want(b.use("usd"), "75+0 over 15")
	},
	"money that was swept comes back when nothing was sent": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.clock.advance(ratelimit.Lifetime)
		b.sweep(60)
		b.store.Settle(h, []int64{0})
		b.want(b.use("usd"), "0+0 over 0")
	},
	"a settled hold is not swept": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.store.Settle(h, []int64{10})
		b.drain()
		b.must(b.store.Sweep(context.Background(), h, []int64{60}))
		b.must(b.store.Sweep(context.Background(), b.hold("never held", "usd", 5), []int64{5}))
		b.want(b.use("usd"), "10+0 over 0")
	},
	"what the store forgot is held again": func(t *testing.T, m maker) {
		b := newBench(t, m, slots("at once", 1), amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "at once", 1, "usd", 60)
		b.want(b.take(h), "ok")
		for _, l := range b.limit {
			b.must(b.store.Forget(context.Background(), b.tag, l))
		}
		b.want(b.use("at once"), "0+0 over 0")
		b.want(b.use("usd"), "cold")
		b.renew(h, b.hold("b", "at once", 1, "usd", 30)) // the second one is not known at all
		b.want(b.use("usd"), "cold")
		b.want(b.try("c", "usd", 1), "cold usd")
		b.seed("usd", 20)
		b.want(b.use("usd"), "20+90 over 0")
		b.want(b.use("at once"), "2+0 over 0")
		b.want(b.try("c", "usd", 1), "usd 1s")
		b.store.Settle(h, []int64{1, 50})
		b.want(b.use("usd"), "70+30 over 0")
	},
	"what is forgiven is taken back, and nothing else": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 1000))
		lower := func(at time.Time, by int64) {
			b.must(b.store.Lower(context.Background(), b.tag, b.limit["usd"], at, by))
		}
		lower(b.clock.now(), 100)
		b.want(b.use("usd"), "0+0 over 0")
		b.seed("usd", 500)
		h, running := b.hold("a", "usd", 100), b.hold("b", "usd", 60)
		b.want(b.take(h), "ok")
		b.want(b.take(running), "ok")
		b.store.Settle(h, []int64{130})
		b.want(b.use("usd"), "630+60 over 30")
		lower(b.clock.now(), 500)
		b.want(b.use("usd"), "130+60 over 30")
		lower(b.clock.now().Add(-48*time.Hour), 10) // a window of which nobody knows any more
		b.want(b.use("usd"), "130+60 over 30")
		b.store.Settle(running, []int64{60})
		b.want(b.use("usd"), "190+0 over 30")
		lower(b.clock.now(), 5000)
		b.want(b.use("usd"), "0+0 over 30")
	},
	"what was held before all was forgotten gives nothing back": func(t *testing.T, m maker) {
		b := newBench(t, m, amount("usd", ratelimit.Day, 100))
		h := b.hold("a", "usd", 60)
		b.want(b.take(h), "ok")
		b.must(b.store.Forget(context.Background(), b.tag, b.limit["usd"]))
		b.seed("usd", 0)
		b.want(b.try("b", "usd", 80), "ok")
		b.store.Settle(h, []int64{50})
		b.want(b.use("usd"), "50+80 over 50")
	},
	"a limit that changes keeps what is used": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 60), amount("usd", ratelimit.Day, 100))
		b.want(b.try("a", "rpm", 60, "usd", 100), "ok")
		b.limit["rpm"], b.limit["usd"] = rate("rpm", 120, 120), amount("usd", ratelimit.Day, 150)
		b.want(b.use("rpm"), "60+0 over 0")
		b.want(b.try("b", "rpm", 61), "rpm 500ms")
		b.want(b.try("b", "rpm", 60, "usd", 50), "ok")
		b.want(b.try("c", "usd", 1), "usd 1s")
	},
	"a clock that is set back gives nothing away": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10), window("rpd", ratelimit.Day, 10), amount("usd", ratelimit.Day, 100))
		b.want(b.try("a", "rpm", 10, "rpd", 4, "usd", 40), "ok")
		b.clock.advance(-72 * time.Hour)
		b.want(b.try("b", "rpm", 1), "rpm 1s")
		b.want(b.use("usd"), "0+40 over 0")
		b.want(b.try("c", "usd", 61, "rpd", 7), "rpd 12h0m0s")
		b.clock.advance(time.Second)
		b.want(b.try("b", "rpm", 1), "ok")
	},
	"what is left is told with every decision": func(t *testing.T, m maker) {
		b := newBench(t, m, rate("rpm", 60, 10), window("rph", ratelimit.Hour, 10), slots("at once", 10), amount("usd", ratelimit.Total, 1000))
		h := b.hold("a", "rpm", 4, "rph", 3, "at once", 1, "usd", 100)
		d, err := b.store.Take(t.Context(), h)
		b.must(err)
		want := []ratelimit.Left{{6, 4 * time.Second}, {7, time.Hour}, {9, 0}, {900, 0}}
		if diff := cmp.Diff(want, d.Left); diff != "" {
			t.Errorf("after a take (-want +got):\n%s", diff)
		}
		if got := h.Expires; !got.Equal(b.clock.now().Add(ratelimit.Lifetime)) {
			t.Errorf("it expires at %v", got)
		}
		d, err = b.store.Take(t.Context(), b.hold("b", "rpm", 7, "rph", 3, "at once", 1, "usd", 100))
		b.must(err)
		if diff := cmp.Diff(want, d.Left); diff != "" || d.OK {
			t.Errorf("after a refusal (-want +got):\n%s", diff)
		}
	},
	"a settled hold that is dropped is forgotten": func(t *testing.T, m maker) {
		b := newBench(t, m, window("rph", ratelimit.Hour, 10))
		h := b.hold("a", "rph", 1)
		b.want(b.take(h), "ok")
		b.must(b.store.Drop(t.Context(), b.tag, []string{"a", "b"})) // not this one: it stands
		b.want(b.take(h), "ok")
		b.want(b.use("rph"), "1+0 over 0")
		b.store.Settle(h, []int64{1})
		b.drain()
		b.must(b.store.Drop(t.Context(), b.tag, []string{"a", "b"}))
		b.want(b.take(h), "ok")
		b.want(b.use("rph"), "2+0 over 0")
	},
	"tags do not know each other": func(t *testing.T, m maker) {
		b := newBench(t, m, window("rph", ratelimit.Hour, 1))
		b.want(b.try("a", "rph", 1), "ok")
		b.tag += " too"
		b.want(b.try("a", "rph", 1), "ok")
	},
	"a hold that makes no sense is an error": func(t *testing.T, m maker) {
		b := newBench(t, m, window("rph", ratelimit.Hour, 1), slots("at once", 4))
		wrong := []*ratelimit.Hold{b.hold("a", "rph", -1), b.hold("", "rph", 1), b.hold("a", "at once", 2), {ID: "a"}}
		for _, h := range wrong {
			if d, err := b.store.Take(t.Context(), h); err == nil || d.OK {
				t.Errorf("%+v was taken", h)
			}
		}
		b.want(b.try("a", "rph", 1), "ok")
		if _, err := b.store.Take(t.Context(), b.hold("a", "rph", 1, "at once", 1)); err == nil {
			t.Error("a hold got one limit more")
		}
	},
}

func TestMemory(t *testing.T) {
	t.Parallel()
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makeMemory)
		})
	}
}
