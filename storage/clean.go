package storage

import (
	"context"
	"time"
)

// Clean takes away what has had its time: sessions that have expired, answers that are no longer kept, and who made what
// no provider has any more.
func (db *DB) Clean(ctx context.Context) error {
	now := time.Now()
	old := now.Add(-answerLife)
	for _, c := range []struct {
		statement string
		before    time.Time
	}{
		{`delete from sessions where id in (select id from sessions where expires_us <= $1 limit $2)`, now},
		{`delete from idempotency where (org_id, id) in (select org_id, id from idempotency where created_us < $1 limit $2)`, old},
		{cleanObjects, now.Add(-objectLife)},
	} {
		for more := true; more; {
			err := db.dialect.write(ctx, system.inBackground(), func(t tx) error {
				n, err := t.exec(ctx, c.statement, micros{&c.before}, atOnce)
				more = n == atOnce
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
