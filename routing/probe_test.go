package routing

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// A target is probed once its cooldown is over, and not while a call or another probe finds out; what a probe proves counts as an
// attempt would, and what proves nothing leaves the breaker to the next one.
func TestSuspects(t *testing.T) {
	t.Parallel()
	cfg := configForTest(2, func(c *Config) {
		change(c.Providers, "p0", func(p *ProviderConfig) { p.Probe = new(time.Second) })
	})
	synctest.Test(t, func(t *testing.T) {
		table, state := tableForTest(t, cfg), &State{}
		r, _ := table.Route("m")
		for _, target := range r.Targets {
			fail(t, state, target, leastCalls, time.Now())
		}
		suspects := func() []*Target { return state.Suspects(table, time.Now()) }
		probe := func(f Finding) {
			t.Helper()
			pass, ok := state.Begin(Move{Target: r.Targets[0]}, time.Now())
			if !ok {
				t.Fatal("no leave")
			}
			if len(suspects()) != 0 {
				t.Error("a target under probe is probed again")
			}
			state.Probed(r.Targets[0], pass, &f, time.Now())
		}
		if s := suspects(); len(s) != 0 {
			t.Errorf("%d targets are probed within their cooldown", len(s))
		}
		time.Sleep(*cfg.Defaults.Breaker.Cooldown + time.Second)
		if s := suspects(); !slices.Equal(s, r.Targets[:1]) {
			t.Fatalf("%d suspects; only the first provider is to be probed", len(s))
		}
		probe(Finding{Verdict: Unproven})
		probe(Finding{Verdict: Fails, Class: adapters.ClassInvalid})
		if len(suspects()) != 1 {
			t.Error("what proves nothing decided something")
		}
		probe(Finding{Verdict: Fails, Class: adapters.ClassConnect})
		if len(suspects()) != 0 {
			t.Error("a probe that failed begins no cooldown")
		}
		time.Sleep(*cfg.Defaults.Breaker.Cooldown + time.Second)
		probe(Finding{Verdict: Works})
		if is := state.Status(time.Now())[0]; is.Breaker != "closed" {
			t.Errorf("after a probe that was answered the breaker is %s", is.Breaker)
		}
	})
}
