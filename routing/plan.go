package routing

import (
	"math/rand/v2"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/tenancy"
)

// patience is the longest Retry-After that a call waits for. A provider that asks for more is better answered by
// telling the client, whose SDK waits by itself and holds no connection meanwhile.
const patience = 5 * time.Second

// Ask is what a call wants to know.
type Ask struct {
	Model    string // the public name; may alias the request body
	Who      *tenancy.Principal
	Endpoint adapters.Endpoint

	// What ties the call to an account at a provider.
	Holder  string // the provider that holds what the call names: only that one will do
	Bound   bool   // the call names what nobody is known to have made: only an account that is the organization's alone may have it
	Account string // of calls on objects: the provider that the caller chose

	// What strategies choose by. All bytes may alias the request.
	Seed      uint64 // what is chosen by chance is chosen by it: SeedOf the call's id
	Input     []byte // the value of messages, input or prompt
	Sent      int64  // tokens that are sent; 0: as many as Input has
	MaxOutput int64  // tokens that the answer may have; 0: it was not said
	Session   []byte // what the client says that its calls have in common

	// What rules ask about.
	Body   []byte          // JSON, checked; empty for forms
	Stream bool            // the answer is to be streamed
	Header adapters.Header // of the request; nil: there is none
	Tags   [][]byte        // k=v, k2=v2: what stands in the fields for it, checked

	Explain bool // find out also what spoke for the task: that costs as much as planning, and more

	facts *Facts // of a call that is planned again: they stand for the request
}

// Tokens is about how many tokens are sent.
func (a *Ask) Tokens() int64 {
	if a.Sent > 0 {
		return a.Sent
	}
	return int64(len(a.Input)) / bytesPerTok
}

// Move is the next attempt.
type Move struct {
	Target *Target
	Wait   time.Duration // before it starts
	Force  bool          // nothing else is left: the breaker has no say
}

// Outcome is how one attempt ended.
type Outcome struct {
	Target     *Target
	Pass       Pass // from State.Begin
	Refused    bool // State.Begin said no: nothing was tried, and the other fields mean nothing
	Class      adapters.Class
	Sent       bool // at least one byte of the request may have reached the provider
	Committed  bool // our answer's head was written
	RetryAfter time.Duration
	FirstByte  time.Duration
	Total      time.Duration
	Usage      adapters.Usage // as far as the provider told
	Streamed   bool           // FirstByte is of a stream
	Stream     bool           // the call wants one
	Beside     bool           // it began beside another attempt, which was slow
	Stick      Stick          // the plan's
}

// Plan is where one call may go and how far it has come. It is a value inside the call and is filled by
// Table.Plan, which reuses its memory. It belongs to the goroutine that serves the call.
type Plan struct {
	Asked    string // the model; aliases the Ask
	Tokens   int64  // about how many are sent
	Route    *Route
	Targets  []*Target // in the order in which they are asked
	Attempts int
	Deadline time.Time
	Why      Explanation
	Stick    Stick      // for the outcomes of its attempts
	Followed []Followed // the rules that led to Route
	Refusal  string     // of ByRule: what the rule says
	Refused  Refusal    // why it goes nowhere; 0: it goes
	Task     task.Label // what kind of work is asked for, if a rule wanted to know
	Told     bool       // the client said what task it is

	noted noted // of the call, for its record
	lacks Lack  // what a rule asks for and was not kept of a call that is planned again

	judge            *task.Model    // that found the task; nil: none did
	spoken, features []task.Feature // for the task, if that was asked for: as they are, and as a record keeps them

	scope *scope // nil: no plan before had rules

	scores, costs []float64 // of the targets, while they are put in order
	usage         adapters.Usage
	steps         []step // steps[i] is what became of Targets[i] so far
	tries         int
	spread        time.Duration // thousandths of a backoff that are waited; 0: not drawn yet
}

// step is a target's part of the walk.
type step struct {
	tries int
	over  bool // not asked again in this call
	force bool
	due   time.Time // when it may be asked again
}

// Reset empties the plan and keeps its memory, but nothing of the table that it came from.
func (p *Plan) Reset() {
	clear(p.Targets)
	clear(p.Why)
	*p = Plan{noted: noted{headers: p.noted.headers[:0]}, scope: p.scope, Followed: p.Followed[:0], Targets: p.Targets[:0], Why: p.Why[:0], steps: p.steps[:0], scores: p.scores[:0], costs: p.costs[:0]}
}

// choose appends a target to the walk.
func (p *Plan) choose(t *Target, force bool) {
	p.Targets = append(p.Targets, t)
	p.steps = append(p.steps, step{force: force})
}

// Next is the attempt to make after the last one ended (nil: none was made), or false to stop: then the last
// outcome is the client's. It is pure apart from the plan's own progress and one draw for the jitter of its waits.
func (p *Plan) Next(last *Outcome, now time.Time) (Move, bool) {
	if last != nil && !p.record(last, now) {
		return Move{}, false
	}
	if p.tries >= p.Attempts || !now.Before(p.Deadline) {
		return Move{}, false
	}
	for i := range p.steps {
		if s := &p.steps[i]; s.tries == 0 && !s.over {
			return Move{Target: p.Targets[i], Force: s.force}, true
		}
	}
	return p.again(now)
}

// Beside takes into the walk how an attempt ended that ran beside another one.
func (p *Plan) Beside(o *Outcome, now time.Time) { p.record(o, now) }

// record takes an outcome into the walk and tells whether it goes on at all.
func (p *Plan) record(o *Outcome, now time.Time) bool {
	s := p.stepOf(o.Target)
	if s == nil {
		return false // not of this plan: nothing is known that would make another try safe
	}
	if o.Refused {
		s.over = true
		return true
	}
	p.tries++
	s.tries++
	s.over = s.force || !p.repeatable(o)
	s.due = now.Add(max(p.backoff(s.tries-1), o.RetryAfter))
	return !o.Committed && o.Class.Elsewhere()
}

// repeatable tells whether the target of the outcome may be asked once more. What may have been executed there is
// not repeated there: it would be done, and charged, twice.
func (p *Plan) repeatable(o *Outcome) bool {
	safe := !o.Sent || o.Class.NotExecuted() || p.Route.RepeatExecuted
	return safe && o.Class.Again() && o.RetryAfter <= patience
}

// again chooses among the targets that were tried already: the one that may be asked soonest. Equal backoffs make
// that a round, because the one that failed first is due first. A wait that would outlast the deadline is not begun.
func (p *Plan) again(now time.Time) (Move, bool) {
	best := -1
	for i := range p.steps {
		s := &p.steps[i]
		if s.over || !s.due.Before(p.Deadline) {
			continue
		}
		if best < 0 || s.due.Before(p.steps[best].due) {
			best = i
		}
	}
	switch {
	case best >= 0:
		return Move{Target: p.Targets[best], Wait: max(0, p.steps[best].due.Sub(now))}, true
	case p.tries == 0 && len(p.steps) > 0 && !p.steps[0].force:
		// All were refused since the plan was made, and the call has not been tried at all.
		p.steps[0].force = true
		return Move{Target: p.Targets[0], Force: true}, true
	}
	return Move{}, false
}

func (p *Plan) stepOf(t *Target) *step {
	for i := range p.Targets {
		if p.Targets[i] == t {
			return &p.steps[i]
		}
	}
	return nil
}

// backoff is the wait before repeat i+1 on the same target, up to a fifth shorter or longer: calls that failed
// together must not come back together. One draw for the whole plan keeps its targets in their order.
func (p *Plan) backoff(i int) time.Duration {
	b := p.Route.Backoff
	if len(b) == 0 {
		return 0
	}
	if p.spread == 0 {
		p.spread = 800 + rand.N[time.Duration](401)
	}
	return b[min(i, len(b)-1)] * p.spread / 1000
}
