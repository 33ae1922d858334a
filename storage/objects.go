package storage

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Who made what a provider keeps. The row of an object that was deleted stays for a while without its kind: it is found
// nowhere, but a list that was read up to it can be read on.

// objectLife is how long the marks of deleted objects are kept, and the kinds that no provider keeps for longer: what
// belongs to a response, and uploads.
const objectLife = 30 * 24 * time.Hour

// cleanObjects takes away a number of those that are older.
const cleanObjects = `delete from stored_objects where (org_id, id, provider) in (select org_id, id, provider from stored_objects
	where kind in ('', 'response', 'response.item', 'container', 'upload', 'upload.part') and created_us < $1 limit $2)`

// fewParameters is how many values one statement gets at most, far below what either engine takes.
const fewParameters = 2000

// addRows takes rows of parameters and gives their placeholders: ($1, $2), ($3, $4).
func (a *arguments) addRows(rows ...[]any) string {
	all := make([]string, len(rows))
	for i, row := range rows {
		places := make([]string, len(row))
		for j, v := range row {
			places[j] = a.add(v)
		}
		all[i] = "(" + strings.Join(places, ", ") + ")"
	}
	return strings.Join(all, ", ")
}

// addList takes parameters and gives their placeholders: ($1, $2).
func addList[T any](a *arguments, list []T) string {
	row := make([]any, len(list))
	for i, v := range list {
		row[i] = v
	}
	return a.addRows(row)
}

// ObjectOwners tells for each of the ids that the organization made which provider holds it.
func (db *DB) ObjectOwners(ctx context.Context, org tenancy.ID, ids []string) (map[string]string, error) {
	holders := make(map[string]string, len(ids))
	err := db.dialect.read(ctx, tenant(org).forCalls().again(), func(x tx) error {
		clear(holders)
		for some := range slices.Chunk(ids, fewParameters) {
			args := arguments{org}
			query := `select id, provider from stored_objects where org_id = $1 and kind <> '' and id in ` + addList(&args, some) + ` order by created_us, provider`
			// Two providers may have used the same id: the object that was made first has it.
			err := x.each(ctx, func(scan func(...any) error) error {
				var id, provider string
				if err := scan(&id, &provider); err != nil {
					return err
				}
				if _, ok := holders[id]; !ok {
					holders[id] = provider
				}
				return nil
			}, query, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return holders, err
}

// Objects gives a page of an organization's objects. ErrNotFound: it never made p.After.
func (db *DB) Objects(ctx context.Context, p routing.ObjectPage) (list []routing.StoredObject, err error) {
	err = db.dialect.read(ctx, tenant(p.Org).forCalls(), func(x tx) error {
		list = nil
		args := arguments{p.Org, p.Kind}
		query := `select id, provider, created_us from stored_objects where org_id = $1 and kind = $2`
		if p.Provider != "" {
			query += ` and provider = ` + args.add(p.Provider)
		}
		beyond, order := "<", "desc"
		if p.Ascending {
			beyond, order = ">", "asc"
		}
		if p.After != "" {
			var made int64
			err := x.one(ctx, []any{&made}, `select created_us from stored_objects where org_id = $1 and id = $2 order by created_us limit 1`, p.Org, p.After)
			if err != nil {
				return err
			}
			query += ` and (created_us, id) ` + beyond + ` (` + args.add(made) + `, ` + args.add(p.After) + `)`
		}
		query += ` order by created_us ` + order + `, id ` + order + ` limit ` + args.add(p.Limit)
		return x.each(ctx, func(scan func(...any) error) error {
			o := routing.StoredObject{Org: p.Org, Kind: p.Kind}
			if err := scan(&o.ID, &o.Provider, micros{&o.Created}); err != nil {
				return err
			}
			list = append(list, o)
			return nil
		}, query, args...)
	})
	return list, err
}

// KeepObjects remembers who made what. What is known already stays as it is, also if another organization made it: such
// objects are given back.
func (db *DB) KeepObjects(ctx context.Context, made []routing.StoredObject) (others []routing.StoredObject, err error) {
	rows := slices.Clone(made)
	slices.SortFunc(rows, func(a, b routing.StoredObject) int { // two nodes that write the same rows must not wait for each other
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.ID, b.ID))
	})
	rows = slices.CompactFunc(rows, func(a, b routing.StoredObject) bool {
		return a.Provider == b.Provider && a.ID == b.ID && a.Org == b.Org
	})
	err = db.dialect.write(ctx, ingest, func(x tx) error {
		others = nil
		for some := range slices.Chunk(rows, atOnce) {
			var args arguments
			values := make([][]any, len(some))
			for i := range some {
				o := &some[i]
				values[i] = []any{o.Org, o.ID, o.Provider, o.Kind, micros{&o.Created}}
			}
			n, err := x.exec(ctx, `insert into stored_objects (org_id, id, provider, kind, created_us) values `+args.addRows(values...)+` on conflict do nothing`, args...)
			if err != nil {
				return err
			}
			if n < int64(len(some)) {
				if others, err = appendOthers(ctx, x, others, some); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return others, err
}

// appendOthers appends those of the objects that another organization made.
func appendOthers(ctx context.Context, x tx, others, some []routing.StoredObject) ([]routing.StoredObject, error) {
	for _, o := range some {
		var org tenancy.ID
		err := x.one(ctx, []any{&org}, `select org_id from stored_objects where provider = $1 and id = $2`, o.Provider, o.ID)
		switch {
		case err == nil && org != o.Org:
			others = append(others, o)
		case err != nil && err != tenancy.ErrNotFound: // it may have been cleaned away meanwhile
			return others, err
		}
	}
	return others, nil
}

// ForgetObjects forgets objects that are gone at their provider.
func (db *DB) ForgetObjects(ctx context.Context, gone []routing.StoredObject) error {
	for i := range gone {
		o := &gone[i]
		err := db.dialect.write(ctx, tenant(o.Org).forCalls().inBackground(), func(x tx) error {
			_, err := x.exec(ctx, `update stored_objects set kind = '' where org_id = $1 and id = $2 and provider = $3`, o.Org, o.ID, o.Provider)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
