package storage

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

func embedded(engine string) fs.FS {
	scripts, err := fs.Sub(migrations, "migrations/"+engine)
	if err != nil {
		panic(err) // the path is well formed
	}
	return scripts
}

// Migration is one step from an empty database to the schema of today.
type Migration struct {
	Version int64
	Name    string    // its file; empty: this program does not know it, a newer one made it
	Applied time.Time // zero: not yet
}

// schema is the way to the schema of one engine.
type schema struct {
	on      *sql.DB
	dialect goose.Dialect
	exists  string        // the query that counts the tables of a name
	moment  sql.TxOptions // of a transaction that sees one moment
	options []goose.ProviderOption
}

// Migrate brings the schema up to date. Of several processes that do so at once one works and the others wait for it.
//
// A schema changes in two steps. A migration that expands leaves the programs before it able to work; one that
// contracts comes a version later, and writes into vel_schema which version a program must know at least. So a program
// may meet a newer schema than its own, and works with it until it is told not to.
func (db *DB) Migrate(ctx context.Context) error {
	if err := db.dialect.prepare(ctx); err != nil {
		return err
	}
	return db.dialect.schema(ctx, func(s schema) error {
		p, err := db.provider(s)
		if err != nil {
			return err
		}
		stands, err := s.read(ctx, p)
		if err != nil {
			return err
		}
		if err := stands.accept(); err != nil {
			return err
		}
		if _, err = p.Up(ctx); err != nil {
			return err
		}
		return db.dialect.migrateQueue(ctx, db.log)
	})
}

// Status lists the migrations in their order: those that this program knows and those that the database has had.
func (db *DB) Status(ctx context.Context) (list []Migration, err error) {
	err = db.dialect.schema(ctx, func(s schema) error {
		p, err := db.provider(s)
		if err != nil {
			return err
		}
		stands, err := s.read(ctx, p)
		list = stands.list
		return err
	})
	return list, err
}

func (db *DB) provider(s schema) (*goose.Provider, error) {
	options := append(s.options, goose.WithDisableGlobalRegistry(true), goose.WithSlog(db.log))
	return goose.NewProvider(s.dialect, s.on, db.scripts, options...)
}

// state is how far a database has come.
type state struct {
	list   []Migration
	oldest int64 // the version that a program must know at least; 0: there are no tables yet
}

// read finds the state at one moment: another process may be at work on it.
func (s *schema) read(ctx context.Context, p *goose.Provider) (st state, err error) {
	for _, source := range p.ListSources() {
		st.list = append(st.list, Migration{Version: source.Version, Name: source.Path})
	}
	t, err := s.on.BeginTx(ctx, &s.moment)
	if err != nil {
		return st, err
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	var listed, made int
	if err := t.QueryRowContext(ctx, s.exists, goose.DefaultTablename).Scan(&listed); err != nil {
		return st, err
	}
	if err := t.QueryRowContext(ctx, s.exists, "vel_schema").Scan(&made); err != nil {
		return st, err
	}
	if made > 0 {
		if err := t.QueryRowContext(ctx, `select oldest from vel_schema`).Scan(&st.oldest); err != nil {
			return st, err
		}
	}
	if listed > 0 {
		err = st.applied(ctx, t)
	}
	return st, err
}

// applied notes which migrations the database has had.
func (st *state) applied(ctx context.Context, t *sql.Tx) error {
	rows, err := t.QueryContext(ctx, `select version_id, tstamp from `+goose.DefaultTablename+` where version_id > 0 order by version_id`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m Migration
		if err := rows.Scan(&m.Version, &m.Applied); err != nil {
			return err
		}
		i, known := slices.BinarySearchFunc(st.list, m.Version, func(l Migration, v int64) int { return cmp.Compare(l.Version, v) })
		if known {
			st.list[i].Applied = m.Applied
		} else {
			st.list = slices.Insert(st.list, i, m)
		}
	}
	return rows.Err()
}

// accept refuses a database that no row of migrations leads to, and one that has left this program behind.
func (st *state) accept() error {
	var known, stands int64 // the newest version that we know, and that the database has
	for _, m := range st.list {
		if m.Name != "" {
			known = m.Version
		}
		if !m.Applied.IsZero() {
			stands = m.Version
		}
	}
	for _, m := range st.list {
		if m.Applied.IsZero() && m.Version < stands {
			return fmt.Errorf("the database is half-migrated: it has version %d, but %s was never applied; restore it from a backup", stands, m.Name)
		}
	}
	switch {
	case (st.oldest > 0) != (stands > 0):
		return errors.New("the database is half-migrated: its tables and its list of migrations do not agree; restore it from a backup")
	case known < st.oldest:
		return fmt.Errorf("the database has version %d and needs a program that knows version %d; this one knows %d: start a newer vel", stands, st.oldest, known)
	}
	return nil
}
