package storage

import (
	"context"
	"errors"

	"github.com/vel-gateway/vel/tenancy"
)

// IsNew tells whether the database has never had an organization, a key or a user.
func (db *DB) IsNew(ctx context.Context) (is bool, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		is, err = isNew(ctx, t)
		return err
	})
	return is, err
}

func isNew(ctx context.Context, t tx) (bool, error) {
	var one int64
	err := t.one(ctx, []any{&one}, `select 1 where exists (select 1 from organizations) or exists (select 1 from keys) or exists (select 1 from users)`)
	if errors.Is(err, tenancy.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// FirstStart makes the first organization, unless it has no name, and the first keys, of it or of the platform, if the
// database is new. Of several nodes that start at once one wins.
func (db *DB) FirstStart(ctx context.Context, org tenancy.Org, keys []tenancy.APIKey) (won bool, err error) {
	orgs, table := db.orgs(), db.keys()
	orgs.begin(&org)
	err = db.change(ctx, system, tenancy.Vel(), func(t tx, rev int64, log *trail) error {
		if won, err = isNew(ctx, t); err != nil {
			return err
		}
		if !won || org.Name == "" && len(keys) == 0 {
			return errNothing
		}
		if err := t.turn(ctx, tenant(org.Org)); err != nil {
			return err
		}
		if org.Name != "" {
			if err := orgs.put(ctx, t, rev, log, &org); err != nil {
				return err
			}
		}
		for _, k := range keys {
			table.begin(&k)
			if err := t.turn(ctx, tenant(k.Org)); err != nil {
				return err
			}
			if err := table.put(ctx, t, rev, log, &k); err != nil {
				return err
			}
		}
		return nil
	})
	return won && err == nil, err
}
