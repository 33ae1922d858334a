package gateway

import (
	"io"
	"sync"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/replay"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Call is one client request from its key to its record. It is an object and not a stack frame, because relay
// and settle run after the handler returned.
//
// One goroutine owns it from acquire to Settle; end alone may come from others.
type Call struct {
	pipe *Pipeline

	// What the client sent, filled in by whoever opens the call. All bytes alias the request.
	ID      string             // ours, on every answer and line of log
	Key     []byte             // the presented key; unused if Who is set
	Who     *tenancy.Principal // who calls, from identify on
	Content adapters.Content
	Passed  []adapters.Field // header fields that pass to the provider
	Account string           // of a call on objects: the provider that the client chose; empty: none
	Header  adapters.Header  // of the request, until its answer begins; nil: there is none
	Session []byte           // what the client says that its calls have in common; nil: nothing
	Explain bool             // the client wants to know where the reasons stand
	Client  string           // address, for the log
	Agent   []byte           // User-Agent, for the record
	Tags    [][]byte         // what stands in the fields for it
	Task    tenancy.ID       // what the call is made for; empty: a client's own

	conn     *conn // nil for a call without a connection
	snapshot *Snapshot
	question adapters.Question
	plan     routing.Plan
	begun    time.Time
	settled  bool
	span     callSpan

	// What will be kept of the call.
	record      accounting.Record
	expected    adapters.Usage // before the first attempt
	recorded    bool           // its beginning is written down, or another call's tells of it
	waits       bool           // whoever opened the call waits for its cost
	untoldTries []untold       // what is to be counted
	expecting   bool           // expected is known

	// What an equal call was answered, and what will be kept for another one.
	name     replay.Name
	kept     *replay.Answer // nil: the call needs a provider
	tape     *tape          // nil: nothing will be kept
	mirrored bool           // a copy goes to another target when it has ended well

	// A call that is made once.
	claimed  claim // of an Idempotency-Key; empty: there is none, or it is another call's
	follows  *tape // the answer of that one, as it comes
	outlasts bool  // its client may leave; written under mu

	reservation accounting.Reservation // what is held of limits and budgets
	entries     int                    // places at providers that were asked for

	try                         // the attempt under way, or the one that was committed
	exchange *upstream.Exchange // its own; written under mu
	failed   error              // why the last attempt failed, or why the relay broke off

	// A second attempt beside the first one.
	race      *race // while there may be one
	loser     *race // whose second attempt is still to be waited for
	second    *Call // whose answer the call has; nil: it has its own
	leaves    bool  // one was made
	single    bool  // limits and budgets have no room for two at the same time
	overtaken bool  // the attempt under way ends, because the other one has answered; guarded by mu

	// A list that is put together here.
	list  *listing // nil: it is none
	parts []*Call  // the calls that fetch its objects; guarded by mu

	// The answer.
	to      io.Writer // the client, while the answer is relayed
	written int64
	pass    func(piece []byte) error // relayPiece; kept, so that a stream allocates nothing for it
	cost    [24]byte                 // in dollars, for the head
	refusal int                      // the status that the client saw instead of an answer

	mu   sync.Mutex
	why  adapters.Class // why the call was ended from outside; ClassNone while it was not
	wake chan struct{}  // ends a backoff
}

// end ends the call from outside: the client left, or the process stops. Whatever its owner waits for wakes up.
func (c *Call) end(why adapters.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outlasts && why == adapters.ClassGone {
		return
	}
	if c.why == adapters.ClassNone {
		c.why = why
	}
	if c.exchange != nil {
		c.exchange.Cancel()
	}
	for _, part := range c.parts {
		part.end(why)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Cancel ends the call because its client left.
func (c *Call) Cancel() { c.end(adapters.ClassGone) }

// endedBy tells why the call was ended from outside, or ClassNone.
func (c *Call) endedBy() adapters.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// isOvertaken tells whether the attempt under way ended because another one has answered.
func (c *Call) isOvertaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overtaken
}

// hold takes an exchange over, so that end reaches it; nil lets it go. An exchange that comes too late is
// cancelled at once.
func (c *Call) hold(x *upstream.Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchange = x
	if x != nil && (c.why != adapters.ClassNone || c.overtaken) {
		x.Cancel()
	}
}

// wait sleeps before an attempt; false means that the call ended meanwhile.
func (c *Call) wait(d time.Duration) bool {
	if d > 0 {
		timer, begun := time.NewTimer(d), time.Now()
		defer func() { timer.Stop(); c.record.Waiting += time.Since(begun) }()
		select {
		case <-timer.C:
		case <-c.wake:
		}
	}
	return c.endedBy() == adapters.ClassNone
}

// flush writes the pieces at hand. A failed write means that the client left.
func (c *Call) flush() error {
	for _, p := range c.pieces {
		if c.list == nil {
			c.outcome.Target.Provider.Key.Mask(p) // should the provider quote it
		}
		c.tape.put(p)
		n, err := c.to.Write(p)
		c.written += int64(n)
		if err != nil && c.outlasts {
			c.to = io.Discard // who repeats the call gets the rest
			continue
		}
		if err != nil {
			c.failed = endedError(adapters.ClassGone)
			return err
		}
	}
	c.pieces = c.pieces[:0]
	return nil
}

// The four methods that make a Call the body of fasthttp's answer. There is no Close: fasthttp would call both.

// SupportsBodyWriteTo lets fasthttp call WriteTo instead of Read.
func (c *Call) SupportsBodyWriteTo() bool { return true }

// Read is never called; fasthttp asks for an io.Reader.
func (c *Call) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// WriteTo relays the answer.
func (c *Call) WriteTo(w io.Writer) (n int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = c.pipe.panicked(c, p)
		}
	}()
	return c.pipe.Relay(c, w)
}

// CloseWithError settles the call. It comes after WriteTo, and also when WriteTo never ran.
func (c *Call) CloseWithError(err error) error {
	c.pipe.Settle(c, err)
	c.pipe.release(c)
	return nil
}
