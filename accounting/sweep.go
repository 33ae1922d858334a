package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// sweepAfter is how long the store must have been there before expired holds are swept: before that their nodes may not
// have been able to renew or to settle them.
const sweepAfter = time.Minute

// sweepAll ends the holds that nobody renews any more: what was held is taken to be spent, since the call may have cost it. If
// its end is settled after all, the difference is booked. It is done every minute.
func (l *Ledger) sweepAll(ctx context.Context) error {
	now := l.clock()
	if now.Sub(time.Unix(0, l.lastAway.Load())) < sweepAfter {
		return nil
	}
	var errs []error
	for org := range l.byOrg(func(*measure) bool { return true }) {
		holds, err := l.limiter.Holds(ctx, string(org), true)
		if err != nil {
			return fmt.Errorf("list what is held of %s: %w", org, err)
		}
		for i := range holds {
			errs = append(errs, l.sweep(ctx, &holds[i]))
		}
	}
	return errors.Join(errs...)
}

// sweep ends a hold with what was held, if that may have been spent.
func (l *Ledger) sweep(ctx context.Context, h *ratelimit.Hold) error {
	held := make([]int64, len(h.Takes))
	if costs(h) {
		for i := range h.Takes {
			held[i] = h.Takes[i].N
		}
	}
	if err := l.counter.Sweep(ctx, h, held); err != nil {
		return fmt.Errorf("sweep the hold %s: %w", h.ID, err)
	}
	l.swept.Inc()
	return nil
}

// Committed is told by the shipper what the ledger has: then nobody settles these calls a second time. What an earlier
// process held for calls that were interrupted is settled now, since nobody else will.
func (l *Ledger) Committed(ctx context.Context, records []Record) {
	ended, interrupted := map[tenancy.ID][]string{}, map[tenancy.ID]map[string]bool{}
	for i := range records {
		r := &records[i]
		if len(r.Bookings) == 0 {
			continue
		}
		if r.State != Interrupted {
			ended[r.Who.Org] = append(ended[r.Who.Org], string(r.ID))
			continue
		}
		if interrupted[r.Who.Org] == nil {
			interrupted[r.Who.Org] = map[string]bool{}
		}
		interrupted[r.Who.Org][string(r.ID)] = true
	}
	for org, ids := range ended {
		if err := l.limiter.Drop(ctx, string(org), ids); err != nil {
			l.o.Log.Debug("settled holds are not dropped; they will be by themselves", "org", string(org), "reason", err)
		}
	}
	for org, ids := range interrupted {
		l.endInterrupted(ctx, org, ids)
	}
}

func (l *Ledger) endInterrupted(ctx context.Context, org tenancy.ID, ids map[string]bool) {
	holds, err := l.limiter.Holds(ctx, string(org), false)
	for i := range holds {
		if err == nil && ids[holds[i].ID] {
			err = l.sweep(ctx, &holds[i])
		}
	}
	if err != nil {
		l.o.Log.Warn("what interrupted calls held is not settled; it will be when it has expired", "org", string(org), "reason", err)
	}
}
