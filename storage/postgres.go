package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// pgDB is a Postgres database, perhaps behind a pooler that gives a connection away after each transaction: nothing
// here outlives one.
//
// It has two small pools. What people and automation ask of the control plane may take all connections of one and queue
// for them; what a call of the data plane waits for, and the poll that revokes keys, has the other to itself.
type pgDB struct {
	control, calls *pgxpool.Pool
	pooled         bool            // a pooler is in between
	direct         *pgx.ConnConfig // for LISTEN
	inserter       *river.Client[pgx.Tx]
}

// How many connections each pool has at most. Twenty nodes have 240, behind a pooler as few as it allows.
const (
	controlConns = 8
	callConns    = 4
)

// How long may pass until a transaction has begun: to dial, and in all, with the wait for a connection.
const (
	dialing   = 2 * time.Second
	beginning = 2500 * time.Millisecond
)

// limits let the server end what its client can no longer end: a statement when our patience is over, and a transaction
// whose node is gone and that would keep everybody from changing the configuration.
const limits = "set local statement_timeout = '10s'; set local idle_in_transaction_session_timeout = '15s'"

func openPostgres(ctx context.Context, cfg Config, log *slog.Logger) (*pgDB, error) {
	url, direct := cfg.URL, cfg.Direct
	if direct.IsZero() {
		direct = url
	}
	listener, err := poolConfig(direct, 1)
	if err != nil {
		return nil, err
	}
	db := &pgDB{direct: listener.ConnConfig}
	if db.pooled, err = behindPooler(ctx, url); err != nil {
		return nil, err
	}
	if db.control, err = db.openPool(ctx, url, controlConns); err != nil {
		return nil, err
	}
	if db.calls, err = db.openPool(ctx, url, callConns); err != nil {
		db.control.Close()
		return nil, err
	}
	if db.inserter, err = newInserter(log); err != nil {
		return nil, errors.Join(fmt.Errorf("make the queue: %w", err), db.close())
	}
	if err := db.inspect(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// openPool opens a pool. Where no pooler is between it and Postgres, and as far as nobody says otherwise, statements are prepared once
// for each connection: half of Postgres' work for ours would else be to read and to plan them.
func (db *pgDB) openPool(ctx context.Context, url secrets.Secret, most int32) (*pgxpool.Pool, error) {
	cfg, err := poolConfig(url, most)
	if err != nil {
		return nil, err
	}
	if !db.pooled {
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// behindPooler tells whether a pooler answers there.
func behindPooler(ctx context.Context, url secrets.Secret) (bool, error) {
	cfg, err := poolConfig(url, 1)
	if err != nil {
		return false, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return false, pgFault(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
		defer cancel()
		_ = conn.Close(ctx) // it is of no more use
	}()
	err = unpooled(ctx, conn)
	if errors.Is(err, errPooled) {
		return true, nil
	}
	return false, err
}

func poolConfig(url secrets.Secret, most int32) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		// pgx's own error may quote the password.
		return nil, errors.New("the URL of Postgres can not be read; it is postgres://user:password@host:port/name")
	}
	// Prepared statements stay behind on a connection that a pooler hands to somebody else.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.ConnConfig.ConnectTimeout = dialing
	cfg.ConnConfig.RuntimeParams["application_name"] = "vel"
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = most, 0, 0
	return cfg, nil
}

func (db *pgDB) close() error {
	db.control.Close()
	db.calls.Close()
	return nil
}

func (db *pgDB) read(ctx context.Context, as scope, f func(tx) error) error {
	return db.run(ctx, "begin isolation level repeatable read read only", as, f)
}

func (db *pgDB) write(ctx context.Context, as scope, f func(tx) error) error {
	return db.run(ctx, "begin", as, f)
}

func (db *pgDB) run(ctx context.Context, begin string, as scope, f func(tx) error) error {
	if !wellFormed(as.org) {
		return tenancy.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pool := db.control
	if as.calls {
		pool = db.calls
	}
	t, err := db.begin(ctx, pool, begin+"; "+limits+"; "+as.settings())
	if err != nil {
		return pgFault(err)
	}
	defer func() { _ = t.Rollback(ctx) }() // nothing is left of it after a commit
	if err := f(pgTx{t, !db.pooled && as.same}); err != nil {
		return err
	}
	return pgFault(t.Commit(ctx))
}

// begin begins a transaction and puts it into its scope in one round trip. A connection that broke since its last use
// shows here, before anything was done, so it tries once more with a new one: after a restart of the server all are
// broken.
func (db *pgDB) begin(ctx context.Context, pool *pgxpool.Pool, statements string) (pgx.Tx, error) {
	ctx, cancel := context.WithTimeout(ctx, beginning)
	defer cancel()
	t, err := pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: statements})
	if err != nil && ctx.Err() == nil && errors.As(pgFault(err), new(*tenancy.Unavailable)) {
		pool.Reset()
		t, err = pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: statements})
	}
	return t, err
}

// pgTx is a transaction.
type pgTx struct {
	pgx.Tx
	prepares bool // its statements are prepared once for each connection
}

// in says with the values of a statement how it is run. What people ask differs from one time to the next, and is planned each time.
func (t pgTx) in(values []any) []any {
	how := pgx.QueryExecModeExec
	if t.prepares {
		how = pgx.QueryExecModeCacheStatement
	}
	return append([]any{how}, values...)
}

func (t pgTx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := t.Exec(ctx, sql, t.in(args)...)
	return tag.RowsAffected(), pgFault(err)
}

func (t pgTx) one(ctx context.Context, into []any, sql string, args ...any) error {
	return pgFault(t.QueryRow(ctx, sql, t.in(args)...).Scan(into...))
}

func (t pgTx) each(ctx context.Context, f func(scan func(into ...any) error) error, sql string, args ...any) error {
	rows, err := t.Query(ctx, sql, t.in(args)...)
	if err != nil {
		return pgFault(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return pgFault(rows.Err())
}

func (t pgTx) skipLocked() string { return " for update skip locked" }

func (t pgTx) turn(ctx context.Context, as scope) error {
	if !wellFormed(as.org) {
		return tenancy.ErrNotFound
	}
	_, err := t.Exec(ctx, as.settings(), pgx.QueryExecModeSimpleProtocol)
	return pgFault(err)
}

// pgFault says in the house's words what Postgres, or the way to it, complains of.
func pgFault(err error) error {
	var e *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return tenancy.ErrNotFound
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, new(pgx.ScanArgError)):
		return fmt.Errorf("postgres: %w", err)
	case !errors.As(err, &e):
		return &tenancy.Unavailable{Cause: err} // no answer of the server's: the connection, the pool or the time
	case e.Code == "23505":
		return &tenancy.Taken{Field: indexed(e.ConstraintName)}
	case e.Code == "22021":
		return tenancy.ErrNotFound // a text that Postgres can not even hold names nothing
	case away(e.Code):
		return &tenancy.Unavailable{Cause: err}
	}
	return fmt.Errorf("postgres: %w", err)
}

// indexed is the field that a unique index stands for: its name is the table, an underscore and the field.
func indexed(index string) string {
	field := index[strings.LastIndexByte(index, '_')+1:]
	if field == "pkey" {
		return "id"
	}
	return field
}

// away tells by its SQLSTATE whether the server can not do its work, whatever it is asked: connection, sign-in,
// resources, operator, system; and what a second try may well do: it gave up for another transaction's sake, or it is a
// standby for the moment.
func away(code string) bool {
	switch code[:2] {
	case "08", "28", "40", "53", "55", "57", "58":
		return true
	}
	return code == "25006"
}
