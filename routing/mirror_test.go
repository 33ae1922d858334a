package routing

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

func mirrored(c *Config) {
	change(c.Models, "m", func(m *ModelConfig) {
		m.Targets = m.Targets[:1]
		m.Mirror = &MirrorConfig{Percent: 5, To: TargetConfig{Provider: "p1", Model: "other"}, Budget: &MirrorBudgetConfig{"2.50", "day"}}
	})
}

// What copies go to is a route that no client can name, with a price and a breaker like every other.
func TestMirrorIsARoute(t *testing.T) {
	t.Parallel()
	table, s := tableForTest(t, configForTest(2, mirrored)), &State{}
	s.Retain(table)
	r, _ := table.Route("m")
	m := r.Mirror
	if m.Of != "m" || m.Percent != 5 || m.Most != 2_500_000_000 || m.Per != ratelimit.Day || m.Route.Name != "mirror of m" || m.Route.Attempts != 1 {
		t.Errorf("%+v", m)
	}
	if _, ok := table.Route(m.Route.Name); ok {
		t.Error("clients can name it")
	}
	for listed := range table.All() {
		if listed == m.Route {
			t.Error("it is listed")
		}
	}
	if all := s.Status(epoch); len(all) != 2 || all[1].Target != "p1/other" {
		t.Errorf("%+v", all)
	}
	var p Plan
	a := ask(t)
	a.Model = m.Route.Name
	if err := m.Route.Plan(&p, a, s, epoch); err != nil || len(p.Targets) != 1 || p.Targets[0].ID != "p1/other" || p.Deadline != epoch.Add(15*time.Minute) {
		t.Errorf("%+v, %v", p, err)
	}
	a.Endpoint = adapters.Embeddings
	if err := m.Route.Plan(&p, a, s, epoch); err != NotServed {
		t.Errorf("an endpoint that is not spoken: %v", err)
	}
}

// A copy goes only where the calls of whoever made the original may go.
func TestMirrorIsNotForAll(t *testing.T) {
	t.Parallel()
	table := tableForTest(t, configForTest(2, func(c *Config) {
		mirrored(c)
		change(c.Providers, "p1", func(p *ProviderConfig) { p.Organizations = []tenancy.ID{"other"} })
	}))
	r, _ := table.Route("m")
	var p Plan
	if err := r.Mirror.Route.Plan(&p, ask(t), &State{}, epoch); err != NotAllowed {
		t.Errorf("%v", err)
	}
}
