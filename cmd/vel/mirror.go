package main

import (
	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// mirrorBudgets are what the copies of the routes' calls may cost. They are budgets of the platform's, whose calls the copies are;
// each counts those of one route, which no client can name.
func mirrorBudgets(table *routing.Table) (all []accounting.Budget) {
	for r := range table.All() {
		m := r.Mirror
		if m == nil || m.Per == 0 {
			continue
		}
		all = append(all, accounting.Budget{
			Meta:  tenancy.Meta{ID: tenancy.ID("budget:" + m.Route.Name), Org: tenancy.Platform, Name: m.Route.Name, ManagedBy: tenancy.ByFile},
			Scope: accounting.Scope{Route: m.Route.Name}, Max: m.Most, Per: m.Per, Hard: true,
		})
	}
	return all
}
