package storage

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// person is the node of entries that no node writes but a person.
const person = ""

// Forgive makes nothing of what was spent of a budget in the window that begins at a time, and says how much it was. It
// is an entry of its own: what was spent stays in the ledger. Whoever warned of the budget in that window does so again.
func (db *DB) Forgive(ctx context.Context, by tenancy.Actor, b *accounting.Budget, window time.Time) (spent money.Nano, err error) {
	now := time.Now()
	err = db.change(ctx, tenant(b.Org), by, func(t tx, _ int64, log *trail) error { // one after the other: nothing is forgiven twice
		if spent, err = spentIn(ctx, t, b.Org, b.ID, window); err != nil {
			return err
		}
		d := noticed{Window: moment(window), Spent: spent.String()}
		log.add(b.Org, tenancy.ActionResetBudget, tenancy.AuditObject{Kind: "budget", ID: b.ID, Name: b.Name}, difference{before: jsonText(d)})
		if err := t.turn(ctx, system); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `delete from budget_notices where org_id = $1 and budget_id = $2 and window_us = $3`, b.Org, b.ID, micros{&window}); err != nil {
			return err
		}
		if err := t.turn(ctx, ingest); err != nil {
			return err
		}
		e := entry{
			org: string(b.Org), budget: string(b.ID), window: toMicros(window), call: string(tenancy.NewID("reset")), begun: toMicros(now), spent: -spent,
		}
		if err := writeEntries(ctx, t, person, []entry{e}); err != nil {
			return err
		}
		return t.turn(ctx, tenant(b.Org))
	})
	return spent, err
}

// noticed is what the audit log says of a budget.
type noticed struct {
	Percent int        `json:"percent,omitempty"` // of what it may be
	Spent   string     `json:"spent_usd"`
	Max     string     `json:"max_usd,omitempty"`
	Window  *time.Time `json:"window"` // its start; null: for ever
}

// moment is a time for a text; nil for none.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// exhausted is the percent at which nothing is left.
const exhausted = 100

// NoteBudget notes that a percent of a budget is spent in the window that begins at a time, and writes an event. first
// tells whether nobody had noted it before: then somebody is to be told.
func (db *DB) NoteBudget(ctx context.Context, b *accounting.Budget, window time.Time, percent int, spent money.Nano) (first bool, err error) {
	err = db.waking(ctx, ingest, func(t tx, wake func(...tasks.Job)) error {
		first = false
		log := trail{by: tenancy.Vel(), at: time.Now()}
		n, err := t.exec(ctx, `insert into budget_notices (org_id, budget_id, window_us, percent, at_us) values ($1, $2, $3, $4, $5) on conflict do nothing`,
			b.Org, b.ID, micros{&window}, percent, micros{&log.at})
		if err != nil || n == 0 {
			return err
		}
		action := tenancy.ActionBudgetWarning
		if percent >= exhausted {
			action = tenancy.ActionBudgetExhausted
		}
		d := noticed{percent, spent.String(), b.Max.String(), moment(window)}
		log.add(b.Org, action, tenancy.AuditObject{Kind: "budget", ID: b.ID, Name: b.Name}, difference{after: jsonText(d)})
		first = true
		if err := appendEvents(ctx, t, log.events); err != nil {
			return err
		}
		if err := t.turn(ctx, tenant(b.Org)); err != nil {
			return err
		}
		return emit(ctx, t, wake, tasks.Notice{Org: b.Org, Type: noticeTypes[action], Object: b.ID, At: log.at, Data: []byte(jsonText(budgetNotice{string(b.ID), b.Name, d}))})
	})
	return first && err == nil, err
}

// noticeTypes are what webhooks are told of what the audit log says of budgets.
var noticeTypes = map[string]string{tenancy.ActionBudgetWarning: "budget.warning", tenancy.ActionBudgetExhausted: "budget.exhausted"}

// budgetNotice is what they are told of it.
type budgetNotice struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	noticed
}
