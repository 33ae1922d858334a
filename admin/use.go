package admin

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Uses asks the counters, and sets them. An error that the client should be told of is *tenancy.Unavailable: they can not
// be reached.
type Uses interface {
	// LimitUses says what is used of each number of limits, in the order in which they are shown.
	LimitUses(ctx context.Context, l *accounting.Limits) ([]accounting.LimitUse, error)
	// ResetLimits forgets what is used.
	ResetLimits(ctx context.Context, l *accounting.Limits) error
	// BudgetUse says what is used of a budget in the window of now.
	BudgetUse(ctx context.Context, b *accounting.Budget) (accounting.BudgetUse, error)
	// AwaitBooks waits until the ledger has what was settled before.
	AwaitBooks(ctx context.Context) error
	// Forgive takes back some of what is spent of a budget in the window in which a moment lies, and leaves what is held and
	// what comes meanwhile.
	Forgive(ctx context.Context, b *accounting.Budget, at time.Time, forgiven money.Nano) error
}

// Ledger is the truth about money.
type Ledger interface {
	Spent(ctx context.Context, org, budget tenancy.ID, window time.Time) (money.Nano, error)
	// SpentBefore leaves out the calls that began at a time or later.
	SpentBefore(ctx context.Context, org, budget tenancy.ID, window, begun time.Time) (money.Nano, error)
	// LedgerTotals are its sums, and LedgerEntries what its rows come to, where they are still there.
	LedgerTotals(ctx context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error)
	LedgerEntries(ctx context.Context, q accounting.LedgerQuery) ([]accounting.LedgerTotal, error)
	Overruns(ctx context.Context, org, budget tenancy.ID, window time.Time, limit int) ([]accounting.Overrun, error)
	// Forgive makes nothing of what was spent in a window.
	Forgive(ctx context.Context, by tenancy.Actor, b *accounting.Budget, window time.Time) (money.Nano, error)
}

// LimitUsage is what is used of limits.
type LimitUsage struct {
	ID     tenancy.ID `json:"id"`
	Limits []UsedOf   `json:"limits" nullable:"false" doc:"Each number that is limited."`
}

// UsedOf is what is used of one number.
type UsedOf struct {
	Limit     string  `json:"limit" doc:"Which one." example:"rpm"`
	Max       int64   `json:"max"`
	Used      int64   `json:"used"`
	Remaining int64   `json:"remaining"`
	Reset     float64 `json:"reset_seconds" doc:"When nothing is used any more, if nothing more is."`
}

type limitUsageOutput struct{ Body LimitUsage }

func limitUsage(ctx context.Context, r *limitResource, in *getInput) (*limitUsageOutput, error) {
	l, err := r.find(ctx, in)
	if err != nil {
		return nil, err
	}
	if r.s.Uses == nil {
		return nil, noCounters()
	}
	uses, err := r.s.Uses.LimitUses(ctx, &l)
	if err != nil {
		return nil, err
	}
	out := &limitUsageOutput{LimitUsage{l.ID, make([]UsedOf, 0, len(uses))}}
	for _, u := range uses {
		out.Body.Limits = append(out.Body.Limits, UsedOf{u.Limit, u.Max, u.Used, max(0, u.Max-u.Used), u.Reset.Seconds()})
	}
	return out, nil
}

// noCounters is the answer where no calls are served.
func noCounters() error {
	return unavailable.new("Nothing is counted here: no calls are served. Ask a running server.")
}

func resetLimit(ctx context.Context, r *limitResource, in *getInput) error {
	l, err := r.find(ctx, in)
	if err != nil {
		return err
	}
	if r.s.Uses == nil {
		return noCounters()
	}
	if err := r.s.Uses.ResetLimits(ctx, &l); err != nil {
		return err
	}
	e := tenancy.NewAuditEvent(in.ask.by, l.Org, tenancy.ActionResetLimits, tenancy.AuditObject{Kind: "limit", ID: l.ID, Name: l.Name}, in.ask.now)
	return r.s.Audit.Record(ctx, []tenancy.AuditEvent{e})
}

// find is the object that a request names.
func (r *resource[T, New, Change, View]) find(ctx context.Context, in *getInput) (v T, err error) {
	org, err := r.whose(ctx, in.ask, in.ID, in.Organization)
	if err != nil {
		return v, err
	}
	return r.store.Get(ctx, org, tenancy.ID(in.ID))
}

// BudgetUsage is what is used of a budget in one window.
type BudgetUsage struct {
	ID        tenancy.ID `json:"id"`
	From      *time.Time `json:"from" doc:"When the window began; null: it is for ever."`
	Resets    *time.Time `json:"resets" doc:"When it ends; null: never."`
	Max       string     `json:"usd" doc:"What may be spent: dollars as a decimal."`
	Spent     string     `json:"spent_usd" doc:"Of calls that are over."`
	Held      string     `json:"held_usd" doc:"For calls under way."`
	Overrun   string     `json:"overrun_usd" doc:"Of what is spent, what calls cost beyond what was held for them."`
	Remaining string     `json:"remaining_usd" doc:"What may still be held."`
	Booked    string     `json:"booked_usd" doc:"What the ledger says was spent: it hears of calls a moment after they end."`
	Cold      bool       `json:"cold" doc:"The counters do not know what was spent, so the ledger tells alone; on_store_failure says what becomes of calls."`
}

type budgetUsageOutput struct{ Body BudgetUsage }

func budgetUsage(ctx context.Context, r *budgetResource, in *getInput) (*budgetUsageOutput, error) {
	b, err := r.find(ctx, in)
	if err != nil {
		return nil, err
	}
	usage, err := r.s.usageOf(ctx, &b, in.ask.now)
	return &budgetUsageOutput{usage}, err
}

// usageOf is what is used of a budget in the window of a moment.
func (s *Server) usageOf(ctx context.Context, b *accounting.Budget, now time.Time) (v BudgetUsage, err error) {
	from, to := b.Window(now)
	total, err := s.totalOf(ctx, b, from)
	if err != nil {
		return v, err
	}
	use := accounting.BudgetUse{Cold: true}
	if s.Uses != nil {
		if use, err = s.Uses.BudgetUse(ctx, b); err != nil {
			return v, err
		}
	}
	if use.Cold {
		use.Spent = total.Spent
	}
	return BudgetUsage{
		ID: b.ID, From: timeOf(from), Resets: timeOf(to), Max: b.Max.String(), Spent: use.Spent.String(), Held: use.Held.String(),
		Overrun: max(use.Overrun, total.Overrun).String(), Remaining: max(0, b.Max-use.Spent-use.Held).String(), Booked: total.Spent.String(), Cold: use.Cold,
	}, nil
}

// totalOf is what the ledger says of a budget in the window that begins at a time.
func (s *Server) totalOf(ctx context.Context, b *accounting.Budget, from time.Time) (accounting.LedgerTotal, error) {
	totals, err := s.Ledger.LedgerTotals(ctx, accounting.LedgerQuery{Org: b.Org, Budget: b.ID, Since: from})
	for _, t := range totals {
		if t.Window.Equal(from) {
			return t, err
		}
	}
	return accounting.LedgerTotal{}, err
}

// resetBudget forgives what was spent: in the ledger first, which is the truth, and then in the counters.
func resetBudget(ctx context.Context, r *budgetResource, in *getInput) (*budgetUsageOutput, error) {
	b, err := r.find(ctx, in)
	if err != nil {
		return nil, err
	}
	from, _ := b.Window(in.ask.now)
	forgiven, err := r.s.Ledger.Forgive(ctx, in.ask.by, &b, from)
	if err != nil {
		return nil, err
	}
	if r.s.Uses != nil {
		if err := r.s.Uses.Forgive(ctx, &b, in.ask.now, forgiven); err != nil {
			return nil, err
		}
	}
	return budgetUsage(ctx, r, in)
}
