package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// errCancelled is returned by whatever the owner tries after a Cancel.
var errCancelled = errors.New("the exchange was cancelled")

// Exchange is one request to one provider and its answer.
type Exchange struct {
	pool *Pool
	host *host

	mu        sync.Mutex // guards the four below, because Cancel comes from another goroutine
	cancelled bool
	hangUp    context.CancelFunc // ends a dial; nil when none is under way
	socket    *net.TCPConn       // where a deadline in the past wakes the owner; nil while there is none
	conn      *conn              // written under mu, read by the owner without it

	// The rest belongs to the owner alone.
	head    Head
	reader  *bufio.Reader // until the bytes that came with the head are used up; under TLS to the end
	held    int           // bytes of the reader that the last Next gave out
	body    body
	limit   time.Time     // the call's end; no deadline lies behind it
	idle    time.Duration // longest silence; 0 until Streaming
	armed   time.Time     // when the deadline was moved last
	resent  bool
	vector  net.Buffers // a large request: head and body without a copy
	inflate *inflater   // the answer is compressed

	pull    func(fd uintptr) bool // reads the socket into piece; kept, so that a read allocates nothing
	piece   *[]byte               // held from a read to the next; a parked stream holds none
	got     int
	pullErr error

	pump         func(fd uintptr) bool // reads the socket and hands on; kept like pull
	take         func(piece []byte) error
	takeErr      error
	wokenByLeave bool // the watcher has woken the flow; a second past deadline is a real one
}

func newExchange(p *Pool) *Exchange {
	x := &Exchange{pool: p}
	x.pull, x.pump = x.pullFrom, x.pumpFrom
	return x
}

// Acquire begins an exchange with a provider; Finish ends it. A provider that the last Prepare was not given, or not with
// this address, gets a connection of the exchange's own: the call began before the configuration changed and ends as it
// began, and an old key does not go to a new address.
func (p *Pool) Acquire(provider *routing.Provider) (*Exchange, error) {
	h, ok := (*p.hosts.Load())[provider.ID]
	if !ok || h.provider != provider && !h.reaches(provider) {
		var err error
		if h, err = p.newHost(provider); err != nil {
			return nil, failure(adapters.ClassConnect, "The provider can not be reached.", err)
		}
		h.retired.Store(true)
	}
	x := p.exchange.Get().(*Exchange)
	x.host = h
	return x, nil
}

// Cancel wakes the owner, wherever it waits; it then finds the exchange cancelled and finishes it. It is the
// only method that another goroutine may call.
func (x *Exchange) Cancel() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancelled = true
	if x.hangUp != nil {
		x.hangUp()
	}
	if x.socket != nil {
		_ = x.socket.SetDeadline(past)
	}
}

// Open sends the request and waits for the head of the answer. sent tells whether a byte of the request may
// have reached the provider. The error is an *adapters.Error.
//
// A reused connection that the provider closed before any byte of an answer is replaced once: the provider
// closed it while it was idle, and the request was never read.
func (x *Exchange) Open(r *adapters.Request, t routing.Timeouts, limit time.Time) (sent bool, err error) {
	x.limit = limit
	if err := x.connect(t.Connect); err != nil {
		return false, x.explainConnect(err)
	}
	sent, answered, err := x.roundTrip(r, t.FirstByte)
	if err != nil && !answered && x.conn.served > 1 && lost(err) {
		x.resent = true
		x.pool.resends.Add(1)
		if err := x.reconnect(t.Connect); err != nil {
			return sent, x.explainConnect(err)
		}
		again, _, failed := x.roundTrip(r, t.FirstByte)
		sent, err = sent || again, failed
	}
	if err != nil {
		return sent, x.explain(err, adapters.ClassReset)
	}
	return sent, x.beginBody()
}

// lost tells whether the peer closed or reset the connection.
func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (x *Exchange) connect(timeout time.Duration) error {
	c, err := x.host.take()
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.conn, x.socket = c, c.tcp
	x.mu.Unlock()
	if c.Conn != nil {
		return nil
	}
	return x.dial(timeout)
}

// dial opens the connection in x.conn, at most until the call's end.
func (x *Exchange) dial(timeout time.Duration) error {
	ctx, hangUp := context.WithDeadline(context.Background(), earlier(time.Now().Add(timeout), x.limit))
	defer hangUp()
	x.mu.Lock()
	if x.cancelled {
		hangUp()
	}
	x.hangUp = hangUp
	x.mu.Unlock()

	err := x.conn.connect(ctx)

	x.mu.Lock()
	x.hangUp, x.socket = nil, x.conn.tcp
	x.mu.Unlock()
	return err
}

func (x *Exchange) reconnect(timeout time.Duration) error {
	x.mu.Lock()
	x.socket = nil
	x.mu.Unlock()
	x.dropReader()
	_ = x.conn.Close() // its peer closed it already
	return x.dial(timeout)
}

// roundTrip writes the request and reads the head of the answer. answered: at least one byte of it came.
func (x *Exchange) roundTrip(r *adapters.Request, firstByte time.Duration) (sent, answered bool, err error) {
	x.conn.served++
	if err := x.arm(firstByte); err != nil {
		return false, false, err
	}
	if sent, err = x.write(r); err != nil {
		return sent, false, err
	}
	x.reader = x.host.conns.AcquireReader(x.conn)
	for {
		if err := x.head.read(x.reader); err != nil {
			return true, answered || x.reader.Buffered() > 0, err
		}
		if s := x.head.status; s >= 200 || s == fasthttp.StatusSwitchingProtocols {
			return true, true, nil
		}
		answered = true // and what answers in between goes on
	}
}

// Streaming tells that the first data event came: from now on silence is limited, not the wait for an answer.
func (x *Exchange) Streaming(idle time.Duration) { x.idle, x.armed = idle, time.Time{} }

// arm is the only place that moves a deadline, with restore beside it. Once cancelled they refuse, so that a late call
// can not take back the deadline that woke the owner.
func (x *Exchange) arm(d time.Duration) error {
	x.armed = time.Now()
	until := earlier(x.armed.Add(d), x.limit)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancelled {
		return errCancelled
	}
	return x.conn.deadline(until, d)
}

// restore puts back the deadline that a nudge overwrote.
func (x *Exchange) restore() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancelled {
		return errCancelled
	}
	return x.socket.SetDeadline(x.conn.until)
}

// rearm moves the deadline of a stream on, rarely: a timer update for every event is not free.
func (x *Exchange) rearm() error {
	if x.idle == 0 || time.Since(x.armed) < min(x.idle/4, 5*time.Second) {
		return nil
	}
	return x.arm(x.idle)
}

// earlier is the first of a time and the call's end, if it has one.
func earlier(t, limit time.Time) time.Time {
	if !limit.IsZero() && limit.Before(t) {
		return limit
	}
	return t
}

// Status is the answer's status code.
func (x *Exchange) Status() int { return x.head.status }

// Header is the answer's head, valid until Finish.
func (x *Exchange) Header() *Head { return &x.head }

// Resent tells whether the request was written twice because a reused connection was closed.
func (x *Exchange) Resent() bool { return x.resent }

// Finish ends the exchange and must be its last use. The connection goes back to the pool only if the answer
// was read to its end, without an error, a cancel, a wish to close or a byte too many.
func (x *Exchange) Finish(err error) {
	x.mu.Lock()
	c, whole := x.conn, err == nil && !x.cancelled
	x.conn, x.socket, x.hangUp, x.cancelled = nil, nil, nil, false
	x.mu.Unlock()

	whole = whole && x.body.reusable() && !x.head.close
	if x.reader != nil {
		whole = whole && x.reader.Buffered() == x.held
		x.dropReader()
	}
	x.dropPiece()
	if c != nil {
		x.host.give(c, whole)
	}
	x.reset()
	x.pool.exchange.Put(x)
}

func (x *Exchange) reset() {
	x.head.reset()
	x.host, x.body, x.limit, x.idle, x.armed = nil, body{}, time.Time{}, 0, time.Time{}
	x.resent, x.inflate, x.pullErr = false, nil, nil
	x.take, x.takeErr, x.wokenByLeave = nil, nil, false
	clear(x.vector)
	x.vector = x.vector[:0]
}

func (x *Exchange) dropReader() {
	if x.reader != nil {
		x.host.conns.ReleaseReader(x.reader)
		x.reader, x.held = nil, 0
	}
}
