package routing

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	closedTo := func(name string) func(*Config) {
		return func(c *Config) {
			change(c.Providers, name, func(p *ProviderConfig) { p.Organizations = []tenancy.ID{"other"} })
		}
	}
	unset := func(c *Config) { change(c.Providers, "p0", func(p *ProviderConfig) { p.APIKey = noKey() }) }
	mute := func(c *Config) { change(c.Providers, "p0", func(p *ProviderConfig) { p.Kind = "perplexity" }) }
	for _, c := range []struct {
		name    string
		n       int
		changes []func(*Config)
		model   string
		allowed []string
		want    error
	}{
		{"unknown", 1, nil, "n", nil, UnknownModel},
		{"unknown beats not allowed", 1, nil, "n", []string{"m"}, UnknownModel},
		{"the key has other models", 1, nil, "m", []string{"n"}, NotAllowed},
		{"the key has it", 1, nil, "m", []string{"n", "m"}, nil},
		{"for another organization", 1, []func(*Config){closedTo("p0")}, "m", nil, NotAllowed},
		{"no credential", 1, []func(*Config){unset}, "m", nil, NoTarget},
		{"endpoint", 1, []func(*Config){mute}, "m", nil, NotServed},
		{"no credential here, another organization there", 2, []func(*Config){unset, closedTo("p1")}, "m", nil, NoTarget},
		{"endpoint here, another organization there", 2, []func(*Config){mute, closedTo("p1")}, "m", nil, NotServed},
		{"one of two", 2, []func(*Config){unset}, "m", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := tableForTest(t, configForTest(c.n, func(cfg *Config) {
				for _, f := range c.changes {
					f(cfg)
				}
			}))
			var p Plan
			a := &Ask{Model: c.model, Who: principal(t, "acme", c.allowed...), Endpoint: adapters.ChatCompletions}
			if err := table.Plan(&p, a, &State{}, epoch); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if (p.Route == nil) != (c.want == UnknownModel) {
				t.Errorf("route %v", p.Route)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	table := tableForTest(t, configForTest(3, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) {
			m.Attempts, m.Timeouts.Total = new(7), new(time.Minute)
		})
	}))
	var p Plan
	for range 2 { // the second fills what the first has left
		if err := table.Plan(&p, ask(t), &State{}, epoch); err != nil {
			t.Fatal(err)
		}
		if ids := ids(p.Targets); !slices.Equal(ids, []string{"p0/m", "p1/m", "p2/m"}) {
			t.Errorf("targets %q", ids)
		}
		if p.Attempts != 7 || !p.Deadline.Equal(epoch.Add(time.Minute)) || p.Route.Name != "m" {
			t.Errorf("attempts %d, deadline %v", p.Attempts, p.Deadline)
		}
		if _, ok := p.Next(nil, epoch); !ok {
			t.Fatal("no first move")
		}
		p.Next(&Outcome{Target: p.Targets[0], Class: adapters.ClassConnect}, epoch)
	}
}

// TestPlanLeavesOut: who is out is left out while others are well; of those that are out, the one that is back
// soonest is the last resort, and it is asked once.
func TestPlanLeavesOut(t *testing.T) {
	t.Parallel()
	now := time.Now() // the breaker's clock
	table := tableForTest(t, configForTest(3, nil))
	r, _ := table.Route("m")
	var s State
	cool := func(i int, d time.Duration) {
		pass, _ := s.Begin(Move{Target: r.Targets[i], Force: true}, now)
		s.Observe(&Outcome{Target: r.Targets[i], Pass: pass, Class: adapters.ClassRate, RetryAfter: d}, now)
	}
	plan := func() *Plan {
		var p Plan
		if err := table.Plan(&p, ask(t), &s, now); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	fail(t, &s, r.Targets[0], leastCalls, now)
	cool(2, time.Minute)
	if got := ids(plan().Targets); !slices.Equal(got, []string{"p1/m"}) {
		t.Fatalf("one is open, one cools, one is well: %q", got)
	}
	cool(1, 20*time.Second)
	p := plan()
	if got := ids(p.Targets); !slices.Equal(got, []string{"p1/m"}) || p.Why[1].Reason != LastResort {
		t.Fatalf("back after 30, 20 and 60 seconds: %q, %s", got, p.Why)
	}
	move, ok := p.Next(nil, now)
	if pass, leave := s.Begin(move, now); !ok || !move.Force || !leave || pass.cell == nil {
		t.Fatal("the last resort is not asked")
	}
	if _, ok := p.Next(&Outcome{Target: move.Target, Class: adapters.ClassConnect}, now); ok {
		t.Error("the last resort is asked twice")
	}
	cool(1, 2*time.Minute)
	cool(1, time.Second) // the later of two counts
	if got := ids(plan().Targets); !slices.Equal(got, []string{"p0/m"}) {
		t.Fatalf("back after 30, 120 and 60 seconds: %q", got)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	c := configForTest(3, func(c *Config) {
		change(c.Providers, "p0", func(p *ProviderConfig) { p.APIKey = noKey() })
		change(c.Providers, "p1", func(p *ProviderConfig) { p.Organizations = []tenancy.ID{"acme", "b"} })
		c.Models["z"] = ModelConfig{Targets: []TargetConfig{{Provider: "p0"}}}
		c.Models["a/b"] = ModelConfig{Targets: []TargetConfig{{Provider: "p1", Model: "x"}, {Provider: "p0"}}}
	})
	table := tableForTest(t, c)
	names := func(p *tenancy.Principal) (list []string) {
		for r := range table.Routes(p) {
			list = append(list, r.Name)
		}
		return list
	}
	for _, v := range []struct {
		who  *tenancy.Principal
		want []string
	}{
		{principal(t, "acme"), []string{"a/b", "m"}},
		{principal(t, "other"), []string{"m"}},
		{principal(t, "acme", "a/b", "z"), []string{"a/b"}},
		{principal(t, "other", "a/b"), nil},
	} {
		if got := names(v.who); !slices.Equal(got, v.want) {
			t.Errorf("%s sees %q, want %q", v.who.Org, got, v.want)
		}
	}
	for range table.Routes(principal(t, "acme")) {
		break // who stops early is not yielded to again, which would panic
	}
	if got := len(slices.Collect(table.All())); got != 3 {
		t.Errorf("%d routes", got)
	}
	r, ok := table.Route("a/b")
	if !ok || r.OwnedBy != "p1" || r.Created != epoch.Unix() || len(r.Skipped) != 1 || r.Skipped[0] != (Skip{"p0", "a/b", NoCredential}) {
		t.Errorf("%+v", r)
	}
}

func ids(targets []*Target) (ids []string) {
	for _, t := range targets {
		ids = append(ids, t.ID)
	}
	return ids
}
