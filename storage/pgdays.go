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

	"github.com/vel-gateway/vel/tenancy/chain"
)

// In Postgres the rows of a day lie in a partition of their own, so that they are removed in no time. A partition does
// not inherit row-level security: it has its own, and no policy, so that nobody reads it but through its parent. The
// owner makes and drops partitions; no role may.

// dayForm is how the name of a partition ends, after the table's and what is between.
const dayForm = "20060102"

func (d *daily) prefix() string { return d.table + "_d" }

func (db *pgDB) prepareDays(ctx context.Context, now time.Time) error {
	for _, of := range dailyTables() {
		for i := -1; i <= of.ahead; i++ {
			if err := db.prepareDay(ctx, of, chain.Day(now).AddDate(0, 0, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareDay makes the partition of a day. Where another node was faster, or rows of that day lie where those of no
// day do, nothing has to be done.
func (db *pgDB) prepareDay(ctx context.Context, of daily, day time.Time) error {
	name := of.prefix() + day.Format(dayForm)
	err := db.asOwner(ctx, func(t pgx.Tx) error {
		var exists bool
		if err := t.QueryRow(ctx, `select to_regclass($1) is not null`, name).Scan(&exists); err != nil || exists {
			return err
		}
		_, err := t.Exec(ctx, fmt.Sprintf(`
			create table %[1]s (like %[2]s including defaults including indexes);
			alter table %[1]s enable row level security;
			alter table %[1]s force row level security;
			alter table %[2]s attach partition %[1]s for values from (%[3]d) to (%[4]d)`,
			name, of.table, day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro()), pgx.QueryExecModeSimpleProtocol)
		return err
	})
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "23514", "42P07", "23505", "42710": // rows of that day lie elsewhere; or somebody else makes it just now
			return nil
		}
	}
	return pgFault(err)
}

func (db *pgDB) dropDays(ctx context.Context, of daily, before time.Time) error {
	var names []string
	rows, err := db.control.Query(ctx, `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = $1::text::regclass and c.relname like $2 order by 1`, of.table, strings.ReplaceAll(of.prefix(), "_", `\_`)+"%")
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return pgFault(err)
	}
	for _, name := range names {
		day, err := time.Parse(dayForm, strings.TrimPrefix(name, of.prefix()))
		if err != nil || !day.Before(before) {
			continue
		}
		if err := db.dropDay(ctx, of, name, day); err != nil {
			return err
		}
	}
	return nil
}

// dropDay drops a day whose rows are no longer needed.
func (db *pgDB) dropDay(ctx context.Context, of daily, name string, day time.Time) error {
	if of.wanted != "" {
		var wanted bool
		err := db.read(ctx, leader, func(t tx) error {
			return t.one(ctx, []any{&wanted}, of.wanted, day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro())
		})
		if err != nil || wanted {
			return err
		}
	}
	return pgFault(db.asOwner(ctx, func(t pgx.Tx) error {
		_, err := t.Exec(ctx, `drop table if exists `+name)
		return err
	}))
}

// asOwner runs f in a transaction of the login, which owns the schema. It waits for no lock that would make others wait.
func (db *pgDB) asOwner(ctx context.Context, f func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := db.begin(ctx, db.control, "begin; "+limits+"; set local lock_timeout = '2s'")
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(ctx) }() // nothing is left of it after a commit
	if err := f(t); err != nil {
		return err
	}
	return t.Commit(ctx)
}

// prepared makes room for the days to come when a database is opened, so that the first event finds its place.
func (db *DB) prepared(ctx context.Context) {
	if err := db.prepareDays(ctx, time.Now()); err != nil {
		db.log.Warn("there is no room yet for what comes on the days ahead; it is tried again", slog.Any("reason", err))
	}
}
