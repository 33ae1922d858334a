package storage

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// trail is what a transaction writes into the audit log: that commits together with what it tells of, or neither does.
type trail struct {
	by     tenancy.Actor
	at     time.Time
	events []tenancy.AuditEvent
}

// add notes that something was done.
func (l *trail) add(org tenancy.ID, action string, object tenancy.AuditObject, d difference) {
	e := tenancy.NewAuditEvent(l.by, org, action, object, l.at)
	e.Before, e.After = d.before, d.after
	l.events = append(l.events, e)
}

// Why a transaction is taken back although nothing went wrong, and why one is that would leave no trace.
var (
	errNothing  = errors.New("nothing is to be done")
	errUntraced = errors.New("the change leaves no trace in the audit log")
)

// audited runs f in a transaction that changes what people manage. f notes what it does; a change that nobody could ask
// about later is no change.
func (db *DB) audited(ctx context.Context, as scope, by tenancy.Actor, f func(t tx, log *trail) error) error {
	err := db.dialect.write(ctx, as, func(t tx) error {
		log := trail{by: by, at: time.Now()}
		if err := f(t, &log); err != nil {
			return err
		}
		if len(log.events) == 0 {
			return errUntraced
		}
		return log.write(ctx, t, as)
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// write appends the events. It is the last thing that a transaction does: it may leave the scope.
func (l *trail) write(ctx context.Context, t tx, as scope) error {
	for i := range l.events {
		if as.role != tenant("").role || l.events[i].Org != as.org {
			if err := t.turn(ctx, ingest); err != nil {
				return err
			}
			break
		}
	}
	return appendEvents(ctx, t, l.events)
}

// difference is what an event shows of an object as two JSON objects; empty: nothing.
type difference struct{ before, after string }

// view is what may be read of an object in the audit log, and the rest in a form that only shows whether it changed.
type view struct {
	open   map[string]json.RawMessage
	closed map[string]driver.Value
}

// view looks at an object. A column whose value may not be read is one that does not say that it may.
func (t *table[T, P]) view(v *T) (view, error) {
	seen := view{map[string]json.RawMessage{}, map[string]driver.Value{}}
	name, err := json.Marshal(tenancy.MetaOf(P(v)).Name)
	if err != nil {
		return seen, err
	}
	seen.open["name"] = name
	for i := range t.columns {
		c := &t.columns[i]
		if c.use == derived {
			continue
		}
		member := strings.TrimSuffix(strings.TrimSuffix(c.name, "_us"), "_id")
		if c.open {
			if seen.open[member], err = json.Marshal(c.at(v)); err != nil {
				return seen, fmt.Errorf("show %s.%s: %w", t.name, c.name, err)
			}
			continue
		}
		if seen.closed[member], err = plain(c.at(v)); err != nil {
			return seen, fmt.Errorf("compare %s.%s: %w", t.name, c.name, err)
		}
	}
	return seen, nil
}

// plain is a value as the database has it, to be compared.
func plain(v any) (driver.Value, error) {
	if v, ok := v.(driver.Valuer); ok {
		return v.Value()
	}
	return driver.DefaultParameterConverter.ConvertValue(v)
}

// whole is the difference that making an object makes, or the one that its end does.
func (t *table[T, P]) whole(v *T) (string, error) {
	seen, err := t.view(v)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(seen.open)
	return string(text), err
}

// compare shows what a change makes of an object: the members that differ. Of what is secret it says only that it changed.
func (t *table[T, P]) compare(was, is *T) (d difference, err error) {
	old, err := t.view(was)
	if err != nil {
		return d, err
	}
	now, err := t.view(is)
	if err != nil {
		return d, err
	}
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for member, value := range now.open {
		if string(value) != string(old.open[member]) {
			before[member], after[member] = old.open[member], value
		}
	}
	for member, value := range now.closed {
		if value != old.closed[member] {
			after[member] = json.RawMessage(`"changed"`)
		}
	}
	for _, side := range []struct {
		into *string
		from map[string]json.RawMessage
	}{{&d.before, before}, {&d.after, after}} {
		text, err := json.Marshal(side.from)
		if err != nil {
			return d, err
		}
		*side.into = string(text)
	}
	return d, nil
}

// object is an event's name for an object of the table.
func (t *table[T, P]) object(v *T) tenancy.AuditObject {
	m := tenancy.MetaOf(P(v))
	return tenancy.AuditObject{Kind: t.prefix, ID: m.ID, Name: m.Name}
}

// made notes that an object was made.
func (t *table[T, P]) made(log *trail, v *T) error {
	after, err := t.whole(v)
	log.add(tenancy.MetaOf(P(v)).Org, t.name+".create", t.object(v), difference{after: after})
	return err
}

// altered notes that an object was changed by an action of its kind.
func (t *table[T, P]) altered(log *trail, action string, was, is *T) error {
	d, err := t.compare(was, is)
	log.add(tenancy.MetaOf(P(is)).Org, action, t.object(is), d)
	return err
}

// gone notes that an object was taken away.
func (t *table[T, P]) gone(log *trail, v *T) error {
	before, err := t.whole(v)
	log.add(tenancy.MetaOf(P(v)).Org, t.name+".delete", t.object(v), difference{before: before})
	return err
}

// allGone notes that the objects which name another one in a column were taken away with it.
func (t *table[T, P]) allGone(ctx context.Context, x tx, log *trail, column string, org, of tenancy.ID) error {
	rows, err := t.rows(ctx, x, t.selection()+` where org_id = $1 and `+column+` = $2`+t.present()+` order by id`, org, of)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := t.gone(log, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}
