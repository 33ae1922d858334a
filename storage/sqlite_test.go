package storage_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

func TestSQLiteBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	cfg := storage.Config{SQLite: filepath.Join(t.TempDir(), "data", "vel.db")}
	db, err := storage.Open(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storage.Open(t.Context(), cfg, quiet)
	if err == nil || !strings.Contains(err.Error(), "another vel process has "+cfg.SQLite+" open") {
		t.Errorf("a second one: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, cfg) // the lock went with the first
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	db := open(t, storage.Config{SQLite: filepath.Join(dir, "vel.db")})
	if _, err := db.Orgs().Create(t.Context(), tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if names = append(names, f.Name()); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", f.Name(), info.Mode().Perm())
		}
	}
	if want := "vel.db vel.db-shm vel.db-wal vel.db.lock"; strings.Join(names, " ") != want {
		t.Errorf("there are %q, want %s", names, want)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %o, %v", info.Mode().Perm(), err)
	}
}

func TestSQLiteThatCanNotBeOpened(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none.db")
	if err := os.WriteFile(none, []byte(strings.Repeat("no database at all ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a text": none, "a folder": t.TempDir()} {
		if _, err := storage.Open(t.Context(), storage.Config{SQLite: path}, quiet); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSQLiteThatCanNotWrite(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{"disk full": "pragma max_page_count = 1", "read-only": "pragma query_only = 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, storage.Config{SQLite: filepath.Join(t.TempDir(), "vel.db")})
			org := tenancy.Org{Meta: tenancy.Meta{Name: "a"}}
			if _, err := db.Orgs().Create(t.Context(), tenancy.Vel(), org); err != nil {
				t.Fatal(err)
			}
			if err := storage.Exec(t.Context(), db, spoil); err != nil {
				t.Fatal(err)
			}
			var err error
			for i := 0; i < 1000 && err == nil; i++ { // until the pages that are there are full
				org.Name = fmt.Sprint(i, strings.Repeat("x", 1000))
				_, err = db.Orgs().Create(t.Context(), tenancy.Vel(), org)
			}
			if !errors.As(err, new(*tenancy.Unavailable)) {
				t.Errorf("a write: %v", err)
			}
			if list, err := db.Orgs().List(t.Context(), "", tenancy.Page{Limit: 1}); err != nil || len(list) != 1 {
				t.Errorf("a read: %d, %v", len(list), err)
			}
			if err := storage.Exec(t.Context(), db, "pragma query_only = 0"); err != nil {
				t.Fatal(err)
			}
			if err := storage.Exec(t.Context(), db, "pragma max_page_count = 1000000"); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Orgs().Create(t.Context(), tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "b"}}); err != nil {
				t.Errorf("once it can again: %v", err)
			}
		})
	}
}

// TestSQLiteReadersDoNotWait reads while a writer has its turn, and gives up a wait for one.
func TestSQLiteReadersDoNotWait(t *testing.T) {
	t.Parallel()
	db := open(t, storage.Config{SQLite: filepath.Join(t.TempDir(), "vel.db")})
	if err := storage.Exec(t.Context(), db, "begin immediate"); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("a read beside a writer: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			if _, err := db.Orgs().Create(ctx, tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}}); err == nil {
				t.Error("a writer did not wait")
			}
		})
	}
	waiting.Wait()
	if err := storage.Exec(t.Context(), db, "rollback"); err != nil {
		t.Fatal(err)
	}
}

// writeForever creates organizations, and prints the name of each once it is stored.
func writeForever(ctx context.Context, path string) error {
	db, err := storage.Open(ctx, storage.Config{SQLite: path}, quiet)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		org, err := db.Orgs().Create(ctx, tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: fmt.Sprint("org-", i)}})
		if err != nil {
			return err
		}
		fmt.Println(org.ID)
	}
}

func TestKilledWhileItWrites(t *testing.T) {
	t.Parallel()
	cfg := storage.Config{SQLite: filepath.Join(t.TempDir(), "vel.db")}
	stored := map[tenancy.ID]bool{}
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childWrites+"="+cfg.SQLite)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			stored[tenancy.ID(lines.Text())] = true
			if n == 20 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		db, err := storage.Open(t.Context(), cfg, quiet)
		if err != nil {
			t.Fatal(err)
		}
		list, err := db.Orgs().List(t.Context(), "", tenancy.Page{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			delete(stored, o.ID)
			if err := db.Orgs().Delete(t.Context(), tenancy.Vel(), o.ID, o.ID, 0); err != nil { // the next one takes the names again
				t.Fatal(err)
			}
		}
		if len(list) < 21 || len(stored) > 0 {
			t.Errorf("of %d stored %d are lost", len(list), len(stored))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
