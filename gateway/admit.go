package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Ledger holds what calls may come to before they are made, and what a provider's own limits allow. accounting.Ledger is
// one. Its methods are called by many goroutines and do not wait for a database.
type Ledger interface {
	// Reserve holds all or nothing. *accounting.Denied says which limit refuses, accounting.ErrUnpriced that a budget
	// would have to pay what nobody knows.
	Reserve(ctx context.Context, r *accounting.Reservation, e accounting.Estimate) error
	// Settle gives back what was not used. It does nothing where nothing is held.
	Settle(r *accounting.Reservation, rec *accounting.Record)
	// Enter holds a request of a provider's limits, and Leave ends that.
	Enter(ctx context.Context, e *accounting.Entry, call string, n int, account string, limits []*ratelimit.Limit) (ok bool, after time.Duration, err error)
	Leave(e *accounting.Entry)
}

// HoldBy makes the pipeline hold every call against limits and budgets. It is called before the first call; without it
// there are none.
func (p *Pipeline) HoldBy(l Ledger) { p.ledger = l }

// admit holds what the call may come to: of requests, tokens, places and money everything or nothing. Every call comes
// through here, whatever it is for.
func (p *Pipeline) admit(c *Call) error {
	if p.ledger == nil {
		return nil
	}
	c.snapshot.Accounts.Open(&c.reservation, &accounting.Call{
		ID: c.record.ID, Who: c.Who.Identity, Route: c.record.Route, Tags: c.record.Tags, Free: !c.Content.Endpoint.Charged() || c.kept != nil,
	})
	if c.reservation.Empty() {
		return nil
	}
	if c.kept != nil {
		return p.ledger.Reserve(context.Background(), &c.reservation, accounting.Estimate{})
	}
	err := p.ledger.Reserve(context.Background(), &c.reservation, c.dearest())
	if _, denied := errors.AsType[*accounting.Denied](err); denied && c.mayHedge() {
		c.single = true // near the end of a budget calls go on, one attempt at a time
		err = p.ledger.Reserve(context.Background(), &c.reservation, c.dearest())
	}
	return err
}

// dearest is what one attempt may come to at the dearest of the call's targets, or two where two may run together. Where some
// can be priced those that can not are passed over later, if the operator wants that.
func (c *Call) dearest() (worst accounting.Estimate) {
	unpriced := 0
	var all []accounting.Estimate // only where two are summed
	beside := c.mayHedge()
	for i, t := range c.plan.Targets {
		e := c.estimate(t)
		if e.Unpriced {
			unpriced++
		}
		if i == 0 {
			worst = e
		}
		worst.Tokens, worst.Cost = max(worst.Tokens, e.Tokens), max(worst.Cost, e.Cost)
		if beside {
			all = append(all, e)
		}
	}
	if beside {
		worst = twoDearest(all)
	}
	worst.Unpriced = unpriced > 0
	if c.reservation.Refuses(worst) && unpriced < len(c.plan.Targets) {
		worst.Unpriced = false
	}
	return worst
}

// topUp holds more before another attempt, for what earlier ones may have cost; passed: the target can not be asked, since
// a budget would have to pay what nobody knows.
func (p *Pipeline) topUp(c *Call, to *routing.Target) (passed bool, err error) {
	if !c.reservation.Held() {
		return false, nil
	}
	e := c.estimate(to)
	if c.reservation.Refuses(e) {
		return true, accounting.ErrUnpriced
	}
	if !anyExecuted(&c.record) {
		return false, nil
	}
	in, out := c.record.Usage.Tokens()
	e.Cost, e.Unpriced = c.reservation.Worth(e)+c.reservation.Spent(&c.record), false
	e.Tokens += in + out
	for i := range c.untoldTries {
		was := c.estimate(c.untoldTries[i].target)
		e.Tokens, e.Cost = e.Tokens+was.Tokens, e.Cost+c.reservation.Worth(was)
	}
	return false, p.ledger.Reserve(context.Background(), &c.reservation, e)
}

// enter takes a place within what the provider allows our account. Where there is none another target is asked.
func (p *Pipeline) enter(c *Call, t *routing.Target) error {
	if p.ledger == nil || len(t.Provider.Limits) == 0 {
		return nil
	}
	c.entries++
	ok, after, err := p.ledger.Enter(context.Background(), &c.entry, c.ID, c.entries, t.Provider.Account(), t.Provider.Limits)
	switch {
	case err != nil:
		return &adapters.Error{Class: adapters.ClassInternal, Message: "internal error", Cause: err}
	case !ok:
		return errAccountLimit(after)
	}
	return nil
}

// leave ends what enter began, if it did.
func (p *Pipeline) leave(c *Call) {
	if p.ledger != nil {
		p.ledger.Leave(&c.entry)
	}
}

// admitPlain counts a request that is no call: it uses nothing else.
func (p *Pipeline) admitPlain(id string, who *tenancy.Principal) (*accounting.Reservation, error) {
	r := &accounting.Reservation{}
	if p.ledger == nil {
		return r, nil
	}
	p.Snapshot().Accounts.Open(r, &accounting.Call{ID: tenancy.ID(id), Who: who.Identity, Free: true})
	if r.Empty() {
		return r, nil
	}
	return r, p.ledger.Reserve(context.Background(), r, accounting.Estimate{})
}

// settlePlain ends that.
func (p *Pipeline) settlePlain(r *accounting.Reservation) {
	if p.ledger != nil {
		p.ledger.Settle(r, &accounting.Record{})
	}
}
