package main

import (
	"slices"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// allowances are the limits and budgets that the database keeps. App.mu guards them.
type allowances struct {
	limits  map[tenancy.ID]accounting.Limits
	budgets map[tenancy.ID]accounting.Budget
}

func newAllowances() *allowances {
	return &allowances{map[tenancy.ID]accounting.Limits{}, map[tenancy.ID]accounting.Budget{}}
}

// learn takes what changed in the database, and tells whether any of it are limits or budgets.
func (a *allowances) learn(news storage.Changes) bool {
	if news.Whole {
		clear(a.limits)
		clear(a.budgets)
	}
	take(a.limits, news.Limits)
	take(a.budgets, news.Budgets)
	return news.Whole || len(news.Limits)+len(news.Budgets) > 0
}

// allowed are the limits and budgets that hold: those of the file, and those of the database that it does not shadow.
type allowed struct {
	limits  []accounting.Limits
	budgets []accounting.Budget
}

// join puts the two together, and adds to the problems what of the database is not in force.
func (a *allowances) join(file *declared, problems map[tenancy.ID]flaw) allowed {
	return allowed{
		joinKind("limit", file.limits, a.limits, (*accounting.Limits).Validate, problems),
		joinKind("budget", file.budgets, a.budgets, (*accounting.Budget).Validate, problems),
	}
}

// owner is whose object it is, and how it is called.
type owner struct {
	org  tenancy.ID
	name string
}

func joinKind[T any, P interface {
	*T
	tenancy.Object
}](kind string, file []T, stored map[tenancy.ID]T, validate func(*T, func(field, problem string)), problems map[tenancy.ID]flaw) []T {
	all := slices.Clone(file)
	taken := map[owner]bool{}
	for i := range file {
		m := tenancy.MetaOf(P(&file[i]))
		taken[owner{m.Org, m.Name}] = true
	}
	admit[T, P](kind, func(m *tenancy.Meta) bool { return taken[owner{m.Org, m.Name}] }, stored, problems, func(v *T) error {
		err := firstFault(func(fault func(field, problem, hint string)) {
			validate(v, func(field, problem string) { fault(field, problem, "") })
		})
		if err == nil {
			all = append(all, *v)
		}
		return err
	})
	return all
}
