package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// LedgerReport says whether budgets were kept to.
type LedgerReport struct {
	OK         bool           `json:"ok" doc:"Settled and held together are nowhere more than the budget and its listed overruns, and the rows of the ledger come to its sums."`
	Since      time.Time      `json:"since" doc:"Windows that began at this time or later, and those that are for ever."`
	Checked    int            `json:"checked" doc:"How many windows of budgets were looked at."`
	Violations []LedgerWindow `json:"violations" nullable:"false" doc:"Those where it is not so; at most 1000."`
	Overruns   []LedgerWindow `json:"overruns" nullable:"false" doc:"Those where calls cost more than was held for them, with the ten largest; at most 100."`
}

// LedgerWindow is one window of one budget.
type LedgerWindow struct {
	Organization tenancy.ID `json:"organization"`
	Budget       tenancy.ID `json:"budget"`
	Name         string     `json:"name"`
	From         *time.Time `json:"from" doc:"When the window began; null: it is for ever."`
	Max          string     `json:"usd" doc:"What might be spent, at the highest in that window: dollars as a decimal."`
	Settled      string     `json:"settled_usd" doc:"Of calls that are over."`
	Held         string     `json:"held_usd" doc:"For calls under way."`
	Overrun      string     `json:"overrun_usd" doc:"Of what is settled, what calls cost beyond what was held for them."`
	Entries      int64      `json:"entries" doc:"Rows of the ledger."`
	Problem      *string    `json:"problem" doc:"What is wrong; null: nothing."`
	Calls        []OverCall `json:"calls,omitempty" nullable:"false"`
}

// OverCall is a call that cost more than was held for it.
type OverCall struct {
	Call    tenancy.ID `json:"call"`
	Begun   time.Time  `json:"begun"`
	Held    string     `json:"held_usd"`
	Overrun string     `json:"overrun_usd"`
}

// How much of a report is listed, and how far back it looks if nothing is said.
const (
	mostViolations = 1000
	mostOverruns   = 100
	mostOverCalls  = 10
	looksBack      = 62 * 24 * time.Hour // this month and the last
)

type verifyInput struct {
	Asked
	InLedger
	Since time.Time `query:"since" doc:"Only windows that began at this time or later: 62 days ago, if it is left out."`
}

// InLedger names the organization; platform administrators need not.
type InLedger struct {
	Organization Ref `query:"organization" doc:"Whose budgets; your own if it is not named, and those of all if you are a platform administrator."`
}

type verifyOutput struct{ Body LedgerReport }

func (s *Server) serveLedger() {
	add(s, huma.Operation{
		OperationID: "verify-ledger", Method: http.MethodGet, Path: "/api/ledger/verify", Tags: []string{"Budgets"}, Summary: "Verify the ledger",
		Description: "Adds the ledger up, and compares it with the counters and with each budget: settled + held ≤ budget + the sum of the listed overruns, in every window. Budgets that only warn are not held to it.",
	}, s.verifyLedger, http.StatusNotFound)
	add(s, huma.Operation{
		OperationID: "repair-ledger", Method: http.MethodPost, Path: "/api/ledger/repair", Tags: []string{"Budgets"}, Summary: "Repair counters",
		Description: "Lowers what the counters say was spent to what the ledger says, in the windows of now, when that has all that was counted: where there are other nodes, after five seconds. Nothing else ever lowers them. It is written into the audit log.",
	}, s.repairLedger, http.StatusNotFound)
}

// whose are the organizations that a request is about.
func (i *InLedger) whose(ctx context.Context, s *Server, a *asking) (orgs []tenancy.ID, err error) {
	if i.Organization != "" || !a.by.OfPlatform() {
		org, err := s.scope(ctx, a, i.Organization)
		return []tenancy.ID{org}, err
	}
	all, err := everyOne(ctx, s.Orgs, "")
	for i := range all {
		orgs = append(orgs, all[i].ID)
	}
	return orgs, err
}

// everyOne reads all pages of a list.
func everyOne[T any, P interface {
	*T
	tenancy.Object
}](ctx context.Context, in tenancy.Store[T], org tenancy.ID) (all []T, err error) {
	const atOnce = 200
	for p := (tenancy.Page{Limit: atOnce}); ; {
		found, err := in.List(ctx, org, p)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if len(found) < atOnce {
			return all, nil
		}
		p.After = tenancy.MetaOf(P(&found[atOnce-1])).ID
	}
}

func (s *Server) verifyLedger(ctx context.Context, in *verifyInput) (*verifyOutput, error) {
	orgs, err := in.whose(ctx, s, in.ask)
	if err != nil {
		return nil, err
	}
	v := verifier{s: s, now: in.ask.now, report: LedgerReport{Since: in.Since.UTC(), Violations: []LedgerWindow{}, Overruns: []LedgerWindow{}}}
	if in.Since.IsZero() {
		v.report.Since = in.ask.now.Add(-looksBack).UTC()
	}
	for _, org := range orgs {
		if err := v.organization(ctx, org); err != nil {
			return nil, err
		}
	}
	v.report.OK = len(v.report.Violations) == 0
	return &verifyOutput{v.report}, nil
}

// verifier verifies the budgets of one organization after the other.
type verifier struct {
	s      *Server
	now    time.Time
	report LedgerReport
}

func (v *verifier) organization(ctx context.Context, org tenancy.ID) error {
	budgets, err := everyOne(ctx, v.s.BudgetStore, org)
	for i := range budgets {
		if err == nil {
			err = v.budget(ctx, &budgets[i])
		}
	}
	return err
}

// budget verifies all windows of a budget, that of now too if nothing was spent in it.
func (v *verifier) budget(ctx context.Context, b *accounting.Budget) error {
	q := accounting.LedgerQuery{Org: b.Org, Budget: b.ID, Since: v.report.Since}
	// The rows first: what is booked between the two questions makes the sums larger, and is no fault.
	rows, err := v.s.Ledger.LedgerEntries(ctx, q)
	if err != nil {
		return err
	}
	windows, err := v.s.Ledger.LedgerTotals(ctx, q)
	if err != nil {
		return err
	}
	added := map[int64]accounting.LedgerTotal{}
	for _, r := range rows {
		added[r.Window.UnixMicro()] = r
	}
	from, _ := b.Window(v.now)
	current := func(t accounting.LedgerTotal) bool { return t.Window.Equal(from) }
	if !slices.ContainsFunc(windows, current) {
		windows = append(windows, accounting.LedgerTotal{Org: b.Org, Budget: b.ID, Window: from})
	}
	for _, t := range windows {
		var use accounting.BudgetUse
		if current(t) && v.s.Uses != nil {
			if use, err = v.s.Uses.BudgetUse(ctx, b); err != nil {
				return err
			}
		}
		if err := v.window(ctx, b, t, use, added[t.Window.UnixMicro()]); err != nil {
			return err
		}
	}
	return nil
}

// window verifies one window of a budget.
func (v *verifier) window(ctx context.Context, b *accounting.Budget, t accounting.LedgerTotal, use accounting.BudgetUse, rows accounting.LedgerTotal) error {
	v.report.Checked++
	limit, settled, overrun := b.Max, max(t.Spent, use.Spent), max(t.Overrun, use.Overrun)
	problem := ""
	if b.Hard && settled+use.Held > limit+overrun {
		highest, err := v.highest(ctx, b, t.Window)
		if err != nil {
			return err
		}
		if limit = highest; settled+use.Held > limit+overrun {
			problem = "more was settled and held than the budget and its overruns"
		}
	}
	if rows.Entries > t.Entries || rows.Entries == t.Entries && (rows.Spent != t.Spent || rows.Overrun != t.Overrun || rows.Held != t.Held) {
		problem = "the rows of the ledger do not come to its sums"
	}
	w := LedgerWindow{
		Organization: b.Org, Budget: b.ID, Name: b.Name, From: timeOf(t.Window), Max: limit.String(), Settled: settled.String(), Held: use.Held.String(),
		Overrun: overrun.String(), Entries: t.Entries, Problem: textOf(problem),
	}
	if problem != "" && len(v.report.Violations) < mostViolations {
		v.report.Violations = append(v.report.Violations, w)
	}
	if overrun == 0 || len(v.report.Overruns) >= mostOverruns {
		return nil
	}
	calls, err := v.s.Ledger.Overruns(ctx, b.Org, b.ID, t.Window, mostOverCalls)
	for _, c := range calls {
		w.Calls = append(w.Calls, OverCall{c.Call, c.Begun, c.Held.String(), c.Overrun.String()})
	}
	v.report.Overruns = append(v.report.Overruns, w)
	return err
}

// mostChanges is how many changes of one budget are looked at.
const mostChanges = 1000

// highest is the most that a budget was in a window, by the audit log: whoever lowers it below what is spent breaks nothing.
func (v *verifier) highest(ctx context.Context, b *accounting.Budget, from time.Time) (money.Nano, error) {
	most := b.Max
	events, err := v.s.Audit.Audit(ctx, tenancy.AuditQuery{Org: b.Org, From: from, Action: "budgets.update", Object: b.ID, Outcome: tenancy.OutcomeDone, Limit: mostChanges})
	if err != nil {
		return 0, err
	}
	_, end := b.Window(from)
	if from.IsZero() {
		end = time.Time{}
	}
	for _, e := range slices.Backward(events) { // the oldest first
		most = max(most, amountIn(e.Before))
		if !end.IsZero() && !e.Time.Before(end) {
			break
		}
		most = max(most, amountIn(e.After))
	}
	return most, nil
}
