package storage

import (
	"context"

	"github.com/vel-gateway/vel/tenancy"
)

// Changes is what the data plane has to know of what changed.
type Changes struct {
	Rev  int64 // up to which
	Orgs []tenancy.Org
	Keys []tenancy.APIKey
}

// Changes reads what changed after a revision; after 0, everything that there is. Deleted objects are among them,
// marked, but not when everything is asked for.
func (db *DB) Changes(ctx context.Context, after int64) (c Changes, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		c = Changes{}
		if err := t.one(ctx, []any{&c.Rev}, `select rev from config_rev`); err != nil || c.Rev == after {
			return err
		}
		if c.Orgs, err = db.orgs().changed(ctx, t, after, c.Rev); err != nil {
			return err
		}
		c.Keys, err = db.keys().changed(ctx, t, after, c.Rev)
		return err
	})
	return c, err
}

// changed reads the rows of a followed table whose last change lies in (after, upTo].
func (t *table[T, P]) changed(ctx context.Context, x tx, after, upTo int64) (list []T, err error) {
	query := t.selection() + ` where changed > $1 and changed <= $2`
	if after == 0 {
		query += t.present()
	}
	err = x.each(ctx, func(scan func(...any) error) error {
		var v T
		if err := scan(t.destinations(&v)...); err != nil {
			return err
		}
		list = append(list, v)
		return nil
	}, query, after, upTo)
	return list, err
}
