package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// mostCandidates is how many users with the same address a sign-in without an organization may mean: each of them may
// cost a password check.
const mostCandidates = 8

// standing tells of a user whether they, or their organization, may sign in. An organization that is not in the
// database is one of the file.
const standing = `(users.disabled or exists (select 1 from organizations o where o.id = users.org_id and (o.disabled or o.deleted_us <> 0)))`

// Candidates are the users who may be meant by an address, in one organization or, if org is empty, in all. Disabled is
// set also for those whose organization is disabled or deleted.
func (db *DB) Candidates(ctx context.Context, email string, org tenancy.ID) (found []tenancy.User, err error) {
	users := db.users()
	err = db.dialect.read(ctx, system, func(t tx) error {
		found = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var u tenancy.User
			var disabled bool
			if err := scan(append(users.destinations(&u), &disabled)...); err != nil {
				return fmt.Errorf("read a user: %w", err)
			}
			u.Disabled = disabled
			found = append(found, u)
			return nil
		}, users.selection(standing)+` where email = $1 and (org_id = $2 or $2 = '') order by id limit $3`, email, org, mostCandidates)
	})
	return found, err
}

// FindSubject finds the user of an organization for whom an issuer vouches under a name of its own. Disabled is set also
// if the organization is disabled or deleted.
func (db *DB) FindSubject(ctx context.Context, org tenancy.ID, issuer, subject string) (u tenancy.User, err error) {
	users := db.users()
	err = db.dialect.read(ctx, tenant(org), func(t tx) error {
		var disabled bool
		err := t.one(ctx, append(users.destinations(&u), &disabled), users.selection(standing)+` where org_id = $1 and issuer = $2 and issuer <> '' and subject = $3`, org, issuer, subject)
		u.Disabled = disabled
		return err
	})
	return u, err
}

// SetPassword gives a user another password and ends all their sessions.
func (db *DB) SetPassword(ctx context.Context, by tenancy.Actor, org, user tenancy.ID, hash string) error {
	now, users := time.Now(), db.users()
	return db.audited(ctx, tenant(org), by, func(t tx, log *trail) error {
		var was, is tenancy.User
		if err := users.get(ctx, t, org, user, &was); err != nil {
			return err
		}
		args := arguments{org, user, int64(0), hash, micros{&now}}
		if err := users.touch(ctx, t, `update users set rev = rev + 1, password = $4, updated_us = $5`, org, user, args); err != nil {
			return err
		}
		if err := users.get(ctx, t, org, user, &is); err != nil {
			return err
		}
		if err := users.altered(log, tenancy.ActionSetPassword, &was, &is); err != nil {
			return err
		}
		return endSessions(ctx, t, org, user)
	})
}
