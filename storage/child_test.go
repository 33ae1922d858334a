package storage_test

import (
	"context"
	"os"
	"strings"
	"testing/fstest"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
)

// The test binary is also another process: one that migrates a database and ends, or one that writes until it is killed.
const (
	childDatabase = "STORAGE_TEST_DATABASE" // a URL, or a file
	childMigrates = "STORAGE_TEST_MIGRATES" // the only migration, if not those of the program
	childWrites   = "STORAGE_TEST_WRITES"   // a file
)

// child does what the environment asks of such a process; was tells whether this is one.
func child(ctx context.Context) (was bool, err error) {
	if path := os.Getenv(childWrites); path != "" {
		return true, writeForever(ctx, path)
	}
	database := os.Getenv(childDatabase)
	if database == "" {
		return false, nil
	}
	cfg, engine := storage.Config{URL: secrets.New(database)}, "postgres"
	if !strings.Contains(database, "://") {
		cfg, engine = storage.Config{SQLite: database}, "sqlite"
	}
	scripts := storage.Scripts(engine)
	if only := os.Getenv(childMigrates); only != "" {
		scripts = fstest.MapFS{"00001_slow.sql": &fstest.MapFile{Data: []byte("-- +goose Up\n" + only)}}
	}
	db, err := storage.OpenWith(ctx, cfg, quiet, scripts)
	if err != nil {
		return true, err
	}
	return true, db.Close()
}
