package gateway

import (
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
)

// bill is what a call costs: the sum over all attempts that were executed.
type bill struct {
	sum  money.Nano // at least this
	gaps gap        // why it may be more
	any  bool       // an attempt was executed
	text [24]byte   // sum in dollars
}

// gap is a set of reasons why a cost is not known as a whole.
type gap uint8

const (
	noPrice gap = 1 << iota // what was used has no price, or not all of it
	noUsage                 // the provider did not say what was used
)

// String is the word for it in logs and metrics. A call with both says what the operator can do something about.
func (g gap) String() string {
	switch {
	case g&noPrice != 0:
		return "no_price"
	case g&noUsage != 0:
		return "no_usage"
	}
	return ""
}

// dollars is the sum as a decimal, and nothing where no attempt was executed. It stands in the call's own memory.
func (b *bill) dollars() []byte {
	if !b.any {
		return nil
	}
	return b.sum.Append(b.text[:0])
}

// charge puts what the attempt under way costs on the bill, once. It is called when the attempt is known to be executed
// and its usage to be final.
func (c *Call) charge() {
	if c.charged || !c.Content.Endpoint.Charged() {
		return
	}
	c.charged, c.bill.any = true, true
	t := c.outcome.Target
	cost, missing := c.costAt(t)
	sum, fits := c.bill.sum.Add(cost)
	if !fits {
		sum, missing = c.bill.sum, noPrice
	}
	c.bill.sum, c.bill.gaps = sum, c.bill.gaps|missing
	c.pipe.metrics.charge(c.plan.Route.Name, t, cost, missing)
}

// costAt is what the call's usage costs at a target, and why it may be more.
func (c *Call) costAt(t *routing.Target) (cost money.Nano, missing gap) {
	told := c.usage != adapters.Usage{}
	c.usage[adapters.Requests] = 1
	price := t.PriceFor(c.Who.Org)
	if price == nil {
		return 0, noPrice
	}
	cost, whole := price.Cost(&c.usage, c.tryBegun)
	switch {
	case whole:
		return cost, 0
	case told:
		return cost, noPrice
	}
	return cost, noUsage
}

// chargeFailed charges an attempt that brought nothing, if it may have been executed: its usage was told, or the failure
// does not prove the opposite. A provider that says that it failed charges nothing.
func (c *Call) chargeFailed(class adapters.Class) {
	if c.stream != nil {
		c.usage, _ = c.stream.Usage()
	}
	told := c.usage != adapters.Usage{}
	if told || c.outcome.Sent && !class.NotExecuted() && class != adapters.ClassServer {
		c.charge()
	}
}
