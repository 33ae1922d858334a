package accounting

import (
	"context"
	"strings"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Earmark is money that is kept in budgets for calls that are still to be made, such as the items of a batch.
type Earmark struct {
	Who   tenancy.Identity
	Tags  []Tag
	Worth money.Nano
}

// earmarked is the kind of the holds that keep it. Nothing of such a hold is spent: when it expires it is given back.
const earmarked = "mark"

// Earmark keeps money in all budgets that would count such calls, until release is called; it keeps nothing where there is no budget.
// *Denied says which budget has no room.
func (l *Ledger) Earmark(ctx context.Context, e *Earmark) (release func(), err error) {
	r := &Reservation{}
	l.Accounts().Open(r, &Call{ID: tenancy.NewID(earmarked), Who: e.Who, Tags: e.Tags})
	r.only(Dollars)
	if r.Empty() || e.Worth <= 0 {
		return func() {}, nil
	}
	if err := l.hold(ctx, r, Estimate{Cost: e.Worth}); err != nil {
		return nil, err
	}
	return func() { l.limiter.Settle(&r.hold, make([]int64, len(r.measures))) }, nil
}

// Affords tells whether the budgets have room for an earmark now; *Denied says which has not.
func (l *Ledger) Affords(ctx context.Context, e *Earmark) error {
	release, err := l.Earmark(ctx, e)
	if err == nil {
		release()
	}
	return err
}

// only leaves in a reservation what counts in a unit.
func (r *Reservation) only(u Unit) {
	measures := r.measures
	r.measures, r.hold.Takes = r.measures[:0], r.hold.Takes[:0]
	for _, m := range measures {
		if m.unit == u {
			r.measures, r.hold.Takes = append(r.measures, m), append(r.hold.Takes, ratelimit.Take{Limit: m.limit})
		}
	}
}

// costs tells whether what a hold held may have been spent, if nobody says what was.
func costs(h *ratelimit.Hold) bool { return !strings.HasPrefix(h.ID, earmarked+"_") }
