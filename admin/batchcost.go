package admin

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tasks"
)

// costOf is what items may cost, as far as there is a price.
func costOf(items []tasks.NewItem) (sum money.Nano) {
	for i := range items {
		sum += items[i].Cost
	}
	return sum
}

// afford refuses what may cost a batch's budgets more than they have left.
func (s *Server) afford(ctx context.Context, b *tasks.Batch, cost money.Nano) error {
	if s.Work.Affords == nil || cost == 0 {
		return nil
	}
	err := s.Work.Affords(ctx, b, cost)
	no, ok := errors.AsType[*accounting.Denied](err)
	switch {
	case !ok:
		return err
	case no.Away:
		return unavailable.new("What is left of a budget can not be known now. Try again shortly.").after(max(no.After, time.Second)).because(err)
	}
	p := overBudget.new("The batch may cost " + cost.String() + " USD. The budget of its " + payer(no) + ", " + budgetIs(no) +
		", has no room for that. With over_budget it begins all the same, and its items fail when the money is spent.")
	if !no.Ends.IsZero() {
		return p.after(max(no.Ends.Sub(s.Now()), time.Second))
	}
	return p
}

// payer names the level that a budget is of.
func payer(no *accounting.Denied) string {
	if no.Level == accounting.OfTag {
		return "tag '" + no.Tag.Key + "=" + no.Tag.Value + "'"
	}
	return no.Level.String()
}

// budgetIs says how much a budget has.
func budgetIs(no *accounting.Denied) string {
	text := money.Nano(no.Max).String() + " USD"
	if no.Per != ratelimit.Total {
		text += " per " + no.Per.String()
	}
	return text
}
