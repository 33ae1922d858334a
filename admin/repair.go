package admin

import (
	"context"
	"errors"

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

func (s *Server) repairLedger(ctx context.Context, in *repairInput) (*repairOutput, error) {
	orgs, err := in.whose(ctx, s, in.ask)
	if err != nil {
		return nil, err
	}
	if s.Uses == nil {
		return nil, noCounters()
	}
	var out repairOutput
	var events []tenancy.AuditEvent
	for _, org := range orgs {
		lowered, err := s.repair(ctx, in.ask, org)
		out.Body.Lowered += len(lowered)
		events = append(events, lowered...)
		if err != nil {
			return nil, errors.Join(err, s.Audit.Record(ctx, events))
		}
	}
	if len(events) == 0 {
		return &out, nil
	}
	return &out, s.Audit.Record(ctx, events)
}

// repair lowers the counters of an organization's budgets, and gives an event for each.
func (s *Server) repair(ctx context.Context, a *asking, org tenancy.ID) (events []tenancy.AuditEvent, err error) {
	budgets, err := everyOne(ctx, s.BudgetStore, org)
	if err != nil {
		return nil, err
	}
	for i := range budgets {
		b := &budgets[i]
		from, _ := b.Window(a.now)
		use, err := s.Uses.BudgetUse(ctx, b)
		if err != nil {
			return events, err
		}
		spent, err := s.Ledger.Spent(ctx, b.Org, b.ID, from)
		if err != nil || use.Cold || use.Spent <= spent {
			if err != nil {
				return events, err
			}
			continue
		}
		if err := s.Uses.Lower(ctx, b, spent); err != nil {
			return events, err
		}
		e := tenancy.NewAuditEvent(a.by, b.Org, tenancy.ActionRepairLedger, tenancy.AuditObject{Kind: "budget", ID: b.ID, Name: b.Name}, a.now)
		e.Before, e.After = spentText(use.Spent), spentText(spent)
		events = append(events, e)
	}
	return events, nil
}
