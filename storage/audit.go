package storage

import (
	"context"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/tenancy"
)

// The audit log. An event is appended with seal 0 and never changes but for the three columns that say where it stands
// in its organization's chain, which are the leader's; see package tenancy/chain.

const eventColumns = `org_id, id, time_us, action, outcome, reason, count, by_org, by_user, by_key, by_session, by_name, by_email, address, agent, request,
	object_kind, object_id, object_name, before, after, seal, place, leaf`

// event gives the columns of an event, to be read and written.
func event(e *tenancy.AuditEvent) []any {
	return []any{
		&e.Org, &e.ID,
		micros{&e.Time},
		&e.Action, &e.Outcome, &e.Reason, &e.Count,
		&e.By.Org, &e.By.User, &e.By.Key, &e.By.Session, &e.By.Name, &e.By.Email, &e.By.Address, &e.By.Agent, &e.By.Request,
		&e.Object.Kind, &e.Object.ID, &e.Object.Name, &e.Before, &e.After, &e.Sealed.Seal, &e.Sealed.Place, &e.Sealed.Leaf,
	}
}

// quickParameters is how many parameters one statement gets of many rows: SQLite compares the name of each with those of
// all before it.
const quickParameters = 500

// appendEvents writes events that are not sealed yet. It is the one way into the log: whoever has something to tell that
// happens in a transaction of its own calls it there. When calls are recorded, a batch of them will be one event with the
// hash of the batch, appended where the batch is.
func appendEvents(ctx context.Context, t tx, events []tenancy.AuditEvent) error {
	for some := range slices.Chunk(events, quickParameters/24) {
		var args arguments
		rows := make([][]any, len(some))
		for i := range some {
			rows[i] = event(&some[i])
		}
		if _, err := t.exec(ctx, `insert into audit_events (`+eventColumns+`) values `+args.addRows(rows...), args...); err != nil {
			return err
		}
	}
	return nil
}

// Record appends events that change nothing else: who was refused, and the like.
func (db *DB) Record(ctx context.Context, events []tenancy.AuditEvent) error {
	return db.dialect.write(ctx, ingest, func(t tx) error { return appendEvents(ctx, t, events) })
}

// readEvents reads the events of a query.
func readEvents(ctx context.Context, t tx, query string, args ...any) (list []tenancy.AuditEvent, err error) {
	err = t.each(ctx, func(scan func(...any) error) error {
		var e tenancy.AuditEvent
		if err := scan(event(&e)...); err != nil {
			return err
		}
		list = append(list, e)
		return nil
	}, query, args...)
	return list, err
}

// Audit gives a page of an organization's events, the newest first.
func (db *DB) Audit(ctx context.Context, q tenancy.AuditQuery) (list []tenancy.AuditEvent, err error) {
	args := arguments{q.Org}
	where := []string{"org_id = $1"}
	if !q.From.IsZero() {
		where = append(where, "time_us >= "+args.add(micros{&q.From}))
	}
	if !q.To.IsZero() {
		where = append(where, "time_us < "+args.add(micros{&q.To}))
	}
	if q.Before.ID != "" {
		where = append(where, "(time_us, id) < ("+args.add(micros{&q.Before.Time})+", "+args.add(q.Before.ID)+")")
	}
	for _, f := range []struct {
		value   string
		columns []string
	}{
		{q.Actor, []string{"by_user", "by_key", "by_session", "by_email"}}, {string(q.Object), []string{"object_id"}}, {q.Outcome, []string{"outcome"}},
	} {
		if f.value != "" {
			place := args.add(f.value)
			where = append(where, "("+strings.Join(f.columns, " = "+place+" or ")+" = "+place+")")
		}
	}
	switch prefix, ok := strings.CutSuffix(q.Action, "."); {
	case ok:
		where = append(where, "action like "+args.add(escaped(prefix)+".%")+" escape '!'")
	case q.Action != "":
		where = append(where, "action = "+args.add(q.Action))
	}
	query := `select ` + eventColumns + ` from audit_events where ` + strings.Join(where, " and ") + ` order by time_us desc, id desc limit ` + args.add(q.Limit)
	err = db.dialect.read(ctx, tenant(q.Org), func(t tx) error {
		list, err = readEvents(ctx, t, query, args...)
		return err
	})
	return list, err
}
