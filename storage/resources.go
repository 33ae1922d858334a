package storage

import (
	"context"

	"github.com/vel-gateway/vel/tenancy"
)

// Orgs keeps organizations. What belongs to one goes with it, in the same transaction.
func (db *DB) Orgs() tenancy.Store[tenancy.Org] { return db.orgs() }

func (db *DB) orgs() *table[tenancy.Org, *tenancy.Org] {
	return &table[tenancy.Org, *tenancy.Org]{
		db: db, name: "organizations", prefix: "org", followed: true, filters: []filter{byName},
		columns: []column[tenancy.Org]{
			{name: "disabled", at: func(o *tenancy.Org) any { return &o.Disabled }},
		},
		clear: func(ctx context.Context, t tx, o *tenancy.Org) error {
			for _, of := range []string{"sessions", "keys", "key_usage", "users", "roles", "teams", "idempotency", "stored_objects"} {
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
		clear: func(ctx context.Context, t tx, v *tenancy.Team) error {
			if err := unused(ctx, t, "a key", `select 1 from keys where org_id = $1 and team_id = $2 and deleted_us = 0 limit 1`, v.Org, v.ID); err != nil {
				return err
			}
			return unused(ctx, t, "a user", `select 1 from users where org_id = $1 and teams like $2 limit 1`, v.Org, listing(v.ID))
		},
	}
}

// Roles keeps the roles that an organization has made.
func (db *DB) Roles() tenancy.Store[tenancy.Role] { return db.roles() }

func (db *DB) roles() *table[tenancy.Role, *tenancy.Role] {
	return &table[tenancy.Role, *tenancy.Role]{
		db: db, name: "roles", prefix: "role", filters: []filter{byName},
		columns: []column[tenancy.Role]{
			{name: "permissions", at: func(r *tenancy.Role) any { return allowed{&r.Permissions} }},
		},
		clear: func(ctx context.Context, t tx, v *tenancy.Role) error {
			if err := unused(ctx, t, "a key", `select 1 from keys where org_id = $1 and role = $2 and deleted_us = 0 limit 1`, v.Org, v.ID); err != nil {
				return err
			}
			return unused(ctx, t, "a user", `select 1 from users where org_id = $1 and roles like $2 limit 1`, v.Org, listing(v.ID))
		},
	}
}

// listing is the pattern of a list that has the id. Ids have no character that a pattern or JSON would read otherwise.
func listing(id tenancy.ID) string { return `%"` + string(id) + `"%` }

// unused refuses if the query finds a row.
func unused(ctx context.Context, t tx, by, query string, args ...any) error {
	var one int64
	err := t.one(ctx, []any{&one}, query, args...)
	switch {
	case err == nil:
		return &tenancy.InUse{By: by}
	case err == tenancy.ErrNotFound:
		return nil
	}
	return err
}

// Users keeps users. A user's password and last sign-in have methods of their own.
func (db *DB) Users() tenancy.Store[tenancy.User] { return db.users() }

func (db *DB) users() *table[tenancy.User, *tenancy.User] {
	return &table[tenancy.User, *tenancy.User]{
		db: db, name: "users", prefix: "user",
		filters: []filter{byName, {"email", func(p tenancy.Page) string { return p.Email }}},
		columns: []column[tenancy.User]{
			{name: "email", at: func(u *tenancy.User) any { return &u.Email }},
			{name: "password", use: fixed, at: func(u *tenancy.User) any { return &u.Password }},
			{name: "roles", at: func(u *tenancy.User) any { return list[tenancy.ID]{&u.Roles} }},
			{name: "teams", at: func(u *tenancy.User) any { return list[tenancy.ID]{&u.Teams} }},
			{name: "disabled", at: func(u *tenancy.User) any { return &u.Disabled }},
			{name: "last_login_us", use: fixed, at: func(u *tenancy.User) any { return micros{&u.LastLogin} }},
		},
	}
}

// Keys keeps virtual keys. Rotate is a key's only way to another secret.
func (db *DB) Keys() tenancy.Store[tenancy.APIKey] { return db.keys() }

func (db *DB) keys() *table[tenancy.APIKey, *tenancy.APIKey] {
	return &table[tenancy.APIKey, *tenancy.APIKey]{
		db: db, name: "keys", prefix: "key", followed: true,
		filters: []filter{
			byName,
			{"team_id", func(p tenancy.Page) string { return string(p.Team) }},
			{"user_id", func(p tenancy.Page) string { return string(p.User) }},
		},
		columns: []column[tenancy.APIKey]{
			{name: "team_id", at: func(k *tenancy.APIKey) any { return &k.Team }},
			{name: "user_id", at: func(k *tenancy.APIKey) any { return &k.User }},
			{name: "hash", use: fixed, at: func(k *tenancy.APIKey) any { return digest{&k.Hash} }},
			{name: "old_hash", use: fixed, at: func(k *tenancy.APIKey) any { return digest{&k.OldHash} }},
			{name: "old_until_us", use: fixed, at: func(k *tenancy.APIKey) any { return micros{&k.OldUntil} }},
			{name: "models", at: func(k *tenancy.APIKey) any { return list[string]{&k.Models} }},
			{name: "role", at: func(k *tenancy.APIKey) any { return &k.Role }},
			{name: "expires_us", at: func(k *tenancy.APIKey) any { return micros{&k.Expires} }},
			{name: "disabled", at: func(k *tenancy.APIKey) any { return &k.Disabled }},
			{
				name: "last_used_us", use: derived, at: func(k *tenancy.APIKey) any { return micros{&k.LastUsed} },
				read: "coalesce((select last_used_us from key_usage where key_id = keys.id), 0)",
			},
		},
	}
}
