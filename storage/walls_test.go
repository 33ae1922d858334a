package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/storage/storagetest"
)

// These tests drop the tenant predicate on purpose: they ask Postgres itself, in the roles that transactions take.

// walls is a database with a row of each of two organizations in every table of tenants.
type walls struct {
	storagetest.Database
	tables []string
}

func newWalls(t *testing.T) walls {
	t.Helper()
	w := walls{Database: server.Database(t)}
	open(t, storage.Config{URL: secrets.New(w.URL)})
	admin := connect(t, w.Admin)
	w.tables = texts(t, admin, `select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id'
		where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace order by 1`)
	if len(w.tables) < 9 {
		t.Fatalf("only %q have an organization", w.tables)
	}
	executes(t, admin, `set session_replication_role = replica`) // the order does not matter
	for _, table := range w.tables {
		for _, org := range []string{"a", "b"} {
			columns := texts(t, admin, `select column_name from information_schema.columns where table_name = $1 order by ordinal_position`, table)
			values := texts(t, admin, `select case when column_name = 'org_id' then $2 when data_type = 'text' then 'row of ' || $2
				when data_type = 'bigint' then '0' when data_type = 'bytea' then '' when data_type = 'boolean' then 'false' end
				from information_schema.columns where table_name = $1 order by ordinal_position`, table, org)
			executes(t, admin, fmt.Sprintf(`insert into %s (%s) values ('%s')`, table, strings.Join(columns, ", "), strings.Join(values, "', '")))
		}
	}
	return w
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func executes(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func texts(t *testing.T, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}

// inside runs f in a transaction that is taken back, as a role and for an organization; empty: none.
func inside(t *testing.T, conn *pgx.Conn, role, org string, f func()) {
	t.Helper()
	executes(t, conn, "begin")
	if role != "" {
		executes(t, conn, "set local role "+role)
	}
	if org != "" {
		executes(t, conn, "set local vel.org = '"+org+"'")
	}
	f()
	executes(t, conn, "rollback")
}

// try runs a statement that may fail, and gives the rows it touched or the SQLSTATE.
func try(t *testing.T, conn *pgx.Conn, statement string) (rows int64, code string) {
	t.Helper()
	executes(t, conn, "savepoint s")
	tag, err := conn.Exec(t.Context(), statement)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		executes(t, conn, "rollback to s")
		return 0, e.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected(), ""
}

const denied = "42501"

// appendOnly tells whether no tenant's transaction changes or removes what is in a table.
func appendOnly(table string) bool {
	return strings.HasPrefix(table, "audit_") || strings.HasPrefix(table, "call") || strings.HasPrefix(table, "usage_") ||
		strings.HasPrefix(table, "ledger") || table == "budget_notices"
}

func TestWithoutThePredicate(t *testing.T) {
	t.Parallel()
	w := newWalls(t)
	conn := connect(t, w.URL)
	for _, table := range w.tables {
		inside(t, conn, "vel_app", "a", func() {
			if orgs := texts(t, conn, "select org_id from "+table); !slices.Equal(orgs, []string{"a"}) {
				t.Errorf("%s: for a there are rows of %q", table, orgs)
			}
			for _, statement := range []string{"update " + table + " set org_id = org_id", "delete from " + table} {
				if n, code := try(t, conn, statement); appendOnly(table) && code != denied || !appendOnly(table) && n != 1 {
					t.Errorf("%s: %d rows %s", statement, n, code)
				}
			}
		})
		inside(t, conn, "vel_app", "a", func() {
			for _, statement := range []string{
				"update " + table + " set org_id = 'b'",
				"insert into " + table + ` select (jsonb_populate_record(x, '{"org_id": "b"}')).* from ` + table + " x",
				"insert into " + table + ` select (jsonb_populate_record(x, '{"org_id": ""}')).* from ` + table + " x",
			} {
				if n, code := try(t, conn, statement); code != denied {
					t.Errorf("%s: %d rows %s", statement, n, code)
				}
			}
		})
		for _, who := range []struct{ role, org string }{{"vel_app", ""}, {"", ""}, {"vel_app", "c"}} {
			inside(t, conn, who.role, who.org, func() {
				for _, statement := range []string{"select 1 from " + table, "update " + table + " set org_id = org_id", "delete from " + table} {
					want := ""
					if appendOnly(table) && who.role != "" && !strings.HasPrefix(statement, "select") {
						want = denied
					}
					if n, code := try(t, conn, statement); n != 0 || code != want {
						t.Errorf("as %+v: %s: %d rows %s", who, statement, n, code)
					}
				}
			})
		}
	}
	if left := texts(t, connect(t, w.Admin), `select org_id from keys order by 1`); !slices.Equal(left, []string{"a", "b"}) {
		t.Errorf("left are the keys of %q", left)
	}
}

// TestRolesMayDoWhatTheyNeed lists what the two roles that see more than one organization may do besides reading.
func TestRolesMayDoWhatTheyNeed(t *testing.T) {
	t.Parallel()
	w := newWalls(t)
	conn := connect(t, w.URL)
	// What is not listed is denied; a list of rows that a policy hides is no right to read.
	may := map[string][]string{
		"vel_system delete": {
			"audit_events", "batches", "budget_notices", "call_contents", "call_replaced", "call_terms", "calls", "deliveries", "idempotency", "ledger", "ledger_sums", "notices", "sessions", "stored_objects", "task_contents", "task_owners", "task_progress", "tasks", "usage_days", "usage_hours", "usage_minutes",
		},
		"vel_system insert": {"audit_checkpoints", "audit_heads", "audit_seals", "call_replaced", "usage_days", "usage_hours"},
		"vel_ingest select": {"key_usage", "ledger_sums", "stored_objects", "usage_minutes"},
		"vel_ingest insert": {"key_usage", "ledger_sums", "stored_objects", "usage_minutes"},
		"vel_ingest update": {"key_usage", "ledger_sums", "usage_minutes"},
		"vel_system select": w.tables,
	}
	statements := map[string]string{
		"select": "select * from %s", "update": "update %s set org_id = org_id", "delete": "delete from %s",
		"insert": "insert into %[1]s select * from %[1]s where false",
	}
	for _, role := range []string{"vel_system", "vel_ingest"} {
		for verb, statement := range statements {
			var does []string
			for _, table := range w.tables {
				inside(t, conn, role, "", func() {
					n, code := try(t, conn, fmt.Sprintf(statement, table))
					switch {
					case code == "" && (n == 2 || verb == "insert"):
						does = append(does, table)
					case code != denied:
						t.Errorf("%s %s %s: %d rows %s", role, verb, table, n, code)
					}
				})
			}
			if diff := cmp.Diff(may[role+" "+verb], does); diff != "" {
				t.Errorf("%s may %s (-want +got):\n%s", role, verb, diff)
			}
		}
	}
}

// unwalled are the tables of the catalog that no policy keeps apart, with what is wrong.
func unwalled(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return texts(t, conn, `
		select c.relname || ': ' || case
			when not exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'org_id') then 'no organization'
			when not c.relrowsecurity then 'no row-level security'
			when not c.relforcerowsecurity then 'not forced'
			else 'no policy for vel_app' end
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p') and n.nspname = 'public' and not c.relispartition and c.relname not in ('config_rev', 'vel_schema', 'leases', 'usage_due', 'spool_cursors', 'unpriced_models', 'task_nodes', 'river_job', 'river_leader', 'river_migration', 'river_notification', 'river_queue', 'goose_db_version', 'goose_lock')
			and not (c.relrowsecurity and c.relforcerowsecurity and exists (
				select 1 from pg_policies p where p.tablename = c.relname and p.roles = '{vel_app}' and p.cmd = 'ALL'
					and p.qual like '%org_id%vel.org%' and p.with_check like '%org_id%vel.org%'))
		order by 1`)
}

func TestEveryTableIsWalled(t *testing.T) {
	t.Parallel()
	w := newWalls(t)
	conn := connect(t, w.Admin)
	if list := unwalled(t, conn); len(list) > 0 {
		t.Errorf("not kept apart: %q", list)
	}
	// And the check sees what it looks for.
	executes(t, conn, `create table forgotten (org_id text)`)
	executes(t, conn, `create table strange (id text)`)
	executes(t, conn, `alter table users no force row level security`)
	executes(t, conn, `drop policy teams_tenant on teams`)
	want := []string{"forgotten: no row-level security", "strange: no organization", "teams: no policy for vel_app", "users: not forced"}
	if diff := cmp.Diff(want, unwalled(t, conn)); diff != "" {
		t.Errorf("not kept apart (-want +got):\n%s", diff)
	}
}

// TestAuditWalls: nobody rewrites what an event says, nobody appends one that is sealed already, and no partition is a
// way past the wall.
func TestAuditWalls(t *testing.T) {
	t.Parallel()
	w := newWalls(t)
	conn := connect(t, w.URL)
	const columns = `org_id, id, time_us, action, outcome, reason, count, by_org, by_user, by_key, by_session, by_name, by_email, address, agent, request,
		object_kind, object_id, object_name, before, after, place, leaf, seal`
	insert := func(org string, seal int) string {
		return fmt.Sprintf("insert into audit_events (%s) values ('%s', 'new', 0, '', '', '', 1, '', '', '', '', '', '', '', '', '', '', '', '', '', '', 0, '', %d)", columns, org, seal)
	}
	for _, c := range []struct{ role, org, statement, code string }{
		{"vel_app", "a", insert("a", 0), ""},
		{"vel_app", "a", insert("a", 1), denied},
		{"vel_ingest", "", insert("a", 0), ""},
		{"vel_ingest", "", insert("a", 1), denied},
		{"vel_system", "", insert("a", 0), denied},
		{"vel_app", "a", "update audit_events set seal = 1", denied},
		{"vel_ingest", "", "update audit_events set seal = 1", denied},
		{"vel_ingest", "", "select 1 from audit_events", denied},
		{"vel_system", "", "update audit_events set seal = 1, place = 0, leaf = 'x'", ""},
		{"vel_system", "", "update audit_events set after = ''", denied},
		{"vel_system", "", "update audit_events set time_us = 1", denied},
		{"vel_system", "", "update audit_seals set hash = ''", denied},
		{"vel_system", "", "delete from audit_seals", denied},
		{"vel_system", "", "update audit_checkpoints set hash = ''", denied},
		{"vel_system", "", "delete from audit_checkpoints", denied},
		{"vel_system", "", "delete from audit_heads", denied},
		{"vel_app", "a", "update leases set beat = 0", denied},
	} {
		inside(t, conn, c.role, c.org, func() {
			if n, code := try(t, conn, c.statement); code != c.code {
				t.Errorf("%s: %s: %d rows %s, want %q", c.role, c.statement, n, code, c.code)
			}
		})
	}
	partitions := texts(t, conn, `select inhrelid::regclass::text from pg_inherits where inhparent = 'audit_events'::regclass order by 1`)
	if len(partitions) < 9 {
		t.Fatalf("there are only the partitions %q", partitions)
	}
	for _, p := range partitions {
		for _, role := range []string{"vel_app", "vel_system", "vel_ingest"} {
			inside(t, conn, role, "a", func() {
				if n, code := try(t, conn, "select 1 from "+p); code != denied {
					t.Errorf("%s reads %s: %d rows %s", role, p, n, code)
				}
			})
		}
		if n := texts(t, conn, "select count(*)::text from "+p)[0]; n != "0" {
			t.Errorf("the login reads %s rows of %s", n, p)
		}
	}
	admin := connect(t, w.Admin)
	if n := texts(t, admin, "select count(*)::text from audit_events_other")[0]; n != "2" {
		t.Errorf("there were %s rows to read", n)
	}
}
