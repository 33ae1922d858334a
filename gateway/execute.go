package gateway

import (
	"context"
	"errors"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Execute runs a whole call without a connection: the same phases, the same limits, the same record. Pipeline is a tasks.Executor.
//
// each gets the answer as it comes, valid until it returns; an error from it ends the call, as a client does by leaving.
// ctx ends it too. The error is an *adapters.Error in the words for a client.
func (p *Pipeline) Execute(ctx context.Context, r *tasks.Request, each func(piece []byte) error) (*tasks.Result, error) {
	c := p.acquire(newID())
	defer p.release(c)
	release := c.endedWith(ctx)
	defer release()
	err := p.execute(c, r, each)
	if err == nil {
		p.Settle(c, nil)
		return c.result(), nil
	}
	words := c.forTask(err)
	if !c.outcome.Committed {
		c.refusal = statusOf(c, words)
	}
	p.Settle(c, err)
	return c.result(), words
}

// forTask is why a call failed, as it may be kept: scrubbed, and of the caller's own. Only its Cause is for the log.
func (c *Call) forTask(err error) *adapters.Error {
	words := *inWords(c, err)
	words.Message, words.Code, words.Param = c.scrub(words.Message), c.scrub(words.Code), c.scrub(words.Param)
	words.Body, words.Cause = nil, err
	return &words
}

// execute is Execute without what comes after the call.
func (p *Pipeline) execute(c *Call, r *tasks.Request, each func(piece []byte) error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = p.panicked(c, reason)
		}
	}()
	c.waits, c.Task = true, r.Task
	c.Content = adapters.Content{Endpoint: r.Endpoint, Method: "POST", Body: r.Body}
	for _, tag := range r.Tags {
		c.Tags = append(c.Tags, []byte(tag))
	}
	if r.Key != "" {
		c.Passed = append(c.Passed, adapters.Field{Name: "Idempotency-Key", Value: r.Key})
	}
	if c.Who, err = p.principalOf(c, r); err != nil {
		c.failed = err
		return err
	}
	if err := p.Open(c); err != nil {
		return err
	}
	if _, err := p.Relay(c, pieceWriter(each)); err != nil {
		return err
	}
	return c.failed
}

// principalOf finds who a call is made for. A key that the snapshot does not know may have been made elsewhere a moment ago.
func (p *Pipeline) principalOf(c *Call, r *tasks.Request) (*tenancy.Principal, error) {
	who, err := c.snapshot.Keys.Resolve(r.As, c.begun)
	if p.fresh != nil && r.Hash != (tenancy.Hash{}) && errors.Is(err, tenancy.ErrUnknownKey) {
		return p.fresh.find(r.Hash, c.begun)
	}
	return who, err
}

// endedWith ends the call when ctx ends, until release.
func (c *Call) endedWith(ctx context.Context) (release func()) {
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(cancelled); c.Cancel() })
	return func() {
		if !stop() {
			<-cancelled // the call is used again after this
		}
	}
}

// result says how a settled call ended. What it used was counted before Settle returned: whoever opened it waits.
func (c *Call) result() *tasks.Result {
	r := &c.record
	res := &tasks.Result{
		Call: r.ID, Attempts: len(r.Attempts), Usage: r.Usage, Estimated: r.Estimated, Cost: r.Cost, Unpriced: r.Unpriced,
		Waiting: r.Waiting, FirstByte: r.FirstToken, Total: r.Total,
	}
	res.Provider, res.Model = c.answeredBy()
	return res
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

// Estimate is what a call may cost where it would go first, as it is held before it is made; priced tells whether that is known as
// a whole. Nothing is held or sent. The error is an *adapters.Error in the words for a client.
func (p *Pipeline) Estimate(r *tasks.Request) (cost money.Nano, priced bool, err error) {
	c := p.acquire(newID())
	defer p.release(c)
	c.Content = adapters.Content{Endpoint: r.Endpoint, Method: "POST", Body: r.Body}
	if c.Who, err = p.principalOf(c, r); err != nil {
		return 0, false, c.forTask(err)
	}
	for _, phase := range [...]func(*Call) error{p.parse, p.route} {
		if err := phase(c); err != nil {
			return 0, false, c.forTask(err)
		}
	}
	e := c.estimate(c.plan.Targets[0])
	return e.Cost, !e.Unpriced, nil
}
