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

// briefFields is how many of the columns of a call a list reads: what was done attempt by attempt can be long.
const briefFields = 30

// Calls gives a page of calls, the newest first, without their attempts, decisions, holds and contents.
func (db *DB) Calls(ctx context.Context, q accounting.CallQuery) (list []accounting.Record, err error) {
	query, args := callsQuery(&q)
	err = db.dialect.read(ctx, askingFor(q.Org), func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var r read
			if err := scan(r.brief()...); err != nil {
				return err
			}
			one, err := r.record()
			list = append(list, one)
			return err
		}, query, args...)
	})
	return list, err
}

// callsQuery is the query of a page of calls.
func callsQuery(q *accounting.CallQuery) (query string, args arguments) {
	columns := make([]string, briefFields)
	for i, f := range callFields()[:briefFields] {
		columns[i] = "c." + f.name
	}
	term, others := termsFor(q)
	from, first := "calls c", "c"
	var where []string
	if term != "" { // found by the term, in its order, and then looked up
		from, first = "call_terms t join calls c on c.begun_us = t.begun_us and c.id = t.id", "t"
		where = append(where, "t.term = "+args.add(term))
		if q.Org != "" {
			where = append(where, "t.org_id = "+args.add(q.Org))
		}
	}
	where = append(where, narrowed(q, &args, first)...)
	for _, o := range others {
		where = append(where, "exists (select 1 from call_terms o where o.org_id = c.org_id and o.term = "+args.add(o)+" and o.begun_us = c.begun_us and o.id = c.id)")
	}
	query = "select " + strings.Join(columns, ", ") + " from " + from
	if len(where) > 0 {
		query += " where " + strings.Join(where, " and ")
	}
	return query + " order by " + first + ".begun_us desc, " + first + ".id desc limit " + args.add(q.Limit), args
}

// narrowed are the conditions on calls. first is the table that the order is read from.
func narrowed(q *accounting.CallQuery, args *arguments, first string) (where []string) {
	for _, b := range []struct {
		is        bool
		condition string
		value     any
	}{
		{!q.From.IsZero(), " >= ", micros{&q.From}}, {!q.To.IsZero(), " < ", micros{&q.To}},
	} {
		if b.is {
			where = append(where, first+".begun_us"+b.condition+args.add(b.value))
		}
	}
	if q.Before != (accounting.CallCursor{}) {
		where = append(where, "("+first+".begun_us, "+first+".id) < ("+args.add(micros{&q.Before.Begun})+", "+args.add(q.Before.ID)+")")
	}
	for _, f := range []struct{ column, value string }{
		{"org_id", string(q.Org)}, {"team_id", string(q.Team)}, {"user_id", string(q.User)}, {"key_id", string(q.Key)}, {"route", q.Route},
		{"provider", q.Provider}, {"model", q.Model}, {"endpoint", q.Endpoint}, {"class", q.Class},
	} {
		if f.value != "" {
			where = append(where, "c."+f.column+" = "+args.add(f.value))
		}
	}
	if q.Failed {
		where = append(where, "c.failed")
	}
	if q.Unpriced {
		where = append(where, "c.unpriced <> ''")
	}
	if q.Tag.Key != "" {
		where = append(where, "c.tags like "+args.add("%"+escaped(tagPattern(q.Tag))+"%")+" escape '!'")
	}
	return where
}

// tagPattern is the part of the text of tags that a tag, or any of its key, has.
func tagPattern(t accounting.Tag) string {
	if t.Value == "" {
		return "[" + jsonText(t.Key) + ","
	}
	return jsonText([2]string{t.Key, t.Value})
}

// termsFor are the terms that calls must have: the one that finds the fewest, as far as can be told, and the others.
func termsFor(q *accounting.CallQuery) (term string, others []string) {
	words := wordsOf(q.Text)
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	words = slices.Compact(words)
	if q.Tag.Key != "" && q.Tag.Value != "" {
		words = append([]string{tagTerm(q.Tag)}, words...)
	}
	if len(words) == 0 {
		return "", nil
	}
	return words[0], words[1:]
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
