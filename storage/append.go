package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/tenancy"
)

// How many records a node appends at once: in Postgres a round trip is the price, in SQLite everybody else waits.
const (
	batchPostgres = 2000
	batchSQLite   = 500
)

// BatchSize is how many records Append should get at once.
func (db *DB) BatchSize() int {
	if _, alone := db.dialect.(*liteDB); alone {
		return batchSQLite
	}
	return batchPostgres
}

// Cursor is up to where a node's records are stored; the zero cursor if nothing is.
func (db *DB) Cursor(ctx context.Context, node string) (c spool.Cursor, err error) {
	err = db.dialect.read(ctx, ingest, func(t tx) error {
		var segment int64
		err := t.one(ctx, []any{&segment, &c.Offset}, `select segment, place from spool_cursors where node = $1`, clean(node, longestIndexed))
		c.Segment = uint64(segment)
		return err
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return spool.Cursor{}, nil
	}
	return c, err
}

// Append stores what a node has spooled between two cursors and moves the node's cursor, in one transaction. Calls that
// have only begun are stepped over: their node tells how they ended. A call that is stored already is not counted again;
// how it ended takes the place of what was believed when its node was found dead.
//
// In the same transaction its sums are raised, and the audit log of the platform gets the hash of the batch, and an event
// for each model that was called for the first time and has no price.
func (db *DB) Append(ctx context.Context, node string, from, to spool.Cursor, records []accounting.Record) error {
	if to.Segment > math.MaxInt64 {
		return &accounting.Rejected{Cause: fmt.Errorf("segment %d", to.Segment)}
	}
	b := newBatch(clean(node, longestIndexed), records)
	err := db.dialect.write(ctx, ingest.again(), func(t tx) error {
		if err := b.move(ctx, t, from, to); err != nil {
			return err
		}
		if len(b.records) == 0 {
			return nil
		}
		return b.append(ctx, t)
	})
	return appendFault(err)
}

// appendFault says in the words of accounting what went wrong.
func appendFault(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case err == nil, errors.Is(err, accounting.ErrCursor), errors.Is(err, context.Canceled), errors.As(err, new(*tenancy.Unavailable)):
		return err
	case errors.As(err, &pg) && (pg.Code[:2] == "22" || pg.Code[:2] == "23"):
		return &accounting.Rejected{Cause: err}
	case errors.As(err, new(*tenancy.Taken)), errors.Is(err, tenancy.ErrNotFound): // a value that clashes; a text that is none
		return &accounting.Rejected{Cause: err}
	case errors.As(err, &lite):
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
			return &accounting.Rejected{Cause: err}
		}
	}
	return &tenancy.Unavailable{Cause: err}
}

// batch is what a node appends at once.
type batch struct {
	node    string
	number  int64
	records []accounting.Record // the newest of each call, in the order of their times
	rows    [][]any             // of calls
	sums    *sums
	booked  map[callKey][]accounting.Booking // what the ledger says already of calls that were only estimated
}

func newBatch(node string, records []accounting.Record) *batch {
	b := &batch{node: node, sums: newSums(), booked: map[callKey][]accounting.Booking{}}
	for i := range records {
		if records[i].State == accounting.Ended || records[i].State == accounting.Interrupted {
			b.records = append(b.records, records[i])
		}
	}
	for i := range b.records {
		cleanRecord(&b.records[i])
	}
	// Two nodes that write the same calls must not wait for each other. Of the same call how it ended comes first.
	slices.SortStableFunc(b.records, func(x, y accounting.Record) int {
		return cmp.Or(x.Begun.Compare(y.Begun), cmp.Compare(x.ID, y.ID), cmp.Compare(x.State, y.State))
	})
	b.records = slices.CompactFunc(b.records, func(x, y accounting.Record) bool { return callAt(&x) == callAt(&y) })
	return b
}

// callKey is what a call is stored under.
type callKey struct {
	begun int64
	id    tenancy.ID
}

func callAt(r *accounting.Record) callKey { return callKey{toMicros(r.Begun), r.ID} }

// move moves the cursor, if it stands where the node believes, and numbers the batch.
func (b *batch) move(ctx context.Context, t tx, from, to spool.Cursor) error {
	statement := `update spool_cursors set segment = $2, place = $3, batch = batch + 1 where node = $1 and segment = $4 and place = $5 returning batch`
	if from == (spool.Cursor{}) { // perhaps it has never come here
		statement = `insert into spool_cursors (node, segment, place, batch) values ($1, $2, $3, 1) on conflict (node) do update
			set segment = excluded.segment, place = excluded.place, batch = spool_cursors.batch + 1
			where spool_cursors.segment = $4 and spool_cursors.place = $5 returning batch`
	}
	err := t.one(ctx, []any{&b.number}, statement, b.node, int64(to.Segment), to.Offset, int64(from.Segment), from.Offset)
	if errors.Is(err, tenancy.ErrNotFound) {
		return accounting.ErrCursor
	}
	return err
}

// append stores the calls and everything that follows from them.
func (b *batch) append(ctx context.Context, t tx) error {
	b.rows = make([][]any, len(b.records))
	for i := range b.records {
		b.rows[i] = append(callRow(&b.records[i]), b.node, b.number, int64(i))
	}
	n, err := b.insert(ctx, t, b.rows)
	if err != nil {
		return err
	}
	if n < int64(len(b.rows)) {
		if err := b.meet(ctx, t); err != nil {
			return err
		}
	}
	if len(b.records) == 0 {
		return nil
	}
	for i := range b.records {
		b.sums.add(&b.records[i], 1)
	}
	for _, step := range []func(context.Context, tx) error{b.terms, b.contents, b.book, b.sum, b.events} {
		if err := step(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// insert stores rows of calls that are not there yet.
func (b *batch) insert(ctx context.Context, t tx, rows [][]any) (int64, error) {
	return t.bulk(ctx, "calls", append(callFields(), placeFields()...), ` on conflict do nothing`, rows)
}

// terms stores what the calls are found by.
func (b *batch) terms(ctx context.Context, t tx) error {
	var rows [][]any
	for i := range b.records {
		r := &b.records[i]
		for _, term := range termsOf(r) {
			rows = append(rows, []any{string(r.Who.Org), term, toMicros(r.Begun), string(r.ID)})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int { // neighbours in the table are stored one after the other
		return cmp.Or(cmp.Compare(a[1].(string), b[1].(string)), cmp.Compare(a[0].(string), b[0].(string)))
	})
	_, err := t.bulk(ctx, "call_terms", []field{{"org_id", textual}, {"term", textual}, {"begun_us", number}, {"id", textual}}, ` on conflict do nothing`, rows)
	return err
}

// contents stores prompts and answers.
func (b *batch) contents(ctx context.Context, t tx) error {
	var rows [][]any
	for i := range b.records {
		if r := &b.records[i]; len(r.Prompt)+len(r.Answer) > 0 {
			rows = append(rows, []any{string(r.Who.Org), string(r.ID), toMicros(r.Begun), bytesOf(r.Prompt), bytesOf(r.Answer), sealerOf(r.Prompt, r.Answer)})
		}
	}
	fields := []field{{"org_id", textual}, {"id", textual}, {"begun_us", number}, {"prompt", binary}, {"answer", binary}, {"sealed_by", textual}}
	_, err := t.bulk(ctx, "call_contents", fields, ` on conflict do nothing`, rows)
	return err
}

func (b *batch) sum(ctx context.Context, t tx) error { return b.sums.write(ctx, t, b.node) }

// events tells the audit log of the batch, and of models without a price.
func (b *batch) events(ctx context.Context, t tx) error {
	log := trail{by: tenancy.Vel(), at: time.Now()}
	for _, m := range b.unpriced() {
		at := log.at
		n, err := t.exec(ctx, `insert into unpriced_models (provider, model, first_us) values ($1, $2, $3) on conflict do nothing`, m.provider, m.model, micros{&at})
		if err != nil {
			return err
		}
		if n == 1 {
			log.add(tenancy.Platform, tenancy.ActionPricesMissing, tenancy.AuditObject{Kind: "model", ID: tenancy.ID(m.provider + "/" + m.model), Name: m.model}, difference{})
		}
	}
	log.add(tenancy.Platform, tenancy.ActionRecordCalls, tenancy.AuditObject{Kind: "node", ID: tenancy.ID(b.node)}, difference{after: jsonText(b.sealed())})
	log.events[len(log.events)-1].Count = int64(len(b.records))
	return appendEvents(ctx, t, log.events)
}

// model is one of a provider's.
type model struct{ provider, model string }

// noPrice is why the cost of a call is not known as a whole when there is no price for its model.
const noPrice = "no_price"

// unpriced are the models of the batch that have no price.
func (b *batch) unpriced() (list []model) {
	for i := range b.records {
		r := &b.records[i]
		if r.Unpriced != noPrice {
			continue
		}
		found := false
		for _, a := range r.Attempts {
			if a.Unpriced == noPrice {
				found = true
				list = append(list, model{clean(a.Provider, longestIndexed), clean(a.Model, longestIndexed)})
			}
		}
		if !found {
			list = append(list, model{r.Provider, r.Model})
		}
	}
	slices.SortFunc(list, func(x, y model) int {
		return cmp.Or(cmp.Compare(x.provider, y.provider), cmp.Compare(x.model, y.model))
	})
	return slices.Compact(list)
}
