package admin

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Diff is what would become of recorded calls.
type Diff struct {
	Since        time.Time    `json:"since"`
	Until        time.Time    `json:"until"`
	Found        int64        `json:"found" doc:"Calls of the time that the filters find."`
	Every        int          `json:"every" doc:"One of so many was looked at: 1, unless there are more than the limit."`
	Looked       int64        `json:"looked_at" doc:"How many that were."`
	Stay         int64        `json:"stay" doc:"Of these, would go where they went, or be refused as they were."`
	StillRefused int64        `json:"still_refused" doc:"Of those that stay, were refused and would be."`
	Move         int64        `json:"move" doc:"Would go elsewhere."`
	Refuse       int64        `json:"refuse" doc:"Would be refused, and were not."`
	NotPlanned   []NotPlanned `json:"not_planned" nullable:"false" doc:"Calls that could not be planned again: the numbers below do not have them."`
	Cost         CostChange   `json:"cost" doc:"Of all calls that were planned."`
	Latency      TimeChange   `json:"latency" doc:"Likewise."`
	Shifts       []Shift      `json:"shifts" nullable:"false" doc:"Calls that would go elsewhere or be refused, by where they went and would go; the most first."`
	Unshown      int64        `json:"unshown" doc:"Calls of shifts beyond the first thousand."`
	Targets      []TargetTime `json:"targets" nullable:"false" doc:"How long the answers of targets took, as the calls say: what is known of where calls would go."`
	Examples     []DiffCall   `json:"examples" nullable:"false" doc:"Some of the calls that would go elsewhere or be refused, drawn evenly."`
}

// NotPlanned is why some calls could not be planned again.
type NotPlanned struct {
	Reason string `json:"reason"`
	Calls  int64  `json:"calls"`
}

// Shift is some calls that asked for the same model, went to the same target and would go to the same one.
type Shift struct {
	Asked           string     `json:"asked" doc:"The model that was asked for; empty: one that no route has."`
	From            *string    `json:"from" doc:"The provider and its model; null: the calls were refused."`
	To              *string    `json:"to" doc:"Likewise; null: they would be refused."`
	Refused         *string    `json:"refused" doc:"Why."`
	Calls           int64      `json:"calls"`
	ByConfiguration int64      `json:"by_configuration" doc:"Of these, the configuration in force would send them elsewhere than the proposal: the others move although it changes nothing for them, as calls whose target was out then."`
	Cost            CostChange `json:"cost"`
	Latency         TimeChange `json:"latency"`
}

// CostChange compares what answers cost with what the same usage costs where they would go.
type CostChange struct {
	Before  string `json:"before_usd" doc:"What the answers cost: dollars as a decimal. Attempts that failed are not part of it."`
	After   string `json:"after_usd" doc:"What the same usage costs at the prices of the targets where they would go."`
	Change  string `json:"change_usd" doc:"The second less the first."`
	Known   int64  `json:"known" doc:"Calls of which both are known: the sums are of these."`
	Unknown int64  `json:"unknown" doc:"The others: without an answer or a price, or refused."`
}

// TimeChange compares how long answers took with how long those of the targets where they would go took.
type TimeChange struct {
	MedianBefore *float64 `json:"median_before_ms" doc:"Null: of no call both is known."`
	MedianAfter  *float64 `json:"median_after_ms"`
	P95Before    *float64 `json:"p95_before_ms" doc:"Nineteen of twenty took no longer."`
	P95After     *float64 `json:"p95_after_ms"`
	Known        int64    `json:"known" doc:"Calls that had an answer and would go where calls of the time were answered."`
	Unknown      int64    `json:"unknown" doc:"The others."`
}

// TargetTime is how long the answers of a target took.
type TargetTime struct {
	Provider string  `json:"provider"`
	Model    string  `json:"model"`
	Answers  int64   `json:"answers"`
	Median   float64 `json:"median_ms"`
	P95      float64 `json:"p95_ms"`
}

// DiffCall is one call that would go elsewhere, or be refused.
type DiffCall struct {
	ID      tenancy.ID `json:"id"`
	Begun   time.Time  `json:"begun"`
	Asked   string     `json:"asked"`
	From    *string    `json:"from"`
	To      *string    `json:"to"`
	Refused *string    `json:"refused"`
	Before  *string    `json:"before_usd" doc:"What its answer cost; null: one of the two is not known."`
	After   *string    `json:"after_usd"`
}

func viewDiff(c *routing.Comparison, q *accounting.ReplayQuery, found int64) Diff {
	v := Diff{
		Since: q.From, Until: q.To, Found: found, Every: q.Every, Looked: c.Calls, Stay: c.Stay, StillRefused: c.StillRefused, Move: c.Move, Refuse: c.Refuse,
		NotPlanned: []NotPlanned{}, Cost: viewCostChange(&c.Costs), Latency: viewTimeChange(&c.Times), Shifts: make([]Shift, 0, len(c.Shifts)), Unshown: c.Unshown,
		Targets: make([]TargetTime, 0, len(c.Figures)), Examples: make([]DiffCall, 0, len(c.Examples)),
	}
	for _, why := range slices.Sorted(maps.Keys(c.Lacking)) {
		v.NotPlanned = append(v.NotPlanned, NotPlanned{string(why), c.Lacking[why]})
	}
	slices.SortStableFunc(v.NotPlanned, func(a, b NotPlanned) int { return cmp.Compare(b.Calls, a.Calls) })
	for i := range c.Shifts {
		s := &c.Shifts[i]
		v.Shifts = append(v.Shifts, Shift{
			Asked: s.Asked, From: textOf(s.From), To: textOf(s.To), Refused: refusalOf(s.Refusal), Calls: s.Calls, ByConfiguration: s.ByTable,
			Cost: viewCostChange(&s.Costs), Latency: viewTimeChange(&s.Times),
		})
	}
	for _, f := range c.Figures {
		v.Targets = append(v.Targets, TargetTime{f.Provider, f.Model, f.Answers, millis(f.Median), millis(f.P95)})
	}
	for i := range c.Examples {
		v.Examples = append(v.Examples, viewDiffCall(&c.Examples[i]))
	}
	return v
}

func viewDiffCall(e *routing.Example) DiffCall {
	v := DiffCall{ID: tenancy.ID(e.ID), Begun: e.Begun, Asked: e.Asked, From: textOf(e.From), To: textOf(e.To), Refused: refusalOf(e.Refusal)}
	if e.Priced {
		v.Before, v.After = textOf(e.Before.String()), textOf(e.After.String())
	}
	return v
}

func refusalOf(r routing.Refusal) *string {
	if r == 0 {
		return nil
	}
	return textOf(r.Error())
}

func viewCostChange(c *routing.Costs) CostChange {
	return CostChange{c.Before.String(), c.After.String(), (c.After - c.Before).String(), c.Known, c.Unknown}
}

func viewTimeChange(t *routing.Times) TimeChange {
	return TimeChange{orNone(t.Before.Median), orNone(t.After.Median), orNone(t.Before.P95), orNone(t.After.P95), t.Known, t.Unknown}
}
