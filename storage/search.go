package storage

import (
	"context"
	"strings"

	"github.com/vel-gateway/vel/accounting"
)

// A search for words goes through the calls that one of them finds, some at a time, and looks whether they have the others
// and pass the filters. No join does it: an engine that expects few of them reads all calls instead.

// How many calls a search looks at first; twice as many each time that the page is not full, up to a bound.
const (
	searchFirst = 200
	searchMost  = 4000
)

// termsSorted is how many calls with a term are sorted to find the newest.
const termsSorted = 20_000

// searched gives a page of the calls that have all of some terms.
func searched(ctx context.Context, t tx, q accounting.CallQuery, terms []string) (list []accounting.Record, err error) {
	often, err := isOften(ctx, t, &q, terms[0])
	if err != nil {
		return nil, err
	}
	step := q
	for step.Limit = max(q.Limit, searchFirst); ; step.Limit = min(2*step.Limit, max(q.Limit, searchMost)) {
		var found []accounting.Record
		var last accounting.CallCursor
		more := false
		if often {
			found, last, more, err = byTime(ctx, t, &step)
		} else {
			found, last, more, err = byTerm(ctx, t, &step, terms[0])
		}
		if err != nil {
			return nil, err
		}
		for i := range found {
			if !hasTerms(&found[i], terms) {
				continue
			}
			if list = append(list, found[i]); len(list) == q.Limit {
				return list, nil
			}
		}
		if !more {
			return list, nil
		}
		step.Before = last
	}
}

// isOften tells whether a term stands at so many calls of all organizations that a page of them is found faster in the
// order of time, which the terms of all are not in.
func isOften(ctx context.Context, t tx, q *accounting.CallQuery, term string) (bool, error) {
	if q.Org != "" {
		return false, nil
	}
	var n int64
	err := t.one(ctx, []any{&n}, `select count(*) from (select 1 from call_terms where term = $1 limit $2) as few`, term, termsSorted)
	return n == termsSorted, err
}

// byTime gives the next calls that pass the filters, up to where it looked, and whether there may be more.
func byTime(ctx context.Context, t tx, q *accounting.CallQuery) (found []accounting.Record, last accounting.CallCursor, more bool, err error) {
	query, args := callsQuery(q)
	if found, err = readCalls(ctx, t, query, args...); err != nil || len(found) == 0 {
		return nil, last, false, err
	}
	end := &found[len(found)-1]
	return found, accounting.CallCursor{Begun: end.Begun, ID: end.ID}, len(found) == q.Limit, nil
}

// byTerm gives the next calls that a term finds and that pass the filters, up to where it looked, and whether there may
// be more.
func byTerm(ctx context.Context, t tx, q *accounting.CallQuery, term string) (found []accounting.Record, last accounting.CallCursor, more bool, err error) {
	keys, err := termKeys(ctx, t, q, term)
	if err != nil || len(keys) == 0 {
		return nil, last, false, err
	}
	for i := 0; i < len(keys); i += searchFirst {
		some := keys[i:min(i+searchFirst, len(keys))]
		var args arguments
		where := append([]string{keyedBy(some, &args)}, narrowed(q, &args)...)
		list, err := readCalls(ctx, t, briefly()+" where "+strings.Join(where, " and ")+" order by begun_us desc, id desc", args...)
		if err != nil {
			return nil, last, false, err
		}
		found = append(found, list...)
	}
	return found, keys[len(keys)-1], len(keys) == q.Limit, nil
}

// termKeys are the next calls that a term finds.
func termKeys(ctx context.Context, t tx, q *accounting.CallQuery, term string) (keys []accounting.CallCursor, err error) {
	args := arguments{term}
	where := "term = $1"
	if q.Org != "" {
		where += " and org_id = " + args.add(q.Org)
	}
	for _, condition := range within(q, &args) {
		where += " and " + condition
	}
	err = t.each(ctx, func(scan func(...any) error) error {
		var k accounting.CallCursor
		err := scan(micros{&k.Begun}, &k.ID)
		keys = append(keys, k)
		return err
	}, `select begun_us, id from call_terms where `+where+` order by begun_us desc, id desc limit `+args.add(q.Limit), args...)
	return keys, err
}
