package admin

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Budget is what the API shows of one.
type Budget struct {
	Object
	Team     *tenancy.ID `json:"team" doc:"Whose money it is; with team, user, key and tag null that of the whole organization."`
	User     *tenancy.ID `json:"user"`
	Key      *tenancy.ID `json:"key"`
	Tag      *string     `json:"tag" doc:"As key=value."`
	USD      string      `json:"usd" doc:"Dollars as a decimal." example:"500"`
	Per      string      `json:"per" enum:"hour,day,week,month,total" doc:"The window of the calendar in which it is spent."`
	Timezone string      `json:"timezone" doc:"Where days, weeks and months begin at midnight."`
	WarnAt   int         `json:"warn_at_percent" doc:"At which percent an event is written; 0: at none."`
	Hard     bool        `json:"hard" doc:"Calls beyond it are refused; otherwise it only warns."`
	Away     string      `json:"on_store_failure" enum:"local,closed,open" doc:"What holds while nobody knows what was spent."`
}

// BudgetBody changes a budget. Whose money it is and in which windows it is counted never changes.
type BudgetBody struct {
	Name   string `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
	USD    string `json:"usd" minLength:"1" maxLength:"24" doc:"Dollars as a decimal." example:"500"`
	WarnAt *int   `json:"warn_at_percent,omitempty" nullable:"true" minimum:"0" maximum:"100" doc:"At which percent an event is written, once in a window; 80 if it is left out, 0 for none. Another one is written when all is spent."`
	Hard   *bool  `json:"hard,omitempty" nullable:"true" doc:"Calls beyond it are refused; so it is if it is left out. With false it only warns."`
	Away   string `json:"on_store_failure,omitempty" nullable:"true" enum:"local,closed,open" doc:"What holds while nobody knows what was spent: every node lets through a small share of what was left (local, if it is left out), all calls are refused, or none."`
}

// NewBudget makes a budget.
type NewBudget struct {
	NewIn
	ScopeBody
	Tag string `json:"tag,omitempty" nullable:"true" maxLength:"401" pattern:"^[^\\x00-\\x1f=]+=[^\\x00-\\x1f]+$" doc:"Only the calls with this tag of x-vel-tags, as key=value." example:"env=prod"`
	BudgetBody
	Per      string `json:"per" enum:"hour,day,week,month,total" doc:"The window of the calendar in which it is spent; weeks begin on Monday, total never ends."`
	Timezone string `json:"timezone,omitempty" nullable:"true" maxLength:"64" doc:"Where days, weeks and months begin at midnight: a name of the IANA database; UTC if it is left out." example:"Europe/Berlin"`
}

// warnAt is at which percent is warned if nothing is said.
const warnAt = 80

// to puts a body over a budget, and gives the fault of its amount.
func (b *BudgetBody) to(v *accounting.Budget) (err error) {
	v.Name, v.WarnAt, v.Hard = strings.TrimSpace(b.Name), warnAt, b.Hard == nil || *b.Hard
	if b.WarnAt != nil {
		v.WarnAt = *b.WarnAt
	}
	v.OnStoreFailure, _ = ratelimit.ParseOnStoreFailure(cmp.Or(b.Away, ratelimit.Local.String()))
	v.Max, err = money.Parse(b.USD)
	return err
}

func (b *NewBudget) to(v *accounting.Budget) error {
	b.ScopeBody.to(&v.Scope)
	v.Scope.Tag.Key, v.Scope.Tag.Value, _ = strings.Cut(b.Tag, "=")
	v.Per, _ = ratelimit.ParsePer(b.Per)
	v.Timezone = b.Timezone
	return b.BudgetBody.to(v)
}

// budgetFaults are those of a body that was put over a budget.
func budgetFaults(at *huma.PathBuffer, v *accounting.Budget, amount error) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		if amount != nil {
			fault("usd", amount.Error())
		}
		v.Validate(fault)
	})
}

// Resolve is called by huma when the body has been read.
func (b *BudgetBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	v := accounting.Budget{Per: ratelimit.Total} // what it is made with can be
	return budgetFaults(at, &v, b.to(&v))
}

// Resolve is called by huma when the body has been read.
func (b *NewBudget) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var v accounting.Budget
	return budgetFaults(at, &v, b.to(&v))
}

func viewBudget(b *accounting.Budget) Budget {
	v := Budget{
		Object: objectOf(&b.Meta), Team: idOf(b.Scope.Team), User: idOf(b.Scope.User), Key: idOf(b.Scope.Key),
		USD: b.Max.String(), Per: b.Per.String(), Timezone: cmp.Or(b.Timezone, "UTC"), WarnAt: b.WarnAt, Hard: b.Hard, Away: b.OnStoreFailure.String(),
	}
	if t := b.Scope.Tag; t != (accounting.Tag{}) {
		v.Tag = textOf(t.Key + "=" + t.Value)
	}
	return v
}

type budgetResource = resource[accounting.Budget, NewBudget, BudgetBody, Budget]

func (s *Server) serveBudgets() {
	r := budgetResource{
		s: s, one: "budget", many: "budgets", tag: "Budgets", filters: []string{"organization", "name", "team", "user", "key"},
		store: s.BudgetStore, meta: func(b *accounting.Budget) *tenancy.Meta { return &b.Meta }, view: viewBudget,
		fill: func(ctx context.Context, _ *asking, v *accounting.Budget, b *NewBudget) error {
			if err := b.to(v); err != nil {
				return err
			}
			return s.scopeIn(ctx, v.Org, &v.Scope)
		},
		edit:   func(_ context.Context, _ *asking, v *accounting.Budget, b *BudgetBody) error { return b.to(v) },
		inBody: func(b *NewBudget) Ref { return b.Organization },
	}
	r.register()
	add(s, huma.Operation{
		OperationID: "get-budget-usage", Method: http.MethodGet, Path: "/api/budgets/{id}/usage", Tags: []string{"Budgets"},
		Summary: "Get what is used of a budget", Description: "What is spent in the window of now, what is held for calls under way, and what is left.",
	}, func(ctx context.Context, in *getInput) (*budgetUsageOutput, error) { return budgetUsage(ctx, &r, in) }, http.StatusNotFound)
	add(s, huma.Operation{
		OperationID: "reset-budget", Method: http.MethodPost, Path: "/api/budgets/{id}/reset", Tags: []string{"Budgets"},
		Summary: "Reset a budget", Description: "Forgives what is spent in the window of now: an entry of the ledger takes it back, and nothing of the ledger is changed. It is written into the audit log.",
	}, func(ctx context.Context, in *getInput) (*budgetUsageOutput, error) { return resetBudget(ctx, &r, in) }, http.StatusNotFound)
}
