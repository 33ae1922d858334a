package routing

import (
	"cmp"
	"slices"
	"time"

	"github.com/vel-gateway/vel/money"
)

// WhatIf compares where recorded calls went with where they would go by another table. Its memory does not grow with the
// calls: it keeps sums, and a few examples. It is used by one goroutine.
type WhatIf struct {
	now, then planner
	measured  *Measured
	examples  int // the most that are kept

	sum     Comparison
	shifts  map[path]*shifted
	stayed  Durations
	before  Durations
	arrived map[string]float64 // calls that would newly go to a target, and have a figure
}

// planner plans recorded calls by one table, one after the other.
type planner struct {
	table *Table
	state *State
	plan  Plan
}

// Comparison is what became of a WhatIf.
type Comparison struct {
	Calls        int64          // that were looked at
	Lacking      map[Lack]int64 // of these, could not be planned again, and why
	Stay         int64          // would go where they went, or be refused as they were
	StillRefused int64          // of those that stay
	Move         int64          // would go elsewhere
	Refuse       int64          // would be refused, and were not
	Shifts       []Shift        // calls that would go elsewhere or be refused, the most first
	Unshown      int64          // calls of shifts that are too many to be told apart
	Costs        Costs
	Times        Times
	Figures      []Figure  // what the calls say of the targets that they went to
	Examples     []Example // of calls that would go elsewhere or be refused, drawn evenly, in the order of time
}

// path is where some calls went, and where they would go.
type path struct {
	Asked    string // the model; empty: no route has the name, which is a text of the client's
	From, To string // provider/model; empty: nowhere
	Refusal  Refusal
}

// Shift is what would become of the calls that would go from one target to another.
type Shift struct {
	path
	Calls   int64
	ByTable int64 // of these, the table of now would send them to another target, or refuse them otherwise; to the rest something else happened, as a target that was out
	Costs   Costs
	Times   Times
}

// shifted is a Shift that is still counted.
type shifted struct {
	Shift
	before Durations
}

// Costs compares what answers cost with what the same usage costs where they would go. A call of which one of the two is not
// known counts in neither sum.
type Costs struct {
	Before, After  money.Nano
	Known, Unknown int64
}

// Times compares how long answers took with how long those of the targets where they would go take.
type Times struct {
	Before, After  Quantiles
	Known, Unknown int64 // calls of which both are known, and the others
}

// Quantiles are how long it takes half of the answers, and nineteen of twenty; 0: nothing is known.
type Quantiles struct{ Median, P95 time.Duration }

// Example is one call that would go elsewhere, or be refused.
type Example struct {
	path
	ID            string
	Begun         time.Time
	Before, After money.Nano
	Priced        bool // both are known
	drawn         uint64
}

// mostShifts is how many shifts are told apart.
const mostShifts = 1000

// NewWhatIf compares the table of now with another one, which have their prices. measured has learned from the calls that
// will be added.
func NewWhatIf(now, then *Table, measured *Measured, examples int) *WhatIf {
	return &WhatIf{
		now: planner{table: now, state: measured.State()}, then: planner{table: then, state: measured.State()}, measured: measured, examples: examples,
		shifts: map[path]*shifted{}, arrived: map[string]float64{}, sum: Comparison{Lacking: map[Lack]int64{}},
	}
}

// again plans a call and remembers where it would be answered, for those that belong to it.
func (p *planner) again(c *Recorded) (to *Target, lacks Lack) {
	if lacks = p.table.PlanAgain(&p.plan, c, p.state); lacks != "" || p.plan.Refused != 0 {
		return nil, lacks
	}
	to = p.plan.Targets[0]
	if p.plan.Stick.key != 0 {
		p.state.places.put(p.plan.Stick, to.ID, c.Begun)
	}
	return to, ""
}

// Add takes a call. Calls come in the order in which they began.
func (w *WhatIf) Add(c *Recorded) {
	w.sum.Calls++
	to, lacks := w.then.again(c)
	if lacks != "" {
		w.sum.Lacking[lacks]++
		return
	}
	now, _ := w.now.again(c)
	at := path{Asked: w.asked(c), From: c.went(), Refusal: w.then.plan.Refused}
	if to != nil {
		at.To = to.ID
	}
	e := Example{path: at, ID: c.ID, Begun: c.Begun, drawn: blend(SeedOf(c.ID))}
	e.price(c, to)
	w.sum.Costs.add(&e)
	took := time.Duration(0)
	if answer := c.answer(); answer != nil {
		took = answer.Total
	}
	if at.From == at.To {
		w.stay(&at, took)
		return
	}
	if to == nil {
		w.sum.Refuse++
	} else {
		w.sum.Move++
	}
	if m := w.shift(at); m != nil {
		m.Calls++
		m.Costs.add(&e)
		if (now == nil) != (to == nil) || now != nil && now.ID != to.ID || to == nil && w.now.plan.Refused != at.Refusal {
			m.ByTable++
		}
		w.time(m, took)
	} else {
		w.sum.Unshown++
		w.sum.Times.Unknown++
	}
	w.draw(e)
}

// asked is the model that a call asked for, if there is or was one.
func (w *WhatIf) asked(c *Recorded) string {
	name := c.Decision.Asked
	if _, is := w.then.table.Route(name); is || c.Decision.Refusal != UnknownModel {
		return name
	}
	return ""
}

// price says what the answer of a call cost, and what the same usage would.
func (e *Example) price(c *Recorded, to *Target) {
	answer := c.answer()
	if answer == nil || !answer.Priced || to == nil {
		return
	}
	price := to.PriceFor(c.Who.Org)
	if price == nil {
		return
	}
	after, whole := price.Cost(&answer.Usage, c.Begun)
	if whole {
		e.Before, e.After, e.Priced = answer.Cost, after, true
	}
}

func (c *Costs) add(e *Example) {
	before, fits := c.Before.Add(e.Before)
	after, fit := c.After.Add(e.After)
	if !e.Priced || !fits || !fit {
		c.Unknown++
		return
	}
	c.Before, c.After = before, after
	c.Known++
}

// stay counts a call that would go where it went.
func (w *WhatIf) stay(at *path, took time.Duration) {
	w.sum.Stay++
	if at.To == "" {
		w.sum.StillRefused++
	}
	if took == 0 {
		w.sum.Times.Unknown++
		return
	}
	w.stayed.add(took)
	w.before.add(took)
}

// shift is where calls of a path are counted; nil: there are too many.
func (w *WhatIf) shift(at path) *shifted {
	m := w.shifts[at]
	if m == nil && len(w.shifts) < mostShifts {
		m = &shifted{Shift: Shift{path: at}}
		w.shifts[at] = m
	}
	return m
}

// time counts how long a call that would go elsewhere took.
func (w *WhatIf) time(m *shifted, took time.Duration) {
	if took == 0 || w.measured.took(m.To).n == 0 {
		m.Times.Unknown++
		w.sum.Times.Unknown++
		return
	}
	m.before.add(took)
	w.before.add(took)
	w.arrived[m.To]++
}

// draw keeps the examples whose lots are the lowest.
func (w *WhatIf) draw(e Example) {
	all := w.sum.Examples
	i, _ := slices.BinarySearchFunc(all, e, func(a, b Example) int { return cmp.Compare(a.drawn, b.drawn) })
	if i >= w.examples {
		return
	}
	all = slices.Insert(all, i, e)
	w.sum.Examples = all[:min(len(all), w.examples)]
}

// Result is the comparison of the calls that were added. Nothing is added after it.
func (w *WhatIf) Result() *Comparison {
	r := &w.sum
	for _, m := range w.shifts {
		if m.Times.Known = m.before.Known(); m.Times.Known > 0 {
			m.Times.Before, m.Times.After = m.before.quantiles(), w.measured.took(m.To).quantiles()
		}
		r.Shifts = append(r.Shifts, m.Shift)
	}
	slices.SortFunc(r.Shifts, func(a, b Shift) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Asked, b.Asked), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Refusal, b.Refusal))
	})
	after := w.stayed
	for target, n := range w.arrived {
		after.take(n, w.measured.took(target))
	}
	r.Times.Known, r.Times.Before, r.Times.After = w.before.Known(), w.before.quantiles(), after.quantiles()
	r.Figures = w.measured.Figures()
	slices.SortFunc(r.Examples, func(a, b Example) int { return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID)) })
	return r
}

func (d *Durations) quantiles() Quantiles { return Quantiles{d.Percentile(50), d.Percentile(95)} }
