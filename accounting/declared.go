package accounting

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Limits and budgets of the file. Their ids are derived from their path in it, so that they are equal on every node.

// usualWarning is the percent at which is warned if nothing is said.
const usualWarning = 80

// DeclaredLimits are the limits that the file declares, in the order of their ids. It has been validated.
func DeclaredLimits(c *tenancy.Config) (all []Limits) {
	for org, o := range c.Organizations {
		if o.Limits != nil {
			all = append(all, declaredLimits(org, org, Scope{}, o.Limits))
		}
		for key, k := range o.Keys {
			if k.Limits != nil {
				all = append(all, declaredLimits(org, org+"/"+key, Scope{Key: tenancy.KeyID(org, key)}, k.Limits))
			}
		}
	}
	slices.SortFunc(all, func(a, b Limits) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func declaredLimits(org, path string, of Scope, c *tenancy.LimitsConfig) Limits {
	failure, _ := ratelimit.ParseOnStoreFailure(c.OnStoreFailure) // local, if it is not written
	return Limits{
		Meta: declaredMeta("limit:", org, path, of.String()), Scope: of,
		RPM: count(c.RPM), RPH: count(c.RPH), RPD: count(c.RPD), TPM: count(c.TPM), TPH: count(c.TPH), TPD: count(c.TPD),
		InFlight: count(c.InFlight), Burst: count(c.Burst), OnStoreFailure: failure,
	}
}

func declaredMeta(kind, org, path, name string) tenancy.Meta {
	return tenancy.Meta{ID: tenancy.ID(kind + path), Org: tenancy.OrgID(org), Name: name, ManagedBy: tenancy.ByFile}
}

func count(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// DeclaredBudgets are the budgets that the file declares, in the order of their ids. It has been validated.
func DeclaredBudgets(c *tenancy.Config) (all []Budget) {
	for org, o := range c.Organizations {
		all = append(all, budgetsAt(org, org, Scope{}, o.Budget, o.Budgets)...)
		for key, k := range o.Keys {
			all = append(all, budgetsAt(org, org+"/"+key, Scope{Key: tenancy.KeyID(org, key)}, k.Budget, k.Budgets)...)
		}
	}
	slices.SortFunc(all, func(a, b Budget) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// budgetsAt are those of one place in the file. They are called by their place.
func budgetsAt(org, path string, of Scope, one *tenancy.BudgetConfig, named map[string]tenancy.BudgetConfig) (all []Budget) {
	if one != nil {
		all = append(all, declaredBudget(org, path, of, one))
	}
	for name, b := range maps.All(named) {
		all = append(all, declaredBudget(org, path+":"+name, of, &b))
	}
	return all
}

func declaredBudget(org, path string, of Scope, c *tenancy.BudgetConfig) Budget {
	b := Budget{Meta: declaredMeta("budget:", org, path, path), Scope: of, Timezone: c.Timezone, WarnAt: usualWarning, Hard: c.Hard == nil || *c.Hard}
	b.Max, _ = money.Parse(c.USD) // what is no amount was refused; here it is nothing at all
	b.Per, _ = ratelimit.ParsePer(c.Per)
	b.OnStoreFailure, _ = ratelimit.ParseOnStoreFailure(c.OnStoreFailure)
	if c.WarnAt != nil {
		b.WarnAt = max(1, int(math.Round(*c.WarnAt*100)))
	}
	return b
}
