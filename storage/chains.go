package storage

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// How seals, heads and checkpoints stand in the database.

const (
	sealColumns       = `org_id, number, time_us, count, first, last, earliest_us, latest_us, root, previous, hash`
	checkpointColumns = `org_id, number, time_us, seal, hash, kept_from_us, key, signature`
)

func seal(s *chain.Seal) []any {
	return []any{&s.Org, &s.Number, micros{&s.Time}, &s.Count, &s.First, &s.Last, micros{&s.Earliest}, micros{&s.Latest}, &s.Root, &s.Previous, &s.Hash}
}

func checkpoint(c *chain.Checkpoint) []any {
	return []any{&c.Org, &c.Number, micros{&c.Time}, &c.Seal, &c.Hash, micros{&c.KeptFrom}, &c.Key, &c.Signature}
}

// head is the end of a chain, and when it was kept as a checkpoint last.
type head struct {
	chain.Checkpoint
	kept time.Time
}

// readHeads finds the heads of organizations; those that have none get an empty one.
func readHeads(ctx context.Context, t tx, orgs []tenancy.ID) (map[tenancy.ID]*head, error) {
	heads := make(map[tenancy.ID]*head, len(orgs))
	for _, org := range orgs {
		heads[org] = &head{Checkpoint: chain.Checkpoint{Org: org}}
	}
	for some := range slices.Chunk(orgs, fewParameters) {
		var args arguments
		err := t.each(ctx, func(scan func(...any) error) error {
			var h head
			if err := scan(append(checkpoint(&h.Checkpoint), micros{&h.kept})...); err != nil {
				return err
			}
			heads[h.Org] = &h
			return nil
		}, `select `+checkpointColumns+`, coalesce((select max(time_us) from audit_checkpoints c where c.org_id = audit_heads.org_id and c.number = audit_heads.number), 0)
			from audit_heads where org_id in `+addList(&args, some), args...)
		if err != nil {
			return nil, err
		}
	}
	return heads, nil
}

// appendRows inserts rows of n columns.
func appendRows(ctx context.Context, t tx, into, columns, then string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	for some := range slices.Chunk(rows, quickParameters/len(rows[0])) {
		var args arguments
		if _, err := t.exec(ctx, `insert into `+into+` (`+columns+`) values `+args.addRows(some...)+then, args...); err != nil {
			return err
		}
	}
	return nil
}

func insertSeals(ctx context.Context, t tx, seals []chain.Seal) error {
	rows := make([][]any, len(seals))
	for i := range seals {
		rows[i] = seal(&seals[i])
	}
	return appendRows(ctx, t, "audit_seals", sealColumns, "", rows)
}

// keepHeads stores heads in the place of those before, and of those that are kept a checkpoint.
func keepHeads(ctx context.Context, t tx, heads, kept []chain.Checkpoint) error {
	rows := make([][]any, len(heads))
	for i := range heads {
		rows[i] = checkpoint(&heads[i])
	}
	err := appendRows(ctx, t, "audit_heads", checkpointColumns, ` on conflict (org_id) do update set number = excluded.number, time_us = excluded.time_us,
		seal = excluded.seal, hash = excluded.hash, kept_from_us = excluded.kept_from_us, key = excluded.key, signature = excluded.signature`, rows)
	if err != nil {
		return err
	}
	rows = make([][]any, len(kept))
	for i := range kept {
		rows[i] = checkpoint(&kept[i])
	}
	return appendRows(ctx, t, "audit_checkpoints", checkpointColumns, "", rows)
}

// placeEvents tells events in the database where they stand in their chains.
func placeEvents(ctx context.Context, t tx, events []tenancy.AuditEvent) error {
	for some := range slices.Chunk(events, quickParameters/6) {
		var args arguments
		rows := make([]string, len(some))
		for i := range some {
			e := &some[i]
			rows[i] = "(cast(" + args.add(e.Org) + " as text), cast(" + args.add(micros{&e.Time}) + " as bigint), cast(" + args.add(e.ID) + " as text), cast(" +
				args.add(e.Sealed.Seal) + " as bigint), cast(" + args.add(e.Sealed.Place) + " as bigint), cast(" + args.add(e.Sealed.Leaf) + " as text))"
		}
		_, err := t.exec(ctx, `with at (org_id, time_us, id, seal, place, leaf) as (values `+strings.Join(rows, ", ")+`)
			update audit_events set seal = at.seal, place = at.place, leaf = at.leaf from at
			where audit_events.org_id = at.org_id and audit_events.time_us = at.time_us and audit_events.id = at.id and audit_events.seal = 0`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
