package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/vel-gateway/vel/tenancy"
)

// liteDB is a SQLite file. One process has it, and in it one connection writes: SQLite has no more to give, and a queue
// in front of it is fair where its own lock is not. Those who wait there are written together: see litegroup.go.
type liteDB struct {
	lock   *os.File
	writer *sql.DB // of one connection
	reader *sql.DB
	turns  turns      // in front of the writer
	group  *liteGroup // that is open; nil: none. It belongs to whoever has the turn
}

// readers is how many transactions may read at the same time.
const readers = 4

func openSQLite(ctx context.Context, path string) (*liteDB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	db := &liteDB{lock: lock}
	if err := makePrivate(path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if db.writer, err = openLite(liteName(path, "immediate", append(batching(), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)")...)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	db.writer.SetMaxOpenConns(1)
	if db.reader, err = openLite(liteName(path, "deferred", "query_only(1)")); err != nil {
		return nil, errors.Join(err, db.writer.Close(), lock.Close())
	}
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	if err := db.writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.close())
	}
	return db, nil
}

// batching is how the writer is set up for batches of calls: what one changes has room in the cache (in KiB) and need not
// be written before all of it is there, and pages that the next batches change too are copied into the file once for
// several of them (4000 pages are 16 MiB).
func batching() []string { return []string{"cache_size(-16384)", "wal_autocheckpoint(4000)"} }

// lockFile takes the file for this process. The lock goes with the process, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// A process that is just being forked has all files of its parent for a moment, and with them a lock that was given up.
	for try := 1; ; try++ {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil || try == lockTries {
			break
		}
		time.Sleep(lockPause)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another vel process has %s open; stop it, or ask it through its API", path)
	}
	return f, nil
}

// How often the lock is tried, and how long in between, before the file counts as another process's.
const (
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// makePrivate makes the file, if there is none, so that only its owner reads it; SQLite gives its other files the same
// mode.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func liteName(path, begin string, pragmas ...string) string {
	q := url.Values{"_txlock": {begin}, "_pragma": append(pragmas, "busy_timeout(5000)")}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (db *liteDB) close() error {
	return errors.Join(db.reader.Close(), db.writer.Close(), db.lock.Close())
}

func (db *liteDB) read(ctx context.Context, as scope, f func(tx) error) error {
	if !wellFormed(as.org) {
		return tenancy.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := db.reader.BeginTx(ctx, nil)
	if err != nil {
		return liteFault(err)
	}
	defer func() { _ = t.Rollback() }() // nothing is left of it after a commit
	if err := f(liteTx{t, false}); err != nil {
		return err
	}
	return liteFault(t.Commit())
}

// prepare has nothing to do: there are no roles.
func (db *liteDB) prepare(context.Context) error { return nil }

func (db *liteDB) schema(ctx context.Context, f func(schema) error) error {
	if err := db.turns.take(ctx, false); err != nil {
		return liteFault(err)
	}
	defer db.turns.give()
	db.commit()
	return f(schema{
		on: db.writer, dialect: goose.DialectSQLite3,
		exists: `select count(*) from sqlite_master where type = 'table' and name = $1`,
	})
}

// listen has nobody to listen to: this process is the only one.
func (db *liteDB) listen(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// liteTx is a transaction, or a part of one that others share.
type liteTx struct {
	*sql.Tx
	shared bool
}

// within is the context of a statement. One that is interrupted would take all of a shared transaction with it.
func (t liteTx) within(ctx context.Context) context.Context {
	if t.shared {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (t liteTx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	res, err := t.ExecContext(t.within(ctx), sql, args...)
	if err != nil {
		return 0, liteFault(err)
	}
	return res.RowsAffected()
}

func (t liteTx) one(ctx context.Context, into []any, sql string, args ...any) error {
	return liteFault(t.QueryRowContext(t.within(ctx), sql, args...).Scan(into...))
}

func (t liteTx) each(ctx context.Context, f func(scan func(into ...any) error) error, sql string, args ...any) error {
	rows, err := t.QueryContext(t.within(ctx), sql, args...)
	if err != nil {
		return liteFault(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return liteFault(rows.Err())
}

// turn has nothing to do: only the statements themselves tell organizations apart here.
func (t liteTx) turn(context.Context, scope) error { return nil }

// liteFault says in the house's words what SQLite complains of.
func liteFault(err error) error {
	var e *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return tenancy.ErrNotFound
	case errors.As(err, &e):
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT:
			if e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
				return &tenancy.Taken{Field: lastColumn(e.Error())}
			}
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT:
			return &tenancy.Unavailable{Cause: err}
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrTxDone): // the time was up before a statement, or between two
		return &tenancy.Unavailable{Cause: err}
	}
	return err
}

// lastColumn is the field in "UNIQUE constraint failed: users.org_id, users.email (2067)".
func lastColumn(message string) string {
	message, _, _ = strings.Cut(message, " (")
	return message[strings.LastIndexByte(message, '.')+1:]
}
