package storagetest

import (
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// month is the start of a window in which the calls of tests are.
var month = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// booked is the n-th call of a test, with what it held and what it cost of two budgets, one of them for ever.
func booked(n int, held, cost money.Nano) accounting.Record {
	r := called("org_a", n)
	r.Cost = cost
	r.Bookings = []accounting.Booking{{Budget: "budget_1", Window: month, Held: held, Spent: cost}, {Budget: "budget_2", Held: 2 * held, Spent: cost}}
	return r
}

// books reads the sums of the ledger, and checks that its rows come to the same.
func books(t *testing.T, db *storage.DB, q accounting.LedgerQuery) []accounting.LedgerTotal {
	t.Helper()
	sums, err := db.LedgerTotals(t.Context(), q)
	must(t, err)
	rows, err := db.LedgerEntries(t.Context(), q)
	must(t, err)
	same(t, "the rows beside the sums", rows, sums)
	return sums
}

// ledger checks that what calls cost is booked once, whoever sends them, and in the window in which they were admitted.
func ledger(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	twice := booked(3, 100, 50)
	twice.Bookings = append(twice.Bookings, twice.Bookings[0])
	first := []accounting.Record{booked(1, 100, 70), booked(2, 100, 130), twice, called("org_a", 4)}
	one := spool.Cursor{Segment: 1, Offset: 1}
	must(t, db.Append(ctx, "node_1", spool.Cursor{}, one, first))
	wants(t, "again", db.Append(ctx, "node_1", spool.Cursor{}, one, first), accounting.ErrCursor)
	must(t, db.Append(ctx, "node_2", spool.Cursor{}, one, append(first, booked(5, 10, 20)))) // the same spool, found by another
	later := booked(6, 5, 5)
	later.Bookings[0].Window = month.AddDate(0, 1, 0)
	must(t, db.Append(ctx, "node_2", one, spool.Cursor{Segment: 2}, []accounting.Record{later}))

	want := []accounting.LedgerTotal{
		{Org: "org_a", Budget: "budget_1", Window: month, Entries: 4, Held: 310, Spent: 270, Overrun: 40},
		{Org: "org_a", Budget: "budget_1", Window: month.AddDate(0, 1, 0), Entries: 1, Held: 5, Spent: 5},
		{Org: "org_a", Budget: "budget_2", Entries: 5, Held: 630, Spent: 275, Overrun: 0},
	}
	same(t, "the ledger", books(t, db, accounting.LedgerQuery{Org: "org_a"}), want)
	same(t, "of everybody", books(t, db, accounting.LedgerQuery{}), want)
	same(t, "of one budget", books(t, db, accounting.LedgerQuery{Org: "org_a", Budget: "budget_2"}), want[2:])
	same(t, "of late", books(t, db, accounting.LedgerQuery{Since: month.AddDate(0, 1, 0)}), want[1:])
	for _, w := range want {
		spent, err := db.Spent(ctx, "org_a", w.Budget, w.Window)
		must(t, err)
		same(t, "what was spent", spent, w.Spent)
	}
	spent, err := db.Spent(ctx, "org_a", "budget_x", month)
	must(t, err)
	same(t, "what was spent of what nobody has", spent, 0)
	for since, want := range map[time.Time]money.Nano{first[0].Begun: 0, first[1].Begun: 70, at.Add(5 * time.Second): 250, at.Add(time.Hour): 270} {
		spent, err := db.SpentBefore(ctx, "org_a", "budget_1", month, since)
		must(t, err)
		same(t, "what calls before "+since.String()+" have spent", spent, want)
	}
	list, err := db.Overruns(ctx, "org_a", "budget_1", month, 10)
	must(t, err)
	same(t, "overruns", list, []accounting.Overrun{
		{Call: first[1].ID, Begun: first[1].Begun, Held: 100, Overrun: 30}, {Call: "req_0005", Begun: at.Add(5 * time.Second), Held: 10, Overrun: 10},
	})
	list, err = db.Overruns(ctx, "org_a", "budget_1", month, 1)
	must(t, err)
	same(t, "the largest overrun", len(list), 1)

	odd := booked(7, -1, 1<<62)
	odd.Bookings[0].Budget = "budget\x00\xff"
	must(t, db.Append(ctx, "node_3", spool.Cursor{}, one, []accounting.Record{odd, booked(8, 1<<62, -5)}))
	same(t, "an amount beyond all", books(t, db, accounting.LedgerQuery{Budget: "budget"})[0].Spent, 1<<50)
}

// settlements checks that how a call ended takes the place of what it was taken to cost, and never the other way round.
func settlements(t *testing.T, db *storage.DB) {
	for name, c := range map[string]struct {
		held, estimate, cost money.Nano
		want                 accounting.LedgerTotal
	}{
		"less than was held":  {100, 100, 40, accounting.LedgerTotal{Entries: 2, Held: 100, Spent: 40}},
		"more than was held":  {100, 100, 140, accounting.LedgerTotal{Entries: 2, Held: 100, Spent: 140, Overrun: 40}},
		"less than estimated": {100, 150, 120, accounting.LedgerTotal{Entries: 2, Held: 100, Spent: 120, Overrun: 20}},
		"far less":            {100, 150, 20, accounting.LedgerTotal{Entries: 2, Held: 100, Spent: 20}},
	} {
		id := tenancy.ID("budget_of " + name)
		ended := booked(1, c.held, c.cost)
		ended.ID = tenancy.ID("req_" + name)
		ended.Bookings = []accounting.Booking{{Budget: id, Window: month, Held: c.held, Spent: c.cost}}
		believed := ended
		believed.State, believed.Cost = accounting.Interrupted, c.estimate
		believed.Bookings = []accounting.Booking{{Budget: id, Window: month, Held: c.held, Spent: c.estimate}}
		one, two := shipped{node: "one of " + name}, shipped{node: "two of " + name}
		one.append(t, db, believed)
		spent, err := db.Spent(t.Context(), "org_a", id, month)
		must(t, err)
		same(t, name+": the estimate", spent, c.estimate)
		two.append(t, db, ended)
		one.append(t, db, ended, believed)
		c.want.Org, c.want.Budget, c.want.Window = "org_a", id, month
		same(t, name, books(t, db, accounting.LedgerQuery{Budget: id}), []accounting.LedgerTotal{c.want})
		list, err := db.Overruns(t.Context(), "org_a", id, month, 10)
		must(t, err)
		same(t, name+": is an overrun", len(list) == 1, c.want.Overrun > 0)
	}
}

// forgiveness checks that what was spent is forgiven once, by many at once too, and stays in the ledger.
func forgiveness(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	b := create(t, db.Budgets(), budgetOf(org(t, db, "a"), "monthly"))
	spend := func(node string, cost money.Nano) {
		r := called(b.Org, 1)
		r.ID, r.Cost = tenancy.ID("req_"+node), cost
		r.Bookings = []accounting.Booking{{Budget: b.ID, Window: month, Held: 10, Spent: cost}}
		(&shipped{node: node}).append(t, db, r)
	}
	spend("one", 30)
	spend("two", 12)
	first, err := db.NoteBudget(ctx, &b, month, 80, 42)
	must(t, err)
	same(t, "noted", first, true)
	var forgiven money.Nano
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			spent, err := db.Forgive(ctx, by, &b, month)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			forgiven += spent
			mu.Unlock()
		})
	}
	all.Wait()
	same(t, "forgiven", forgiven, 42)
	same(t, "the ledger", books(t, db, accounting.LedgerQuery{Org: b.Org}), []accounting.LedgerTotal{
		{Org: b.Org, Budget: b.ID, Window: month, Entries: 6, Held: 20, Spent: 0, Overrun: 22},
	})
	spend("three", 7)
	spent, err := db.Spent(ctx, b.Org, b.ID, month)
	must(t, err)
	same(t, "spent since", spent, 7)
	first, err = db.NoteBudget(ctx, &b, month, 80, 42)
	must(t, err)
	same(t, "noted anew", first, true)
}

// notices checks that it is noted once that a percent of a budget is spent, whoever is first.
func notices(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	b := create(t, db.Budgets(), accounting.Budget{Meta: meta(org(t, db, "a"), "monthly"), Max: 2_500_000_000})
	since := time.Now().Truncate(time.Microsecond)
	for _, percent := range []int{80, 100} {
		var mu sync.Mutex
		firsts := 0
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				first, err := db.NoteBudget(ctx, &b, month, percent, 2_000_000_000)
				if err != nil {
					t.Error(err)
				}
				if first {
					mu.Lock()
					firsts++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		same(t, "who was first", firsts, 1)
	}
	first, err := db.NoteBudget(ctx, &b, time.Time{}, 80, 1)
	must(t, err)
	same(t, "in another window", first, true)
	type line struct{ Action, Kind, Name, Who, After string }
	var got []line
	for _, e := range events(t, db, since, b.Org) {
		got = append(got, line{e.Action, e.Object.Kind, e.Object.Name, e.By.Name, e.After})
	}
	same(t, "events", got, []line{
		{"budgets.warning", "budget", "monthly", "vel", `{"percent":80,"spent_usd":"2","max_usd":"2.5","window":"2027-01-01T00:00:00Z"}`},
		{"budgets.exhausted", "budget", "monthly", "vel", `{"percent":100,"spent_usd":"2","max_usd":"2.5","window":"2027-01-01T00:00:00Z"}`},
		{"budgets.warning", "budget", "monthly", "vel", `{"percent":80,"spent_usd":"0.000000001","max_usd":"2.5","window":null}`},
	})
}
