package accounting_test

import (
	"errors"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// What is kept for calls to come nobody else can spend; it is given back, and was not spent if it expires.
func TestEarmark(t *testing.T) {
	t.Parallel()
	b := dayBudget(100, nil)
	w := newWorld(t, b)
	must(t, w.ledger.Open(t.Context()))
	used := func(want accounting.BudgetUse) {
		t.Helper()
		if use, err := w.ledger.BudgetUse(t.Context(), &b); err != nil || use != want {
			t.Errorf("%+v, %v, want %+v", use, err, want)
		}
	}
	of := func(worth money.Nano) *accounting.Earmark {
		return &accounting.Earmark{Who: tenancy.Identity{Org: "org", Key: "key"}, Worth: worth}
	}
	release, err := w.ledger.Earmark(t.Context(), of(60))
	must(t, err)
	used(accounting.BudgetUse{Held: 60})
	if _, _, err := w.begin(41); err == nil {
		t.Error("somebody spends what is kept")
	}
	no, ok := errors.AsType[*accounting.Denied](w.ledger.Affords(t.Context(), of(41)))
	if !ok || no.Unit != accounting.Dollars || no.Max != 100 || no.Ends.IsZero() {
		t.Errorf("%+v", no)
	}
	must(t, w.ledger.Affords(t.Context(), of(40)))
	used(accounting.BudgetUse{Held: 60}) // who only asks keeps nothing
	release()
	used(accounting.BudgetUse{})
	_, err = w.ledger.Earmark(t.Context(), of(100))
	must(t, err)
	w.start(t, []accounting.Budget{b}) // its node is gone
	must(t, w.ledger.Open(t.Context()))
	must(t, w.ledger.Affords(t.Context(), of(100)))
	none, err := w.ledger.Earmark(t.Context(), &accounting.Earmark{Who: tenancy.Identity{Org: "other"}, Worth: 1 << 40})
	must(t, err) // no budget counts it
	none()
}

// The node that kept something dies, and others go on with the same counters: what it kept is free again, and was not spent.
func TestEarmarkExpires(t *testing.T) {
	t.Parallel()
	b := dayBudget(100, nil)
	w := newWorld(t, b)
	must(t, w.ledger.Open(t.Context()))
	dead := accounting.NewLedger(w.memory, w.memory, accounting.LedgerOptions{Books: w.books, Clock: w.now}) // nobody renews what it holds
	dead.Publish(w.ledger.Accounts())
	_, err := dead.Earmark(t.Context(), &accounting.Earmark{Who: tenancy.Identity{Org: "org", Key: "key"}, Worth: 100})
	must(t, err)
	w.pass(ratelimit.Lifetime + time.Minute)
	must(t, w.ledger.Tick(t.Context()))
	if use, err := w.ledger.BudgetUse(t.Context(), &b); err != nil || use != (accounting.BudgetUse{}) {
		t.Errorf("%+v, %v", use, err)
	}
}
