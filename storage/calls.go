package storage

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// Reading what is kept of calls. A page is read in its order by an index: by organization, key, model, failure, missing
// price, tag or word. Other filters look at what that one gives.

// askingFor is the scope of who reads what an organization used, or, without one, what all did.
func askingFor(org tenancy.ID) scope {
	if org == "" {
		return system
	}
	return tenant(org)
}

// briefFields are the columns of a call that a list reads: what was done attempt by attempt can be long.
func briefFields() []field {
	all := callFields()
	attempts := slices.IndexFunc(all, func(f field) bool { return f.name == "attempts" })
	return append(all[:attempts], field{"saved", number})
}

// Calls gives a page of calls, the newest first, without their attempts, decisions, holds and contents.
func (db *DB) Calls(ctx context.Context, q accounting.CallQuery) (list []accounting.Record, err error) {
	terms := termsFor(&q)
	err = db.dialect.read(ctx, askingFor(q.Org), func(t tx) error {
		if len(terms) > 0 {
			list, err = searched(ctx, t, q, terms)
			return err
		}
		query, args := callsQuery(&q)
		list, err = readCalls(ctx, t, query, args...)
		return err
	})
	return list, err
}

// readCalls reads the calls of a query of the brief columns.
func readCalls(ctx context.Context, t tx, query string, args ...any) (list []accounting.Record, err error) {
	err = t.each(ctx, func(scan func(...any) error) error {
		var r read
		if err := scan(r.brief()...); err != nil {
			return err
		}
		one, err := r.record()
		list = append(list, one)
		return err
	}, query, args...)
	return list, err
}

// briefly is the beginning of a query of calls.
func briefly() string { return "select " + names(briefFields()) + " from calls" }

// callsQuery is the query of a page of calls, whatever the words in it.
func callsQuery(q *accounting.CallQuery) (query string, args arguments) {
	where := append(within(q, &args), narrowed(q, &args)...)
	query = briefly()
	if len(where) > 0 {
		query += " where " + strings.Join(where, " and ")
	}
	return query + " order by begun_us desc, id desc limit " + args.add(q.Limit), args
}

// within are the conditions on the time of calls.
func within(q *accounting.CallQuery, args *arguments) (where []string) {
	for _, b := range []struct {
		is        bool
		condition string
		value     any
	}{
		{!q.From.IsZero(), "begun_us >= ", micros{&q.From}}, {!q.To.IsZero(), "begun_us < ", micros{&q.To}},
	} {
		if b.is {
			where = append(where, b.condition+args.add(b.value))
		}
	}
	if q.Before != (accounting.CallCursor{}) {
		at := args.add(micros{&q.Before.Begun})
		where = append(where, "(begun_us, id) < ("+at+", "+args.add(q.Before.ID)+")", "begun_us <= "+at) // the second says which days Postgres need not look into
	}
	return where
}

// narrowed are the conditions on calls besides their time.
func narrowed(q *accounting.CallQuery, args *arguments) (where []string) {
	for _, f := range []struct{ column, value string }{
		{"org_id", string(q.Org)},
		{"team_id", string(q.Team)},
		{"user_id", string(q.User)},
		{"key_id", string(q.Key)},
		{"route", q.Route},
		{"provider", q.Provider},
		{"model", q.Model},
		{"endpoint", q.Endpoint},
		{"class", q.Class},
	} {
		if f.value != "" {
			where = append(where, f.column+" = "+args.add(f.value))
		}
	}
	if q.Failed {
		where = append(where, "failed")
	}
	if q.Unpriced {
		where = append(where, "unpriced <> ''")
	}
	if q.Tag.Key != "" {
		where = append(where, "replace(tags, "+args.add(tagPart(q.Tag))+", '') <> tags") // "like" would not tell capitals apart in SQLite
	}
	return where
}

// tagPart is the part of the text of tags that a tag, or any of its key, has.
func tagPart(t accounting.Tag) string {
	if t.Value == "" {
		return "[" + jsonText(t.Key) + ","
	}
	return jsonText([2]string{t.Key, t.Value})
}

// Call finds one call, with everything that is kept of it. Without an organization it is looked for in all.
func (db *DB) Call(ctx context.Context, org, id tenancy.ID) (accounting.Record, error) {
	var r read
	var args arguments
	where := " where id = " + args.add(id)
	if org != "" {
		where += " and org_id = " + args.add(org)
	}
	// An id tells when it was made, within a moment: so a few days are looked at, and not all.
	if at, ok := madeAt(id); ok {
		where += " and begun_us >= " + args.add(at-idSlack) + " and begun_us <= " + args.add(at+idSlack)
	}
	err := db.dialect.read(ctx, askingFor(org), func(t tx) error {
		if err := t.one(ctx, r.whole(), `select `+names(callFields())+` from calls`+where, args...); err != nil {
			return err
		}
		err := t.one(ctx, []any{&r.Prompt, &r.Answer}, `select prompt, answer from call_contents where org_id = $1 and begun_us = $2 and id = $3`, r.Who.Org, r.begun, r.ID)
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return accounting.Record{}, err
	}
	r.Prompt, r.Answer = notEmpty(r.Prompt), notEmpty(r.Answer)
	return r.record()
}

// idSlack is how far the time of an id may be from the beginning of its call.
const idSlack = day

// madeAt is when an id was made, if it tells.
func madeAt(id tenancy.ID) (us int64, ok bool) {
	_, text, _ := strings.Cut(string(id), "_")
	u, err := uuid.Parse(text)
	if err != nil || len(text) != 32 || u.Version() != 7 {
		return 0, false
	}
	seconds, nanos := u.Time().UnixTime()
	return seconds*1_000_000 + nanos/1000, true
}
