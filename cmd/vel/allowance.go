package main

import (
	"maps"
	"slices"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// allowance is what the database keeps of limits and budgets. App.mu guards it.
type allowance struct {
	limits  map[tenancy.ID]accounting.Limits
	budgets map[tenancy.ID]accounting.Budget
}

func newAllowance() *allowance {
	return &allowance{map[tenancy.ID]accounting.Limits{}, map[tenancy.ID]accounting.Budget{}}
}

// learn takes what changed in the database, and tells whether any of it is a limit or a budget.
func (w *allowance) learn(news storage.Changes) bool {
	if news.Whole {
		clear(w.limits)
		clear(w.budgets)
	}
	take(w.limits, news.Limits)
	take(w.budgets, news.Budgets)
	return news.Whole || len(news.Limits)+len(news.Budgets) > 0
}

// account prepares the limits and budgets of the file and of the database for calls. Where both have one with the same
// name, the file's holds. Its caller holds mu.
func (a *App) account(cfg *config.Config) *accounting.Accounts {
	limits, budgets := slices.Clone(a.directory.declared.limits), slices.Clone(a.directory.declared.budgets)
	named := map[[2]string]bool{}
	for i := range limits {
		named[[2]string{string(limits[i].Org), limits[i].Name}] = true
	}
	for _, id := range slices.Sorted(maps.Keys(a.allowance.limits)) {
		if l := a.allowance.limits[id]; !named[[2]string{string(l.Org), l.Name}] {
			limits = append(limits, l)
		}
	}
	clear(named)
	for i := range budgets {
		named[[2]string{string(budgets[i].Org), budgets[i].Name}] = true
	}
	for _, id := range slices.Sorted(maps.Keys(a.allowance.budgets)) {
		if b := a.allowance.budgets[id]; !named[[2]string{string(b.Org), b.Name}] {
			budgets = append(budgets, b)
		}
	}
	flat, _ := money.Parse(cfg.Routing.Defaults.UnpricedHold) // it was validated
	accounts := accounting.NewAccounts(limits, budgets, accounting.Unpriced{Refuse: cfg.Routing.Defaults.Unpriced == "refuse", Flat: flat}, a.ledger.Accounts())
	a.ledger.Publish(accounts)
	return accounts
}
