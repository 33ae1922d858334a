package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// TestAllowances walks through the news that may come: what holds is what the file says, and what it does not shadow.
func TestAllowances(t *testing.T) {
	t.Parallel()
	limit := func(id, org, name tenancy.ID, rpm int64) accounting.Limits {
		return accounting.Limits{Meta: tenancy.Meta{ID: id, Org: org, Name: string(name)}, RPM: rpm}
	}
	budget := func(id tenancy.ID, name string, per ratelimit.Per) accounting.Budget {
		return accounting.Budget{Meta: tenancy.Meta{ID: id, Org: "org:a", Name: name}, Per: per}
	}
	lost := limit("limit_1", "org:a", "organization", 1)
	lost.Deleted = true
	a := newAllowances()
	file := &declared{limits: []accounting.Limits{limit("limit:a", "org:a", "organization", 9)}, budgets: []accounting.Budget{budget("budget:a", "a", ratelimit.Day)}}
	for _, step := range []struct {
		what    string
		file    *declared
		learn   storage.Changes
		moved   bool
		holds   []tenancy.ID
		flawed  []tenancy.ID
		shadows int
	}{
		{what: "a file", file: file, holds: []tenancy.ID{"limit:a", "budget:a"}},
		{
			what: "everything in the database", file: file, moved: true,
			learn: storage.Changes{
				Whole: true, Limits: []accounting.Limits{limit("limit_1", "org:a", "organization", 1), limit("limit_2", "org_b", "organization", 1)},
				Budgets: []accounting.Budget{budget("budget_1", "a", ratelimit.Week), budget("budget_2", "b", ratelimit.Month)},
			},
			holds: []tenancy.ID{"limit:a", "limit_2", "budget:a", "budget_2"}, flawed: []tenancy.ID{"limit_1", "budget_1"}, shadows: 2,
		},
		{what: "another file", file: &declared{}, holds: []tenancy.ID{"limit_1", "limit_2", "budget_1", "budget_2"}},
		{what: "something else", file: &declared{}, learn: storage.Changes{Keys: []tenancy.APIKey{{}}}, holds: []tenancy.ID{"limit_1", "limit_2", "budget_1", "budget_2"}},
		{
			what: "what can not be", file: &declared{}, moved: true,
			learn: storage.Changes{Limits: []accounting.Limits{limit("limit_3", "org_b", "route x", 0)}, Budgets: []accounting.Budget{budget("budget_2", "b", 0)}},
			holds: []tenancy.ID{"limit_1", "limit_2", "budget_1"}, flawed: []tenancy.ID{"limit_3", "budget_2"},
		},
		{
			what: "what is deleted, and mended", file: &declared{}, moved: true,
			learn: storage.Changes{Limits: []accounting.Limits{lost, limit("limit_3", "org_b", "route x", 5)}, Budgets: []accounting.Budget{budget("budget_2", "b", ratelimit.Total)}},
			holds: []tenancy.ID{"limit_2", "limit_3", "budget_1", "budget_2"},
		},
	} {
		if moved := a.learn(step.learn); moved != step.moved {
			t.Errorf("%s: news: %v", step.what, moved)
		}
		problems := map[tenancy.ID]flaw{}
		all := a.join(step.file, problems)
		var holds []tenancy.ID
		for _, l := range all.limits {
			holds = append(holds, l.ID)
		}
		for _, b := range all.budgets {
			holds = append(holds, b.ID)
		}
		if diff := cmp.Diff(step.holds, holds); diff != "" {
			t.Errorf("%s: what holds (-want +got):\n%s", step.what, diff)
		}
		shadows := 0
		for _, id := range step.flawed {
			if problems[id].reason == "" {
				t.Errorf("%s: nothing is said of %s", step.what, id)
			}
			if problems[id].shadowed {
				shadows++
			}
		}
		if len(problems) != len(step.flawed) || shadows != step.shadows {
			t.Errorf("%s: problems %v", step.what, problems)
		}
	}
}

// TestAllowancesLive: what the file and the database say of limits and budgets holds on a running node, whichever changes.
func TestAllowancesLive(t *testing.T) {
	t.Parallel()
	app, _, _, path := testApp(t, fmt.Sprintf(oneModel, "a")+"organizations: {acme: {limits: {rpm: 9}, budget: {usd: 1, per: day}}}\n")
	ids := func() (all []tenancy.ID) {
		app.mu.Lock()
		defer app.mu.Unlock()
		for _, l := range app.holds.limits {
			all = append(all, l.ID)
		}
		for _, b := range app.holds.budgets {
			all = append(all, b.ID)
		}
		return all
	}
	holds := func(what string, want ...tenancy.ID) {
		t.Helper()
		eventually(t, what, func() bool { return slices.Equal(ids(), want) })
	}
	holds("the file holds", "limit:acme", "budget:acme")
	b, err := app.db.Budgets().Create(t.Context(), tenancy.Vel(), accounting.Budget{Meta: tenancy.Meta{Org: "org:acme", Name: "more"}, Max: 1, Per: ratelimit.Hour})
	if err != nil {
		t.Fatal(err)
	}
	l, err := app.db.Limits().Create(t.Context(), tenancy.Vel(), accounting.Limits{Meta: tenancy.Meta{Org: "org:acme", Name: "organization"}, RPM: 1})
	if err != nil {
		t.Fatal(err)
	}
	holds("the budget of the database holds", "limit:acme", "budget:acme", b.ID)
	eventually(t, "the limits are shadowed", func() bool { return app.problem(l.ID) == shadow })
	writeConfig(t, path, fmt.Sprintf(oneModel, "a")+"organizations: {acme: {}}\n")
	app.Reload(path)
	holds("those of the database hold", l.ID, b.ID)
	if err := app.db.Budgets().Delete(t.Context(), tenancy.Vel(), "org:acme", b.ID, 0); err != nil {
		t.Fatal(err)
	}
	holds("the deleted one does not", l.ID)
}
