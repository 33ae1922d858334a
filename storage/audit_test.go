package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/storage/storagetest"
	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// auditEvent is one of an organization.
func auditEvent(org tenancy.ID, at time.Time) tenancy.AuditEvent {
	by := tenancy.Actor{Org: org, User: "user_1", Name: "Zoë", Email: "zoe@example.com", Address: "192.0.2.1", Agent: "curl/8", Request: "req_1"}
	e := tenancy.NewAuditEvent(by, org, "keys.update", tenancy.AuditObject{Kind: "key", ID: "key_1", Name: "ci"}, at)
	e.Before, e.After = `{"disabled":false}`, `{"disabled":true}`
	return e
}

// seals records events of organizations and seals them, several times.
func seals(t testing.TB, db *storage.DB, times, each int, orgs ...tenancy.ID) {
	t.Helper()
	for range times {
		var list []tenancy.AuditEvent
		for range each {
			for _, org := range orgs {
				list = append(list, auditEvent(org, time.Now()))
			}
		}
		if err := db.Record(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := db.SealNow(t.Context(), storagetest.Signer); err != nil {
			t.Fatal(err)
		}
	}
}

// verifyAll proves the logs of all organizations, and gives the first that is broken.
func verifyAll(ctx context.Context, db *storage.DB) (*chain.Broken, error) {
	heads, err := db.AuditHeads(ctx, "", "", 100)
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		_, err := storagetest.Verify(ctx, db, h.Org)
		var broken *chain.Broken
		if errors.As(err, &broken) {
			return broken, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// auditTables are the tables of the log with their columns.
func auditTables(t *testing.T, p place) map[string][]string {
	t.Helper()
	tables := map[string][]string{}
	for _, table := range []string{"audit_events", "audit_seals", "audit_heads", "audit_checkpoints"} {
		query := `select name from pragma_table_info('` + table + `')`
		if p.engine == "postgres" {
			query = `select column_name from information_schema.columns where table_name = '` + table + `'`
		}
		tables[table] = p.strings(t, query)
		slices.Sort(tables[table])
		if len(tables[table]) < 8 {
			t.Fatalf("%s has only the columns %q", table, tables[table])
		}
	}
	return tables
}

// TestTamperingWithTheDatabase changes, removes, inserts or moves one row of a live log, as somebody does who may do
// everything in the database: the log of an organization says so, and where.
func TestTamperingWithTheDatabase(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			db := open(t, p.Config)
			seals(t, db, 3, 3, "org_a", "org_b")
			tables := auditTables(t, p)
			if broken, err := verifyAll(t.Context(), db); broken != nil || err != nil {
				t.Fatalf("before anything was done: %v, %v", broken, err)
			}
			copies := map[string]string{}
			for table := range tables {
				copies[table] = "kept_" + table
				p.exec(t, "create table "+copies[table]+" as select * from "+table)
			}
			rapid.Check(t, func(rt *rapid.T) {
				table := rapid.SampledFrom([]string{"audit_events", "audit_events", "audit_seals", "audit_heads", "audit_checkpoints"}).Draw(rt, "table")
				tamper(t, rt, p, table, tables[table])
				broken, err := verifyAll(t.Context(), db)
				if err != nil || broken == nil {
					rt.Fatalf("it was not found: %v", err)
				}
				if broken.Org != "org_a" && broken.Org != "org_b" && !strings.HasPrefix(string(broken.Org), "x") {
					rt.Fatalf("it was found in %q: %v", broken.Org, broken)
				}
				if (table == "audit_events" || table == "audit_seals") && broken.Seal == 0 && broken.Event == "" {
					rt.Fatalf("it was found nowhere: %v", broken)
				}
				for table, copied := range copies {
					p.exec(t, "delete from "+table+";\ninsert into "+table+" select * from "+copied)
				}
			})
		})
	}
}

// tamper does one thing to one row of a table.
func tamper(t *testing.T, rt *rapid.T, p place, table string, columns []string) {
	t.Helper()
	key := map[string][]string{
		"audit_events": {"org_id", "time_us", "id"}, "audit_seals": {"org_id", "number"}, "audit_heads": {"org_id"}, "audit_checkpoints": {"org_id", "number"},
	}[table]
	name := strings.Join(key, " || '|' || ")
	rows := p.strings(t, "select "+name+" from "+table+" order by 1")
	row := rapid.IntRange(0, len(rows)-1).Draw(rt, "row")
	where := " where " + name + " = '" + rows[row] + "'"
	how := rapid.SampledFrom([]string{"change", "remove", "insert", "swap"}).Draw(rt, "how")
	if how == "swap" && table != "audit_events" {
		how = "change"
	}
	switch how {
	case "change":
		column := rapid.SampledFrom(columns).Draw(rt, "column")
		value := column + " || 'x'"
		if column == "org_id" {
			value = "'x' || org_id" // a chain of nobody
		}
		for _, numeric := range []string{"time_us", "count", "seal", "place", "number", "earliest_us", "latest_us", "kept_from_us"} {
			if column == numeric {
				value = column + " + 1000000"
			}
		}
		p.exec(t, "update "+table+" set "+column+" = "+value+where)
	case "remove":
		p.exec(t, "delete from "+table+where)
	case "insert":
		var values []string
		for _, column := range columns {
			switch {
			case column == "id":
				column = "'event_inserted'"
			case column == "number" && table != "audit_heads":
				column = "number + 1000"
			case column == "org_id" && table == "audit_heads":
				column = "'x' || org_id"
			}
			values = append(values, column)
		}
		p.exec(t, "insert into "+table+" ("+strings.Join(columns, ", ")+") select "+strings.Join(values, ", ")+" from "+table+where)
	case "swap": // what two events of a log say changes places
		other := (row + 2) % len(rows) // of the same organization or not
		that := " where " + name + " = '" + rows[other] + "'"
		seal, place := "(select seal from audit_events"+that+")", "(select place from audit_events"+that+")"
		was := p.strings(t, "select seal || ', place = ' || place from audit_events"+where)[0]
		p.exec(t, "update audit_events set seal = "+seal+", place = "+place+where+";\nupdate audit_events set seal = "+was+that)
	}
}

// TestUntracedChange: a change that leaves no event does not happen.
func TestUntracedChange(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		db := open(t, p.Config)
		if err := storage.ChangeUntraced(t.Context(), db); err == nil || !strings.Contains(err.Error(), "no trace") {
			t.Errorf("%s: %v", p.engine, err)
		}
		if rev := p.strings(t, `select rev from config_rev`); rev[0] != "1" {
			t.Errorf("%s: the revision is %s", p.engine, rev)
		}
	}
}

// TestLateCommit: an event whose transaction ends after a seal was made that is younger than it does not fall behind that
// seal.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	d := server.Database(t)
	db := open(t, storage.Config{URL: secrets.New(d.URL)})
	seals(t, db, 1, 1, "org_a")
	conn := connect(t, d.Admin)
	executes(t, conn, "begin")
	executes(t, conn, `insert into audit_events select org_id, 'event_late', time_us + 1, action, outcome, reason, count, by_org, by_user, by_key, by_session, by_name,
		by_email, address, agent, request, object_kind, object_id, object_name, before, after, 0, 0, '' from audit_events`)
	seals(t, db, 2, 2, "org_a")
	executes(t, conn, "commit")
	if err := db.SealNow(t.Context(), storagetest.Signer); err != nil {
		t.Fatal(err)
	}
	r, err := storagetest.Verify(t.Context(), db, "org_a")
	if err != nil || r.Events != 6 || r.Seals != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	if seal := texts(t, conn, `select seal::text from audit_events where id = 'event_late'`); !slices.Equal(seal, []string{"4"}) {
		t.Errorf("the late event is in seal %s", seal)
	}
}

// TestDaysArePartitions: each day is a table that is dropped when it has had its time, and a day whose events are not
// all sealed is not.
func TestDaysArePartitions(t *testing.T) {
	t.Parallel()
	d := server.Database(t)
	db := open(t, storage.Config{URL: secrets.New(d.URL)})
	conn := connect(t, d.Admin)
	partitions := func() []string {
		return texts(t, conn, `select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_events'::regclass order by 1`)
	}
	today := chain.Day(time.Now())
	named := func(days ...int) (list []string) {
		for _, n := range days {
			list = append(list, "audit_events_d"+today.AddDate(0, 0, n).Format("20060102"))
		}
		return list
	}
	ahead := append(named(-1, 0, 1, 2, 3, 4, 5, 6, 7), "audit_events_other")
	if diff := cmp.Diff(ahead, partitions()); diff != "" {
		t.Fatalf("at the start (-want +got):\n%s", diff)
	}
	// Days of long ago have their partitions, as if we had run then; one day's events lie where those of no day do.
	for _, n := range []int{-20, -19, -18} {
		if err := storage.PrepareDay(t.Context(), db, today.AddDate(0, 0, n)); err != nil {
			t.Fatal(err)
		}
	}
	var list []tenancy.AuditEvent
	for _, n := range []int{-20, -19, -17, 0} {
		list = append(list, auditEvent("org_a", today.AddDate(0, 0, n)))
	}
	if err := db.Record(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if err := db.SealNow(t.Context(), storagetest.Signer); err != nil {
		t.Fatal(err)
	}
	if err := storage.PrepareDay(t.Context(), db, today.AddDate(0, 0, -17)); err != nil {
		t.Errorf("a day whose events lie elsewhere: %v", err)
	}
	// Of the day 18 days ago one event is not sealed, and nobody could seal it yet: another organization's is there too.
	executes(t, conn, `create function stop() returns trigger language plpgsql as $$ begin return null; end $$`)
	executes(t, conn, `create trigger stop before update on audit_events for each row when (old.id = 'event_stuck') execute function stop()`)
	stuck := auditEvent("org_b", today.AddDate(0, 0, -18))
	stuck.ID = "event_stuck"
	if err := db.Record(t.Context(), []tenancy.AuditEvent{stuck}); err != nil {
		t.Fatal(err)
	}
	leads := make(chan bool, 10)
	stop := storagetest.Sealing(db, storage.Sealing{Signer: storagetest.Signer, Keep: func() time.Duration { return 10 * 24 * time.Hour }, Leads: func(is bool) { leads <- is }})
	<-leads
	stop()
	want := append(named(-18), ahead...)
	if diff := cmp.Diff(want, partitions()); diff != "" {
		t.Errorf("after retention (-want +got):\n%s", diff)
	}
	if left := texts(t, conn, `select org_id from audit_events order by 1`); !slices.Equal(left, []string{"org_a", "org_b"}) {
		t.Errorf("left are the events of %s", left)
	}
	r, err := storagetest.Verify(t.Context(), db, "org_a")
	if err != nil || r.Events != 1 || r.Removed != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSealersOfTwoNodes: one of two nodes seals, and the other goes on when that one is gone without a word.
func TestSealersOfTwoNodes(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(storagetest.Database) storage.Config{
		"direct": func(d storagetest.Database) storage.Config { return storage.Config{URL: secrets.New(d.URL)} },
		"pooled": func(d storagetest.Database) storage.Config { return storage.Config{URL: secrets.New(d.Pooled)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := server.Database(t)
			conn := connect(t, d.Admin)
			// A node that was killed has the lease, and says nothing any more.
			first := open(t, config(d))
			executes(t, conn, `update leases set holder = 'node_dead', beat = 41`)
			seals(t, first, 1, 3, "org_a") // by itself nobody takes a lease from another one
			if n := texts(t, conn, `select count(*)::text from audit_seals`); n[0] != "0" {
				t.Fatalf("%s seals beside another node", n)
			}
			second := open(t, config(d))
			var stops []func()
			leads := make(chan string, 10)
			for who, db := range map[string]*storage.DB{"first": first, "second": second} {
				stops = append(stops, storagetest.Sealing(db, storage.Sealing{Signer: storagetest.Signer, Leads: func(is bool) {
					leads <- fmt.Sprint(who, " ", is)
				}}))
			}
			begin := time.Now()
			<-leads
			if took := time.Since(begin); took < 2*time.Second || took > 10*time.Second {
				t.Errorf("the lease of a dead node was taken after %s", took)
			}
			// Somebody takes it from the one that leads: it works on in no transaction.
			executes(t, conn, `update leases set holder = 'node_other', beat = beat + 1`)
			if is := <-leads; !strings.HasSuffix(is, "false") {
				t.Errorf("then: %s", is)
			}
			for _, stop := range stops {
				stop()
			}
			r, err := storagetest.Verify(t.Context(), first, "org_a")
			if err != nil || r.Events != 3 || r.Seals != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
