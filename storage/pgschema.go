package storage

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// How long the turn to migrate stays with a process that no longer says that it works, how often it says so, and how
// often the others look.
const (
	turnLease = 5 * time.Second
	turnBeat  = time.Second
	turnLook  = 200 * time.Millisecond
	turnLooks = 5 * 60 * 1000 / 200 // for five minutes
)

func (db *pgDB) schema(ctx context.Context, f func(schema) error) error {
	on := stdlib.OpenDBFromPool(db.control)
	defer func() { _ = on.Close() }()
	// A lock of the session would stay on a connection that the pooler hands to somebody else.
	turn, err := lock.NewPostgresTableLocker(
		lock.WithTableLeaseDuration(turnLease), lock.WithTableHeartbeatInterval(turnBeat), lock.WithTableLockTimeout(turnLook, turnLooks))
	if err != nil {
		return err
	}
	return f(schema{
		on: on, dialect: goose.DialectPostgres, options: []goose.ProviderOption{goose.WithLocker(turn)},
		exists: `select count(*) from pg_tables where schemaname = current_schema() and tablename = $1`,
		moment: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	})
}
