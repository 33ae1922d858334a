package storage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/storage/storagetest"
)

// server is the Postgres of this package's tests; each test has a database of its own in it.
var server *storagetest.Postgres

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if was, err := child(context.Background()); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	var err error
	if server, err = storagetest.StartPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		server.Close()
		return 1
	}
	code := m.Run()
	server.Close()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// engines are the ways to a database.
var engines = map[string]func(t testing.TB) storage.Config{
	"sqlite": func(t testing.TB) storage.Config {
		return storage.Config{SQLite: filepath.Join(t.TempDir(), "vel.db")}
	},
	"postgres": func(t testing.TB) storage.Config {
		return storage.Config{URL: secrets.New(server.Database(t).URL)}
	},
	"pgbouncer": func(t testing.TB) storage.Config {
		return storage.Config{URL: secrets.New(server.Database(t).Pooled)}
	},
}

// open opens a database for the length of a test.
func open(t testing.TB, cfg storage.Config) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestEngines(t *testing.T) {
	t.Parallel()
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.Run(t, func(t *testing.T) *storage.DB { return open(t, engine(t)) })
		})
	}
}
