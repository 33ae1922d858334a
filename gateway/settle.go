package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// Settle ends the call: the connection upstream goes back, routing learns how it went, and its record, one line of log and
// the metrics say so. It runs on every path, exactly once; it trusts what the call itself knows, because cause is
// also set when the answer was never begun.
func (p *Pipeline) Settle(c *Call, cause error) {
	if c.settled {
		return
	}
	c.settled = true
	if c.conn != nil {
		c.conn.detach() // from here nobody ends the call from outside
	}
	c.awaitLoser()
	class := c.endClass(cause)
	c.finish(class)
	if c.stream != nil {
		c.usage, _ = c.stream.Usage()
		c.learnStream()
	}
	if c.answered {
		c.charge()
	}
	p.keepForOthers(c, class)
	if p.once != nil {
		p.once.finish(c, class)
	}
	c.close(class)
	trace := c.span.ended(c)
	if len(c.untoldTries) > 0 {
		p.meter(c, trace)
		return
	}
	p.tellRoute(c.hedging(), &c.record)
	p.conclude(&c.record, &c.reservation, c.Client, trace)
	p.mirrors.offer(c.original(), &c.record)
}

// finish gives the connection back and tells routing how the attempt went.
func (c *Call) finish(class adapters.Class) {
	if x := c.exchange; x != nil {
		c.hold(nil)
		if class == adapters.ClassNone && !c.torn {
			x.Finish(nil)
		} else {
			x.Finish(errUnfinished)
		}
	}
	if c.trying { // also without an exchange, after a panic: a breaker may wait for this attempt
		c.outcome.Class = class
		c.pipe.observe(c)
	}
}

// errUnfinished keeps a connection whose answer was not read to its end out of the pool.
var errUnfinished = errors.New("the answer was not read to its end")

// endClass is how the call ended.
func (c *Call) endClass(cause error) adapters.Class {
	switch {
	case c.failed != nil:
		return classOf(c.failed)
	case c.ended && (c.exchange != nil || c.kept != nil):
		return adapters.ClassNone // all was written; what came later is no matter
	case c.endedBy() != adapters.ClassNone:
		return c.endedBy()
	case cause != nil:
		return classOf(cause)
	case c.exchange != nil:
		return adapters.ClassGone // the answer was never read to its end, and nobody says why
	}
	return adapters.ClassNone
}

// statusGone is nginx's code for a client that left; it is only ever logged.
const statusGone = 499

// status is what the client saw, or would have seen.
func (c *Call) status(class adapters.Class) int {
	switch {
	case class == adapters.ClassGone:
		return statusGone
	case c.refusal != 0:
		return c.refusal
	}
	return http.StatusOK
}

// writeLine is the access log: one line a call, never a prompt, never a secret.
func (p *Pipeline) writeLine(r *accounting.Record, client string) {
	if !p.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	in, out := r.Usage.Tokens()
	agent, cost := texts(r)
	line := slog.NewRecord(r.Begun.Add(r.Total), slog.LevelInfo, "call", 0) // no source line: finding it costs more than the line
	line.AddAttrs(
		slog.String("id", string(r.ID)), slog.String("endpoint", r.Endpoint.String()), slog.Bool("stream", r.Stream),
		slog.Int("status", r.Status), slog.String("class", r.Class.String()),
		slog.String("org", string(r.Who.Org)), slog.String("key", string(r.Who.Key)),
		slog.String("route", r.Route), slog.String("provider", r.Provider), slog.String("model", r.Model), slog.Int("attempts", len(r.Attempts)),
		slog.Float64("first_token_ms", milliseconds(r.FirstToken)), slog.Float64("total_ms", milliseconds(r.Total)),
		slog.Int64("tokens_in", in), slog.Int64("tokens_out", out), slog.Bool("estimated", r.Estimated),
		slog.String("cost_usd", cost), slog.String("unpriced", r.Unpriced),
		slog.String("dropped", strings.Join(r.Dropped, ", ")), slog.String("client", client), slog.String("agent", agent))
	_ = p.log.Handler().Handle(context.Background(), line) // when the log can not be written, there is nothing to say it to
}

// texts are what of the line is in memory that the next call will use, while the line may still wait to be written. One
// string for both costs one allocation. There is no cost where no attempt was executed.
func texts(r *accounting.Record) (agent, cost string) {
	if !anyExecuted(r) {
		return strings.Clone(r.Agent), ""
	}
	var memory [24]byte
	both := r.Agent + string(r.Cost.Append(memory[:0]))
	return both[:len(r.Agent)], both[len(r.Agent):]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
