package gateway

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// How many copies are made beside each other, how many may wait, and how much memory those together may take.
const (
	copiesAtOnce  = 8
	copiesWaiting = 64
	copiesMemory  = 64 << 20

	longestCopied = 1 << 20 // of the answers that are compared
)

// mirrors sends copies of calls that were answered to another target. A copy is a call of the platform's: it has a record, limits
// and a budget of its own, and nothing of it reaches whoever made the call, nor what that one pays. What is too much is left out.
type mirrors struct {
	pipe  *Pipeline
	queue chan *original
	ended sync.WaitGroup

	mu     sync.Mutex // guards the rest
	closed bool
	memory int
	making map[*Call]struct{}
}

// original is a call that was answered and is to be copied, in memory of its own.
type original struct {
	mirror  *routing.Mirror
	who     *tenancy.Principal // who made it: only where their calls may go a copy may
	content adapters.Content
	stream  bool
	answer  []byte // as its client got it
	torn    bool   // it was too large to be compared
	record  accounting.Mirror
}

func (o *original) size() int { return 4<<10 + len(o.content.Body) + len(o.answer) }

// Mirror makes the pipeline copy calls of routes that want it. It is called before the first call. The function that it gives ends
// the copies under way, and makes no more.
func (p *Pipeline) Mirror() (stop func() error) {
	m := &mirrors{pipe: p, queue: make(chan *original, copiesWaiting), making: map[*Call]struct{}{}}
	p.mirrors = m
	for range copiesAtOnce {
		m.ended.Go(m.run)
	}
	return m.stop
}

func (m *mirrors) stop() error {
	m.mu.Lock()
	m.closed = true
	for c := range m.making {
		c.end(adapters.ClassDraining)
	}
	close(m.queue)
	m.mu.Unlock()
	m.ended.Wait()
	return nil
}

// copies tells whether the call is one of those that are copied, so that its answer is to be remembered. What would leave
// something behind at a provider is not.
func (c *Call) copies() bool {
	r := c.plan.Route
	return r != nil && c.pipe.mirrors != nil && c.kept == nil && c.repeatable() && r.Mirror.Takes(routing.SeedOf(c.ID))
}

// remember begins to keep the answer of a call that will be copied.
func (p *Pipeline) remember(c *Call) error {
	if c.mirrored = c.copies(); c.mirrored && c.tape == nil {
		c.tape = &tape{limit: longestCopied}
	}
	return nil
}

// original is what is copied of a call that ended well; nil: nothing is.
func (c *Call) original() *original {
	if !c.mirrored || c.record.Class != adapters.ClassNone || !c.ended {
		return nil
	}
	o := &original{mirror: c.plan.Route.Mirror, who: c.Who, stream: c.stream != nil, answer: c.tape.bytes, torn: c.tape.torn}
	o.content = adapters.Content{Endpoint: c.Content.Endpoint, Method: "POST", Body: bytes.Clone(c.Content.Body), Deployment: strings.Clone(c.Content.Deployment)}
	return o
}

// offer takes a call to be copied, if there is room for it. Its record is complete now.
func (m *mirrors) offer(o *original, r *accounting.Record) {
	if o == nil {
		return
	}
	in, out := r.Usage.Tokens()
	o.record = accounting.Mirror{
		Of: r.ID, Org: r.Who.Org, Provider: r.Provider, Model: r.Model, FirstToken: r.FirstToken, Total: r.Total, TokensIn: in, TokensOut: out, Cost: r.Cost,
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed && m.memory+o.size() <= copiesMemory {
		select {
		case m.queue <- o:
			m.memory += o.size()
			return
		default:
		}
	}
	m.pipe.metrics.mirrored(o.mirror, "dropped")
}

func (m *mirrors) run() {
	for o := range m.queue {
		m.make(o)
		m.mu.Lock()
		m.memory -= o.size()
		m.mu.Unlock()
	}
}

// make makes a copy.
func (m *mirrors) make(o *original) {
	c := m.pipe.acquire(copyID(o.record.Of))
	defer m.pipe.release(c)
	if !m.begin(c) {
		m.pipe.metrics.mirrored(o.mirror, "dropped")
		return
	}
	err := m.call(c, o)
	m.end(c)
	m.pipe.metrics.mirrored(o.mirror, resultOf(err))
	if err != nil {
		m.pipe.log.Debug("copy", slog.String("id", c.ID), slog.String("reason", c.scrub(err.Error())))
	}
}

// begin lets a stop end the call; false: it has come already.
func (m *mirrors) begin(c *Call) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.making[c] = struct{}{}
	}
	return !m.closed
}

func (m *mirrors) end(c *Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.making, c)
}

// copyID is the id of the copy of a call: whoever knows the one knows the other.
func copyID(of tenancy.ID) string { return "mir_" + strings.TrimPrefix(string(of), "req_") }

// resultOf is how a metric names what became of a copy.
func resultOf(err error) string {
	_, denied := errors.AsType[*accounting.Denied](err)
	_, nowhere := errors.AsType[routing.Refusal](err)
	switch {
	case err == nil:
		return "answered"
	case denied || errors.Is(err, accounting.ErrUnpriced):
		return "over_budget"
	case nowhere:
		return "nowhere"
	}
	return "failed"
}

// call takes a copy through the phases of a call: it is planned for whoever made the original, and made by the platform.
func (m *mirrors) call(c *Call, o *original) (err error) {
	p := m.pipe
	c.waits, c.Who, c.Content = true, &tenancy.Principal{Identity: tenancy.Identity{Org: tenancy.Platform}}, o.content
	c.record.Who, c.record.Route, c.record.Mirror = c.Who.Identity, o.mirror.Route.Name, o.record
	defer func() {
		if err != nil && !c.outcome.Committed {
			c.failed = err
			c.refusal = statusOf(c, inWords(c, err))
		}
		p.Settle(c, err)
	}()
	defer func() {
		if reason := recover(); reason != nil {
			err = p.panicked(c, reason)
		}
	}()
	if err := p.parse(c); err != nil {
		return err
	}
	ask := routing.Ask{Model: o.mirror.Route.Name, Who: o.who, Endpoint: c.Content.Endpoint, Seed: routing.SeedOf(c.ID), Input: c.asked(), Stream: c.Content.Stream, Body: c.Content.Body}
	if err := o.mirror.Route.Plan(&c.plan, &ask, p.state, time.Now()); err != nil {
		return err
	}
	if err := p.admit(c); err != nil {
		return err
	}
	if err := p.attempt(c); err != nil {
		return err
	}
	c.tape = &tape{limit: longestCopied}
	if _, err := p.Relay(c, io.Discard); err != nil {
		return err
	}
	if c.failed == nil && !o.torn && !c.tape.torn {
		compare(&c.record.Mirror, said(c.Content.Endpoint, o.stream, o.answer), said(c.Content.Endpoint, c.stream != nil, c.tape.bytes))
	}
	return c.failed
}
