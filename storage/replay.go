package storage

import (
	"context"
	"strconv"
	"strings"

	"github.com/vel-gateway/vel/accounting"
)

// replayFields are the columns of a call that a replay reads: those of a list, the attempts and the decision.
func replayFields() []field {
	return append(briefFields(), field{"attempts", textual}, field{"decision", binary})
}

// CountCalls tells how many calls a filter finds. Texts are not searched.
func (db *DB) CountCalls(ctx context.Context, f accounting.CallFilter) (n int64, err error) {
	var args arguments
	query := "select count(*) from calls" + replayed(&accounting.ReplayQuery{CallFilter: f}, &args)
	err = db.dialect.read(ctx, askingFor(f.Org), func(t tx) error { return t.one(ctx, []any{&n}, query, args...) })
	return n, err
}

// Replay gives a page of calls, the oldest first, and where the next page begins; the zero cursor says that this is the last
// one.
func (db *DB) Replay(ctx context.Context, q accounting.ReplayQuery) (list []accounting.Record, next accounting.CallCursor, err error) {
	err = db.dialect.read(ctx, askingFor(q.Org), func(t tx) error {
		if q.Every > 1 {
			list, next, err = thinned(ctx, t, &q)
			return err
		}
		query, args := replayQuery(&q)
		list, err = readWhole(ctx, t, query, args)
		if next = (accounting.CallCursor{}); len(list) == q.Limit {
			next = cursorAfter(&list[q.Limit-1])
		}
		return err
	})
	return list, next, err
}

// replayQuery is the query of a page of all calls.
func replayQuery(q *accounting.ReplayQuery) (query string, args arguments) {
	where := replayed(q, &args)
	return wholly() + where + " order by begun_us, id limit " + args.add(q.Limit), args
}

// wholly is the beginning of a query of calls with what a replay wants of them.
func wholly() string { return "select " + names(replayFields()) + " from calls" }

func cursorAfter(r *accounting.Record) accounting.CallCursor {
	return accounting.CallCursor{Begun: r.Begun, ID: r.ID}
}

// replayed is which calls a replay reads: those of clients, and no copies of them.
func replayed(q *accounting.ReplayQuery, args *arguments) string {
	of := accounting.CallQuery{CallFilter: q.CallFilter}
	where := append(within(&of, args), narrowed(&of, args)...)
	where = append(where, "mirror = ''")
	if q.After != (accounting.CallCursor{}) {
		at := args.add(micros{&q.After.Begun})
		where = append(where, "(begun_us, id) > ("+at+", "+args.add(q.After.ID)+")", "begun_us >= "+at) // the second as in within
	}
	return " where " + strings.Join(where, " and ")
}

// thinned gives every so many-th of the next calls: their keys first, by which the rest of them is read then.
func thinned(ctx context.Context, t tx, q *accounting.ReplayQuery) (list []accounting.Record, next accounting.CallCursor, err error) {
	var args arguments
	var keys []accounting.CallCursor
	where, among := replayed(q, &args), q.Limit*q.Every
	err = t.each(ctx, func(scan func(...any) error) error {
		var k accounting.CallCursor
		var place int
		err := scan(micros{&k.Begun}, &k.ID, &place)
		if keys = append(keys, k); place == among { // there may be more
			next = k
		}
		return err
	}, `select begun_us, id, place from (select begun_us, id, row_number() over (order by begun_us, id) as place
		from (select begun_us, id from calls`+where+` order by begun_us, id limit `+args.add(among)+`) as following) as counted
		where place % `+strconv.Itoa(q.Every)+` = 0 order by begun_us, id`, args...)
	for i := 0; err == nil && i < len(keys); i += searchFirst {
		some := keys[i:min(i+searchFirst, len(keys))]
		var args arguments
		query := wholly() + " where " + keyedBy(some, &args) + " order by begun_us, id"
		var page []accounting.Record
		page, err = readWhole(ctx, t, query, args)
		list = append(list, page...)
	}
	return list, next, err
}

// keyedBy is the condition for some calls, which are in an order of time.
func keyedBy(keys []accounting.CallCursor, args *arguments) string {
	first, last := keys[0], keys[len(keys)-1]
	if last.Begun.Before(first.Begun) {
		first, last = last, first
	}
	rows := make([][]any, len(keys))
	for n := range keys {
		rows[n] = []any{micros{&keys[n].Begun}, keys[n].ID}
	}
	return "begun_us >= " + args.add(micros{&first.Begun}) + " and begun_us <= " + args.add(micros{&last.Begun}) +
		" and (begun_us, id) in (values " + args.addCast("(cast(%s as bigint), %s)", rows...) + ")"
}

// readWhole reads the calls of such a query.
func readWhole(ctx context.Context, t tx, query string, args arguments) (list []accounting.Record, err error) {
	err = t.each(ctx, func(scan func(...any) error) error {
		var r read
		if err := scan(append(r.brief(), &r.attempts, &r.Decision)...); err != nil {
			return err
		}
		one, err := r.record()
		list = append(list, one)
		return err
	}, query, args...)
	return list, err
}
