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

// How long other nodes may take to bring what they have settled into the ledger, and how long this one may.
const (
	shipFor    = 5 * time.Second
	awaitLimit = 15 * time.Second
	awaitEvery = 100 * time.Millisecond
)

// AwaitBooks waits until the ledger has what was settled before. What this node has settled is there then. What others have is
// there unless they are behind with their records: they are given the time that it takes.
func (l *Ledger) AwaitBooks(ctx context.Context) error {
	began, alone := l.clock(), l.o.Alone()
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	look := time.NewTicker(awaitEvery)
	defer look.Stop()
	for !l.o.Shipped(began) || !alone && l.clock().Sub(began) < shipFor {
		select {
		case <-look.C:
		case <-ctx.Done():
			return &tenancy.Unavailable{Cause: fmt.Errorf("wait for the ledger: %w", ctx.Err())}
		}
	}
	return nil
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
