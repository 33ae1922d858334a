package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// recordsOf are n calls of one organization, one a second from a time on.
func recordsOf(n int, begun time.Time) []accounting.Record {
	list := realistic(n, begun)
	for i := range list {
		list[i].Who = tenancy.Identity{Org: "org_a", Key: "key_a"}
		list[i].ID, list[i].Begun = tenancy.ID(fmt.Sprintf("req_%06d", i)), begun.Add(time.Duration(i)*time.Second)
	}
	return list
}

// counted is what is in each of the tables of calls.
func (p place) counted(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range []string{"calls", "call_contents", "call_terms", "call_replaced", "usage_minutes", "usage_hours", "usage_days", "usage_due", "spool_cursors", "unpriced_models", "ledger", "ledger_sums", "budget_notices"} {
		all[table] = p.strings(t, "select cast(count(*) as text) from "+table)[0]
	}
	return all
}

// TestAppendIsWholeOrNothing lets each of the statements of an append fail: what was done before it is not there, and the
// next try does it all, once.
func TestAppendIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			db := open(t, p.Config)
			list := recordsOf(30, time.Now())
			list[0].Unpriced, list[1].Prompt, list[2].Bookings = "no_price", []byte("sealed"), []accounting.Booking{{Budget: "budget_1", Held: 1}}
			before := p.counted(t)
			to := spool.Cursor{Segment: 1, Offset: 10}
			for _, table := range []string{"spool_cursors", "calls", "call_terms", "call_contents", "usage_minutes", "usage_due", "unpriced_models", "ledger", "ledger_sums", "audit_events"} {
				p.exec(t, fmt.Sprintf(map[string]string{
					"sqlite":   "create trigger broken before insert on %s begin select raise(abort, 'broken'); end",
					"postgres": "create or replace function broken() returns trigger language plpgsql as 'begin raise exception ''broken''; end';\ncreate trigger broken before insert on %s for each row execute function broken()",
				}[p.engine], table))
				if err := db.Append(t.Context(), "node_1", spool.Cursor{}, to, list); err == nil {
					t.Errorf("it is stored without %s", table)
				}
				p.exec(t, map[string]string{"sqlite": "drop trigger broken", "postgres": "drop trigger broken on " + table}[p.engine])
				if diff := cmp.Diff(before, p.counted(t)); diff != "" {
					t.Errorf("what failed at %s leaves (-want +got):\n%s", table, diff)
				}
			}
			for i := range 2 {
				err := db.Append(t.Context(), "node_1", spool.Cursor{}, to, list)
				if want := map[bool]error{true: accounting.ErrCursor}[i > 0]; !errors.Is(err, want) {
					t.Errorf("try %d: %v", i, err)
				}
			}
			if n := p.counted(t)["calls"]; n != "30" {
				t.Errorf("there are %s calls", n)
			}
		})
	}
}

// TestRejected: a value that no database takes is told apart from a database that is away.
func TestRejected(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			db := open(t, p.Config)
			p.exec(t, map[string]string{
				"sqlite":   "create trigger small before insert on calls when new.cost > 5 begin select raise(abort, 'too dear'); end",
				"postgres": "alter table calls add check (cost <= 5)",
			}[p.engine])
			list := recordsOf(1, time.Now())
			err := db.Append(t.Context(), "node_1", spool.Cursor{}, spool.Cursor{Segment: 1}, list)
			if !errors.As(err, new(*accounting.Rejected)) {
				t.Errorf("what a constraint forbids: %v", err)
			}
			p.exec(t, map[string]string{"sqlite": "drop table call_terms", "postgres": "drop table call_terms"}[p.engine])
			list[0].Cost, list[0].Tags = 1, []accounting.Tag{{Key: "a", Value: "b"}}
			err = db.Append(t.Context(), "node_1", spool.Cursor{}, spool.Cursor{Segment: 1}, list)
			if !errors.As(err, new(*tenancy.Unavailable)) {
				t.Errorf("a database that is broken: %v", err)
			}
		})
	}
}

// TestCallsHaveTheirTime: whole days of calls, contents and sums go, each after its own time.
func TestCallsHaveTheirTime(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			db := open(t, p.Config)
			now := time.Now().UTC()
			var list []accounting.Record
			for day := range 10 { // those of long ago lie where those of no day do
				r := recordsOf(1, now.AddDate(0, 0, -day))[0]
				r.ID, r.Prompt, r.Error, r.Tags = tenancy.ID(fmt.Sprint("req_", day)), []byte("sealed"), "", []accounting.Tag{{Key: "env", Value: "prod"}}
				r.Bookings = []accounting.Booking{{Budget: "budget_1", Window: now.AddDate(0, 0, -10*day)}, {Budget: "budget_2"}}
				list = append(list, r)
			}
			for _, window := range []time.Time{{}, now.AddDate(0, 0, -10), now.AddDate(0, 0, -90)} {
				if _, err := db.NoteBudget(t.Context(), &accounting.Budget{Meta: tenancy.Meta{ID: "budget_1", Org: "org_a"}}, window, 80, 1); err != nil {
					t.Fatal(err)
				}
			}
			if p.engine == "postgres" { // but for two days, as if we had run then
				for _, back := range []int{-5, -9} {
					if err := storage.PrepareDays(t.Context(), db, now.AddDate(0, 0, back)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := db.Append(t.Context(), "node_1", spool.Cursor{}, spool.Cursor{Segment: 1}, list); err != nil {
				t.Fatal(err)
			}
			asOf := now // a day is summed a little after its end: also right after midnight
			if early := now.Truncate(24 * time.Hour).Add(3 * time.Minute); early.After(now) {
				asOf = early
			}
			if err := db.SumNow(t.Context(), asOf); err != nil {
				t.Fatal(err)
			}
			keep := func(days int) func() time.Duration {
				return func() time.Duration { return time.Duration(days) * 24 * time.Hour }
			}
			p.summing(t, db, storage.Summing{KeepCalls: keep(4), KeepContent: keep(2), KeepSums: keep(7)})
			got := p.counted(t)
			want := map[string]string{ // a whole day more than what is kept, for the day is not over
				"calls": "5", "call_contents": "3", "call_terms": "5", "call_replaced": "0", "usage_minutes": "16", "usage_days": "14", "spool_cursors": "1", "unpriced_models": "0",
				"ledger": "16", "ledger_sums": "6", "budget_notices": "2", // of windows of the last forty days, and of those for ever
			}
			for table, n := range want {
				if got[table] != n {
					t.Errorf("%s has %s rows, want %s", table, got[table], n)
				}
			}
			rows, err := db.Usage(t.Context(), accounting.UsageQuery{Org: "org_a", Limit: 1})
			if err != nil || len(rows) != 1 || rows[0].Calls != 8 {
				t.Errorf("of what is left: %+v, %v", rows, err)
			}
			// Without a time everything stays.
			p.summing(t, db, storage.Summing{})
			if diff := cmp.Diff(got["calls"], p.counted(t)["calls"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// summing lets a node sum until it has removed what is old.
func (p place) summing(t *testing.T, db *storage.DB, s storage.Summing) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan bool, 2)
	s.Leads = func(is bool) { led <- is }
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Sum(ctx, s)
	}()
	<-led // its first turn is over
	cancel()
	<-done
}

// TestPagesOfCallsAreReadInOrder: no filter that has an index sorts what it finds.
func TestPagesOfCallsAreReadInOrder(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		db := open(t, p.Config)
		begin := time.Now().Add(-time.Hour)
		for i := range 10 {
			list := realistic(500, begin.Add(time.Duration(i)*time.Second/2))
			if err := db.Append(t.Context(), fmt.Sprint("node_", i), spool.Cursor{}, spool.Cursor{Segment: 1}, list); err != nil {
				t.Fatal(err)
			}
		}
		explain := "explain query plan "
		if p.engine == "postgres" {
			// What would be sorted in a small table is read in order in a large one, if there is a way to do so.
			p.raw.SetMaxOpenConns(1)
			p.exec(t, "analyze;\nset enable_sort = off;\nset enable_incremental_sort = off;\nset enable_seqscan = off;\nset enable_bitmapscan = off")
			explain = "explain "
		}
		org := tenancy.ID(fmt.Sprintf("org_%032x", 3))
		for index, f := range map[string]accounting.CallFilter{
			"org": {Org: org}, "key": {Org: org, Key: tenancy.ID(fmt.Sprintf("key_%032x", 61))}, "model": {Org: org, Model: "gpt-4o-2024-08-01"}, "failed": {Org: org, Failed: true},
			"unpriced": {Org: org, Unpriced: true}, "unpriced of all": {Unpriced: true}, "all": {},
		} {
			query, args := storage.CallsQuery(accounting.CallQuery{CallFilter: f, Before: accounting.CallCursor{Begun: time.Now(), ID: "req_"}, Limit: 50})
			plan := p.plan(t, explain+query, args...)
			if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort  (") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s by %s:\n%s", p.engine, index, plan)
			}
		}
	}
}

// TestFrequentTerms: the calls of all that have a word are the same, in whichever order they are looked for.
func TestFrequentTerms(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		db := open(t, p.Config)
		if err := db.Append(t.Context(), "node_1", spool.Cursor{}, spool.Cursor{Segment: 1}, realistic(300, time.Now())); err != nil {
			t.Fatal(err)
		}
		q := accounting.CallQuery{CallFilter: accounting.CallFilter{Text: "provider internal"}, Limit: 300}
		one, err := db.Calls(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		other, err := storage.CallsByTime(t.Context(), db, q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one, other); diff != "" || len(one) != 6 {
			t.Errorf("%s: %d calls (-by the term +by time):\n%s", p.engine, len(one), diff)
		}
	}
}
