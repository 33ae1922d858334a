package storage

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// The ledger says what each call cost each of its budgets. Its rows come with the records of calls, in their transaction,
// and are never changed: what is said of a call anew is another row with the difference. The sums of each budget's
// windows are written beside them, by each node for itself.

// entry is one row of the ledger.
type entry struct {
	org, budget string
	window      int64
	call        string
	number      int64 // of what is said of the call
	begun       int64
	held        money.Nano
	spent       money.Nano
	overrun     money.Nano
}

func entryFields() []field {
	return []field{
		{"org_id", textual},
		{"budget_id", textual},
		{"window_us", number},
		{"call_id", textual},
		{"entry", number},
		{"begun_us", number},
		{"held", number},
		{"spent", number},
		{"overrun", number},
	}
}

func (e *entry) row() []any {
	return []any{e.org, e.budget, e.window, e.call, e.number, e.begun, int64(e.held), int64(e.spent), int64(e.overrun)}
}

// book writes the entries of the batch and raises their sums.
func (b *batch) book(ctx context.Context, t tx) error {
	var all []entry
	for i := range b.records {
		r := &b.records[i]
		all = b.entries(all, r, bookingsOf(r))
	}
	return writeEntries(ctx, t, b.node, all)
}

// bookingsOf are what a record says of budgets, each once.
func bookingsOf(r *accounting.Record) []accounting.Booking {
	var all []accounting.Booking
	for _, k := range r.Bookings {
		k.Budget = tenancy.ID(clean(string(k.Budget), longestIndexed))
		k.Held, k.Spent = bounded(k.Held), bounded(k.Spent)
		if !slices.ContainsFunc(all, func(o accounting.Booking) bool { return o.Budget == k.Budget }) {
			all = append(all, k)
		}
	}
	return all
}

// entries appends what a call costs its budgets. Where the ledger has an estimate of it, that is the difference.
func (b *batch) entries(all []entry, r *accounting.Record, bookings []accounting.Booking) []entry {
	for _, k := range bookings {
		e := entry{
			org: string(r.Who.Org), budget: string(k.Budget), window: toMicros(k.Window), call: string(r.ID), begun: toMicros(r.Begun),
			held: k.Held, spent: k.Spent, overrun: max(0, k.Spent-k.Held),
		}
		for _, was := range b.booked[callAt(r)] {
			if was.Budget == k.Budget {
				e.number, e.window = 1, toMicros(was.Window)
				e.held, e.spent, e.overrun = 0, k.Spent-was.Spent, max(0, k.Spent-was.Held)-max(0, was.Spent-was.Held)
			}
		}
		all = append(all, e)
	}
	return all
}

// recall reads what the ledger says of a call that was only estimated. A call is estimated once, and ends once.
func (b *batch) recall(ctx context.Context, t tx, r *accounting.Record) error {
	for _, k := range bookingsOf(r) {
		err := t.each(ctx, func(scan func(...any) error) error {
			was := accounting.Booking{Budget: k.Budget}
			err := scan(micros{&was.Window}, &was.Held, &was.Spent)
			b.booked[callAt(r)] = append(b.booked[callAt(r)], was)
			return err
		}, `select window_us, held, spent from ledger where budget_id = $1 and call_id = $2 and entry = 0 and begun_us = $3`, k.Budget, r.ID, micros{&r.Begun})
		if err != nil {
			return err
		}
	}
	return nil
}

// summed is what the entries of one budget come to in one window.
type summed struct {
	org, budget string
	window      int64
}

// writeEntries writes entries and raises the sums of whoever writes them.
func writeEntries(ctx context.Context, t tx, node string, all []entry) error {
	if len(all) == 0 {
		return nil
	}
	rows := make([][]any, len(all))
	totals := map[summed]*accounting.LedgerTotal{}
	for i := range all {
		e := &all[i]
		rows[i] = e.row()
		at := summed{e.org, e.budget, e.window}
		if totals[at] == nil {
			totals[at] = &accounting.LedgerTotal{}
		}
		totals[at].Entries++
		totals[at].Held += e.held
		totals[at].Spent += e.spent
		totals[at].Overrun += e.overrun
	}
	if _, err := t.bulk(ctx, "ledger", entryFields(), "", rows); err != nil {
		return err
	}
	var sums [][]any
	for at, v := range totals {
		sums = append(sums, []any{at.org, at.budget, at.window, node, v.Entries, int64(v.Held), int64(v.Spent), int64(v.Overrun)})
	}
	slices.SortFunc(sums, func(a, b []any) int {
		return cmp.Or(cmp.Compare(a[1].(string), b[1].(string)), cmp.Compare(a[2].(int64), b[2].(int64)))
	})
	_, err := t.bulk(ctx, "ledger_sums", []field{
		{"org_id", textual},
		{"budget_id", textual},
		{"window_us", number},
		{"node", textual},
		{"entries", number},
		{"held", number},
		{"spent", number},
		{"overrun", number},
	}, ` on conflict (budget_id, window_us, node) do update set entries = ledger_sums.entries + excluded.entries, held = ledger_sums.held + excluded.held,
		spent = ledger_sums.spent + excluded.spent, overrun = ledger_sums.overrun + excluded.overrun`, sums)
	return err
}

// Spent is what the ledger says was spent of a budget in the window that begins at a time, the zero time for one that is
// for ever: less what was forgiven.
func (db *DB) Spent(ctx context.Context, org, budget tenancy.ID, window time.Time) (spent money.Nano, err error) {
	err = db.dialect.read(ctx, tenant(org).forCalls(), func(t tx) error {
		spent, err = spentIn(ctx, t, org, budget, window)
		return err
	})
	return spent, err
}

func spentIn(ctx context.Context, t tx, org, budget tenancy.ID, window time.Time) (spent money.Nano, err error) {
	err = t.one(ctx, []any{&spent}, `select cast(coalesce(sum(spent), 0) as bigint) from ledger_sums where org_id = $1 and budget_id = $2 and window_us = $3`, org, budget, micros{&window})
	return spent, err
}

// SpentBefore is what Spent says without the calls that began at a time or later.
func (db *DB) SpentBefore(ctx context.Context, org, budget tenancy.ID, window, begun time.Time) (spent money.Nano, err error) {
	err = db.dialect.read(ctx, tenant(org).forCalls(), func(t tx) error {
		return t.one(ctx, []any{&spent}, `select cast(coalesce((select sum(spent) from ledger_sums where org_id = $1 and budget_id = $2 and window_us = $3), 0)
			- coalesce((select sum(spent) from ledger where org_id = $1 and budget_id = $2 and window_us = $3 and begun_us >= $4), 0) as bigint)`,
			org, budget, micros{&window}, micros{&begun})
	})
	return spent, err
}

// LedgerTotals are the sums of the ledger, in the order of budgets and windows.
func (db *DB) LedgerTotals(ctx context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error) {
	return db.totals(ctx, q, "ledger_sums", "sum(entries)")
}

// LedgerEntries adds up the rows of the ledger themselves, which is slow, in the same order: where all rows are still
// there, this is what LedgerTotals says.
func (db *DB) LedgerEntries(ctx context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error) {
	return db.totals(ctx, q, "ledger", "count(*)")
}

func (db *DB) totals(ctx context.Context, q accounting.LedgerQuery, from, entries string) (list []accounting.LedgerTotal, err error) {
	as, args := system, arguments{micros{&q.Since}}
	query := `select org_id, budget_id, window_us, cast(` + entries + ` as bigint), cast(sum(held) as bigint), cast(sum(spent) as bigint), cast(sum(overrun) as bigint)
		from ` + from + ` where (window_us >= $1 or window_us = 0)`
	if q.Org != "" {
		as = tenant(q.Org)
		query += ` and org_id = ` + args.add(q.Org)
	}
	if q.Budget != "" {
		query += ` and budget_id = ` + args.add(q.Budget)
	}
	err = db.dialect.read(ctx, as, func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var v accounting.LedgerTotal
			err := scan(&v.Org, &v.Budget, micros{&v.Window}, &v.Entries, &v.Held, &v.Spent, &v.Overrun)
			list = append(list, v)
			return err
		}, query+` group by org_id, budget_id, window_us order by budget_id, window_us, org_id`, args...)
	})
	return list, err
}

// Overruns are the calls that cost a budget more than was held for them in a window, the largest first.
func (db *DB) Overruns(ctx context.Context, org, budget tenancy.ID, window time.Time, limit int) (list []accounting.Overrun, err error) {
	err = db.dialect.read(ctx, tenant(org), func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var v accounting.Overrun
			err := scan(&v.Call, micros{&v.Begun}, &v.Held, &v.Overrun)
			list = append(list, v)
			return err
		}, `select call_id, begun_us, cast(sum(held) as bigint), cast(sum(overrun) as bigint) from ledger where org_id = $1 and budget_id = $2 and window_us = $3
			group by call_id, begun_us having sum(overrun) > 0 order by 4 desc, call_id limit $4`, org, budget, micros{&window}, limit)
	})
	return list, err
}
