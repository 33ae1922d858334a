package storage_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vel-gateway/vel/storage"
)

func startChild(t *testing.T, database, only string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDatabase+"="+database, childMigrates+"="+only)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestProcessesThatMigrateAtOnce(t *testing.T) {
	t.Parallel()
	pg := server.Database(t)
	var all []*exec.Cmd
	for _, url := range []string{pg.URL, pg.Pooled, pg.URL, pg.Pooled} {
		all = append(all, startChild(t, url, ""))
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a process that migrates: %v", err)
		}
	}
}

// A first half, a long pause, and a second half.
const slow = "create table vel_schema (oldest bigint not null);\ninsert into vel_schema values (1);\n%s;\ncreate table second (n bigint);"

func TestKilledWhileItMigrates(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			database, pause := p.SQLite, "insert into big with recursive n (i) as (select 1 union all select i + 1 from n limit 100000000) select i, randomblob(200) from n"
			pause = "create table big (i bigint, b blob);\n" + pause
			busy := func() bool {
				wal, err := os.Stat(p.SQLite + "-wal")
				return err == nil && wal.Size() > 1<<20 // what does not fit into memory is there before it counts
			}
			if p.engine == "postgres" {
				database, pause = p.URL.Reveal(), "select pg_sleep(3)"
				busy = func() bool {
					return p.strings(t, `select count(*) from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(3);'`)[0] != "0"
				}
			}
			cmd := startChild(t, database, fmt.Sprintf(slow, pause))
			eventually(t, "the migration to run", busy)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			quick := fstest.MapFS{"00001_slow.sql": &fstest.MapFile{Data: []byte("-- +goose Up\n" + fmt.Sprintf(slow, "select 1"))}}
			db, err := storage.OpenWith(t.Context(), p.Config, quiet, quick)
			if err != nil {
				t.Fatalf("the next start: %v", err)
			}
			defer func() { _ = db.Close() }()
			if n := p.strings(t, `select count(*) from second`); n[0] != "0" {
				t.Errorf("the second half has %s rows", n)
			}
		})
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	over := time.After(30 * time.Second)
	for !is() {
		select {
		case <-over:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
