package storage

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/tenancy"
)

// Orgs keeps organizations. What belongs to one goes with it, in the same transaction.
func (db *DB) Orgs() tenancy.Store[tenancy.Org] { return db.orgs() }

func (db *DB) orgs() *table[tenancy.Org, *tenancy.Org] {
	return &table[tenancy.Org, *tenancy.Org]{
		db: db, name: "organizations", prefix: "org", followed: true, overall: true, filters: []filter{byName},
		columns: []column[tenancy.Org]{
			{name: "disabled", open: true, at: func(o *tenancy.Org) any { return &o.Disabled }},
			{name: "keep_content", open: true, at: func(o *tenancy.Org) any { return &o.KeepContent }},
		},
		clear: func(ctx context.Context, t tx, rev int64, _ *trail, o *tenancy.Org) error {
			if err := db.buryKeys(ctx, t, rev, o.ID, ""); err != nil {
				return err
			}
			if err := db.buryLimits(ctx, t, rev, o.ID, "", ""); err != nil {
				return err
			}
			for _, of := range []string{"sessions", "key_usage", "users", "roles", "teams", "idempotency", "stored_objects", "deliveries", "notices", "webhooks", "tasks", "task_contents", "task_progress", "task_owners", "batches", "agents", "agent_versions"} {
				if _, err := t.exec(ctx, `delete from `+of+` where org_id = $1`, o.ID); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// Teams keeps the teams of organizations.
func (db *DB) Teams() tenancy.Store[tenancy.Team] { return db.teams() }

func (db *DB) teams() *table[tenancy.Team, *tenancy.Team] {
	return &table[tenancy.Team, *tenancy.Team]{
		db: db, name: "teams", prefix: "team", filters: []filter{byName},
		clear: func(ctx context.Context, t tx, rev int64, log *trail, v *tenancy.Team) error {
			if err := unused(ctx, t, v.Org, v.ID, "team_id", "teams"); err != nil {
				return err
			}
			return db.unlimited(ctx, t, rev, log, v.Org, "team_id", v.ID)
		},
	}
}

// Roles keeps the roles that an organization has made.
func (db *DB) Roles() tenancy.Store[tenancy.Role] { return db.roles() }

func (db *DB) roles() *table[tenancy.Role, *tenancy.Role] {
	return &table[tenancy.Role, *tenancy.Role]{
		db: db, name: "roles", prefix: "role", filters: []filter{byName},
		columns: []column[tenancy.Role]{
			{name: "permissions", open: true, at: func(r *tenancy.Role) any { return allowed{&r.Permissions} }},
		},
		clear: func(ctx context.Context, t tx, _ int64, _ *trail, v *tenancy.Role) error {
			return unused(ctx, t, v.Org, v.ID, "role", "roles")
		},
	}
}

// Users keeps users. A user's password and last sign-in have methods of their own.
func (db *DB) Users() tenancy.Store[tenancy.User] { return db.users() }

func (db *DB) users() *table[tenancy.User, *tenancy.User] {
	return &table[tenancy.User, *tenancy.User]{
		db: db, name: "users", prefix: "user",
		filters: []filter{
			byName,
			{"email", false, func(p tenancy.Page) string { return p.Email }},
			{"teams", true, func(p tenancy.Page) string { return string(p.Team) }},
		},
		columns: []column[tenancy.User]{
			{name: "email", open: true, at: func(u *tenancy.User) any { return &u.Email }},
			{name: "password", use: fixed, at: func(u *tenancy.User) any { return &u.Password }},
			{name: "roles", open: true, at: func(u *tenancy.User) any { return list[tenancy.ID]{&u.Roles} }},
			{name: "teams", open: true, at: func(u *tenancy.User) any { return list[tenancy.ID]{&u.Teams} }},
			{name: "disabled", open: true, at: func(u *tenancy.User) any { return &u.Disabled }},
			{name: "last_login_us", use: fixed, at: func(u *tenancy.User) any { return micros{&u.LastLogin} }},
			{name: "issuer", open: true, at: func(u *tenancy.User) any { return &u.Issuer }},
			{name: "subject", open: true, at: func(u *tenancy.User) any { return &u.Subject }},
		},
		settle: func(ctx context.Context, t tx, u *tenancy.User) error {
			if err := exist(ctx, t, u.Org, "roles", "roles", u.Roles...); err != nil {
				return err
			}
			if err := exist(ctx, t, u.Org, "teams", "teams", u.Teams...); err != nil {
				return err
			}
			if _, err := t.exec(ctx, shutKeys+`, changed = (select rev from config_rev) where org_id = $1 and user_id = $2 and deleted_us = 0`, u.Org, u.ID); err != nil || !u.Disabled {
				return err
			}
			return endSessions(ctx, t, u.Org, u.ID)
		},
		clear: func(ctx context.Context, t tx, rev int64, log *trail, u *tenancy.User) error {
			if err := db.keysUnlimited(ctx, t, rev, log, u.Org, u.ID); err != nil {
				return err
			}
			if err := db.unlimited(ctx, t, rev, log, u.Org, "user_id", u.ID); err != nil {
				return err
			}
			if err := db.keys().allGone(ctx, t, log, "user_id", u.Org, u.ID); err != nil {
				return err
			}
			if err := db.buryKeys(ctx, t, rev, u.Org, u.ID); err != nil {
				return err
			}
			return endSessions(ctx, t, u.Org, u.ID)
		},
	}
}

// Keys keeps virtual keys. RotateKey is a key's only way to another secret.
func (db *DB) Keys() tenancy.Store[tenancy.APIKey] { return db.keys() }

func (db *DB) keys() *table[tenancy.APIKey, *tenancy.APIKey] {
	return &table[tenancy.APIKey, *tenancy.APIKey]{
		db: db, name: "keys", prefix: "key", followed: true,
		filters: []filter{
			byName,
			{"team_id", false, func(p tenancy.Page) string { return string(p.Team) }},
			{"user_id", false, func(p tenancy.Page) string { return string(p.User) }},
		},
		columns: []column[tenancy.APIKey]{
			{name: "team_id", open: true, at: func(k *tenancy.APIKey) any { return &k.Team }},
			{name: "user_id", open: true, at: func(k *tenancy.APIKey) any { return &k.User }},
			{name: "hash", use: fixed, at: func(k *tenancy.APIKey) any { return digest{&k.Hash} }},
			{name: "old_hash", use: fixed, at: func(k *tenancy.APIKey) any { return digest{&k.OldHash} }},
			{name: "old_until_us", use: fixed, open: true, at: func(k *tenancy.APIKey) any { return micros{&k.OldUntil} }},
			{name: "models", open: true, at: func(k *tenancy.APIKey) any { return list[string]{&k.Models} }},
			{name: "role", open: true, at: func(k *tenancy.APIKey) any { return &k.Role }},
			{name: "expires_us", open: true, at: func(k *tenancy.APIKey) any { return micros{&k.Expires} }},
			{name: "disabled", open: true, at: func(k *tenancy.APIKey) any { return &k.Disabled }},
			{name: "shut", use: fixed, open: true, at: func(k *tenancy.APIKey) any { return &k.Shut }},
			{
				name: "last_used_us", use: derived, at: func(k *tenancy.APIKey) any { return micros{&k.LastUsed} },
				read: "coalesce((select last_used_us from key_usage where org_id = keys.org_id and key_id = keys.id), 0)",
			},
		},
		settle: func(ctx context.Context, t tx, k *tenancy.APIKey) error {
			if err := exist(ctx, t, k.Org, "roles", "role", k.Role); err != nil {
				return err
			}
			if err := exist(ctx, t, k.Org, "teams", "team", k.Team); err != nil {
				return err
			}
			if err := exist(ctx, t, k.Org, "users", "user", k.User); err != nil {
				return err
			}
			_, err := t.exec(ctx, shutKeys+` where org_id = $1 and id = $2`, k.Org, k.ID)
			return err
		},
		clear: func(ctx context.Context, t tx, rev int64, log *trail, k *tenancy.APIKey) error {
			return db.unlimited(ctx, t, rev, log, k.Org, "key_id", k.ID)
		},
	}
}

// shutKeys makes keys open nothing while their user is disabled, and something again once they are not.
const shutKeys = `update keys set shut = exists (select 1 from users u where u.org_id = keys.org_id and u.id = keys.user_id and u.disabled)`

// exist refuses ids that a table of the organization does not have; the empty id is none. Roles may be built in.
func exist(ctx context.Context, t tx, org tenancy.ID, in, field string, ids ...tenancy.ID) error {
	for _, id := range ids {
		if id == "" || in == "roles" && slices.ContainsFunc(tenancy.BuiltInRoles(org), func(r tenancy.Role) bool { return r.ID == id }) {
			continue
		}
		var one int64
		err := t.one(ctx, []any{&one}, `select 1 from `+in+` where org_id = $1 and id = $2`, org, id)
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			return &tenancy.Missing{Field: field, ID: id}
		case err != nil:
			return err
		}
	}
	return nil
}

// unused refuses while a key has the id in its column, or a user in its list.
func unused(ctx context.Context, t tx, org, id tenancy.ID, column, list string) error {
	for _, q := range []struct{ by, query, value string }{
		{"a key", `select 1 from keys where org_id = $1 and ` + column + ` = $2 and deleted_us = 0 limit 1`, string(id)},
		{"a user", `select 1 from users where org_id = $1 and ` + list + ` like $2 escape '!' limit 1`, listing(id)},
	} {
		var one int64
		err := t.one(ctx, []any{&one}, q.query, org, q.value)
		switch {
		case err == nil:
			return &tenancy.InUse{By: q.by}
		case !errors.Is(err, tenancy.ErrNotFound):
			return err
		}
	}
	return nil
}

// listing is the pattern of a list that has the id.
func listing(id tenancy.ID) string {
	return `%"` + escaped(string(id)) + `"%`
}

// escaped is a text as it stands in a pattern with escape '!'.
func escaped(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}
