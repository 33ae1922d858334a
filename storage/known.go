package storage

import (
	"context"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/accounting"
)

// known is a call of the batch that was stored before.
type known struct {
	read
	node          string
	number, place int64
}

// meet looks at those calls of the batch that are stored already: what a dead node was believed to have used gives way to
// how its call ended, and everything else stays as it is and is no more of the batch. Only the system sees calls of all
// organizations, and takes them away.
func (b *batch) meet(ctx context.Context, t tx) error {
	if err := t.turn(ctx, system); err != nil {
		return err
	}
	stored := map[callKey]*known{}
	for some := range slices.Chunk(b.records, quickParameters/2) {
		if err := b.find(ctx, t, some, stored); err != nil {
			return err
		}
	}
	var records []accounting.Record
	var rows, again [][]any
	for i := range b.records {
		k := stored[callAt(&b.records[i])]
		if k != nil {
			if k.State != accounting.Interrupted || b.records[i].State != accounting.Ended {
				continue
			}
			if err := b.replace(ctx, t, k); err != nil {
				return err
			}
			if err := b.recall(ctx, t, &b.records[i]); err != nil {
				return err
			}
			again = append(again, b.rows[i])
		}
		records, rows = append(records, b.records[i]), append(rows, b.rows[i])
	}
	b.records, b.rows = records, rows
	if err := t.turn(ctx, ingest); err != nil {
		return err
	}
	_, err := b.insert(ctx, t, again)
	return err
}

// find reads those of some calls that other batches have stored.
func (b *batch) find(ctx context.Context, t tx, some []accounting.Record, stored map[callKey]*known) error {
	args := arguments{b.node, b.number}
	keys := make([][]any, len(some))
	for i := range some {
		keys[i] = []any{micros{&some[i].Begun}, some[i].ID}
	}
	// The bounds let Postgres look into those days only.
	query := `select ` + names(callFields()) + `, node, batch, place from calls where not (node = $1 and batch = $2)
		and begun_us >= ` + args.add(micros{&some[0].Begun}) + ` and begun_us <= ` + args.add(micros{&some[len(some)-1].Begun}) +
		` and (begun_us, id) in (values ` + args.addCast(`(cast(%s as bigint), %s)`, keys...) + `)`
	return t.each(ctx, func(scan func(...any) error) error {
		k := &known{}
		if err := scan(append(k.whole(), &k.node, &k.number, &k.place)...); err != nil {
			return err
		}
		if _, err := k.record(); err != nil {
			return err
		}
		stored[callAt(&k.Record)] = k
		return nil
	}, query, args...)
}

// addCast takes rows of two parameters and gives their placeholders in a form.
func (a *arguments) addCast(form string, rows ...[]any) string {
	all := make([]string, len(rows))
	for i, row := range rows {
		one := form
		for _, v := range row {
			one = strings.Replace(one, "%s", a.add(v), 1)
		}
		all[i] = one
	}
	return strings.Join(all, ", ")
}

// replace takes away a call that was only an estimate, and keeps what its batch is proved by.
func (b *batch) replace(ctx context.Context, t tx, k *known) error {
	b.sums.add(&k.Record, -1)
	at := micros{&k.Begun}
	var args arguments
	row := []any{k.Who.Org, k.ID, at, k.node, k.number, k.place, callLine(k.row())}
	if _, err := t.exec(ctx, `insert into call_replaced (org_id, id, begun_us, node, batch, place, line) values `+args.addRows(row), args...); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `delete from call_contents where begun_us = $1 and id = $2`, at, k.ID); err != nil {
		return err
	}
	return removeCall(ctx, t, &k.Record)
}
