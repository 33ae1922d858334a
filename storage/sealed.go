package storage

import (
	"context"
	"fmt"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// sealedColumn holds texts that a keyring has sealed for their place: table, id, organization.
type sealedColumn struct {
	table, column string
	touch         string // what else changes with the text, so that nobody writes an older one back
}

// sealedColumns are all there are but the contents of calls: see sealedcalls.go.
func sealedColumns() []sealedColumn {
	return []sealedColumn{
		{table: "providers", column: "api_key", touch: ", rev = rev + 1"},
		{table: "idempotency", column: "answer"},
		{table: "task_contents", column: "request"},
		{table: "task_contents", column: "answer"},
		{table: "webhooks", column: "secret"},
		{table: "webhooks", column: "old_secret"},
	}
}

// SealedBy counts the sealed texts in the database by the id of the key that each was sealed with.
func (db *DB) SealedBy(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	err := db.dialect.read(ctx, system, func(t tx) error {
		clear(counts)
		for _, c := range sealedColumns() {
			// An id has eight characters; what has none is no sealed text.
			err := t.each(ctx, func(scan func(...any) error) error {
				var id string
				var n int64
				if err := scan(&id, &n); err != nil {
					return err
				}
				counts[id] += n
				return nil
			}, fmt.Sprintf(`select substr(%[2]s, 1, 8), count(*) from %[1]s where %[2]s like '________.%%' group by 1`, c.table, c.column))
			if err != nil {
				return err
			}
		}
		return countContents(ctx, t, counts)
	})
	return counts, err
}

// Reseal seals anew, with the first key of a keyring, what another one of its keys has sealed, and counts it. It may be
// ended at any time and called again: what is done is done. broken are texts that do not open although their key is there.
func (db *DB) Reseal(ctx context.Context, by tenancy.Actor, with *secrets.Keyring) (resealed, broken int64, err error) {
	for _, c := range sealedColumns() {
		for _, id := range with.IDs()[1:] {
			done, failed, err := db.reseal(ctx, by, with, c, id)
			resealed, broken = resealed+done, broken+failed
			if err != nil {
				return resealed, broken, fmt.Errorf("seal %s anew: %w", c.table, err)
			}
		}
	}
	for _, id := range with.IDs()[1:] {
		done, failed, err := db.resealContents(ctx, by, with, id)
		resealed, broken = resealed+done, broken+failed
		if err != nil {
			return resealed, broken, fmt.Errorf("seal prompts and answers anew: %w", err)
		}
	}
	return resealed, broken, nil
}

// sealedText is one text with its place.
type sealedText struct {
	org, id       tenancy.ID
	before, after string
}

// reseal works on one column and one key, in the order of organizations and ids.
func (db *DB) reseal(ctx context.Context, by tenancy.Actor, with *secrets.Keyring, c sealedColumn, key string) (done, broken int64, err error) {
	var last sealedText
	for {
		found, err := db.sealedAfter(ctx, c, key, last)
		if err != nil || len(found) == 0 {
			return done, broken, err
		}
		last = found[len(found)-1]
		for i := range found {
			t := &found[i]
			place := []string{c.table, string(t.id), string(t.org)}
			text, err := with.Open(t.before, place...)
			if err != nil {
				broken++
				continue
			}
			t.after = with.Seal(text, place...)
		}
		n, err := db.replaceSealed(ctx, by, c, found)
		done += n
		if err != nil {
			return done, broken, err
		}
	}
}

// sealedAfter reads the next texts that a key has sealed.
func (db *DB) sealedAfter(ctx context.Context, c sealedColumn, key string, last sealedText) (found []sealedText, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		found = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var s sealedText
			if err := scan(&s.org, &s.id, &s.before); err != nil {
				return err
			}
			found = append(found, s)
			return nil
		}, fmt.Sprintf(`select org_id, id, %[2]s from %[1]s where %[2]s like $1 and (org_id, id) > ($2, $3) order by org_id, id limit $4`, c.table, c.column),
			key+".%", last.org, last.id, atOnce)
	})
	return found, err
}

// replaceSealed puts the new texts in the place of the old ones, unless somebody else has replaced those meanwhile.
func (db *DB) replaceSealed(ctx context.Context, by tenancy.Actor, c sealedColumn, texts []sealedText) (done int64, err error) {
	statement := fmt.Sprintf(`update %[1]s set %[2]s = $4%[3]s where org_id = $1 and id = $2 and %[2]s = $3`, c.table, c.column, c.touch)
	err = db.audited(ctx, system.inBackground(), by, func(t tx, log *trail) error {
		done = 0
		var org tenancy.ID
		for i := range texts {
			s := &texts[i]
			if s.after == "" {
				continue
			}
			if s.org != org {
				org = s.org
				if err := t.turn(ctx, tenant(org)); err != nil {
					return err
				}
			}
			n, err := t.exec(ctx, statement, s.org, s.id, s.before, s.after)
			if err != nil {
				return err
			}
			done += n
		}
		if done == 0 {
			return errNothing
		}
		log.add(tenancy.Platform, tenancy.ActionRotateSecrets, tenancy.AuditObject{}, difference{after: fmt.Sprintf(`{"in":%q,"sealed":%d}`, c.table, done)})
		return nil
	})
	return done, err
}
