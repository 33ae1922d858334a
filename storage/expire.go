package storage

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// expire removes the events of days that have had their time. That it does so is signed before: whoever finds events
// missing finds in the checkpoint that they had to be.
func (w *sealer) expire(ctx context.Context, now time.Time) error {
	if w.Keep == nil {
		return nil
	}
	before := chain.Day(now.Add(-w.Keep()))
	if err := w.announce(ctx, before, now); err != nil {
		if errors.Is(err, errNotHeld) {
			return nil
		}
		return err
	}
	if err := w.db.dropDays(ctx, dailyEvents(), before); err != nil {
		return err
	}
	return w.remove(ctx, before)
}

// announce signs, for every organization that has such events, that those before a time are no longer kept.
func (w *sealer) announce(ctx context.Context, before, now time.Time) error {
	for more := true; more; {
		err := w.db.dialect.write(ctx, leader, func(t tx) error {
			if err := w.lease.beat(ctx, t); err != nil {
				return err
			}
			var orgs []tenancy.ID
			err := t.each(ctx, func(scan func(...any) error) error {
				var org tenancy.ID
				err := scan(&org)
				orgs = append(orgs, org)
				return err
			}, `select org_id from audit_heads where kept_from_us < $1
				and exists (select 1 from audit_events e where e.org_id = audit_heads.org_id and e.time_us < $1) order by org_id limit $2`, micros{&before}, atOnce)
			if err != nil {
				return err
			}
			more = len(orgs) == atOnce
			heads, err := readHeads(ctx, t, orgs)
			if err != nil {
				return err
			}
			var all []chain.Checkpoint
			for _, h := range heads {
				h.Number, h.KeptFrom = h.Number+1, before
				w.Signer.Sign(&h.Checkpoint, now)
				all = append(all, h.Checkpoint)
			}
			return keepHeads(ctx, t, all, all)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove takes away the sealed events before a time that nobody has removed by the day, a few at once. What was signed
// about an organization is asked for again: its events are never gone before it is known why.
func (w *sealer) remove(ctx context.Context, before time.Time) error {
	for more := true; more; {
		err := w.db.dialect.write(ctx, leader.inBackground(), func(t tx) error {
			n, err := t.exec(ctx, `delete from audit_events where (org_id, time_us, id) in (select e.org_id, e.time_us, e.id from audit_events e
				join audit_heads h on h.org_id = e.org_id and h.kept_from_us > e.time_us where e.time_us < $1 and e.seal > 0 limit $2)`, micros{&before}, atOnce)
			more = n == atOnce
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
