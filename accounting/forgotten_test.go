package accounting_test

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
)

// Where several nodes count, what was forgotten is cold until all of them have renewed and shipped; a new budget is not.
func TestForgotten(t *testing.T) {
	t.Parallel()
	budgets := []accounting.Budget{dayBudget(100, nil)}
	w := newWorld(t, budgets...)
	w.alone = false
	must(t, w.ledger.Open(t.Context())) // the counters may have been forgotten just now
	isCold := func() bool {
		t.Helper()
		use, err := w.ledger.BudgetUse(t.Context(), &budgets[0])
		must(t, err)
		return use.Cold
	}
	if !isCold() {
		t.Error("a start believes cold counters")
	}
	w.ledger.Publish(accounting.NewAccounts(nil, budgets, accounting.Unpriced{}, nil)) // as one that nobody knew
	must(t, w.ledger.Greet(t.Context()))
	if isCold() {
		t.Error("a new budget is cold")
	}
	for range 2 { // the second time before the first is over
		for _, l := range []string{"*", "?", "budget_1:day:"} { // Redis is flushed
			must(t, w.memory.Forget(t.Context(), "org", &ratelimit.Limit{Key: l, Kind: ratelimit.Amount, Per: ratelimit.Day}))
		}
		for range 24 {
			w.pass(time.Second)
			if _, _, err := w.begin(1); err != nil { // who notices makes the ledger look
				must(t, w.ledger.Tick(t.Context()))
			}
			if !isCold() {
				t.Fatal("what was forgotten is believed too early")
			}
		}
	}
	w.behind = true
	w.pass(time.Minute)
	must(t, w.ledger.Tick(t.Context()))
	if !isCold() {
		t.Error("what is not shipped is not waited for")
	}
	w.behind = false
	must(t, w.ledger.Tick(t.Context()))
	if isCold() {
		t.Error("it stays cold")
	}
}

// What was settled while the counters were away reaches them after they are back, and the ledger may have it before: it is
// counted once. What they have lost is counted again.
func TestReturn(t *testing.T) {
	t.Parallel()
	b := dayBudget(1000, nil)
	w := newWorld(t, b)
	must(t, w.ledger.Open(t.Context()))
	r, rec, err := w.begin(100)
	must(t, err)
	w.away = true
	must(t, w.ledger.Tick(t.Context()))
	rec.State, rec.Cost = accounting.Ended, 90
	r.Book(&rec)
	w.books.append(rec)
	w.away = false
	for range 4 {
		w.pass(time.Second)
		must(t, w.ledger.Tick(t.Context()))
	}
	w.ledger.Settle(r, &rec)
	spends := func(want money.Nano) {
		t.Helper()
		use, err := w.ledger.BudgetUse(t.Context(), &b)
		must(t, err)
		if use != (accounting.BudgetUse{Spent: want}) {
			t.Errorf("%+v, want %s to be spent", use, want)
		}
	}
	spends(90)
	limit := &ratelimit.Limit{Key: "budget_1:day:", Kind: ratelimit.Amount, Max: 1000, Per: ratelimit.Day, Location: time.UTC}
	must(t, w.memory.Lower(t.Context(), "org", limit, w.now(), 50)) // it came back with an old snapshot
	w.pass(time.Second)
	must(t, w.ledger.Tick(t.Context()))
	spends(90)
}
