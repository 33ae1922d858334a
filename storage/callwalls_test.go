package storage_test

import (
	"fmt"
	"testing"
)

// TestCallWalls: who appends reads no call, nobody changes one but for what is sealed anew, no organization sees where a node stands, and no partition
// is a way past the wall.
func TestCallWalls(t *testing.T) {
	t.Parallel()
	w := newWalls(t)
	conn := connect(t, w.URL)
	executes(t, connect(t, w.Admin), `insert into spool_cursors values ('node', 1, 1, 1)`)
	for _, c := range []struct{ role, org, statement, code string }{
		{"vel_ingest", "", "select id from calls", denied},
		{"vel_ingest", "", "select 1 from call_contents", denied},
		{"vel_ingest", "", "delete from calls", denied},
		{"vel_ingest", "", "update calls set cost = 0", denied},
		{"vel_ingest", "", "insert into usage_hours select * from usage_hours", denied},
		{"vel_ingest", "", "delete from usage_minutes", denied},
		{"vel_ingest", "", "update spool_cursors set place = 2", ""},
		{"vel_ingest", "", "delete from spool_cursors", denied},
		{"vel_system", "", "update calls set cost = 0", denied},
		{"vel_system", "", "update call_contents set prompt = ''", ""},
		{"vel_system", "", "update call_contents set org_id = 'b'", denied},
		{"vel_ingest", "", "update call_contents set prompt = ''", denied},
		{"vel_app", "a", "update call_contents set prompt = ''", denied},
		{"vel_system", "", "update usage_minutes set cost = 0", denied},
		{"vel_system", "", "update call_replaced set line = ''", denied},
		{"vel_system", "", "update spool_cursors set place = 2", denied},
		{"vel_app", "a", "update calls set cost = 0", denied},
		{"vel_app", "a", "insert into calls select * from calls", denied},
		{"vel_app", "a", "delete from call_contents", denied},
		{"vel_app", "a", "select 1 from spool_cursors", denied},
		{"vel_app", "a", "select 1 from unpriced_models", denied},
		{"vel_app", "a", "update usage_due set mark = 0", denied},
	} {
		inside(t, conn, c.role, c.org, func() {
			if _, code := try(t, conn, c.statement); code != c.code {
				t.Errorf("%s: %s: %q, want %q", c.role, c.statement, code, c.code)
			}
		})
	}
	for _, table := range []string{"calls", "call_contents", "call_terms", "usage_minutes"} {
		partitions := texts(t, conn, fmt.Sprintf(`select inhrelid::regclass::text from pg_inherits where inhparent = '%s'::regclass order by 1`, table))
		if len(partitions) < 5 {
			t.Fatalf("%s has only the partitions %q", table, partitions)
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
	}
}
