package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// Sealing says how the audit log is sealed.
type Sealing struct {
	Signer chain.Signer
	// Keep is how long events are kept, at least a day; nil: for ever.
	Keep func() time.Duration
	// Sealed is told how many events were sealed, Leads whether this node does it. Either may be nil.
	Sealed func(events int)
	Leads  func(is bool)
}

// leader is the scope of the node that seals. Nobody stands before it: an event that is not sealed is not proved.
var leader = system.forCalls()

// How often events are sealed, how many at once, how often the head of a chain that goes on is kept as a checkpoint, and
// how often old events are looked for.
const (
	sealEvery       = time.Second
	sealMost        = 500
	checkpointEvery = 10 * time.Minute
	expireEvery     = time.Hour
)

// sealer seals the log while it holds the lease.
type sealer struct {
	Sealing
	db      *DB
	lease   lease
	failed  bool      // the last try
	expired time.Time // when old events were looked for last
}

// Seal seals the audit log each second until ctx ends, on one node at a time, and removes what has had its time. When the
// node that does it is gone, another one goes on after leaseLife.
func (db *DB) Seal(ctx context.Context, s Sealing) {
	w := &sealer{Sealing: s, db: db, lease: db.lease("audit")}
	defer w.stop(ctx)
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		held := w.lease.held
		err := w.turn(ctx)
		w.complain(ctx, err)
		if w.lease.held != held && w.Leads != nil {
			w.Leads(w.lease.held)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// SealNow seals what there is, if no other node does.
func (db *DB) SealNow(ctx context.Context, signer chain.Signer) error {
	w := &sealer{Sealing: Sealing{Signer: signer}, db: db, lease: db.lease("audit")}
	if err := w.lease.take(ctx, db, time.Now()); err != nil || !w.lease.held {
		return err
	}
	return errors.Join(w.seal(ctx), w.lease.resign(ctx, db))
}

// complain logs the first of several failures.
func (w *sealer) complain(ctx context.Context, err error) {
	if err != nil && !w.failed && ctx.Err() == nil {
		w.db.log.Error("the audit log is not kept as it should be; it is tried again each second", slog.Any("reason", err))
	}
	w.failed = err != nil
}

// stop leaves nothing unsealed behind, and the lease to others.
func (w *sealer) stop(ctx context.Context) {
	if !w.lease.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLife)
	defer cancel()
	w.complain(ctx, errors.Join(w.seal(ctx), w.lease.resign(ctx, w.db)))
}

// turn does what is due.
func (w *sealer) turn(ctx context.Context) error {
	now := time.Now()
	if !w.lease.held {
		if err := w.lease.take(ctx, w.db, now); err != nil || !w.lease.held {
			return err
		}
	}
	if err := w.seal(ctx); err != nil {
		return fmt.Errorf("seal the audit log: %w", err)
	}
	if now.Sub(w.expired) < expireEvery {
		return nil
	}
	if err := errors.Join(w.db.prepareDays(ctx, now), w.expire(ctx, now)); err != nil {
		return fmt.Errorf("remove what has had its time from the audit log: %w", err)
	}
	w.expired = now
	return nil
}

// seal seals everything that waits.
func (w *sealer) seal(ctx context.Context) error {
	for {
		var events []tenancy.AuditEvent
		now := time.Now()
		err := w.db.dialect.write(ctx, leader, func(t tx) (err error) {
			if err := w.lease.beat(ctx, t); err != nil {
				return err
			}
			events, err = readEvents(ctx, t, `select `+eventColumns+` from audit_events where seal = 0 order by time_us, id limit $1`, sealMost)
			if err != nil || len(events) == 0 {
				return err
			}
			return w.sealThese(ctx, t, events, now)
		})
		switch {
		case errors.Is(err, errNotHeld):
			return nil
		case err != nil:
			return err
		case w.Sealed != nil && len(events) > 0:
			w.Sealed(len(events))
		}
		if len(events) < sealMost {
			return nil
		}
	}
}

// sealThese puts events into their chains, each day of an organization under a seal of its own.
func (w *sealer) sealThese(ctx context.Context, t tx, events []tenancy.AuditEvent, now time.Time) error {
	slices.SortStableFunc(events, func(a, b tenancy.AuditEvent) int { return strings.Compare(string(a.Org), string(b.Org)) })
	heads, err := readHeads(ctx, t, orgsOf(events))
	if err != nil {
		return err
	}
	var seals []chain.Seal
	for rest := events; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Org == rest[0].Org && chain.Day(rest[n].Time).Equal(chain.Day(rest[0].Time)) {
			n++
		}
		h := heads[rest[0].Org]
		s := chain.Extend(&h.Checkpoint, rest[0].Org, rest[:n], now)
		h.Org, h.Seal, h.Hash = s.Org, s.Number, s.Hash
		seals, rest = append(seals, s), rest[n:]
	}
	if err := insertSeals(ctx, t, seals); err != nil {
		return err
	}
	if err := placeEvents(ctx, t, events); err != nil {
		return err
	}
	var all, kept []chain.Checkpoint
	for _, h := range heads {
		due := now.Sub(h.kept) >= checkpointEvery
		if due {
			h.Number++
		}
		w.Signer.Sign(&h.Checkpoint, now)
		all = append(all, h.Checkpoint)
		if due {
			kept = append(kept, h.Checkpoint)
		}
	}
	return keepHeads(ctx, t, all, kept)
}

func orgsOf(events []tenancy.AuditEvent) (orgs []tenancy.ID) {
	for i := range events {
		if i == 0 || events[i].Org != events[i-1].Org {
			orgs = append(orgs, events[i].Org)
		}
	}
	return orgs
}
