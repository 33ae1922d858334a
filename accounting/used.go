package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Lower takes off what is counted as spent of a budget in the window of now beyond what the ledger says and what this node has
// settled beyond it. It is one step by the difference: what any node holds, and what calls settle meanwhile, stays counted. What
// other nodes have settled and not shipped yet looks like an excess: it is missing until the ledger has it, some seconds.
func (l *Ledger) Lower(ctx context.Context, b *Budget, spent money.Nano) error {
	use, err := l.BudgetUse(ctx, b)
	if err != nil || use.Cold {
		return err
	}
	excess := use.Spent - spent
	if m := l.Accounts().measure(b.ID); m != nil {
		excess -= money.Nano(max(0, m.watch.unsent.Load()))
	}
	if excess <= 0 {
		return nil
	}
	return l.Forgive(ctx, b, l.clock(), excess)
}

// Forgive takes back what a person forgives of a budget in the window in which a moment lies. What nodes hold, and what they
// have settled and the ledger does not know yet, stays counted: it was not forgiven.
func (l *Ledger) Forgive(ctx context.Context, b *Budget, at time.Time, forgiven money.Nano) error {
	return unreachable(l.counter.Lower(ctx, string(b.Org), b.limit(), at, min(max(int64(forgiven), 0), tenancy.MostUnits)))
}

// unreachable says that the counters can not be reached.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return &tenancy.Unavailable{Cause: fmt.Errorf("ask the counters: %w", err)}
}
