package storage

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// How long an answer is kept, and how long a caller may be silent before we take it for dead. What people ask of the API ends
// within a transaction's patience or two; a call of the data plane says again and again that it is still made.
const (
	answerLife = 24 * time.Hour
	claimLife  = 20 * time.Second
)

// Claim takes an idempotency key for a request: the caller who is told true does the work and keeps the answer, or gives
// the key back. Everybody else is told what was kept, with Status 0 while the first is still at work.
func (db *DB) Claim(ctx context.Context, org tenancy.ID, id, request string) (kept tenancy.Kept, won bool, err error) {
	now := time.Now()
	dead, old := now.Add(-claimLife), now.Add(-answerLife)
	err = db.dialect.write(ctx, tenant(org).again(), func(t tx) error {
		n, err := t.exec(ctx, `insert into idempotency (org_id, id, request, status, answer, created_us) values ($1, $2, $3, 0, '', $4)
			on conflict (org_id, id) do update set request = excluded.request, status = 0, answer = '', created_us = excluded.created_us
			where idempotency.status = 0 and idempotency.created_us < $5 or idempotency.created_us < $6`,
			org, id, request, micros{&now}, micros{&dead}, micros{&old})
		if won = n == 1; err != nil || won {
			return err
		}
		return t.one(ctx, []any{&kept.Request, &kept.Status, &kept.Answer},
			`select request, status, answer from idempotency where org_id = $1 and id = $2`, org, id)
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return tenancy.Kept{Request: request}, false, nil // given back between the two statements: as if the first were still at work
	}
	return kept, won, err
}

// HoldClaim says that whoever claimed a request is still at work on it. ErrNotFound: it is claimed no more.
func (db *DB) HoldClaim(ctx context.Context, org tenancy.ID, id string) error {
	now := time.Now()
	return db.dialect.write(ctx, tenant(org).again(), func(t tx) error {
		n, err := t.exec(ctx, `update idempotency set created_us = $3 where org_id = $1 and id = $2 and status = 0`, org, id, micros{&now})
		if err == nil && n == 0 {
			return tenancy.ErrNotFound
		}
		return err
	})
}

// Keep stores the answer to a claimed request.
func (db *DB) Keep(ctx context.Context, org tenancy.ID, id string, status int, answer string) error {
	return db.dialect.write(ctx, tenant(org).again(), func(t tx) error {
		n, err := t.exec(ctx, `update idempotency set status = $3, answer = $4 where org_id = $1 and id = $2 and status = 0`, org, id, status, answer)
		if err == nil && n == 0 {
			return tenancy.ErrNotFound
		}
		return err
	})
}

// Unclaim gives a key back whose request came to nothing, so that it can be sent again.
func (db *DB) Unclaim(ctx context.Context, org tenancy.ID, id string) error {
	return db.dialect.write(ctx, tenant(org).again(), func(t tx) error {
		_, err := t.exec(ctx, `delete from idempotency where org_id = $1 and id = $2 and status = 0`, org, id)
		return err
	})
}
