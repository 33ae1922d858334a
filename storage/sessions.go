package storage

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Who begins or ends sessions of a user first changes the user's row, and so waits for whoever does the same: no session
// begins beside a change of the password and outlives it.

const sessionColumns = `id, org_id, user_id, hash, began_us, created_us, expires_us, address, agent`

// session gives the columns of a session, to be read and written.
func session(s *tenancy.Session) []any {
	return []any{&s.ID, &s.Org, &s.User, digest{&s.Hash}, micros{&s.Began}, micros{&s.Created}, micros{&s.Expires}, &s.Address, &s.Agent}
}

// BeginSession stores a session whose user has just signed in. It is ErrNotFound if the user is gone or disabled, or if
// the password that was checked is not theirs any more.
func (db *DB) BeginSession(ctx context.Context, by tenancy.Actor, s tenancy.Session) error {
	return db.audited(ctx, tenant(s.Org), by, func(t tx, log *trail) error {
		log.add(s.Org, tenancy.ActionLogin, sessionObject(s.ID), difference{})
		n, err := t.exec(ctx, `update users set last_login_us = $3 where org_id = $1 and id = $2 and not disabled and (password = $4 or $4 = '')`,
			s.Org, s.User, micros{&s.Created}, s.Password)
		if err != nil {
			return err
		}
		if n == 0 {
			return tenancy.ErrNotFound
		}
		return insertSession(ctx, t, &s)
	})
}

// FindSession finds a session that has not expired by the hash of its token, and its user. The user is Disabled also if
// their organization is.
func (db *DB) FindSession(ctx context.Context, hash tenancy.Hash) (s tenancy.Session, u tenancy.User, err error) {
	users, now := db.users(), time.Now()
	err = db.dialect.read(ctx, system.again(), func(t tx) error {
		err := t.one(ctx, session(&s), `select `+sessionColumns+` from sessions where hash = $1 and expires_us > $2`, digest{&hash}, micros{&now})
		if err != nil {
			return err
		}
		var disabled bool
		err = t.one(ctx, append(users.destinations(&u), &disabled), users.selection(standing)+` where org_id = $1 and id = $2`, s.Org, s.User)
		u.Disabled = disabled
		return err
	})
	return s, u, err
}

// SwapSession puts a session in the place of another one of the same user. It is ErrNotFound if that one is gone.
func (db *DB) SwapSession(ctx context.Context, by tenancy.Actor, old tenancy.ID, s tenancy.Session) error {
	return db.audited(ctx, tenant(s.Org), by, func(t tx, log *trail) error {
		log.add(s.Org, tenancy.ActionRefresh, sessionObject(s.ID), difference{})
		if _, err := t.exec(ctx, `update users set last_login_us = last_login_us where org_id = $1 and id = $2`, s.Org, s.User); err != nil {
			return err
		}
		n, err := t.exec(ctx, `delete from sessions where org_id = $1 and user_id = $2 and id = $3`, s.Org, s.User, old)
		if err != nil {
			return err
		}
		if n == 0 {
			return tenancy.ErrNotFound
		}
		return insertSession(ctx, t, &s)
	})
}

// EndSession ends a session. It is ErrNotFound if there is none.
func (db *DB) EndSession(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) error {
	return db.audited(ctx, tenant(org), by, func(t tx, log *trail) error {
		action := tenancy.ActionEndSession
		if id == by.Session {
			action = tenancy.ActionLogout
		}
		log.add(org, action, sessionObject(id), difference{})
		n, err := t.exec(ctx, `delete from sessions where org_id = $1 and id = $2`, org, id)
		if err == nil && n == 0 {
			return tenancy.ErrNotFound
		}
		return err
	})
}

// mostSessions is how many sessions of a user are shown.
const mostSessions = 100

// Sessions lists a user's sessions that have not expired, the newest first.
func (db *DB) Sessions(ctx context.Context, org, user tenancy.ID) (found []tenancy.Session, err error) {
	now := time.Now()
	err = db.dialect.read(ctx, tenant(org), func(t tx) error {
		found = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var s tenancy.Session
			if err := scan(session(&s)...); err != nil {
				return err
			}
			found = append(found, s)
			return nil
		}, `select `+sessionColumns+` from sessions where org_id = $1 and user_id = $2 and expires_us > $3
			order by created_us desc, id desc limit $4`, org, user, micros{&now}, mostSessions)
	})
	return found, err
}

func sessionObject(id tenancy.ID) tenancy.AuditObject {
	return tenancy.AuditObject{Kind: "session", ID: id}
}

func insertSession(ctx context.Context, t tx, s *tenancy.Session) error {
	_, err := t.exec(ctx, `insert into sessions (`+sessionColumns+`) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, session(s)...)
	return err
}

func endSessions(ctx context.Context, t tx, org, user tenancy.ID) error {
	_, err := t.exec(ctx, `delete from sessions where org_id = $1 and user_id = $2`, org, user)
	return err
}
