package storage

import (
	"context"
	"slices"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Changes is what the data plane has to know of what changed.
type Changes struct {
	Rev       int64 // up to which
	Whole     bool  // it is everything that there is, and what is not in it is gone
	Orgs      []tenancy.Org
	Keys      []tenancy.APIKey
	Providers []routing.ManagedProvider
	Routes    []routing.ManagedRoute
	Limits    []accounting.Limits
	Budgets   []accounting.Budget
}

// Changes reads what changed after a revision, and everything that there is after 0 or if the database has not come as
// far: it is another one, or an older copy. Deleted objects are among them, marked, but not when it is everything.
func (db *DB) Changes(ctx context.Context, after int64) (c Changes, err error) {
	err = db.dialect.read(ctx, system.forCalls(), func(t tx) error {
		c = Changes{}
		if err := t.one(ctx, []any{&c.Rev}, `select rev from config_rev`); err != nil || c.Rev == after {
			return err
		}
		c.Whole = after == 0 || c.Rev < after
		if c.Whole {
			after = 0
		}
		if c.Orgs, err = db.orgs().changed(ctx, t, after, c.Whole); err != nil {
			return err
		}
		if c.Keys, err = db.keys().changed(ctx, t, after, c.Whole); err != nil {
			return err
		}
		if c.Providers, err = db.providers().changed(ctx, t, after, c.Whole); err != nil {
			return err
		}
		if c.Routes, err = db.routes().changed(ctx, t, after, c.Whole); err != nil {
			return err
		}
		if c.Limits, err = db.limits().changed(ctx, t, after, c.Whole); err != nil {
			return err
		}
		c.Budgets, err = db.budgets().changed(ctx, t, after, c.Whole)
		return err
	})
	return c, err
}

// changed reads the rows of a followed table whose last change came after a revision, or all that there are. What is
// derived is left out: it changes by itself, and no follower would hear of it.
func (t *table[T, P]) changed(ctx context.Context, x tx, after int64, whole bool) ([]T, error) {
	stored := *t
	stored.columns = slices.DeleteFunc(slices.Clone(t.columns), func(c column[T]) bool { return c.use == derived })
	query := stored.selection() + ` where changed > $1`
	if whole {
		query += t.present()
	}
	return stored.rows(ctx, x, query, after)
}
