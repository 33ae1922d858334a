package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Config says where the database is.
type Config struct {
	SQLite string         // the path of the file; empty: Postgres
	URL    secrets.Secret // of Postgres, perhaps through a pooler
	Direct secrets.Secret // of the same Postgres without the pooler, for LISTEN; empty: there is none, or none is needed
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect dialect
	news    *news
	scripts fs.FS       // the migrations
	queue   tasks.Queue // of this process; nil: nobody runs jobs here
	log     *slog.Logger
}

// dialect is what differs between the engines.
type dialect interface {
	// read and write run f in a transaction of a scope: read sees one moment, write commits what f did if it returns nil.
	read(ctx context.Context, as scope, f func(tx) error) error
	write(ctx context.Context, as scope, f func(tx) error) error
	// prepare makes, before the first migration, what no migration can make.
	prepare(ctx context.Context) error
	// schema hands out the way to the schema: no role is taken, and no organization named.
	schema(ctx context.Context, f func(schema) error) error
	// listen calls woken after each change that another process may have committed, until ctx ends.
	listen(ctx context.Context, woken func()) error
	// enqueue puts jobs into the queue within a transaction; where the queue is this process's own, it does nothing.
	enqueue(ctx context.Context, t tx, jobs []tasks.Job) error
	newQueue(of *DB) (tasks.Queue, error)
	// migrateQueue brings the tables of the queue up to date, if there are any; of several processes one does, and the others wait.
	migrateQueue(ctx context.Context, log *slog.Logger) error
	close() error
}

// tx is one transaction. Errors of its methods are those of tenancy.Store, or faults of our own.
type tx interface {
	// exec runs a statement and tells how many rows it touched.
	exec(ctx context.Context, sql string, args ...any) (int64, error)
	// one reads the only row of a query; ErrNotFound if there is none.
	one(ctx context.Context, into []any, sql string, args ...any) error
	// each calls f for every row.
	each(ctx context.Context, f func(scan func(into ...any) error) error, sql string, args ...any) error
	// bulk inserts rows of values for fields, which then may say what happens to those that are there already, and tells
	// how many it touched.
	bulk(ctx context.Context, into string, fields []field, then string, rows [][]any) (int64, error)
	// joined is the expression for one binary value behind another.
	joined(a, b string) string
	// joinedAll is the expression for all the binary values of a column of a group, one behind the other.
	joinedAll(column string) string
	// skipLocked is what ends a select of rows for an update that passes over those that somebody else is changing.
	skipLocked() string
	// turn goes on in another scope.
	turn(ctx context.Context, as scope) error
}

// patience is how long a transaction may take, and quick how long we wait to be told that the database is well.
const (
	patience = 10 * time.Second
	quick    = 400 * time.Millisecond
)

// Open opens the database and brings its schema up to date. It refuses a SQLite file that another process has open, a
// Postgres whose roles could see what they must not, and a schema that this program does not know.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*DB, error) {
	db, err := Connect(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate the database: %w", err), db.Close())
	}
	db.prepared(ctx)
	return db, nil
}

// Connect opens the database as it is, for commands that look at its schema.
func Connect(ctx context.Context, cfg Config, log *slog.Logger) (*DB, error) {
	db := &DB{news: newNews(), log: log}
	var err error
	if cfg.SQLite != "" {
		db.scripts = embedded("sqlite")
		db.dialect, err = openSQLite(ctx, cfg.SQLite)
	} else {
		db.scripts = embedded("postgres")
		db.dialect, err = openPostgres(ctx, cfg, log)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return db, nil
}

// Close ends all connections. No method may be running.
func (db *DB) Close() error { return db.dialect.close() }

// Ping asks the database whether it answers, at once.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	return db.dialect.read(ctx, system, func(t tx) error {
		var rev int64
		return t.one(ctx, []any{&rev}, `select rev from config_rev`)
	})
}

// bump raises the revision of the configuration, under the lock of its row: who changes the configuration waits here
// for the others, so that revisions become visible in their order.
func bump(ctx context.Context, t tx) (rev int64, err error) {
	err = t.one(ctx, []any{&rev}, `update config_rev set rev = rev + 1 returning rev`)
	return rev, err
}

// change runs f in an audited transaction that changes the configuration, with the revision that it makes, and tells
// everybody.
func (db *DB) change(ctx context.Context, as scope, by tenancy.Actor, f func(t tx, rev int64, log *trail) error) error {
	err := db.audited(ctx, as, by, func(t tx, log *trail) error {
		rev, err := bump(ctx, t)
		if err != nil {
			return err
		}
		return f(t, rev, log)
	})
	if err == nil {
		db.news.tell()
	}
	return err
}
