package gateway

import (
	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// The reasons why a cost is not known as a whole, as they stand in records, logs and metrics. A call with both says what
// the operator can do something about.
const (
	noPrice = "no_price" // what was used has no price, or not all of it
	noUsage = "no_usage" // the provider did not say what was used, and it can not be counted
)

// charge puts what the attempt under way costs into the record, once. It is called when the attempt is known to be executed
// and its usage to be final. What the provider did not tell is left to be counted.
func (c *Call) charge() {
	if c.charged || !c.Content.Endpoint.Charged() {
		return
	}
	c.charged = true
	a := c.tried()
	a.Executed, a.Usage = true, c.usage
	if prompt, answer := c.untold(); prompt || answer {
		c.leaveToCount(prompt)
		return
	}
	c.pipe.charge(&c.record, a, c.outcome.Target)
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

// charge prices an attempt and adds it to the call that it belongs to.
func (p *Pipeline) charge(r *accounting.Record, a *accounting.Attempt, t *routing.Target) {
	used := a.Usage != adapters.Usage{}
	a.Usage[adapters.Requests] = 1
	whole := false
	price := t.PriceFor(r.Who.Org)
	if price != nil {
		a.Cost, whole = price.Cost(&a.Usage, r.Begun.Add(a.Began))
		a.Price = price.Version()
	}
	switch {
	case whole:
	case used || price == nil:
		a.Unpriced = noPrice
	default:
		a.Unpriced = noUsage
	}
	addUp(r, a)
	p.metrics.charge(r.Route, t, a)
}

// addUp adds an executed attempt to the sums of its call.
func addUp(r *accounting.Record, a *accounting.Attempt) {
	for i, n := range a.Usage {
		r.Usage[i] += n
	}
	missing := a.Unpriced
	if sum, fits := r.Cost.Add(a.Cost); fits {
		r.Cost = sum
	} else {
		missing = noPrice // a sum that is too large to be counted is not counted as something smaller without a word
	}
	if r.Unpriced != noPrice && missing != "" {
		r.Unpriced = missing
	}
	r.Estimated = r.Estimated || a.Estimated
}

// addSums adds the sums of a record to those of another one.
func addSums(to, from *accounting.Record) {
	if !anyExecuted(from) {
		return
	}
	addUp(to, &accounting.Attempt{Usage: from.Usage, Cost: from.Cost, Unpriced: from.Unpriced, Estimated: from.Estimated})
}

// anyExecuted tells whether one of the attempts was.
func anyExecuted(r *accounting.Record) bool {
	for i := range r.Attempts {
		if r.Attempts[i].Executed {
			return true
		}
	}
	return false
}
