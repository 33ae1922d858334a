package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// oldestPostgres is the version, as server_version_num has it, that we need at least.
const oldestPostgres = 130000

// pgRole is one of the roles that transactions take.
type pgRole struct {
	name    string
	exists  bool
	mighty  bool // row-level security does not bind it
	granted bool // the login may take it
}

// RolesSQL is what an administrator of Postgres has to run before the first start if Vel's own login may not create
// roles. It may be run again only in parts: what is there already is an error.
func RolesSQL(cfg Config) string {
	login := "vel"
	if c, err := pgxpool.ParseConfig(cfg.URL.Reveal()); err == nil && cfg.SQLite == "" {
		login = c.ConnConfig.User
	}
	var names []string
	var b strings.Builder
	for _, s := range []scope{tenant(""), system, ingest} {
		names = append(names, s.role)
		fmt.Fprintf(&b, "create role %s nologin;\n", s.role)
	}
	fmt.Fprintf(&b, "grant %s to %s;\n", strings.Join(names, ", "), pgx.Identifier{login}.Sanitize())
	return b.String()
}

// inspect refuses a server that is too old, or that would not keep tenants apart.
func (db *pgDB) inspect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var version int
	if err := db.control.QueryRow(ctx, `select current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return pgFault(err)
	}
	if version < oldestPostgres {
		return fmt.Errorf("this is Postgres %d; Vel needs %d or newer", version/10000, oldestPostgres/10000)
	}
	roles, err := db.roles(ctx)
	if err != nil {
		return pgFault(err)
	}
	for _, r := range roles {
		if r.mighty {
			return fmt.Errorf("the role %s is a superuser or has BYPASSRLS, so nothing would keep organizations apart; "+
				"let an administrator run: alter role %s nosuperuser nobypassrls", r.name, r.name)
		}
	}
	return nil
}

// prepare makes the roles that are missing, and lets the login take them.
func (db *pgDB) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	roles, err := db.roles(ctx)
	if err != nil {
		return pgFault(err)
	}
	for _, r := range roles {
		switch err := db.grant(ctx, r); {
		case errors.As(err, new(*pgconn.PgError)):
			return fmt.Errorf("the role %s is missing, or %s may not take it, and may not change that (%w); "+
				"let an administrator run what `vel migrate roles` prints", r.name, db.direct.User, err)
		case err != nil:
			return pgFault(err)
		}
	}
	return nil
}

func (db *pgDB) roles(ctx context.Context) ([]pgRole, error) {
	// Who has created a role is a member of it since Postgres 16, but may not take it before it was granted.
	rows, err := db.control.Query(ctx, `
		select n.name, r.oid is not null, coalesce(r.rolsuper or r.rolbypassrls, false),
			coalesce(pg_has_role(r.oid, case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end), false)
		from unnest($1::text[]) n(name) left join pg_roles r on r.rolname = n.name order by n.name`,
		[]string{tenant("").role, system.role, ingest.role})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r pgRole, err error) {
		return r, row.Scan(&r.name, &r.exists, &r.mighty, &r.granted)
	})
}

// grant makes a role and lets the login take it, as far as it is not so already. Roles are the server's and not the
// database's: a Vel in another database may do the same at the same time.
func (db *pgDB) grant(ctx context.Context, r pgRole) error {
	for _, step := range []struct {
		done      bool
		statement string
	}{
		{r.exists, "create role " + r.name + " nologin"},
		{r.granted, "grant " + r.name + " to current_user"},
	} {
		if step.done {
			continue
		}
		var e *pgconn.PgError
		switch _, err := db.control.Exec(ctx, step.statement); {
		case errors.As(err, &e) && (e.Code == "42710" || e.Code == "23505"): // the other one was faster
		case err != nil:
			return err
		}
	}
	return nil
}
