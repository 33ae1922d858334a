package gateway

import (
	"context"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Request is a call that comes from inside the house instead of a connection.
type Request struct {
	As       tenancy.Identity
	Endpoint adapters.Endpoint
	Body     []byte
	Task     tenancy.ID // what the call is made for
}

// Result says how such a call ended.
type Result struct {
	Provider, Model string // of the attempt that answered
	Attempts        int
	Usage           adapters.Usage // of all executed attempts together
	Estimated       bool           // part of it was counted here, because the provider did not tell
	Cost            money.Nano     // at least this, if Unpriced is not empty
	Unpriced        string         // why it may be more
}

// Execute runs a whole call without a connection: the same phases, the same limits, the same record. each gets
// the answer as it comes, valid until it returns; an error from it ends the call, as a client does by leaving.
// ctx ends it too.
func (p *Pipeline) Execute(ctx context.Context, r *Request, each func(piece []byte) error) (res *Result, err error) {
	c := p.acquire(newID())
	c.waits, c.Task = true, r.Task
	defer p.release(c)
	defer func() {
		if err != nil && !c.outcome.Committed {
			c.refusal = statusOf(c, inWords(c, err))
		}
		p.Settle(c, err)
		if res != nil {
			res.Usage, res.Estimated, res.Cost, res.Unpriced = c.record.Usage, c.record.Estimated, c.record.Cost, c.record.Unpriced
		}
	}()
	defer func() {
		if reason := recover(); reason != nil {
			err = p.panicked(c, reason)
		}
	}()
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(cancelled); c.Cancel() })
	defer func() {
		if !stop() {
			<-cancelled // the call is used again after this
		}
	}()

	c.Content = adapters.Content{Endpoint: r.Endpoint, Method: "POST", Body: r.Body}
	if c.Who, err = c.snapshot.Keys.Resolve(r.As, c.begun); err != nil {
		return nil, err
	}
	if err = p.Open(c); err != nil {
		return nil, err
	}
	if _, err = p.Relay(c, pieceWriter(each)); err == nil {
		err = c.failed
	}
	res = &Result{Attempts: len(c.record.Attempts)}
	res.Provider, res.Model = c.answeredBy()
	return res, err
}

// answeredBy is the provider of the answer and its name of the model, also of one that was kept; empty: nobody was asked.
func (c *Call) answeredBy() (provider, model string) {
	switch {
	case c.kept != nil:
		return c.kept.Provider, c.kept.Model
	case c.outcome.Target != nil:
		return c.outcome.Target.Provider.Name, c.outcome.Target.Model
	}
	return "", ""
}

// pieceWriter makes a function an io.Writer.
type pieceWriter func(piece []byte) error

func (f pieceWriter) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
