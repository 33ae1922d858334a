package routing

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// patient is a target on its own, for the breaker's tests, and its state; changes collects what OnChange says.
type patient struct {
	t       *testing.T
	target  *Target
	state   *State
	changes []string
}

func newPatient(t *testing.T) *patient {
	r, _ := tableForTest(t, configForTest(1, nil)).Route("m")
	p := &patient{t: t, target: r.Targets[0], state: &State{}}
	p.state.OnChange = func(target, from, to string) { p.changes = append(p.changes, target+" "+from+" "+to) }
	return p
}

// begin asks for leave now.
func (p *patient) begin() (Pass, bool) { return p.state.Begin(Move{Target: p.target}, time.Now()) }

// ends tells how an attempt ended.
func (p *patient) ends(pass Pass, c adapters.Class) {
	p.state.Observe(&Outcome{Target: p.target, Pass: pass, Class: c, Sent: true}, time.Now())
}

// calls makes n attempts that end with a class.
func (p *patient) calls(n int, c adapters.Class) {
	p.t.Helper()
	for i := range n {
		pass, ok := p.begin()
		if !ok {
			p.t.Fatalf("attempt %d was refused", i)
		}
		p.ends(pass, c)
	}
}

func (p *patient) is(breaker string) {
	p.t.Helper()
	if got := p.state.Status(time.Now())[0]; got.Breaker != breaker {
		p.t.Fatalf("%+v, want %s", got, breaker)
	}
}

func (p *patient) changed(want ...string) {
	p.t.Helper()
	for i := range want {
		want[i] = p.target.ID + " " + want[i]
	}
	if !slices.Equal(p.changes, want) {
		p.t.Fatalf("changes %q, want %q", p.changes, want)
	}
}

func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	const ok, bad, gone, rate = adapters.ClassNone, adapters.ClassServer, adapters.ClassGone, adapters.ClassRate
	type calls struct {
		n     int
		class adapters.Class
		after time.Duration // the pause behind them
	}
	for _, c := range []struct {
		name  string
		calls []calls
		want  string
	}{
		{"ten failures", []calls{{10, bad, 0}}, "open"},
		{"fewer than ten calls", []calls{{9, bad, 0}}, "closed"},
		{"half of ten", []calls{{5, ok, 0}, {5, bad, 0}}, "open"},
		{"less than half", []calls{{6, ok, 0}, {5, bad, 0}}, "closed"},
		{"fewer than five failures", []calls{{6, ok, 0}, {4, bad, 0}}, "closed"},
		{"a busy target", []calls{{1000, ok, 0}, {900, bad, 0}}, "closed"},
		{"the window passed", []calls{{9, bad, time.Minute}, {1, bad, 0}}, "closed"},
		{"within the window", []calls{{9, bad, 45 * time.Second}, {1, bad, 0}}, "open"},
		{"clients that leave", []calls{{100, gone, 0}}, "closed"},
		{"bad requests", []calls{{100, adapters.ClassInvalid, 0}}, "closed"},
		{"bad requests do not thin failures out", []calls{{100, adapters.ClassInvalid, 0}, {10, bad, 0}}, "open"},
		{"rate limits", []calls{{100, rate, 0}}, "closed"},
		{"our key refused", []calls{{10, adapters.ClassCredential, 0}}, "open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t)
				for _, v := range c.calls {
					p.calls(v.n, v.class)
					time.Sleep(v.after) // of the bubble's clock
				}
				p.is(c.want)
				_, leave := p.begin()
				if leave != (c.want == "closed") {
					t.Errorf("leave %v", leave)
				}
			})
		})
	}
}

// TestHangingTarget: calls that hang for longer than the window are failures of when they end.
func TestHangingTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		var passes []Pass
		for range leastCalls {
			pass, _ := p.begin()
			passes = append(passes, pass)
		}
		time.Sleep(2 * time.Minute)
		for _, pass := range passes {
			p.ends(pass, adapters.ClassTimeout)
		}
		p.is("open")
	})
}

func TestHalfOpen(t *testing.T) {
	t.Parallel()
	cooldown := 30*time.Second + time.Nanosecond
	open := func(t *testing.T) *patient {
		p := newPatient(t)
		p.calls(leastCalls, adapters.ClassServer)
		p.is("open")
		return p
	}
	plans := func(p *patient) Reason {
		reason, _ := p.state.standing(p.target, time.Now())
		return reason
	}
	for name, test := range map[string]func(*testing.T){
		"one probe at a time, success closes": func(t *testing.T) {
			p := open(t)
			if plans(p) != BreakerOpen {
				t.Error("planned while open")
			}
			time.Sleep(cooldown)
			if plans(p) != Chosen {
				t.Error("not planned when the cooldown is over")
			}
			probe, ok := p.begin()
			if _, second := p.begin(); !ok || second || plans(p) != BreakerProbing {
				t.Fatalf("first %v, second %v, %v", ok, second, plans(p))
			}
			p.ends(probe, adapters.ClassNone)
			p.is("closed")
			p.changed("closed open", "open half-open", "half-open closed")
			p.calls(9, adapters.ClassServer) // what was before is forgotten
			p.is("closed")
		},
		"failure opens again": func(t *testing.T) {
			p := open(t)
			time.Sleep(cooldown)
			p.calls(1, adapters.ClassTimeout)
			p.is("open")
			if _, ok := p.begin(); ok {
				t.Error("leave while open")
			}
			time.Sleep(cooldown)
			p.calls(1, adapters.ClassNone)
			p.is("closed")
		},
		"a client that leaves says nothing": func(t *testing.T) {
			p := open(t)
			time.Sleep(cooldown)
			p.calls(3, adapters.ClassGone) // each of them is a probe, one after the other
			p.is("half-open")
			p.calls(1, adapters.ClassNone)
			p.is("closed")
		},
		"a stream closes it at its first event": func(t *testing.T) {
			p := open(t)
			time.Sleep(cooldown)
			probe, _ := p.begin()
			probe.Answered()
			p.is("closed")
			p.ends(probe, adapters.ClassTruncated) // and its end counts like any other
			if s := p.state.Status(time.Now())[0]; s.Failures != 1 || s.Calls != 1 {
				t.Errorf("%+v", s)
			}
		},
		"an old call is no probe": func(t *testing.T) {
			p := newPatient(t)
			old, _ := p.begin()
			p.calls(leastCalls, adapters.ClassServer)
			time.Sleep(cooldown)
			probe, ok := p.begin()
			if !ok {
				t.Fatal("no probe")
			}
			p.ends(old, adapters.ClassNone)
			p.is("half-open")
			p.ends(probe, adapters.ClassServer)
			p.is("open")
		},
		"a forced call changes nothing": func(t *testing.T) {
			p := open(t)
			forced, ok := p.state.Begin(Move{Target: p.target, Force: true}, time.Now())
			if !ok {
				t.Fatal("forced, and refused")
			}
			p.ends(forced, adapters.ClassNone)
			p.is("open")
		},
		"observed twice": func(t *testing.T) {
			p := newPatient(t)
			pass, _ := p.begin()
			o := &Outcome{Target: p.target, Pass: pass, Class: adapters.ClassServer}
			p.state.Observe(o, time.Now())
			p.state.Observe(o, time.Now())
			if s := p.state.Status(time.Now())[0]; s.Failures != 1 {
				t.Errorf("%+v", s)
			}
		},
		"retry-after outlasts the cooldown": func(t *testing.T) {
			p := newPatient(t)
			pass, _ := p.begin()
			p.state.Observe(&Outcome{Pass: pass, Class: adapters.ClassOverloaded, RetryAfter: time.Minute}, time.Now())
			if _, ok := p.begin(); ok {
				t.Error("leave for a target that cools for a minute")
			}
			for range leastCalls {
				forced, _ := p.state.Begin(Move{Target: p.target, Force: true}, time.Now())
				p.ends(forced, adapters.ClassServer)
			}
			time.Sleep(cooldown)
			if reason, until := p.state.standing(p.target, time.Now()); reason == Chosen || time.Until(until) > 30*time.Second {
				t.Errorf("%s until %v", reason, until)
			}
			time.Sleep(cooldown)
			if plans(p) != Chosen {
				t.Error("still out")
			}
		},
		"reset": func(t *testing.T) {
			p := open(t)
			if !p.state.Reset(p.target.ID) || p.state.Reset("nobody") {
				t.Error("reset of what is unknown, or not of what is known")
			}
			p.is("closed")
			p.changed("closed open", "open closed")
			p.calls(1, adapters.ClassNone)
		},
		"reset while attempts are under way": func(t *testing.T) {
			p := newPatient(t)
			var passes []Pass
			for range leastCalls {
				pass, _ := p.begin()
				passes = append(passes, pass)
			}
			p.state.Reset(p.target.ID)
			for _, pass := range passes {
				p.ends(pass, adapters.ClassServer)
			}
			p.is("closed")
			p.changed()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestRetain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var s State
	before := tableForTest(t, configForTest(3, nil))
	s.Retain(before)
	r, _ := before.Route("m")
	for _, target := range r.Targets {
		fail(t, &s, target, leastCalls, now)
	}
	s.Retain(tableForTest(t, configForTest(2, func(c *Config) {
		change(c.Providers, "p1", func(p *ProviderConfig) { p.Breaker.Failures = new(7) })
		c.Models["n"] = ModelConfig{Targets: []TargetConfig{{Provider: "p0", Model: "m"}, {Provider: "p1"}}}
	})))
	var got []string
	for _, status := range s.Status(now) {
		got = append(got, status.Target+" "+status.Breaker)
	}
	// p0 is in two routes and stays what it was; p1 has new settings; p1/n is new; p2 is forgotten.
	if want := []string{"p0/m open", "p1/m closed", "p1/n closed"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// What the provider asked for outlasts new settings.
	pass, _ := s.Begin(Move{Target: r.Targets[1]}, now)
	s.Observe(&Outcome{Pass: pass, Class: adapters.ClassRate, RetryAfter: time.Hour}, now)
	s.Retain(before)
	if reason, until := s.standing(r.Targets[1], now); reason != Cooling || !until.Equal(now.Add(time.Hour)) {
		t.Errorf("%s until %v", reason, until)
	}
	// A call of the old table goes on with its target.
	s.Retain(tableForTest(t, configForTest(2, nil)))
	pass, ok := s.Begin(Move{Target: r.Targets[2]}, now)
	s.Observe(&Outcome{Pass: pass}, now)
	if !ok || len(s.Status(now)) != 3 {
		t.Error("a call that outlived its table was refused")
	}
}

// TestStateTogether has many calls at once while tables come and go; the race detector is the judge, and at the
// end every breaker still answers.
func TestStateTogether(t *testing.T) {
	t.Parallel()
	table := tableForTest(t, configForTest(4, nil))
	a := ask(t)
	s := State{OnChange: func(string, string, string) {}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var p Plan
			for n := range 200 {
				now := time.Now()
				if err := table.Plan(&p, a, &s, now); err != nil {
					t.Error(err)
					return
				}
				var o Outcome
				for move, ok := p.Next(nil, now); ok; move, ok = p.Next(&o, now) {
					pass, leave := s.Begin(move, now)
					o = Outcome{Target: move.Target, Pass: pass, Refused: !leave, Class: adapters.Class((i + n) % 13)}
					s.Observe(&o, now)
				}
				switch n % 50 {
				case 10:
					s.Retain(table)
				case 20:
					s.Reset("p1/m")
				case 30:
					s.Status(now)
				}
			}
		})
	}
	all.Wait()
	if len(s.Status(time.Now())) != 4 {
		t.Errorf("%+v", s.Status(time.Now()))
	}
}
