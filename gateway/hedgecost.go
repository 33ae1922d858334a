package gateway

import (
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
)

// hedging is what a route that hedges will be told of a call when its cost is known; a nil route is told nothing.
type hedging struct {
	route *routing.Route
	leave bool // a second attempt was made
}

func (c *Call) hedging() hedging {
	if r := c.plan.Route; r != nil && r.Hedge.On() && len(c.record.Attempts) > 0 {
		return hedging{r, c.leaves}
	}
	return hedging{}
}

// tellRoute books what a call cost, and what of it attempts that were overtaken added.
func (p *Pipeline) tellRoute(h hedging, r *accounting.Record) {
	if h.route == nil {
		return
	}
	added := addedBySecond(h.route, r)
	p.state.Spent(h.route, r.Cost-added, added, h.leave, time.Now())
}

// addedBySecond is what the call cost more than it would have with its first attempt alone: what the attempt cost that was overtaken,
// and what the one that answered was dearer than the same answer of the first.
func addedBySecond(route *routing.Route, r *accounting.Record) (added money.Nano) {
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if a.Class != adapters.ClassOvertaken {
			continue
		}
		if added += a.Cost; i+1 < len(r.Attempts) { // the second one, which comes after it, has answered
			added += max(0, r.Attempts[i+1].Cost-priceAt(route, a, r, &r.Attempts[i+1]))
		}
	}
	return added
}

// priceAt is what the answer of one attempt would have cost at the target of another.
func priceAt(route *routing.Route, target *accounting.Attempt, r *accounting.Record, of *accounting.Attempt) money.Nano {
	for _, t := range route.Targets {
		if t.Provider.Name != target.Provider || t.Model != target.Model {
			continue
		}
		if price := t.PriceFor(r.Who.Org); price != nil {
			cost, _ := price.Cost(&of.Usage, r.Begun.Add(of.Began))
			return cost
		}
	}
	return 0
}
