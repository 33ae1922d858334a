package routing

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Recorded is a call of which a record tells, for whoever plans it again.
type Recorded struct {
	ID       string
	Begun    time.Time
	Who      *tenancy.Principal // as far as it is known now; a key that is gone has no name
	Endpoint adapters.Endpoint
	Stream   bool
	Tags     [][]byte // k=v
	Agent    string   // the client's User-Agent
	Decision *Decision
	Cached   bool    // nobody was asked: the answer was kept
	Tries    []Tried // in order
}

// Tried is an attempt of a recorded call.
type Tried struct {
	Provider, Model  string
	Class            adapters.Class
	FirstByte, Total time.Duration // 0: not known
	Usage            adapters.Usage
	Cost             money.Nano
	Priced           bool // the cost is known as a whole
}

// target is its id.
func (t *Tried) target() string { return t.Provider + "/" + t.Model }

// answer is the attempt that answered; nil: none did. Another one may have begun after it and been overtaken.
func (c *Recorded) answer() *Tried {
	for i := range c.Tries {
		if c.Tries[i].Class == adapters.ClassNone {
			return &c.Tries[i]
		}
	}
	return nil
}

// went is the id of the target that answered or was asked last, or the one that would have been asked; empty: the call was
// refused.
func (c *Recorded) went() string {
	if answer := c.answer(); answer != nil {
		return answer.target()
	}
	if n := len(c.Tries); n > 0 {
		return c.Tries[n-1].target()
	}
	if all := c.Decision.Candidates; len(all) > 0 && all[0].Reason.Chosen() {
		return all[0].Provider + "/" + all[0].Model
	}
	return ""
}

// Lack says why a call can not be planned again; empty: it can.
type Lack string

// The reasons. A fact that a rule asks for and that was not kept has its name behind LacksFact.
const (
	WasCached     Lack = "answered from what was kept"
	NamesNoModel  Lack = "nothing is kept of how it was planned"
	OldRecord     Lack = "recorded by a version that kept too little"
	LacksFact     Lack = "a rule asks for what was not kept: "
	LacksTask          = LacksFact + "task"
	LacksKey           = LacksFact + "name of a key that is gone"
	LacksAnyField      = LacksFact + "header"
)

// PlanAgain fills dst with where a recorded call would go. Where it would go nowhere, dst.Refused says why. It is pure as Plan
// is: the state is what the caller takes it to be.
func (t *Table) PlanAgain(dst *Plan, c *Recorded, s *State) Lack {
	switch d := c.Decision; {
	case c.Cached:
		return WasCached
	case d == nil || d.Asked == "":
		return NamesNoModel
	case d.Facts == nil:
		return OldRecord
	}
	f := *c.Decision.Facts
	a := Ask{
		Model: c.Decision.Asked, Who: c.Who, Endpoint: c.Endpoint, Holder: f.Holder, Bound: f.Bound, Seed: SeedOf(c.ID), Sent: c.Decision.Tokens,
		MaxOutput: f.MaxOutput, Stream: c.Stream, Header: recordedHeader{f.Headers, c.Agent}, Tags: c.Tags, facts: &f,
	}
	_ = t.Plan(dst, &a, s, c.Begun) // dst.Refused says so
	return dst.lacks
}

// knows tells whether what a rule asks for was kept of the call. If not, the plan says what is missing.
func (a *Ask) knows(r *rule, p *Plan) bool {
	switch {
	case r.needs&factTask != 0 && a.facts.Task == 0:
		p.lacks = LacksTask
	case r.needs&factKey != 0 && a.Who.Key != "" && a.Who.Name == "":
		p.lacks = LacksKey
	case r.needs&factHeaders != 0 && len(r.headers) == 0:
		p.lacks = LacksAnyField
	}
	for _, name := range r.headers {
		if _, kept := a.facts.Headers[name]; !kept && name != "user-agent" {
			p.lacks = LacksAnyField + Lack(" "+name)
		}
	}
	return p.lacks == ""
}

// recordedHeader is the header of a call that is planned again, as far as it was kept.
type recordedHeader struct {
	fields map[string]string
	agent  string // its record has it anyway
}

// Peek gives a field.
func (h recordedHeader) Peek(name string) []byte {
	if v := h.fields[name]; v != "" || name != "user-agent" {
		return []byte(v)
	}
	return []byte(h.agent)
}
