package storage

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// RotateKey gives a key another secret. The one before opens too until oldUntil; the zero time ends it at once. If rev
// is not 0, it must be the revision that is stored.
func (db *DB) RotateKey(
	ctx context.Context, by tenancy.Actor, org, id tenancy.ID, rev int64, hash tenancy.Hash, oldUntil time.Time,
) (k tenancy.APIKey, err error) {
	now, keys := time.Now(), db.keys()
	err = db.change(ctx, tenant(org), by, func(t tx, changed int64, log *trail) error {
		var was tenancy.APIKey
		if err := keys.get(ctx, t, org, id, &was); err != nil {
			return err
		}
		args := arguments{org, id, rev}
		old := "hash"
		if oldUntil.IsZero() {
			old = "''"
		}
		statement := "update keys set rev = rev + 1, old_hash = " + old + ", old_until_us = " + args.add(micros{&oldUntil}) +
			", hash = " + args.add(digest{&hash}) + ", changed = " + args.add(changed) + ", updated_us = " + args.add(micros{&now})
		if err := keys.touch(ctx, t, statement, org, id, args); err != nil {
			return err
		}
		if err := keys.get(ctx, t, org, id, &k); err != nil {
			return err
		}
		return keys.altered(log, tenancy.ActionRotateKey, &was, &k)
	})
	return k, err
}

// KeyByHash finds the key that has the secret, or had it before its last rotation: for a node that was asked for a key
// before it heard of it. Whether the key opens anything is not asked here.
func (db *DB) KeyByHash(ctx context.Context, hash tenancy.Hash) (k tenancy.APIKey, err error) {
	keys := db.keys()
	err = db.dialect.read(ctx, system.forCalls().again(), func(t tx) error {
		return t.one(ctx, keys.destinations(&k),
			keys.selection()+` where (hash = $1 or old_hash = $1 and old_hash <> '') and deleted_us = 0 order by changed desc limit 1`, digest{&hash})
	})
	return k, err
}

// OrgOf finds an organization, for a node that was asked for a key of it before it heard of it.
func (db *DB) OrgOf(ctx context.Context, key tenancy.APIKey) (o tenancy.Org, err error) {
	err = db.dialect.read(ctx, system.forCalls().again(), func(t tx) error { return db.orgs().get(ctx, t, key.Org, key.Org, &o) })
	return o, err
}

// atOnce is how many rows one transaction of background work touches: what waits behind it waits for milliseconds.
const atOnce = 200

// KeysUsed notes when keys were last used. It only moves a time forward, and passes over keys that are gone.
func (db *DB) KeysUsed(ctx context.Context, used map[tenancy.ID]time.Time) error {
	// In one order everywhere: two nodes that note the same keys wait for each other, and never both.
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(used)), atOnce) {
		var args arguments
		var rows []string
		for _, id := range ids {
			at := used[id]
			rows = append(rows, "(cast("+args.add(id)+" as text), cast("+args.add(micros{&at})+" as bigint))")
		}
		err := db.dialect.write(ctx, ingest, func(t tx) error {
			_, err := t.exec(ctx, `with used (id, at) as (values `+strings.Join(rows, ", ")+`)
				insert into key_usage (key_id, org_id, last_used_us)
				select keys.id, keys.org_id, used.at from used join keys on keys.id = used.id where keys.deleted_us = 0 order by keys.id
				on conflict (key_id) do update set last_used_us = excluded.last_used_us where excluded.last_used_us > key_usage.last_used_us`, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// buryKeys deletes the keys of a user, or of a whole organization.
func (db *DB) buryKeys(ctx context.Context, t tx, rev int64, org, user tenancy.ID) error {
	args := arguments{org, user}
	_, err := t.exec(ctx, db.keys().bury(&args, rev)+` where org_id = $1 and (user_id = $2 or $2 = '') and deleted_us = 0`, args...)
	return err
}
