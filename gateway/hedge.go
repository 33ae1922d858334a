package gateway

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// race is a call whose first target is slow, so that a second one is asked beside it. Whoever answers first claims it; the
// other one is cancelled, waited for and charged.
//
//	first  ──────────────────┬─▶ answers: claims the race, ends the second
//	        usual wait       │
//	             └─▶ second ─┴─▶ answers: claims the race, ends the first; the call takes its answer over
//
// The first attempt is on the goroutine that owns the call, the second on one of its own with a call of its own. That one is
// handed over once, through over, and nobody but end touches it before.
type race struct {
	call    *Call
	move    routing.Move  // of the second attempt
	wait    time.Duration // until it
	timer   *time.Timer   // nil: the first attempt has not begun
	claimed atomic.Bool
	over    chan *Call // brings the second attempt when it has ended or answered; nil: there was none

	mu     sync.Mutex // guards both
	closed bool       // the first attempt has answered: there is no second one any more
	second *Call
}

// mayHedge tells whether the call is one of which a second target may be asked: it can be made twice without a trace but its
// cost. What calls tools acts, and acts once, unless the operator knows better.
func (c *Call) mayHedge() bool {
	r := c.plan.Route
	if r == nil || !r.Hedge.On() || c.single || len(c.plan.Targets) < 2 || c.kept != nil || !c.repeatable() {
		return false
	}
	return r.Hedge.Tools || !gjson.GetBytes(c.Content.Body, "tools.0").Exists() && !gjson.GetBytes(c.Content.Body, "functions.0").Exists()
}

// tryBeside makes an attempt, and another one beside it if that is the call's first and takes longer than usual.
func (p *Pipeline) tryBeside(c *Call, move routing.Move) error {
	c.race = p.race(c, move)
	if c.race == nil {
		return p.try(c, move)
	}
	defer func() { c.race = nil }()
	return c.race.run(move)
}

func (p *Pipeline) race(c *Call, move routing.Move) *race {
	if len(c.record.Attempts) > 0 || move.Force || !c.mayHedge() {
		return nil
	}
	second, ok := c.plan.Second(move.Target)
	if !ok {
		return nil
	}
	wait, ok := p.state.Patience(c.plan.Route.Hedge, move.Target, c.Content.Stream, c.begun)
	if !ok {
		return nil
	}
	return &race{call: c, move: second, wait: wait, over: make(chan *Call, 1)}
}

// run makes the first attempt and waits for the second one, if there is one.
func (r *race) run(move routing.Move) error {
	c, p := r.call, r.call.pipe
	ended := false
	defer func() {
		if !ended {
			r.abort()
		}
	}()
	err := p.try(c, move)
	ended = true
	if r.timer == nil || r.timer.Stop() {
		return err
	}
	if err == nil {
		r.close()
		c.loser = r // it ends beside the relay: the client does not wait for it with its first token
		return nil
	}
	second := <-r.over
	if second == nil {
		return err
	}
	c.leave(second)
	if second.answered {
		c.takeOver(second)
		return nil
	}
	c.merge(second)
	c.plan.Beside(&second.outcome, time.Now())
	p.release(second)
	return err
}

// begun tells whether there is a second attempt. It is called when there can be none any more that is not there yet.
func (r *race) begun() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.second != nil
}

// awaitLoser waits for the second attempt of a call that the first one answered: it reads the request, which is about to be
// given back.
func (c *Call) awaitLoser() {
	r := c.loser
	if r == nil {
		return
	}
	c.loser = nil
	if second := <-r.over; second != nil {
		c.leave(second)
		c.merge(second)
		c.pipe.release(second)
	}
}

// abort ends the second attempt after a panic of the first one: it reads the request, which is about to be given back.
func (r *race) abort() {
	if r.timer == nil || r.timer.Stop() {
		return
	}
	c, p := r.call, r.call.pipe
	r.close()
	second := <-r.over
	if second == nil {
		return
	}
	c.leave(second)
	if second.answered {
		second.answered = false
		_ = p.abandon(second, endedError(adapters.ClassOvertaken))
	}
	c.merge(second)
	p.release(second)
}

// begin lets the second attempt follow, now that the first one is on its way.
func (r *race) begin() { r.timer = time.AfterFunc(r.wait, r.follow) }

// claim tells an attempt that has an answer whether it is the first one with one. If so the other one ends.
func (r *race) claim(by *Call) bool {
	if !r.claimed.CompareAndSwap(false, true) {
		return false
	}
	if by != r.call {
		r.call.overtake()
	}
	return true
}

// close ends the second attempt.
func (r *race) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.second != nil {
		r.second.end(adapters.ClassOvertaken)
	}
}

// follow makes the second attempt.
func (r *race) follow() {
	second := r.enter()
	defer func() { r.over <- second }()
	if second == nil {
		return
	}
	defer func() {
		if reason := recover(); reason != nil {
			second.answered = false
			_ = second.pipe.panicked(second, reason)
			second.finish(adapters.ClassInternal)
		}
	}()
	if err := second.pipe.trySecond(second, r.move); err != nil {
		second.failed = err
	}
}

// enter makes the call of the second attempt; nil: it must not be.
func (r *race) enter() *Call {
	c, p := r.call, r.call.pipe
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || c.endedBy() != adapters.ClassNone {
		return nil
	}
	if !p.state.MayHedge(c.plan.Route, time.Now()) {
		p.metrics.hedged(c.plan.Route.Name, "capped")
		return nil
	}
	r.second = p.second(c)
	r.second.race = r
	c.join(r.second)
	return r.second
}

// secondEntry numbers the place of a second attempt at its provider: no call makes so many attempts one after the other.
const secondEntry = 1 << 10

// second is a call for a second attempt, with what the first one has of it that does not change any more.
func (p *Pipeline) second(c *Call) *Call {
	s := p.acquire(c.ID)
	s.Key, s.Who, s.Content, s.question, s.snapshot = c.Key, c.Who, c.Content, c.question, c.snapshot
	s.Passed = append(s.Passed[:0], c.Passed...)
	s.begun, s.record.Begun = c.begun, c.begun
	s.record.Who, s.record.Route = c.record.Who, c.record.Route
	s.plan.Route, s.plan.Deadline, s.plan.Stick = c.plan.Route, c.plan.Deadline, c.plan.Stick
	s.entries, s.span = secondEntry, c.span.part()
	return s
}

func (p *Pipeline) trySecond(c *Call, move routing.Move) error {
	if _, err := p.prepare(c, move); err != nil {
		c.outcome.Refused = true
		return err
	}
	c.outcome.Beside = true
	return p.ask(c)
}

// overtake ends the attempt under way, and not the call.
func (c *Call) overtake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overtaken = true
	if c.exchange != nil {
		c.exchange.Cancel()
	}
}

// takeOver makes the answer of a second attempt the call's own. That one is kept until the call ends: what decodes the answer
// knows its request.
func (c *Call) takeOver(second *Call) {
	before := len(c.record.Attempts)
	c.merge(second)
	second.tryAt += before
	c.try, second.try = second.try, c.try
	c.span.try, c.failed, c.second = second.span.try, nil, second
	x := second.exchange
	second.hold(nil)
	c.mu.Lock()
	c.overtaken = false
	c.mu.Unlock()
	c.hold(x)
}

// merge takes what is known of a second attempt into the call's record.
func (c *Call) merge(second *Call) {
	before := len(c.record.Attempts)
	c.leaves = true
	c.record.Attempts = append(c.record.Attempts, second.record.Attempts...)
	addSums(&c.record, &second.record)
	for _, u := range second.untoldTries {
		u.at += before
		c.untoldTries = append(c.untoldTries, u)
	}
	result := "lost"
	switch {
	case second.answered:
		result = "won"
	case len(second.record.Attempts) == 0:
		result = "refused"
	case second.outcome.Class != adapters.ClassOvertaken:
		result = "failed"
	}
	c.pipe.metrics.hedged(c.plan.Route.Name, result)
}

// twoDearest is what two attempts at the same time may come to at most.
func twoDearest(all []accounting.Estimate) (sum accounting.Estimate) {
	slices.SortFunc(all, func(a, b accounting.Estimate) int { return cmp.Compare(b.Cost, a.Cost) })
	for _, e := range all[:min(2, len(all))] {
		sum.Tokens, sum.Cost = sum.Tokens+e.Tokens, sum.Cost+e.Cost
	}
	return sum
}
