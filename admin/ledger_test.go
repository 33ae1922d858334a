package admin

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// thisMonth is the window of the file's budget.
var thisMonth = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// ledgerBook is a ledger that says what a test wants. Its fields are guarded by mu.
type ledgerBook struct {
	mu       sync.Mutex
	sums     []accounting.LedgerTotal
	rows     []accounting.LedgerTotal // nil: as the sums
	overruns []accounting.Overrun
	late     func(begun time.Time) money.Nano // what calls that began then or later have spent
}

func totalsOf(all []accounting.LedgerTotal, q accounting.LedgerQuery) (found []accounting.LedgerTotal) {
	for _, t := range all {
		if (q.Org == "" || t.Org == q.Org) && (q.Budget == "" || t.Budget == q.Budget) && (t.Window.IsZero() || !t.Window.Before(q.Since)) {
			found = append(found, t)
		}
	}
	return found
}

func (l *ledgerBook) LedgerTotals(_ context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return totalsOf(l.sums, q), nil
}

func (l *ledgerBook) LedgerEntries(ctx context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error) {
	l.mu.Lock()
	rows := l.rows
	l.mu.Unlock()
	if rows == nil {
		return l.LedgerTotals(ctx, q)
	}
	return totalsOf(rows, q), nil
}

func (l *ledgerBook) Spent(ctx context.Context, org, budget tenancy.ID, window time.Time) (money.Nano, error) {
	totals, err := l.LedgerTotals(ctx, accounting.LedgerQuery{Org: org, Budget: budget, Since: window})
	for _, t := range totals {
		if t.Window.Equal(window) {
			return t.Spent, err
		}
	}
	return 0, err
}

func (l *ledgerBook) SpentBefore(ctx context.Context, org, budget tenancy.ID, window, begun time.Time) (money.Nano, error) {
	spent, err := l.Spent(ctx, org, budget, window)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late != nil {
		spent -= l.late(begun)
	}
	return spent, err
}

func (l *ledgerBook) Overruns(context.Context, tenancy.ID, tenancy.ID, time.Time, int) ([]accounting.Overrun, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overruns, nil
}

func (l *ledgerBook) Forgive(_ context.Context, _ tenancy.Actor, b *accounting.Budget, window time.Time) (spent money.Nano, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.sums {
		if t := &l.sums[i]; t.Budget == b.ID && t.Window.Equal(window) {
			spent, t.Spent = t.Spent, 0
		}
	}
	return spent, nil
}

// spend makes the ledger say something of the file's budget of 100 dollars.
func (w *world) spend(spent, overrun money.Nano) {
	w.db.ledger.sums = []accounting.LedgerTotal{{Org: acme, Budget: "budget:acme", Window: thisMonth, Entries: 3, Held: spent - overrun, Spent: spent, Overrun: overrun}}
}

func (w *world) count(use accounting.BudgetUse) {
	w.db.counts.uses = map[tenancy.ID]accounting.BudgetUse{"budget:acme": use}
}

const dollar money.Nano = 1_000_000_000

func TestBudgetUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.spend(30*dollar, dollar)
	for what, c := range map[string]struct {
		prepare func()
		want    string
	}{
		"cold":       {func() { w.db.counts.uses = nil }, "30 0 1 70 30 true"},
		"warm":       {func() { w.count(accounting.BudgetUse{Spent: 32 * dollar, Held: 5 * dollar, Overrun: 2 * dollar}) }, "32 5 2 63 30 false"},
		"overdrawn":  {func() { w.count(accounting.BudgetUse{Spent: 99 * dollar, Held: 5 * dollar}) }, "99 5 1 0 30 false"},
		"no counter": {func() { w.Uses = nil }, "30 0 1 70 30 true"},
	} {
		w.Uses = w.db.counts
		c.prepare()
		var u BudgetUsage
		w.do("viewer", "GET", "/api/budgets/budget:acme/usage", nil).want(200).into(&u)
		cold := "false"
		if u.Cold {
			cold = "true"
		}
		if got := strings.Join([]string{u.Spent, u.Held, u.Overrun, u.Remaining, u.Booked, cold}, " "); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
		if !u.From.Equal(thisMonth) || !u.Resets.Equal(thisMonth.AddDate(0, 1, 0)) || u.Max != "100" {
			t.Errorf("%s: from %s until %s of %s", what, u.From, u.Resets, u.Max)
		}
	}
	made := w.do("admin", "POST", "/api/budgets", map[string]any{"name": "ever", "usd": "1", "per": "total"}).want(201).object()
	var u BudgetUsage
	w.do("viewer", "GET", "/api/budgets/"+made["id"].(string)+"/usage", nil).want(200).into(&u)
	if u.From != nil || u.Resets != nil || u.Remaining != "1" {
		t.Errorf("a budget for ever: %+v", u)
	}
}

func TestBudgetReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.spend(30*dollar, 0)
	w.count(accounting.BudgetUse{Spent: 30 * dollar, Held: 5 * dollar})
	var u BudgetUsage
	w.do("admin", "POST", "/api/budgets/budget:acme/reset", nil).want(200).into(&u)
	if u.Spent != "0" || u.Held != "5" || u.Booked != "0" || u.Remaining != "95" {
		t.Errorf("after the reset: %+v", u)
	}
}

func TestVerifyLedger(t *testing.T) {
	t.Parallel()
	changedTo := func(before, after string, at time.Time) tenancy.AuditEvent {
		e := tenancy.NewAuditEvent(tenancy.Vel(), acme, "budgets.update", tenancy.AuditObject{Kind: "budget", ID: "budget:acme"}, at)
		e.Before, e.After = `{"usd":"`+before+`"}`, `{"usd":"`+after+`"}`
		return e
	}
	for name, c := range map[string]struct {
		prepare func(w *world)
		want    string // the problem; empty: none
	}{
		"nothing spent":      {func(*world) {}, ""},
		"all of it":          {func(w *world) { w.spend(100*dollar, 0) }, ""},
		"more than it":       {func(w *world) { w.spend(100*dollar+1, 0) }, "more was settled"},
		"an overrun":         {func(w *world) { w.spend(103*dollar, 3*dollar) }, ""},
		"more than overruns": {func(w *world) { w.spend(103*dollar, 2*dollar) }, "more was settled"},
		"held besides": {func(w *world) {
			w.spend(60*dollar, 0)
			w.count(accounting.BudgetUse{Spent: 60 * dollar, Held: 40 * dollar})
		}, ""},
		"too much held": {func(w *world) {
			w.spend(60*dollar, 0)
			w.count(accounting.BudgetUse{Spent: 60 * dollar, Held: 40*dollar + 1})
		}, "more was settled"},
		"not in the ledger": {func(w *world) { w.count(accounting.BudgetUse{Spent: 101 * dollar}) }, "more was settled"},
		"lowered in the month": {func(w *world) {
			w.spend(150*dollar, 0)
			w.db.audit.events = []tenancy.AuditEvent{changedTo("150", "100", start)}
		}, ""},
		"raised and lowered": {func(w *world) {
			w.spend(150*dollar, 0)
			w.db.audit.events = []tenancy.AuditEvent{changedTo("100", "150", start), changedTo("150", "100", start)}
		}, ""},
		"lowered from less": {func(w *world) {
			w.spend(150*dollar, 0)
			w.db.audit.events = []tenancy.AuditEvent{changedTo("149", "100", start)}
		}, "more was settled"},
		"the month before": {func(w *world) {
			w.spend(150*dollar, 0)
			w.db.ledger.sums[0].Window = thisMonth.AddDate(0, -1, 0)
			w.db.audit.events = []tenancy.AuditEvent{changedTo("100", "150", start)} // later
		}, "more was settled"},
		"rows that were changed": {func(w *world) {
			w.spend(50*dollar, 0)
			w.db.ledger.rows = []accounting.LedgerTotal{w.db.ledger.sums[0]}
			w.db.ledger.rows[0].Spent--
		}, "do not come to its sums"},
		"rows that had their time": {func(w *world) {
			w.spend(50*dollar, 0)
			w.db.ledger.rows = []accounting.LedgerTotal{{Org: acme, Budget: "budget:acme", Window: thisMonth, Entries: 2, Spent: 20 * dollar}}
		}, ""},
		"one row too many": {func(w *world) {
			w.spend(50*dollar, 0)
			w.db.ledger.rows = []accounting.LedgerTotal{{Org: acme, Budget: "budget:acme", Window: thisMonth, Entries: 4, Spent: 50 * dollar}}
		}, "do not come to its sums"},
	} {
		for _, as := range []string{"admin", "root"} {
			w := newWorld(t)
			c.prepare(w)
			var r LedgerReport
			w.do(as, "GET", "/api/ledger/verify", nil).want(200).into(&r)
			if r.OK != (c.want == "") || len(r.Violations) > 0 == r.OK || r.Checked == 0 {
				t.Errorf("%s as %s: %+v", name, as, r)
			}
			if !r.OK && !strings.Contains(*r.Violations[0].Problem, c.want) {
				t.Errorf("%s: %s", name, *r.Violations[0].Problem)
			}
		}
	}
	w := newWorld(t)
	w.spend(1000*dollar, 0)
	made := w.do("admin", "POST", "/api/budgets", map[string]any{"name": "soft", "usd": "1", "per": "month", "hard": false}).want(201).object()
	w.db.ledger.sums[0].Budget = tenancy.ID(made["id"].(string))
	var r LedgerReport
	w.do("outsider", "GET", "/api/ledger/verify", nil).want(200).into(&r)
	if !r.OK || r.Checked != 0 {
		t.Errorf("another organization: %+v", r)
	}
	w.do("admin", "GET", "/api/ledger/verify?since=2027-01-10T00:00:00Z", nil).want(200).into(&r)
	if !r.OK || r.Checked != 2 { // the windows of now are always looked at
		t.Errorf("a budget that only warns: %+v", r)
	}
	w.do("outsider", "GET", "/api/ledger/verify?organization="+string(acme), nil).problem(notFound)
}

func TestListedOverruns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.spend(103*dollar, 3*dollar)
	w.db.ledger.overruns = []accounting.Overrun{{Call: "req_1", Begun: start, Held: dollar, Overrun: 3 * dollar}}
	var r LedgerReport
	w.do("admin", "GET", "/api/ledger/verify", nil).want(200).into(&r)
	want := []LedgerWindow{{
		Organization: acme, Budget: "budget:acme", Name: "acme", From: &thisMonth, Max: "100", Settled: "103", Held: "0", Overrun: "3", Entries: 3,
		Calls: []OverCall{{"req_1", start, "1", "3"}},
	}}
	if diff := cmp.Diff(want, r.Overruns); diff != "" {
		t.Errorf("overruns (-want +got):\n%s", diff)
	}
}

// Of what is counted beyond the ledger some was only not in it yet, and some is counted while that is found out: both stays.
func TestRepairLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.spend(30*dollar, 0)
	w.count(accounting.BudgetUse{Spent: 42 * dollar, Held: dollar})
	w.db.counts.awaited = func() {
		w.spend(38*dollar, 0)
		w.count(accounting.BudgetUse{Spent: 45 * dollar})
	}
	w.db.ledger.late = func(begun time.Time) money.Nano {
		if ahead := begun.Sub(w.Now()); ahead != time.Second {
			t.Errorf("calls that begin %s later are left out", ahead)
		}
		return dollar
	}
	for _, lowered := range []int{1, 0} {
		var r RepairReport
		w.do("root", "POST", "/api/ledger/repair", nil).want(200).into(&r)
		if use := w.db.counts.uses["budget:acme"]; r.Lowered != lowered || use.Spent != 40*dollar {
			t.Errorf("lowered %d to %s", r.Lowered, use.Spent)
		}
		w.db.counts.awaited, w.db.ledger.late = func() { w.spend(40*dollar, 0) }, nil
	}
	e := w.db.audit.all()
	if len(e) != 1 || e[0].Action != "ledger.repair" || e[0].Org != acme || e[0].Before != `{"spent_usd":"42"}` || e[0].After != `{"spent_usd":"37"}` {
		t.Errorf("the repair left %+v", e)
	}
	w.Uses = nil
	w.do("root", "POST", "/api/ledger/repair", nil).problem(unavailable)
}
