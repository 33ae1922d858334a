package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// The file of every test limits a key, and has a budget.
func filedLimits() []accounting.Limits {
	return []accounting.Limits{{
		Meta: tenancy.Meta{ID: "limit:acme/ci", Org: acme, Name: "key key:acme/ci", ManagedBy: tenancy.ByFile}, Scope: accounting.Scope{Key: "key:acme/ci"}, RPM: 60,
	}}
}

func filedBudgets() []accounting.Budget {
	return []accounting.Budget{{
		Meta: tenancy.Meta{ID: "budget:acme", Org: acme, Name: "acme", ManagedBy: tenancy.ByFile}, Max: 100_000_000_000, Per: ratelimit.Month, WarnAt: 80, Hard: true,
	}}
}

// counted are counters that say what a test wants. Its fields are guarded by mu.
type counted struct {
	mu     sync.Mutex
	limits []accounting.LimitUse
	uses   map[tenancy.ID]accounting.BudgetUse
	reset  []tenancy.ID
	fail   error

	awaited func() // what comes into the books while they are waited for
}

func (c *counted) LimitUses(_ context.Context, _ *accounting.Limits) ([]accounting.LimitUse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits, c.fail
}

func (c *counted) ResetLimits(_ context.Context, l *accounting.Limits) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = append(c.reset, l.ID)
	return c.fail
}

func (c *counted) BudgetUse(_ context.Context, b *accounting.Budget) (accounting.BudgetUse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	use, known := c.uses[b.ID]
	use.Cold = !known
	return use, c.fail
}

func (c *counted) AwaitBooks(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.awaited != nil {
		c.awaited()
	}
	return c.fail
}

func (c *counted) Forgive(_ context.Context, b *accounting.Budget, _ time.Time, forgiven money.Nano) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if use, known := c.uses[b.ID]; known {
		use.Spent -= forgiven
		c.uses[b.ID] = use
	}
	return c.fail
}

func TestLimitLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.do("admin", "POST", "/api/limits", map[string]any{"team": "team_red", "rpm": 600, "tpd": 9007199254740991, "on_store_failure": "closed"}).want(201)
	first := made.object()
	want := map[string]any{
		"id": first["id"], "organization": string(acme), "name": "team team_red", "managed_by": "api", "shadowed": false, "revision": 1.0,
		"created": "2027-01-15T12:00:00Z", "updated": "2027-01-15T12:00:00Z", "team": "team_red", "user": nil, "key": nil, "route": nil,
		"rpm": 600.0, "burst": nil, "rph": nil, "rpd": nil, "tpm": nil, "tph": nil, "tpd": 9007199254740991.0, "in_flight": nil, "on_store_failure": "closed",
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	p := w.do("admin", "POST", "/api/limits", map[string]any{"team": "team_red", "rpm": 1}).problem(taken)
	if p.Errors[0].Location != "body.scope" {
		t.Errorf("a second one of a scope: %v", p.Errors)
	}
	at := made.header.Get("Location")
	w.do("admin", "PUT", at, map[string]any{"in_flight": 3}, "If-Match", `"7"`).problem(stale)
	changed := w.do("admin", "PUT", at, map[string]any{"in_flight": 3}, "If-Match", `"1"`).want(200).object()
	if changed["rpm"] != nil || changed["in_flight"] != 3.0 || changed["team"] != "team_red" || changed["on_store_failure"] != "local" {
		t.Errorf("changed %v", changed)
	}
	w.do("admin", "PUT", at, map[string]any{"rpm": 3, "team": "team_red"}).problem(invalid) // which calls it counts never changes
	for query, found := range map[string]int{"": 2, "?team=team_red": 1, "?team=team_far": 0, "?key=key:acme/ci": 1, "?user=user_admin": 0, "?name=team%20team_red": 1} {
		var list ListOf[Limit]
		w.do("viewer", "GET", "/api/limits"+query, nil).want(200).into(&list)
		if len(list.Data) != found {
			t.Errorf("%s finds %d", query, len(list.Data))
		}
	}
	w.do("outsider", "GET", at, nil).problem(notFound)
	w.do("admin", "DELETE", "/api/limits/limit:acme%2Fci", nil).problem(readOnly)
	w.do("admin", "DELETE", at, nil).want(204)
	w.do("admin", "GET", at, nil).problem(notFound)
}

func TestLimitFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for what, c := range map[string]struct {
		body map[string]any
		want []string
	}{
		"nothing":                {map[string]any{}, []string{"body.rpm"}},
		"a burst alone":          {map[string]any{"burst": 1}, []string{"body.burst"}},
		"a burst of another one": {map[string]any{"burst": 1, "tpm": 1}, []string{"body.burst"}},
		"too little":             {map[string]any{"rpm": 0, "in_flight": -1}, []string{"body.in_flight", "body.rpm"}},
		"a word":                 {map[string]any{"rpm": 1, "on_store_failure": "maybe"}, []string{"body.on_store_failure"}},
		"two scopes":             {map[string]any{"rpm": 1, "team": "team_red", "route": "filed/model"}, []string{"body.route"}},
		"somebody else's team":   {map[string]any{"rpm": 1, "team": "team_far"}, []string{"body.team"}},
		"no user":                {map[string]any{"rpm": 1, "user": "user_none"}, []string{"body.user"}},
		"no key":                 {map[string]any{"rpm": 1, "key": "key_far"}, []string{"body.key"}},
		"no model":               {map[string]any{"rpm": 1, "route": "none"}, []string{"body.route"}},
		"what there is not":      {map[string]any{"rpm": 1, "tag": "a"}, []string{"body.tag"}},
	} {
		var got []string
		for _, f := range w.do("admin", "POST", "/api/limits", c.body).problem(invalid).Errors {
			got = append(got, f.Location)
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	w.do("admin", "POST", "/api/limits", map[string]any{"rpm": 1, "route": "filed/model"}).want(201)
	w.do("admin", "POST", "/api/limits", map[string]any{"rpm": 1, "key": "key_caller"}).want(201)
	w.do("admin", "POST", "/api/limits", map[string]any{"rpm": 1, "key": "key:acme/ci"}).problem(taken) // the file has one
}

func TestUserRateLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.do("admin", "PUT", "/api/users/user_viewer/rate-limits", map[string]any{"rpm": 5}).want(200).object()
	changed := w.do("admin", "PUT", "/api/users/user_viewer/rate-limits", map[string]any{"rph": 50}).want(200).object()
	if made["user"] != "user_viewer" || made["id"] != changed["id"] || changed["rpm"] != nil || changed["rph"] != 50.0 || changed["revision"] != 2.0 {
		t.Errorf("made %v, changed %v", made, changed)
	}
	w.do("admin", "PUT", "/api/users/user_outsider/rate-limits", map[string]any{"rpm": 5}).problem(notFound)
	w.do("admin", "PUT", "/api/users/user_viewer/rate-limits", map[string]any{}).problem(invalid)
	once := true
	w.db.limits.fail = func(verb string, _ *accounting.Limits) error { // somebody is faster, once
		if verb == "update" && once {
			once = false
			return tenancy.ErrStale
		}
		return nil
	}
	w.do("admin", "PUT", "/api/users/user_viewer/rate-limits", map[string]any{"rpm": 7}).want(200)
}

func TestLimitUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.counts.limits = []accounting.LimitUse{{Limit: "rpm", Max: 60, Used: 50, Reset: 1500 * time.Millisecond}, {Limit: "in_flight", Max: 2, Used: 3}}
	var got LimitUsage
	w.do("viewer", "GET", "/api/limits/limit:acme%2Fci/usage", nil).want(200).into(&got)
	want := LimitUsage{"limit:acme/ci", []UsedOf{{"rpm", 60, 50, 10, 1.5}, {"in_flight", 2, 3, 0, 0}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	w.do("admin", "POST", "/api/limits/limit:acme%2Fci/reset", nil).want(204)
	if e := w.db.audit.all(); len(e) != 1 || e[0].Action != "limits.reset" || e[0].Object.ID != "limit:acme/ci" || e[0].By.Name != "admin" {
		t.Errorf("the reset left %+v", e)
	}
	w.db.counts.fail = &tenancy.Unavailable{Cause: context.DeadlineExceeded}
	w.do("viewer", "GET", "/api/limits/limit:acme%2Fci/usage", nil).problem(unavailable)
	w.do("outsider", "POST", "/api/limits/limit:acme%2Fci/reset", nil).problem(notFound)
	w.Uses = nil
	w.do("viewer", "GET", "/api/limits/limit:acme%2Fci/usage", nil).problem(unavailable)
	w.do("admin", "POST", "/api/limits/limit:acme%2Fci/reset", nil).problem(unavailable)
}

func TestBudgetLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := map[string]any{"name": " research ", "usd": "19.990000001", "per": "week", "timezone": "Europe/Berlin", "tag": "env=prod"}
	made := w.do("admin", "POST", "/api/budgets", body).want(201)
	first := made.object()
	want := map[string]any{
		"id": first["id"], "organization": string(acme), "name": "research", "managed_by": "api", "shadowed": false, "revision": 1.0,
		"created": "2027-01-15T12:00:00Z", "updated": "2027-01-15T12:00:00Z", "team": nil, "user": nil, "key": nil, "tag": "env=prod",
		"usd": "19.990000001", "per": "week", "timezone": "Europe/Berlin", "warn_at_percent": 80.0, "hard": true, "on_store_failure": "local",
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	at := made.header.Get("Location")
	changed := w.do("admin", "PUT", at, map[string]any{"name": "research", "usd": "0", "warn_at_percent": 0, "hard": false, "on_store_failure": "open"}, "If-Match", `"1"`).want(200).object()
	if changed["usd"] != "0" || changed["warn_at_percent"] != 0.0 || changed["hard"] != false || changed["per"] != "week" || changed["on_store_failure"] != "open" {
		t.Errorf("changed %v", changed)
	}
	w.do("admin", "PUT", at, map[string]any{"name": "research", "usd": "1", "per": "day"}).problem(invalid)
	w.do("admin", "PUT", "/api/budgets/budget:acme", map[string]any{"name": "acme", "usd": "1"}).problem(readOnly)
	w.do("admin", "POST", "/api/budgets", map[string]any{"name": "acme", "usd": "1", "per": "day"}).problem(taken)
	w.do("outsider", "GET", at, nil).problem(notFound)
	w.do("admin", "DELETE", at, nil).want(204)

	for what, c := range map[string]struct {
		with map[string]any
		want string
	}{
		"no amount":      {map[string]any{"usd": "1e3"}, "body.usd"},
		"too fine":       {map[string]any{"usd": "0.0000000001"}, "body.usd"},
		"too much":       {map[string]any{"usd": "9007199.254740992"}, "body.usd"},
		"a number":       {map[string]any{"usd": 5}, "body.usd"},
		"a moon":         {map[string]any{"per": "moon"}, "body.per"},
		"no zone":        {map[string]any{"timezone": "Mars"}, "body.timezone"},
		"local time":     {map[string]any{"timezone": "Local"}, "body.timezone"},
		"a percent":      {map[string]any{"warn_at_percent": 101}, "body.warn_at_percent"},
		"a tag and more": {map[string]any{"key": "key_caller", "tag": "a=b"}, "body.tag"},
		"a strange tag":  {map[string]any{"tag": "a="}, "body.tag"},
		"no such key":    {map[string]any{"key": "key_none"}, "body.key"},
		"a word":         {map[string]any{"on_store_failure": "maybe"}, "body.on_store_failure"},
	} {
		body := map[string]any{"name": "new", "usd": "1", "per": "day"}
		for k, v := range c.with {
			body[k] = v
		}
		if p := w.do("admin", "POST", "/api/budgets", body).problem(invalid); len(p.Errors) != 1 || p.Errors[0].Location != c.want {
			t.Errorf("%s: %+v", what, p.Errors)
		}
	}
}

func TestLimitsOfAnotherOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api/limits/limit:acme%2Fci", "/api/limits/limit:acme%2Fci/usage", "/api/budgets/budget:acme", "/api/budgets/budget:acme/usage"} {
		w.do("outsider", http.MethodGet, path, nil).problem(notFound)
		w.do("outsider", http.MethodGet, path+"?organization="+string(acme), nil).problem(notFound)
		w.do("root", http.MethodGet, path+"?organization="+string(acme), nil).want(200)
	}
	if text := string(w.do("outsider", "GET", "/api/budgets", nil).want(200).body); strings.Contains(text, "acme") {
		t.Errorf("budgets of another organization: %s", text)
	}
}
