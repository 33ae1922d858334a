package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// table keeps one kind of object: it makes the statements of a tenancy.Store from the columns that the kind has. Every
// kind has id, org_id, name, rev, created_us and updated_us besides; a followed one also changed, the revision of the
// configuration that its last change made, and deleted_us, because a row that is gone could tell nobody that it is.
type table[T any, P interface {
	*T
	tenancy.Object
}] struct {
	db       *DB
	name     string
	prefix   string // of new ids
	columns  []column[T]
	filters  []filter
	followed bool
	overall  bool // a list without an organization is one over all of them
	// settle makes the rest of the database fit an object that was just made or changed, clear one that is about to go;
	// or they refuse. rev is the revision of the configuration that the change makes. Either may be nil.
	settle func(ctx context.Context, t tx, v *T) error
	clear  func(ctx context.Context, t tx, rev int64, log *trail, v *T) error
}

// column is one field of an object in its table.
type column[T any] struct {
	name string
	use  use
	open bool         // its value may be read in the audit log; of what is not open that says only that it changed
	at   func(*T) any // reads and writes the field
	read string       // of a derived column: where it comes from
}

type use uint8

const (
	changing use = iota
	fixed        // written when the object is made, and then only by methods of its own
	derived      // never written: it is read from elsewhere
)

// filter lets a list be narrowed by a column.
type filter struct {
	column string
	lists  bool // the column is a list of ids, and is asked whether it has one
	value  func(tenancy.Page) string
}

var byName = filter{"name", false, func(p tenancy.Page) string { return p.Name }}

// arguments collects the parameters of a statement.
type arguments []any

// add takes a parameter and gives its placeholder.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// selection is what a row is read by, in the order of destinations, and what is to be read with it.
func (t *table[T, P]) selection(more ...string) string {
	names := []string{"id", "org_id", "name", "rev", "created_us", "updated_us"}
	if t.followed {
		names = append(names, "deleted_us <> 0")
	}
	for i := range t.columns {
		if c := &t.columns[i]; c.use == derived {
			names = append(names, c.read)
		} else {
			names = append(names, c.name)
		}
	}
	return "select " + strings.Join(append(names, more...), ", ") + " from " + t.name
}

func (t *table[T, P]) destinations(v *T) []any {
	m := tenancy.MetaOf(P(v))
	into := []any{&m.ID, &m.Org, &m.Name, &m.Rev, micros{&m.Created}, micros{&m.Updated}}
	if t.followed {
		into = append(into, &m.Deleted)
	}
	for i := range t.columns {
		into = append(into, t.columns[i].at(v))
	}
	return into
}

// present is the condition on rows that have not been deleted.
func (t *table[T, P]) present() string {
	if t.followed {
		return " and deleted_us = 0"
	}
	return ""
}

// Get finds one object.
func (t *table[T, P]) Get(ctx context.Context, org, id tenancy.ID) (v T, err error) {
	err = t.db.dialect.read(ctx, tenant(org).again(), func(x tx) error { return t.get(ctx, x, org, id, &v) })
	return v, err
}

func (t *table[T, P]) get(ctx context.Context, x tx, org, id tenancy.ID, v *T) error {
	return x.one(ctx, t.destinations(v), t.selection()+` where org_id = $1 and id = $2`+t.present(), org, id)
}

// List gives a page of an organization's objects.
func (t *table[T, P]) List(ctx context.Context, org tenancy.ID, p tenancy.Page) ([]T, error) {
	as, query, args := t.page(org, p)
	return t.all(ctx, as, query, args...)
}

// page is the query of a page, and the scope that it runs in.
func (t *table[T, P]) page(org tenancy.ID, p tenancy.Page) (as scope, query string, args arguments) {
	where := []string{"id > " + args.add(p.After) + t.present()}
	as = system
	if org != "" || !t.overall {
		as = tenant(org)
		where = append(where, "org_id = "+args.add(org))
	}
	for _, f := range t.filters {
		switch value := f.value(p); {
		case value == "":
		case f.lists:
			where = append(where, f.column+" like "+args.add(listing(tenancy.ID(value)))+" escape '!'")
		default:
			where = append(where, f.column+" = "+args.add(value))
		}
	}
	return as, t.selection() + " where " + strings.Join(where, " and ") + " order by id limit " + args.add(p.Limit), args
}

// all reads every row of a query in a scope.
func (t *table[T, P]) all(ctx context.Context, as scope, query string, args ...any) (list []T, err error) {
	err = t.db.dialect.read(ctx, as, func(x tx) error {
		list, err = t.rows(ctx, x, query, args...)
		return err
	})
	return list, err
}

func (t *table[T, P]) rows(ctx context.Context, x tx, query string, args ...any) (list []T, err error) {
	var v T
	into := t.destinations(&v) // each row overwrites all of v, and shares nothing with the one before
	err = x.each(ctx, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		list = append(list, v)
		return nil
	}, query, args...)
	return list, err
}

// Create stores a new object.
func (t *table[T, P]) Create(ctx context.Context, by tenancy.Actor, v T) (T, error) {
	m := t.begin(&v)
	err := t.db.change(ctx, tenant(m.Org), by, func(x tx, rev int64, log *trail) error { return t.put(ctx, x, rev, log, &v) })
	return v, err
}

// begin gives a new object its first Meta.
func (t *table[T, P]) begin(v *T) *tenancy.Meta {
	m := tenancy.MetaOf(P(v))
	if m.ID == "" {
		m.ID = tenancy.NewID(t.prefix)
	}
	if m.Org == "" {
		m.Org = m.ID // only an organization has no other
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	m.Rev, m.Created, m.Updated = 1, now, now
	return m
}

// put stores a new object, and gives it back as it is kept.
func (t *table[T, P]) put(ctx context.Context, x tx, rev int64, log *trail, v *T) error {
	m := tenancy.MetaOf(P(v))
	if err := t.insert(ctx, x, rev, v); err != nil {
		return err
	}
	if err := alive(ctx, x, m.Org); err != nil {
		return err
	}
	if err := t.settled(ctx, x, v); err != nil {
		return err
	}
	if err := t.get(ctx, x, m.Org, m.ID, v); err != nil {
		return err
	}
	return t.made(log, v)
}

func (t *table[T, P]) settled(ctx context.Context, x tx, v *T) error {
	if t.settle == nil {
		return nil
	}
	return t.settle(ctx, x, v)
}

// alive refuses what would belong to an organization that was deleted: nothing would ever clear it away. An
// organization that is not in the database at all is one of the file.
func alive(ctx context.Context, x tx, org tenancy.ID) error {
	var deleted bool
	err := x.one(ctx, []any{&deleted}, `select deleted_us <> 0 from organizations where org_id = $1 and id = $1`, org)
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && !deleted:
		return nil
	case err == nil:
		return &tenancy.Missing{Field: "organization", ID: org}
	}
	return err
}

func (t *table[T, P]) insert(ctx context.Context, x tx, rev int64, v *T) error {
	m := tenancy.MetaOf(P(v))
	names := []string{"id", "org_id", "name", "rev", "created_us", "updated_us"}
	row := []any{m.ID, m.Org, m.Name, m.Rev, micros{&m.Created}, micros{&m.Updated}}
	if t.followed {
		names, row = append(names, "changed"), append(row, rev)
	}
	for i := range t.columns {
		if c := &t.columns[i]; c.use != derived {
			names, row = append(names, c.name), append(row, c.at(v))
		}
	}
	var args arguments
	_, err := x.exec(ctx, "insert into "+t.name+" ("+strings.Join(names, ", ")+") values "+args.addRows(row), args...)
	return err
}

// Update replaces what can be changed of an object.
func (t *table[T, P]) Update(ctx context.Context, by tenancy.Actor, v T) (T, error) {
	m := tenancy.MetaOf(P(&v))
	now := time.Now()
	err := t.db.change(ctx, tenant(m.Org), by, func(x tx, rev int64, log *trail) error {
		var was T
		if err := t.get(ctx, x, m.Org, m.ID, &was); err != nil {
			return err
		}
		args := arguments{m.Org, m.ID, m.Rev}
		sets := []string{"rev = rev + 1", "name = " + args.add(m.Name), "updated_us = " + args.add(micros{&now})}
		if t.followed {
			sets = append(sets, "changed = "+args.add(rev))
		}
		for i := range t.columns {
			if c := &t.columns[i]; c.use == changing {
				sets = append(sets, c.name+" = "+args.add(c.at(&v)))
			}
		}
		if err := t.touch(ctx, x, "update "+t.name+" set "+strings.Join(sets, ", "), m.Org, m.ID, args); err != nil {
			return err
		}
		if err := t.settled(ctx, x, &v); err != nil {
			return err
		}
		if err := t.get(ctx, x, m.Org, m.ID, &v); err != nil {
			return err
		}
		return t.altered(log, t.name+".update", &was, &v)
	})
	return v, err
}

// touch changes the one row of an object, whose org, id and revision are the first three arguments, or says why not.
func (t *table[T, P]) touch(ctx context.Context, x tx, statement string, org, id tenancy.ID, args arguments) error {
	n, err := x.exec(ctx, statement+` where org_id = $1 and id = $2 and (rev = $3 or $3 = 0)`+t.present(), args...)
	if err != nil || n == 1 {
		return err
	}
	var stored T
	if err := t.get(ctx, x, org, id, &stored); err != nil {
		return err
	}
	return tenancy.ErrStale
}

// Delete takes an object away.
func (t *table[T, P]) Delete(ctx context.Context, by tenancy.Actor, org, id tenancy.ID, rev int64) error {
	return t.db.change(ctx, tenant(org), by, func(x tx, changed int64, log *trail) error {
		var v T
		if err := t.get(ctx, x, org, id, &v); err != nil {
			return err
		}
		if t.clear != nil {
			if err := t.clear(ctx, x, changed, log, &v); err != nil {
				return err
			}
		}
		args := arguments{org, id, rev}
		statement := "delete from " + t.name
		if t.followed {
			statement = t.bury(&args, changed)
		}
		if err := t.touch(ctx, x, statement, org, id, args); err != nil {
			return err
		}
		return t.gone(log, &v)
	})
}

// bury marks rows of a followed table as deleted, so that the nodes hear of it.
func (t *table[T, P]) bury(args *arguments, changed int64) string {
	now := time.Now()
	return "update " + t.name + " set deleted_us = " + args.add(micros{&now}) + ", changed = " + args.add(changed)
}
