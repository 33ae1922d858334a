package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Snapshot is all that the data plane reads of the configuration and of the keys. It is immutable; what changes is
// published as another one.
type Snapshot struct {
	Keys     *tenancy.KeyIndex
	Routes   *routing.Table
	Accounts *accounting.Accounts // nil: there are no limits and no budgets
	Redactor *secrets.Redactor    // knows every provider's key
	Rev      int64                // grows with each that is published
}

// Pipeline takes calls through their phases. It knows no connection, so that a task runs the same path.
//
//	Open    1 identify  2 parse  3 plan  4 admit  5 attempt
//	Relay   6 relay
//	Settle  7 settle
type Pipeline struct {
	snapshot atomic.Pointer[Snapshot]
	state    *routing.State
	pool     *upstream.Pool
	objects  *Keeper
	metrics  *Metrics
	log      *slog.Logger
	calls    sync.Pool
	fresh    *freshKeys // nil: the index knows all keys
	tracing  *tracing   // nil: nothing is traced
	recorder Recorder   // nil: nothing is recorded
	judging  pace
	counter  *counter      // nil: what providers do not tell is estimated by its length
	sealer   Sealer        // nil: nobody's content is kept
	ledger   Ledger        // nil: nothing is held
	cache    *CacheOptions // nil: no answers are kept
	mirrors  *mirrors      // nil: no call is copied
	once     *Once         // nil: an Idempotency-Key is the provider\'s to heed
}

// NewPipeline makes a pipeline. Publish must be called before the first call.
func NewPipeline(state *routing.State, pool *upstream.Pool, objects *Keeper, metrics *Metrics, log *slog.Logger) *Pipeline {
	p := &Pipeline{state: state, pool: pool, objects: objects, metrics: metrics, log: log}
	p.calls.New = func() any {
		c := &Call{pipe: p, wake: make(chan struct{}, 1), try: try{texts: &adapters.Texts{}}}
		c.pass = c.relayPiece
		return c
	}
	return p
}

// FindKeys makes the pipeline look up keys that the snapshot does not know. It is called before the first call.
func (p *Pipeline) FindKeys(f Finder) { p.fresh = newFreshKeys(f) }

// FindFresh looks up a key that the snapshot does not know, as it does for calls: for others who ask whose key it is.
func (p *Pipeline) FindFresh(hash tenancy.Hash) (*tenancy.Principal, error) {
	if p.fresh == nil {
		return nil, tenancy.ErrUnknownKey
	}
	return p.fresh.find(hash, time.Now())
}

// Publish makes a snapshot the one that the next calls see, and its Rev higher than the last one's. Calls under way
// keep theirs.
//
// Publish and SetKeys never tear a snapshot, whoever calls them; but the last one wins, so that one goroutine alone
// should decide which keys are the newest.
func (p *Pipeline) Publish(s *Snapshot) {
	for {
		last := p.snapshot.Load()
		if last != nil {
			s.Rev = max(s.Rev, last.Rev+1)
		}
		if p.snapshot.CompareAndSwap(last, s) {
			break
		}
	}
	p.keysChanged()
}

// SetKeys publishes the last snapshot with other keys. It is cheap: routes, breakers and series stay as they are.
func (p *Pipeline) SetKeys(keys *tenancy.KeyIndex) {
	for {
		last := p.snapshot.Load()
		next := *last
		next.Keys, next.Rev = keys, last.Rev+1
		if p.snapshot.CompareAndSwap(last, &next) {
			break
		}
	}
	p.keysChanged()
}

// SetAccounts publishes the last snapshot with other limits and budgets. It is as cheap.
func (p *Pipeline) SetAccounts(accounts *accounting.Accounts) {
	for {
		last := p.snapshot.Load()
		next := *last
		next.Accounts, next.Rev = accounts, last.Rev+1
		if p.snapshot.CompareAndSwap(last, &next) {
			return
		}
	}
}

func (p *Pipeline) keysChanged() {
	if p.fresh != nil {
		p.fresh.forget()
	}
}

// Snapshot is the one that the next call will see.
func (p *Pipeline) Snapshot() *Snapshot { return p.snapshot.Load() }

// acquire begins a call; release ends it.
func (p *Pipeline) acquire(id string) *Call {
	c := p.calls.Get().(*Call)
	c.ID, c.begun, c.length = id, time.Now(), -1
	c.record.ID, c.record.Begun = tenancy.ID(id), c.begun
	c.snapshot = p.snapshot.Load()
	p.metrics.inFlight.Inc()
	return c
}

// keepBelow is up to which size a call keeps the buffer of its answer for the next one.
const keepBelow = 64 << 10

func (p *Pipeline) release(c *Call) {
	select { // a wake-up that came after the last wait
	case <-c.wake:
	default:
	}
	if c.second != nil {
		p.release(c.second)
	}
	c.plan.Reset()
	c.reservation.Reset()
	attempts, tags, bookings, decision := c.record.Attempts, c.record.Tags, c.record.Bookings, c.record.Decision
	clear(attempts)
	clear(bookings)
	clear(tags)
	clear(c.Passed)
	clear(c.Tags)
	// The parts with memory of their own are kept; everything that belonged to this call is forgotten.
	*c = Call{
		pipe: p, wake: c.wake, pass: c.pass, plan: c.plan, try: c.emptied(), Passed: c.Passed[:0], Tags: c.Tags[:0], reservation: c.reservation,
		record: accounting.Record{Attempts: attempts[:0], Tags: tags[:0], Bookings: bookings[:0], Decision: decision[:0]},
	}
	p.calls.Put(c)
	p.metrics.inFlight.Dec()
}

// Open takes the call through phases 1 to 5. When it returns nil, the head of the answer is known and nothing
// has been written; Relay and Settle must follow. After an error only Settle must.
func (p *Pipeline) Open(c *Call) error {
	for _, phase := range [...]func(*Call) error{p.identify, p.trace, p.parse, p.route, p.claim, p.recall, p.admit, p.remember, p.attempt} {
		if err := phase(c); err != nil {
			c.failed = err
			return err
		}
	}
	return nil
}

// identify finds who calls, and notes that the key is used.
func (p *Pipeline) identify(c *Call) (err error) {
	if c.Who == nil {
		if c.Who, err = p.who(c.snapshot, c.Key); err != nil {
			return err
		}
	}
	c.Who.Touch(c.begun)
	c.record.Who = c.Who.Identity // some organizations have prices of their own
	return nil
}

// who finds whose key this is. One that the snapshot does not know may have been made elsewhere a moment ago.
func (p *Pipeline) who(s *Snapshot, key []byte) (*tenancy.Principal, error) {
	who, err := p.lookup(s, key)
	if p.fresh != nil && errors.Is(err, tenancy.ErrUnknownKey) {
		return p.fresh.find(tenancy.HashKey(key), time.Now())
	}
	return who, err
}

// known is who, without waiting for anybody.
func (p *Pipeline) known(s *Snapshot, key []byte) (*tenancy.Principal, error) {
	who, err := p.lookup(s, key)
	if p.fresh != nil && errors.Is(err, tenancy.ErrUnknownKey) {
		return p.fresh.recall(tenancy.HashKey(key), time.Now())
	}
	return who, err
}

func (p *Pipeline) lookup(s *Snapshot, key []byte) (*tenancy.Principal, error) {
	if len(key) == 0 {
		return nil, errNoKey
	}
	return s.Keys.Lookup(tenancy.HashKey(key), time.Now())
}

// parse finds what the call asks for, and what it is for.
func (p *Pipeline) parse(c *Call) error {
	if err := c.readTags(); err != nil {
		return err
	}
	return adapters.Parse(c.Content.Body, &c.Content, &c.question)
}

// route decides where the call may go. It is pure: nothing is held yet.
func (p *Pipeline) route(c *Call) (err error) {
	defer func() {
		if c.plan.Route != nil {
			c.record.Route = c.plan.Route.Name
		}
	}()
	ask := routing.Ask{
		Model: c.question.Model, Who: c.Who, Endpoint: c.Content.Endpoint,
		Seed: routing.SeedOf(c.ID), Input: c.asked(), Session: c.Session,
		MaxOutput: cmp.Or(c.question.MaxCompletionTokens, c.question.MaxTokens),
		Stream:    c.Content.Stream, Header: c.Header, Tags: c.Tags, Body: c.Content.Body,
		Explain: c.Explain,
	}
	if c.Content.Boundary != nil { // a form is no JSON
		ask.Body = nil
	}
	switch {
	case ask.Endpoint == adapters.Objects:
		return p.routeObject(c, &ask)
	case c.question.Names:
		return p.bindModel(c, &ask)
	}
	return c.snapshot.Routes.Plan(&c.plan, &ask, p.state, c.begun)
}

// asked is what the call asks, as JSON; nil where that stands in no one place.
func (c *Call) asked() []byte {
	if at := c.question.Input; !at.Empty() {
		return c.Content.Body[at.Start:at.End]
	}
	return nil
}

// panicked turns a panic into a failed call: one call may fail, the process goes on.
func (p *Pipeline) panicked(c *Call, reason any) error {
	p.metrics.panics.Inc()
	p.log.Error("panic in a call", slog.String("id", c.ID), slog.Any("panic", reason), slog.String("stack", string(debug.Stack())))
	c.failed = &adapters.Error{Class: adapters.ClassInternal, Message: "internal error", Cause: fmt.Errorf("panic: %v", reason)}
	return c.failed
}
