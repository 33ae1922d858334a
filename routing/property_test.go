package routing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// health is what a target of the drawn world is.
var healths = []string{"well", "open", "cooling", "no credential", "other organization", "not spoken"}

// world is a route over drawn targets, with the state that their health says.
type world struct {
	health []string
	cfg    Config
	table  *Table
	state  *State
	now    time.Time
}

func drawWorld(t *rapid.T, tb testing.TB) *world {
	w := &world{state: &State{}, now: time.Now()} // the breaker reads the real clock
	w.health = rapid.SliceOfN(rapid.SampledFrom(healths), 1, 8).Draw(t, "health")
	w.cfg = configForTest(len(w.health), func(c *Config) {
		for i, h := range w.health {
			change(c.Providers, fmt.Sprintf("p%d", i), func(p *ProviderConfig) {
				switch h {
				case "no credential":
					p.APIKey = noKey()
				case "other organization":
					p.Organizations = []tenancy.ID{"other"}
				case "not spoken":
					p.Kind = "perplexity"
				}
			})
		}
		c.Defaults.Attempts = rapid.IntRange(1, 10).Draw(t, "attempts")
		c.Defaults.Timeouts.Total = new(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "total ms")) * time.Millisecond)
		change(c.Models, "m", func(m *ModelConfig) {
			m.RepeatExecuted = rapid.Bool().Draw(t, "repeat executed")
			if m.Strategy = rapid.SampledFrom(append(chosenBy, "")).Draw(t, "strategy"); m.Strategy == "" {
				m.Optimize = &OptimizeConfig{Cost: 1, Speed: 1}
			}
			if by := rapid.SampledFrom(append(stickies, "")).Draw(t, "sticky by"); by != "" {
				m.Sticky = &StickyConfig{by, time.Hour}
			}
		})
	})
	w.table = tableForTest(tb, w.cfg)
	r, _ := w.table.Route("m")
	for _, target := range r.Targets {
		var i int
		_, _ = fmt.Sscanf(target.Provider.Name, "p%d", &i)
		switch w.health[i] {
		case "open":
			fail(tb, w.state, target, leastCalls, w.now)
		case "cooling":
			pass, _ := w.state.Begin(Move{Target: target}, w.now)
			after := time.Duration(rapid.IntRange(1, 100_000).Draw(t, "retry-after ms")) * time.Millisecond
			w.state.Observe(&Outcome{Target: target, Pass: pass, Class: adapters.ClassRate, RetryAfter: after}, w.now)
		}
	}
	return w
}

// fail lets n attempts at a target fail.
func fail(tb testing.TB, s *State, target *Target, n int, now time.Time) {
	tb.Helper()
	for range n {
		pass, ok := s.Begin(Move{Target: target}, now)
		if !ok {
			tb.Fatal("the breaker opened too early")
		}
		s.Observe(&Outcome{Target: target, Pass: pass, Class: adapters.ClassServer, Sent: true}, now)
	}
}

func (w *world) count(health string) (n int) {
	for _, h := range w.health {
		if h == health {
			n++
		}
	}
	return n
}

// TestPlanProperties: whatever the targets' health, a plan has all that are well and none that is out while
// another is well, it has exactly one if all are out, and its explanation names every target of the file once.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		var p, again Plan
		a := ask(t)
		a.Seed = rapid.Uint64().Draw(rt, "seed")
		a.Input, a.Session = []byte(`["`+rapid.StringN(0, 3, -1).Draw(rt, "input")+`"]`), []byte(rapid.StringN(0, 3, -1).Draw(rt, "session"))
		for range rapid.IntRange(0, 3).Draw(rt, "calls before") { // which leave traces in the state
			if w.table.Plan(&p, a, w.state, w.now) == nil {
				move, _ := p.Next(nil, w.now)
				if pass, ok := w.state.Begin(move, w.now); ok {
					took := time.Duration(rapid.IntRange(1, 9999).Draw(rt, "took ms")) * time.Millisecond
					w.state.Observe(&Outcome{Target: move.Target, Pass: pass, Stick: p.Stick, Total: took}, w.now)
				}
			}
		}
		err := w.table.Plan(&p, a, w.state, w.now)
		if errAgain := w.table.Plan(&again, a, w.state, w.now); errAgain != err || !slices.Equal(p.Targets, again.Targets) || !slices.Equal(p.Why, again.Why) {
			rt.Fatal("the same question has two answers")
		}

		named := map[string]Reason{}
		for _, c := range p.Why {
			named[c.Provider] = c.Reason
		}
		decisionIs(rt, &p)
		if len(p.Why) != len(w.health) || len(named) != len(w.health) {
			rt.Fatalf("%d targets, explained %q", len(w.health), p.Why)
		}
		well, out := w.count("well"), w.count("open")+w.count("cooling")
		switch {
		case well > 0 && len(p.Targets) != well:
			rt.Fatalf("%d targets are well, %d in the plan", well, len(p.Targets))
		case well == 0 && out > 0 && len(p.Targets) != 1:
			rt.Fatalf("all are out, %d in the plan", len(p.Targets))
		case well+out == 0 && (err == nil || len(p.Targets) != 0):
			rt.Fatalf("nothing can be used, err %v, %d in the plan", err, len(p.Targets))
		}
		reasons := map[string]Reason{
			"well": Chosen, "open": BreakerOpen, "cooling": Cooling, "no credential": NoCredential,
			"other organization": WrongOrganization, "not spoken": NotSpoken,
		}
		for i, h := range w.health {
			got := named[fmt.Sprintf("p%d", i)]
			lastResort := got == LastResort && well == 0 && (h == "open" || h == "cooling")
			first := (got == Stuck || got == Explored) && h == "well" && p.Targets[0].Provider.Name == fmt.Sprintf("p%d", i)
			if got != reasons[h] && !lastResort && !first {
				rt.Fatalf("p%d is %s, explained as %s", i, h, got)
			}
		}
	})
}

// TestWalkProperties: whatever becomes of the attempts, a walk keeps to its budget, its deadline and the rule that
// nothing is done twice.
func TestWalkProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		var p Plan
		if w.table.Plan(&p, ask(t), w.state, w.now) != nil {
			return
		}
		now, tries, refusals := w.now, 0, 0
		executed := map[*Target]bool{}
		move, ok := p.Next(nil, now)
		if !ok {
			rt.Fatal("a plan without a first move")
		}
		for ok {
			now = now.Add(move.Wait)
			if !now.Before(p.Deadline) || move.Wait < 0 {
				rt.Fatalf("a wait of %v to %v, the deadline is %v", move.Wait, now, p.Deadline)
			}
			if executed[move.Target] && !p.Route.RepeatExecuted {
				rt.Fatalf("%s executed the call and is asked again", move.Target.ID)
			}
			o := &Outcome{
				Target:     move.Target,
				Refused:    !move.Force && rapid.Bool().Draw(rt, "refused"),
				Class:      adapters.Class(rapid.IntRange(int(adapters.ClassInvalid), int(adapters.ClassInternal)).Draw(rt, "class")),
				Sent:       rapid.Bool().Draw(rt, "sent"),
				Committed:  rapid.IntRange(0, 9).Draw(rt, "committed") == 0,
				RetryAfter: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 4, 60}).Draw(rt, "retry-after")) * time.Second,
			}
			if o.Refused {
				refusals++
			} else {
				tries++
				executed[o.Target] = executed[o.Target] || o.Sent && !o.Class.NotExecuted()
			}
			if tries > p.Attempts || refusals > len(p.Targets) {
				rt.Fatalf("%d tries of %d, %d refusals of %d targets", tries, p.Attempts, refusals, len(p.Targets))
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "took ms")) * time.Millisecond)
			move, ok = p.Next(o, now)
			if ok && !o.Refused && (o.Committed || !o.Class.Elsewhere()) {
				rt.Fatalf("went on after %s, committed %v", o.Class, o.Committed)
			}
		}
		if tries == 0 && now.Before(p.Deadline) {
			rt.Fatal("the call was given up without a try")
		}
	})
}

// decisionIs checks that a plan's decision has every target, those of the walk first and in its order, as it is and as it is kept.
func decisionIs(rt *rapid.T, p *Plan) {
	kept, err := ReadDecision(p.AppendDecision(nil, 1))
	if err != nil {
		rt.Fatal(err)
	}
	for _, d := range []*Decision{kept, p.Decision(1)} {
		if len(d.Candidates) != len(p.Why) {
			rt.Fatalf("%d targets, decided about %d", len(p.Why), len(d.Candidates))
		}
		for i, target := range p.Targets {
			if !d.Candidates[i].of(target) {
				rt.Fatalf("target %d of the walk is %s, and the decision says %v", i, target.ID, d.Candidates)
			}
		}
	}
}
