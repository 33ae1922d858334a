package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// healths are targets as a test says.
type healths struct {
	all   []routing.Health
	reset []string
}

func (h *healths) Health(time.Time) []routing.Health { return h.all }

func (h *healths) Reset(target string) bool {
	for i := range h.all {
		if h.all[i].Target == target {
			h.reset = append(h.reset, target)
			return true
		}
	}
	return false
}

func TestTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	until, last := start.Add(time.Minute), start.Add(-time.Second)
	w.health.all = []routing.Health{
		{
			Status: routing.Status{Target: "a/x/y", Breaker: "open", Failures: 6, Calls: 10, Until: until}, Provider: "a", Model: "x/y", Routes: []string{"fast", "slow"},
			UnderWay: 2, FirstByte: 250 * time.Millisecond, PerToken: 1500 * time.Microsecond, Failed: 0.5, Last: last,
		},
		{Status: routing.Status{Target: "b/z", Breaker: "closed"}, Provider: "b", Model: "z", Routes: []string{"fast"}},
	}
	get := func(query string) (ids []string, first Target) {
		t.Helper()
		var page struct{ Data []Target }
		w.do("root", "GET", "/api/targets"+query, nil).want(200).into(&page)
		for i := range page.Data {
			ids = append(ids, page.Data[i].ID)
		}
		return ids, page.Data[0]
	}
	want := Target{
		ID: "a/x/y", Provider: "a", Model: "x/y", Routes: []string{"fast", "slow"}, Breaker: "open", Until: &until, Failures: 6, Attempts: 10, InFlight: 2,
		FirstByte: new(250.0), PerToken: new(1.5), Failed: 0.5, Last: &last,
	}
	if _, got := get(""); !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
	for query, want := range map[string][]string{
		"": {"a/x/y", "b/z"}, "?route=slow": {"a/x/y"}, "?provider=b": {"b/z"}, "?away=true": {"a/x/y"},
	} {
		if ids, _ := get(query); !cmp.Equal(want, ids) {
			t.Errorf("%s: %v", query, ids)
		}
	}
	type body = map[string]any
	w.do("root", "POST", "/api/targets/reset", body{"target": "a/x/y"}).want(204)
	w.do("root", "POST", "/api/targets/reset", body{"target": "none"}).problem(notFound)
	if p := w.do("root", "POST", "/api/targets/reset", body{}).problem(invalid); len(p.Errors) != 1 {
		t.Errorf("%+v", p.Errors)
	}
	events := w.db.audit.all()
	if !cmp.Equal(w.health.reset, []string{"a/x/y"}) || len(events) != 1 || events[0].Action != tenancy.ActionResetTarget || events[0].Object.Name != "a/x/y" || events[0].Org != tenancy.Platform {
		t.Errorf("%v, %+v", w.health.reset, events)
	}
	w.Targets = nil
	w.do("root", "GET", "/api/targets", nil).problem(unavailable)
	w.do("root", "POST", "/api/targets/reset", body{"target": "b/z"}).problem(unavailable)
}
