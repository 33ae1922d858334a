package storage

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

func (db *liteDB) migrate(ctx context.Context) error {
	p, err := provider(goose.DialectSQLite3, db.writer, "migrations/sqlite")
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (db *pgDB) migrate(ctx context.Context) error {
	on := stdlib.OpenDBFromPool(db.pool)
	defer func() { _ = on.Close() }()
	// A lock of the session would stay on a connection that the pooler hands to somebody else.
	turn, err := lock.NewPostgresTableLocker()
	if err != nil {
		return err
	}
	p, err := provider(goose.DialectPostgres, on, "migrations/postgres", goose.WithLocker(turn))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func provider(d goose.Dialect, on *sql.DB, folder string, options ...goose.ProviderOption) (*goose.Provider, error) {
	scripts, err := fs.Sub(migrations, folder)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return goose.NewProvider(d, on, scripts, options...)
}
