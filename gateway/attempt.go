package gateway

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// errorBelow is how much of an error answer is read. Of other answers it is Content.Gather: up to there an answer is
// checked as a whole, and another target can still be tried if it is none; what is larger begins to flow.
const errorBelow = 64 << 10

// attempt tries targets until one answers or the plan says stop.
func (p *Pipeline) attempt(c *Call) error {
	if c.list != nil {
		return p.answerList(c)
	}
	if c.kept != nil {
		c.length = len(c.kept.Body)
		if c.kept.Stream {
			c.length = -1
		}
		return nil
	}
	var last *routing.Outcome
	var failed error
	for {
		move, ok := c.plan.Next(last, time.Now())
		if !ok {
			return failed
		}
		if !c.wait(move.Wait) {
			return endedError(c.endedBy())
		}
		if passed, err := p.topUp(c, move.Target); passed {
			c.plan.PassedOver(move.Target, routing.Unaffordable)
			c.outcome = routing.Outcome{Target: move.Target, Refused: true}
			failed, last = cmp.Or(failed, err), &c.outcome
			continue
		} else if err != nil {
			return cmp.Or(failed, err) // what the earlier attempts brought
		}
		if err := p.begin(c, move.Target); err != nil {
			return err
		}
		err := p.tryBeside(c, move)
		if err == nil {
			return nil
		}
		if !c.outcome.Refused || failed == nil {
			failed = err
		}
		last = &c.outcome
	}
}

// try makes one attempt, up to the point where the answer's head could be written.
func (p *Pipeline) try(c *Call, move routing.Move) error {
	if why, err := p.prepare(c, move); err != nil {
		c.passOver(why)
		return err
	}
	if c.race != nil {
		c.race.begin()
	}
	p.metrics.further(c)
	return p.ask(c)
}

// prepare makes everything ready to ask the target, or says why it is not asked.
func (p *Pipeline) prepare(c *Call, move routing.Move) (why routing.Reason, err error) {
	c.tryBegun, c.foreign = time.Now(), c.foreign[:0]
	c.outcome, c.charged = routing.Outcome{Target: move.Target, Stick: c.plan.Stick, Stream: c.Content.Stream}, false
	if err := c.encode(); err != nil {
		return routing.Unable, err // this provider can not do what is asked
	}
	if err := p.enter(c, move.Target); err != nil {
		return routing.Limited, err
	}
	pass, ok := p.state.Begin(move, c.tryBegun)
	if !ok {
		p.leave(c)
		return routing.BreakerOpen, errUnwell
	}
	c.outcome.Pass, c.trying = pass, true
	c.beginAttempt()
	return 0, nil
}

// ask asks the target, until it is certain that it answers.
func (p *Pipeline) ask(c *Call) error {
	p.traceAttempt(c)
	err := p.send(c)
	if err == nil {
		err = p.receive(c)
	}
	if err == nil && c.race != nil && !c.race.claim(c) {
		err = endedError(adapters.ClassOvertaken)
	}
	if err != nil {
		return p.abandon(c, err)
	}
	if c.answered = true; c.ended && c.stream == nil {
		c.charge() // in time for the head
	}
	c.span.answering(c)
	c.outcome.Pass.Answered() // a breaker that probes need not wait for the end of a stream
	return nil
}

// passOver goes on without asking the target, for a reason.
func (c *Call) passOver(why routing.Reason) {
	c.outcome.Refused = true
	c.plan.PassedOver(c.outcome.Target, why)
}

// encode makes the request for the target, from the original.
func (c *Call) encode() error {
	t := c.outcome.Target
	c.codec = t.Provider.Adapter.Codecs[c.Content.Endpoint]
	c.request.Reset()
	if err := c.codec.EncodeRequest(&c.request, &c.Content, t.Model); err != nil {
		return err
	}
	if len(c.request.Dropped) > 0 && c.plan.Route.Strict {
		return errDropped(c.request.Dropped)
	}
	return nil
}

// send brings the request to the provider.
func (p *Pipeline) send(c *Call) error {
	t := c.outcome.Target
	if len(c.request.Body) > 0 {
		c.request.Header = append(c.request.Header,
			adapters.Field{Name: "Content-Type", Value: cmp.Or(view(c.Content.ContentType), "application/json")})
	}
	c.request.Header = append(c.request.Header,
		adapters.Field{Name: "Accept", Value: "*/*"}, adapters.Field{Name: "User-Agent", Value: "vel"})
	c.request.Header = c.span.outgoing(append(c.request.Header, c.Passed...))
	if err := t.Provider.Adapter.Signer.Sign(&c.request, t.Provider.Key, c.tryBegun); err != nil {
		return &adapters.Error{Class: adapters.ClassCredential, Message: "The provider's credential can not be used.", Cause: err}
	}
	x, err := p.pool.Acquire(t.Provider)
	if err != nil {
		return err
	}
	c.hold(x)
	c.outcome.Sent, err = x.Open(&c.request, t.Timeouts, c.plan.Deadline)
	return err
}

// receive waits until it is certain that the provider answers: an error status, a first event that is an error
// and a 200 with nonsense can still become another attempt.
func (p *Pipeline) receive(c *Call) error {
	x := c.exchange
	c.tried().Status = x.Status()
	c.foreign = append(c.foreign[:0], x.Header().Peek("X-Request-Id")...)
	if status := x.Status(); status < 200 || status > 299 {
		if _, err := c.gather(errorBelow); err != nil {
			return err
		}
		return c.codec.DecodeError(status, x.Header(), c.whole)
	}
	switch c.Content.Relay(x.Header()) {
	case adapters.RelayEvents:
		return p.firstEvent(c)
	case adapters.RelayUnread:
		return p.firstBytes(c)
	default:
		return p.wholeAnswer(c)
	}
}

// firstBytes waits for the first piece of an answer that passes unread.
func (p *Pipeline) firstBytes(c *Call) error {
	c.length = c.exchange.Length()
	b, err := c.exchange.Next()
	if err == io.EOF {
		c.ended = true
		return nil
	}
	if err != nil {
		return err
	}
	c.pieces = append(c.pieces, b)
	c.exchange.Streaming(c.outcome.Target.Timeouts.Idle)
	return nil
}

// firstEvent reads a stream up to its first data event.
func (p *Pipeline) firstEvent(c *Call) error {
	c.stream = c.codec.DecodeStream(&c.Content, c.exchange.Header())
	c.collect()
	for len(c.pieces) == 0 {
		b, err := c.exchange.Next()
		if err == io.EOF {
			c.ended = true
			c.pieces, err = c.stream.End(c.pieces)
			return err
		}
		if err == nil {
			c.pieces, err = c.stream.Feed(c.pieces, b)
		}
		if err != nil {
			return err
		}
	}
	c.learnStream()
	c.exchange.Streaming(c.outcome.Target.Timeouts.Idle)
	return nil
}

// wholeAnswer gathers an answer that is no stream and checks it, unless it is so large that it must flow.
func (p *Pipeline) wholeAnswer(c *Call) error {
	c.length = c.exchange.Length()
	all, err := c.gather(c.Content.Gather())
	if err != nil {
		return err
	}
	if !all {
		c.pieces = append(c.pieces, c.whole)
		c.keepAnswer()
		c.answerSize = max(c.answerSize, c.length)
		c.learn(c.whole)
		c.tail = append(make([]byte, 0, 2*adapters.TailSize), c.whole[max(0, len(c.whole)-adapters.TailSize):]...)
		return nil
	}
	c.pieces, c.usage, err = c.codec.DecodeResponse(c.pieces, &c.Content, c.exchange.Header(), c.whole)
	c.ended, c.length = true, 0
	for _, piece := range c.pieces {
		c.length += len(piece)
	}
	if err == nil {
		c.keepAnswer()
		c.learn(c.whole)
	}
	return err
}

// collect makes the stream collect its text: its provider may not tell what it used, or not come to that.
func (c *Call) collect() {
	stream, ok := c.stream.(adapters.TextStream)
	if !ok || !c.Content.Endpoint.Countable() {
		return
	}
	limit := answerSample
	if c.keepsContent() {
		limit = longestContent
	}
	c.texts.Reset(limit)
	stream.Collect(c.texts)
}

// gather reads the body into whole, until it ends (true) or is larger than limit.
func (c *Call) gather(limit int) (all bool, err error) {
	if n := c.exchange.Length(); n > 0 {
		c.whole = slices.Grow(c.whole[:0], min(n, limit))
	}
	c.whole = c.whole[:0]
	for len(c.whole) <= limit {
		b, err := c.exchange.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if len(c.whole) == 0 {
			c.exchange.Streaming(c.outcome.Target.Timeouts.Idle) // it answers: from now on silence is limited
		}
		c.whole = append(c.whole, b...)
	}
	return false, nil
}

// abandon ends an attempt that brought nothing and returns the error as the client may see it.
func (p *Pipeline) abandon(c *Call, err error) error {
	failed := asError(err)
	if why := c.endedBy(); why != adapters.ClassNone {
		failed = endedError(why)
	} else if c.isOvertaken() {
		failed = endedError(adapters.ClassOvertaken)
	}
	c.chargeFailed(failed.Class)
	c.span.attempted(c, failed.Class, failed.Status)
	x := c.exchange
	c.hold(nil)
	if x != nil {
		x.Finish(failed)
	}
	c.stream, c.usage, c.pieces, c.ended, c.length = nil, adapters.Usage{}, c.pieces[:0], false, -1
	c.outcome.Class, c.outcome.RetryAfter = failed.Class, failed.RetryAfter
	p.observe(c)
	p.report(c, failed)
	return failed
}

// observe tells routing and the metrics how the attempt ended.
func (p *Pipeline) observe(c *Call) {
	p.leave(c)
	now := time.Now()
	c.trying, c.outcome.Total = false, now.Sub(c.tryBegun)
	if c.outcome.Usage = c.usage; c.stream != nil {
		c.outcome.Usage, _ = c.stream.Usage()
		c.outcome.Streamed = true
	}
	c.endAttempt()
	p.state.Observe(&c.outcome, now)
	p.metrics.attempt(c.outcome.Target, c.outcome.Class, c.outcome.Total)
}

// report writes down why an attempt failed, for the operator: here are the causes that no client sees.
func (p *Pipeline) report(c *Call, failed *adapters.Error) {
	level := slog.LevelInfo
	switch failed.Class {
	case adapters.ClassGone, adapters.ClassInvalid, adapters.ClassDraining, adapters.ClassOvertaken:
		return
	case adapters.ClassCredential, adapters.ClassQuota, adapters.ClassInternal:
		level = slog.LevelError // an operator must act
	}
	t := c.outcome.Target
	p.log.LogAttrs(context.Background(), level, "attempt failed",
		slog.String("id", c.ID), slog.String("provider", t.Provider.Name), slog.String("model", t.Model),
		slog.String("class", failed.Class.String()), slog.Int("status", failed.Status),
		slog.String("reason", c.scrub(failed.Error())))
}

// asError makes any failure of an attempt an *adapters.Error.
func asError(err error) *adapters.Error {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return e
	}
	return &adapters.Error{Class: adapters.ClassInternal, Message: "internal error", Cause: err}
}

// endedError is the failure of a call that was ended from outside.
func endedError(why adapters.Class) *adapters.Error {
	if why == adapters.ClassDraining {
		return &adapters.Error{Class: why, Message: "Vel is shutting down.", RetryAfter: time.Second}
	}
	if why == adapters.ClassOvertaken {
		return &adapters.Error{Class: why, Message: "Another attempt answered first."}
	}
	return &adapters.Error{Class: why, Message: "The client left."}
}
