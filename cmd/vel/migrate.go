package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/storage"
)

// migrateCmd is about the schema of the database. It works on the database itself, not through a server.
type migrateCmd struct {
	Status migrateStatusCmd `cmd:"" help:"List the migrations and when the database had them."`
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema up to date, as a start does."`
	Roles  migrateRolesCmd  `cmd:"" help:"Print what an administrator of Postgres runs if Vel's login may not create roles."`
}

// Help shows how it is used.
func (migrateCmd) Help() string {
	return `The database is the one of the configuration. A SQLite file must not be open elsewhere.

Example:
  vel migrate status
  DATABASE_URL=postgres://… vel migrate up
  DATABASE_URL=postgres://… vel migrate roles | psql -U postgres`
}

// onDatabase says which database a command works on.
type onDatabase struct {
	Config string `env:"VEL_CONFIG" placeholder:"FILE" help:"The file that names the database; ./vel.yaml if it is there."`
}

// with connects to the database as it is.
func (d *onDatabase) with(ctx context.Context, o *output, f func(db *storage.DB) error) error {
	cfg, err := config.Load(configPath(d.Config), os.Environ())
	if err != nil {
		return err
	}
	db, err := storage.Connect(ctx, storageConfig(cfg), quiet(o.Err))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what was done is committed
	return f(db)
}

// quiet is the log of a command: what goes wrong, on the terminal.
func quiet(to io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// migration is one line of the result for machines.
type migration struct {
	Version int64      `json:"version"`
	Name    string     `json:"name"` // empty: a newer program made it
	Applied *time.Time `json:"applied"`
}

func printMigrations(ctx context.Context, o *output, db *storage.DB) error {
	all, err := db.Status(ctx)
	if err != nil {
		return err
	}
	list := make([]migration, len(all))
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "VERSION\tNAME\tAPPLIED")
	for i, m := range all {
		list[i] = migration{m.Version, m.Name, moment(m.Applied)}
		applied := "not yet"
		if !m.Applied.IsZero() {
			applied = m.Applied.Local().Format("2006-01-02 15:04")
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, m.Name, applied)
	}
	_ = w.Flush() // a buffer takes everything
	return o.print(list, b.String())
}

// moment is a time for JSON; nil if there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type migrateStatusCmd struct{ onDatabase }

func (c *migrateStatusCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(db *storage.DB) error { return printMigrations(ctx, o, db) })
}

type migrateUpCmd struct{ onDatabase }

func (c *migrateUpCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(db *storage.DB) error {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		return printMigrations(ctx, o, db)
	})
}

type migrateRolesCmd struct{ onDatabase }

func (c *migrateRolesCmd) Run(o *output) error {
	cfg, err := config.Load(configPath(c.Config), os.Environ())
	if err != nil {
		return err
	}
	sql := storage.RolesSQL(storageConfig(cfg))
	return o.print(map[string]string{"sql": sql}, sql)
}
