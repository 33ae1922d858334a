package main

import (
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
