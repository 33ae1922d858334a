package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// Settle ends the call: the connection upstream goes back, routing learns how it went, and one line of log and
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
	class := c.endClass(cause)
	c.finish(class)
	if c.stream != nil {
		c.usage, _ = c.stream.Usage()
		c.learnStream()
	}
	if c.answered {
		c.charge()
	}
	total := time.Since(c.begun)
	status := c.status(class)
	p.metrics.call(c, class, status, total)
	c.span.ended(c, class, status)
	p.writeLine(c, class, status, total)
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
	case c.exchange != nil && c.ended:
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
func (p *Pipeline) writeLine(c *Call, class adapters.Class, status int, total time.Duration) {
	if !p.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	var who tenancy.Identity
	if c.Who != nil {
		who = c.Who.Identity
	}
	in, out := c.usage.Tokens()
	route, provider, model := c.went()
	agent, cost := c.texts()
	line := slog.NewRecord(c.begun.Add(total), slog.LevelInfo, "call", 0) // no source line: finding it costs more than the line
	line.AddAttrs(
		slog.String("id", c.ID), slog.String("endpoint", c.Content.Endpoint.String()), slog.Bool("stream", c.Content.Stream),
		slog.Int("status", status), slog.String("class", class.String()),
		slog.String("org", string(who.Org)), slog.String("key", string(who.Key)),
		slog.String("route", route), slog.String("provider", provider), slog.String("model", model), slog.Int("attempts", c.attempts),
		slog.Float64("first_token_ms", milliseconds(c.first)), slog.Float64("total_ms", milliseconds(total)),
		slog.Int64("tokens_in", in), slog.Int64("tokens_out", out),
		slog.String("cost_usd", cost), slog.String("unpriced", c.bill.gaps.String()),
		slog.String("dropped", strings.Join(c.request.Dropped, ", ")), slog.String("client", c.Client), slog.String("agent", agent))
	_ = p.log.Handler().Handle(context.Background(), line) // when the log can not be written, there is nothing to say it to
}

// texts are what of the line is in memory that the next call will use, while the line may still wait to be written. One
// string for both costs one allocation.
func (c *Call) texts() (agent, cost string) {
	both := string(c.Agent) + string(c.bill.dollars())
	return both[:len(c.Agent)], both[len(c.Agent):]
}

// went names where the call went; empty what it did not reach.
func (c *Call) went() (route, provider, model string) {
	if c.plan.Route != nil {
		route = c.plan.Route.Name
	}
	if t := c.outcome.Target; t != nil {
		provider, model = t.Provider.Name, t.Model
	}
	return route, provider, model
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
