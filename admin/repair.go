package admin

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

type repairInput struct {
	Asked
	InLedger
}

// RepairReport says what was repaired.
type RepairReport struct {
	Lowered int `json:"lowered" doc:"How many budgets were counted too high."`
}

type repairOutput struct{ Body RepairReport }

// suspicion is a budget of which more is counted as spent than the ledger says.
type suspicion struct {
	budget  accounting.Budget
	from    time.Time // of its window
	counted money.Nano
	at      time.Time // when all that is counted had begun, whatever the clock of its node
}

// clocksDiffer is by how much the clocks of nodes may differ.
const clocksDiffer = time.Second

// repairLedger looks at the counters first and at the ledger when that has all that was counted then: what is counted beyond
// that is counted wrongly, however many calls have come meanwhile and wherever.
func (s *Server) repairLedger(ctx context.Context, in *repairInput) (*repairOutput, error) {
	orgs, err := in.whose(ctx, s, in.ask)
	if err != nil {
		return nil, err
	}
	if s.Uses == nil {
		return nil, noCounters()
	}
	suspicions, err := s.suspect(ctx, in.ask.now, orgs)
	if err != nil || len(suspicions) == 0 {
		return &repairOutput{}, err
	}
	if err := s.Uses.AwaitBooks(ctx); err != nil {
		return nil, err
	}
	var events []tenancy.AuditEvent
	for i := range suspicions {
		e, err := s.repair(ctx, in.ask, &suspicions[i])
		if err != nil {
			return nil, errors.Join(err, s.record(ctx, events))
		}
		events = append(events, e...)
	}
	return &repairOutput{RepairReport{Lowered: len(events)}}, s.record(ctx, events)
}

// record writes events into the audit log, if there are any.
func (s *Server) record(ctx context.Context, events []tenancy.AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	return s.Audit.Record(ctx, events)
}

// suspect finds the budgets of organizations of which more is counted than the ledger has by now.
func (s *Server) suspect(ctx context.Context, now time.Time, orgs []tenancy.ID) (all []suspicion, err error) {
	for _, org := range orgs {
		budgets, err := everyOne(ctx, s.BudgetStore, org)
		if err != nil {
			return nil, err
		}
		for i := range budgets {
			b := &budgets[i]
			from, _ := b.Window(now)
			use, err := s.Uses.BudgetUse(ctx, b)
			if err != nil {
				return nil, err
			}
			spent, err := s.Ledger.Spent(ctx, b.Org, b.ID, from)
			if err != nil {
				return nil, err
			}
			if !use.Cold && use.Spent > spent {
				all = append(all, suspicion{*b, from, use.Spent, s.Now().Add(clocksDiffer)})
			}
		}
	}
	return all, nil
}

// repair takes off what was counted of a budget and the ledger still does not have, in one step, and gives the event of that.
func (s *Server) repair(ctx context.Context, a *asking, of *suspicion) ([]tenancy.AuditEvent, error) {
	b := &of.budget
	spent, err := s.Ledger.SpentBefore(ctx, b.Org, b.ID, of.from, of.at)
	if err != nil || of.counted <= spent {
		return nil, err
	}
	if err := s.Uses.Forgive(ctx, b, a.now, of.counted-spent); err != nil {
		return nil, err
	}
	e := tenancy.NewAuditEvent(a.by, b.Org, tenancy.ActionRepairLedger, tenancy.AuditObject{Kind: "budget", ID: b.ID, Name: b.Name}, a.now)
	e.Before, e.After = spentText(of.counted), spentText(spent)
	return []tenancy.AuditEvent{e}, nil
}
