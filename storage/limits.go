package storage

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// scopeFilters narrow a list of limits or budgets.
func scopeFilters() []filter {
	return []filter{
		byName,
		{"team_id", false, func(p tenancy.Page) string { return string(p.Team) }},
		{"user_id", false, func(p tenancy.Page) string { return string(p.User) }},
		{"key_id", false, func(p tenancy.Page) string { return string(p.Key) }},
	}
}

// Limits keeps limits. They are called by their scope, so there is one object of each. Which calls they count never
// changes: nobody could say what the counters then count.
func (db *DB) Limits() tenancy.Store[accounting.Limits] { return db.limits() }

func (db *DB) limits() *table[accounting.Limits, *accounting.Limits] {
	return &table[accounting.Limits, *accounting.Limits]{
		db: db, name: "limits", prefix: "limit", followed: true, filters: scopeFilters(),
		columns: []column[accounting.Limits]{
			{name: "team_id", use: fixed, open: true, at: func(l *accounting.Limits) any { return &l.Scope.Team }},
			{name: "user_id", use: fixed, open: true, at: func(l *accounting.Limits) any { return &l.Scope.User }},
			{name: "key_id", use: fixed, open: true, at: func(l *accounting.Limits) any { return &l.Scope.Key }},
			{name: "route", use: fixed, open: true, at: func(l *accounting.Limits) any { return &l.Scope.Route }},
			{name: "rpm", open: true, at: func(l *accounting.Limits) any { return &l.RPM }},
			{name: "rph", open: true, at: func(l *accounting.Limits) any { return &l.RPH }},
			{name: "rpd", open: true, at: func(l *accounting.Limits) any { return &l.RPD }},
			{name: "tpm", open: true, at: func(l *accounting.Limits) any { return &l.TPM }},
			{name: "tph", open: true, at: func(l *accounting.Limits) any { return &l.TPH }},
			{name: "tpd", open: true, at: func(l *accounting.Limits) any { return &l.TPD }},
			{name: "in_flight", open: true, at: func(l *accounting.Limits) any { return &l.InFlight }},
			{name: "burst", open: true, at: func(l *accounting.Limits) any { return &l.Burst }},
			{name: "on_store_failure", open: true, at: func(l *accounting.Limits) any { return failing{&l.OnStoreFailure} }},
		},
		settle: func(ctx context.Context, t tx, l *accounting.Limits) error {
			return scopeExists(ctx, t, l.Org, &l.Scope)
		},
	}
}

// Budgets keeps budgets. Whose money it is and in which windows it is counted never changes: what was spent is known by
// them.
func (db *DB) Budgets() tenancy.Store[accounting.Budget] { return db.budgets() }

func (db *DB) budgets() *table[accounting.Budget, *accounting.Budget] {
	return &table[accounting.Budget, *accounting.Budget]{
		db: db, name: "budgets", prefix: "budget", followed: true, filters: scopeFilters(),
		columns: []column[accounting.Budget]{
			{name: "team_id", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Scope.Team }},
			{name: "user_id", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Scope.User }},
			{name: "key_id", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Scope.Key }},
			{name: "tag_key", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Scope.Tag.Key }},
			{name: "tag_value", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Scope.Tag.Value }},
			{name: "usd", open: true, at: func(b *accounting.Budget) any { return dollars{&b.Max} }},
			{name: "per", use: fixed, open: true, at: func(b *accounting.Budget) any { return window{&b.Per} }},
			{name: "timezone", use: fixed, open: true, at: func(b *accounting.Budget) any { return &b.Timezone }},
			{name: "warn_at", open: true, at: func(b *accounting.Budget) any { return &b.WarnAt }},
			{name: "hard", open: true, at: func(b *accounting.Budget) any { return &b.Hard }},
			{name: "on_store_failure", open: true, at: func(b *accounting.Budget) any { return failing{&b.OnStoreFailure} }},
		},
		settle: func(ctx context.Context, t tx, b *accounting.Budget) error {
			return scopeExists(ctx, t, b.Org, &b.Scope)
		},
	}
}

// scopeExists refuses a scope of what the organization does not have. A key of the file is in no table: whoever takes
// the scope from outside has looked there.
func scopeExists(ctx context.Context, t tx, org tenancy.ID, s *accounting.Scope) error {
	if err := exist(ctx, t, org, "teams", "team", s.Team); err != nil {
		return err
	}
	if err := exist(ctx, t, org, "users", "user", s.User); err != nil || s.Key == "" || strings.HasPrefix(string(s.Key), "key:") {
		return err
	}
	var one int64
	err := t.one(ctx, []any{&one}, `select 1 from keys where org_id = $1 and id = $2 and deleted_us = 0`, org, s.Key)
	if errors.Is(err, tenancy.ErrNotFound) {
		return &tenancy.Missing{Field: "key", ID: s.Key}
	}
	return err
}

// unlimited takes away the limits and budgets of a team, user or key that is about to go: the ones whose column is the id.
func (db *DB) unlimited(ctx context.Context, t tx, rev int64, log *trail, org tenancy.ID, column string, id tenancy.ID) error {
	if err := db.limits().allGone(ctx, t, log, column, org, id); err != nil {
		return err
	}
	if err := db.budgets().allGone(ctx, t, log, column, org, id); err != nil {
		return err
	}
	return db.buryLimits(ctx, t, rev, org, column, id)
}

// buryLimits marks limits and budgets as deleted: those whose column is the id, or with no column all of an organization.
func (db *DB) buryLimits(ctx context.Context, t tx, rev int64, org tenancy.ID, column string, id tenancy.ID) error {
	for _, bury := range []func(*arguments, int64) string{db.limits().bury, db.budgets().bury} {
		args := arguments{org}
		statement := bury(&args, rev) + ` where org_id = $1 and deleted_us = 0`
		if column != "" {
			statement += ` and ` + column + ` = ` + args.add(id)
		}
		if _, err := t.exec(ctx, statement, args...); err != nil {
			return err
		}
	}
	return nil
}

// keysUnlimited takes away the limits and budgets of all keys of a user.
func (db *DB) keysUnlimited(ctx context.Context, t tx, rev int64, log *trail, org, user tenancy.ID) error {
	keys, err := db.keys().rows(ctx, t, db.keys().selection()+` where org_id = $1 and user_id = $2 and deleted_us = 0 order by id`, org, user)
	if err != nil {
		return err
	}
	for i := range keys {
		if err := db.unlimited(ctx, t, rev, log, org, "key_id", keys[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// dollars is an amount as billionths; the audit log shows it as a decimal.
type dollars struct{ of *money.Nano }

func (d dollars) Value() (driver.Value, error) { return int64(*d.of), nil }

// MarshalJSON is for the audit log.
func (d dollars) MarshalJSON() ([]byte, error) { return json.Marshal(d.of.String()) }

func (d dollars) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("an amount is no number but %T", src)
	}
	*d.of = money.Nano(n)
	return nil
}

// window is a window of the calendar as a word. One that this version does not know is none, and no budget of it is valid.
type window struct{ of *ratelimit.Per }

func (w window) Value() (driver.Value, error) { return w.of.String(), nil }

// MarshalJSON is for the audit log.
func (w window) MarshalJSON() ([]byte, error) { return json.Marshal(w.of.String()) }

func (w window) Scan(src any) error {
	word, err := text(src)
	*w.of, _ = ratelimit.ParsePer(word)
	return err
}

// failing is what holds while the counters are away, as a word. What this version does not know is the strictest.
type failing struct{ of *ratelimit.OnStoreFailure }

func (f failing) Value() (driver.Value, error) { return f.of.String(), nil }

// MarshalJSON is for the audit log.
func (f failing) MarshalJSON() ([]byte, error) { return json.Marshal(f.of.String()) }

func (f failing) Scan(src any) error {
	word, err := text(src)
	known := false
	if *f.of, known = ratelimit.ParseOnStoreFailure(word); !known {
		*f.of = ratelimit.Closed
	}
	return err
}
