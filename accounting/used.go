package accounting

import (
	"context"
	"errors"
	"fmt"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// LimitUses says what is used of each number of limits, in the order in which they are shown.
func (l *Ledger) LimitUses(ctx context.Context, of *Limits) ([]LimitUse, error) {
	measures := of.measures()
	limits := make([]*ratelimit.Limit, len(measures))
	for i, m := range measures {
		limits[i] = m.limit
	}
	uses, err := l.counter.Uses(ctx, string(of.Org), limits)
	if err != nil {
		return nil, unreachable(err)
	}
	all := make([]LimitUse, len(uses))
	for i, u := range uses {
		all[i] = LimitUse{Limit: measures[i].word, Max: measures[i].limit.Max, Used: u.Used, Reset: u.Reset}
	}
	return all, nil
}

// ResetLimits forgets what is used.
func (l *Ledger) ResetLimits(ctx context.Context, of *Limits) error {
	var errs []error
	for _, m := range of.measures() {
		errs = append(errs, l.counter.Forget(ctx, string(of.Org), m.limit))
	}
	return unreachable(errors.Join(errs...))
}

// BudgetUse says what is used of a budget in the window of now.
func (l *Ledger) BudgetUse(ctx context.Context, b *Budget) (BudgetUse, error) {
	uses, err := l.counter.Uses(ctx, string(b.Org), []*ratelimit.Limit{b.limit()})
	if err != nil {
		return BudgetUse{}, unreachable(err)
	}
	u := uses[0]
	return BudgetUse{money.Nano(u.Used), money.Nano(u.Held), money.Nano(u.Overrun), u.Cold}, nil
}

// Lower sets what is spent of a budget in the window of now to what the ledger says and what this node has settled beyond
// it. What nodes hold is held again: by this one at once, by others when they next renew it.
func (l *Ledger) Lower(ctx context.Context, b *Budget, spent money.Nano) error {
	limit := b.limit()
	if m := l.Accounts().measure(b.ID); m != nil {
		spent += money.Nano(max(0, m.watch.unsent.Load()))
	}
	if err := l.counter.Forget(ctx, string(b.Org), limit); err != nil {
		return unreachable(err)
	}
	if err := l.o.Renew(); err != nil {
		return unreachable(err)
	}
	return unreachable(l.counter.Seed(ctx, string(b.Org), limit, l.clock(), min(max(int64(spent), 0), tenancy.MostUnits)))
}

// unreachable says that the counters can not be reached.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return &tenancy.Unavailable{Cause: fmt.Errorf("ask the counters: %w", err)}
}
