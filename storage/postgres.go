package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vel-gateway/vel/tenancy"
)

// pgDB is a Postgres database, perhaps behind a pooler that gives a connection away after each transaction: nothing
// here outlives one.
type pgDB struct {
	pool   *pgxpool.Pool
	direct string // a connection string for LISTEN
	log    *slog.Logger
}

func openPostgres(ctx context.Context, cfg Config, log *slog.Logger) (*pgDB, error) {
	pool, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil {
		return nil, errors.New("the URL of Postgres can not be read") // pgx's error may quote it
	}
	// Prepared statements stay behind on a connection that the pooler hands to somebody else.
	pool.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := &pgDB{direct: cfg.Direct.Reveal(), log: log}
	if db.direct == "" {
		db.direct = cfg.URL.Reveal()
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return nil, pgFault(err)
	}
	if err := db.pool.Ping(ctx); err != nil {
		db.pool.Close()
		return nil, pgFault(err)
	}
	return db, nil
}

func (db *pgDB) close() error {
	db.pool.Close()
	return nil
}

func (db *pgDB) read(ctx context.Context, as scope, f func(tx) error) error {
	return db.run(ctx, "begin read only", as, f)
}

func (db *pgDB) write(ctx context.Context, as scope, f func(tx) error) error {
	return db.run(ctx, "begin", as, f)
}

// run begins a transaction, takes the role and names the organization in one round trip.
func (db *pgDB) run(ctx context.Context, begin string, as scope, f func(tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin += "; set local role " + as.role
	if as.org != "" {
		begin += "; set local vel.org = '" + strings.ReplaceAll(string(as.org), "'", "''") + "'"
	}
	t, err := db.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
	if err != nil {
		return pgFault(err)
	}
	defer func() { _ = t.Rollback(ctx) }() // nothing is left of it after a commit
	if err := f(pgTx{t}); err != nil {
		return err
	}
	return pgFault(t.Commit(ctx))
}

type pgTx struct{ pgx.Tx }

func (t pgTx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := t.Exec(ctx, sql, args...)
	return tag.RowsAffected(), pgFault(err)
}

func (t pgTx) one(ctx context.Context, into []any, sql string, args ...any) error {
	return pgFault(t.QueryRow(ctx, sql, args...).Scan(into...))
}

func (t pgTx) each(ctx context.Context, f func(scan func(into ...any) error) error, sql string, args ...any) error {
	rows, err := t.Query(ctx, sql, args...)
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
	case !errors.As(err, &e):
		return &tenancy.Unavailable{Cause: err} // no answer of the server's: the connection, the pool or the time
	case e.Code == "23505":
		return &tenancy.Taken{Field: e.ConstraintName[strings.LastIndexByte(e.ConstraintName, '_')+1:]}
	case away(e.Code):
		return &tenancy.Unavailable{Cause: err}
	}
	return fmt.Errorf("postgres: %w", err)
}

// away tells by the class of a SQLSTATE whether the server can not work: connection, resources, operator, system.
func away(code string) bool {
	switch code[:2] {
	case "08", "53", "57", "58":
		return true
	}
	return false
}
