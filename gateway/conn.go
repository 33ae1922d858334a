package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// writeStall is how long a client may take nothing of an answer. Without it a slow reader pins an exchange
// for ever.
const writeStall = 60 * time.Second

// errBodies says that all request bodies together take the memory they may.
var errBodies = errors.New("request bodies in flight are over their bound")

// conn is a client's connection. fasthttp reads and writes it on the serving goroutine; the watcher and the
// drain reach the call on it through mu.
type conn struct {
	*net.TCPConn
	listener *listener
	raw      syscall.RawConn
	peer     netip.Addr
	client   string // the peer as text
	slot     int32

	mu   sync.Mutex
	call ender // the call that is served now
	gone bool  // the client left, before or during a call
	stop bool  // this process stops: no further call

	// These are touched by a Close too, and fasthttp's shutdown closes idle connections on a goroutine of its own.
	reserved atomic.Int64 // counted against the bound of all bodies
	linger   atomic.Bool  // the answer was early: the client still sends
	closed   atomic.Bool

	// The rest belongs to the serving goroutine.
	writeBy  time.Time // the write deadline that stands
	readBy   time.Time // the read deadline that stands
	wantRead time.Time // the one that fasthttp asked for
	ahead    *[]byte   // read with the first byte of a request and not asked for yet
	rest     []byte    // of ahead
	received int64     // bytes since the last answer
	overfull bool      // the bound was reached in the middle of this request
}

// ender is what can be ended from outside: a call.
type ender interface{ end(why adapters.Class) }

// connOf finds our connection below TLS. It is nil for a call that has none.
func connOf(ctx *fasthttp.RequestCtx) *conn {
	switch c := ctx.Conn().(type) {
	case *conn:
		return c
	case *tls.Conn:
		if c, ok := c.NetConn().(*conn); ok {
			return c
		}
	}
	return nil
}

// attach names the call that ends when the client leaves; at once if the client has left or a drain has passed.
func (c *conn) attach(call ender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call = call
	switch {
	case c.gone:
		call.end(adapters.ClassGone)
	case c.stop:
		call.end(adapters.ClassDraining)
	}
}

// detach forgets the call. After it nobody ends the call from outside, so that it may be used again.
func (c *conn) detach() {
	c.mu.Lock()
	c.call = nil
	c.mu.Unlock()
	c.served()
}

// served forgets what the request took, so that the requests of a connection do not add up.
func (c *conn) served() {
	c.received, c.overfull = 0, false
	c.releaseBody()
}

// Left is called by the watcher.
func (c *conn) Left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.call != nil {
		c.call.end(adapters.ClassGone)
	}
}

// drain ends the call because this process stops, and any that begins later: its head or body may be on the way.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = true
	if c.call != nil {
		c.call.end(adapters.ClassDraining)
	}
}

// SetReadDeadline remembers the deadline for the next read. fasthttp asks for three in each request, and most
// requests lie in the buffer by then: no read uses them.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.wantRead = t
	return nil
}

// Read gives fasthttp what the client sent and counts what a request takes of the memory for bodies.
//
// fasthttp waits for a request with a read of one byte, so that a client who sends nothing holds no buffer of its.
// What comes with that byte is kept for the next read, which would else be a second system call.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		return c.readRest(p), nil
	}
	if off := c.wantRead.Sub(c.readBy); off < 0 || off > time.Second {
		c.readBy = c.wantRead
		if err := c.TCPConn.SetReadDeadline(c.readBy); err != nil {
			return 0, err
		}
	}
	var n int
	var err error
	if len(p) == 1 {
		n, err = c.readAhead(p)
	} else {
		n, err = c.TCPConn.Read(p)
	}
	c.received += int64(n)
	if c.received > c.reserved.Load()+bodyQuantum && !c.reserve() {
		return 0, errBodies
	}
	return n, err
}

// readAhead waits for the first byte of a request without holding a buffer.
func (c *conn) readAhead(p []byte) (n int, err error) {
	waited := c.raw.Read(func(fd uintptr) bool {
		c.ahead = aheads.Get().(*[]byte)
		for {
			if n, err = syscall.Read(int(fd), *c.ahead); err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			c.dropAhead()
			return false
		}
		return true
	})
	switch {
	case waited != nil:
		err = waited
	case err != nil:
		err = &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		c.dropAhead()
		return 0, err
	}
	c.rest = (*c.ahead)[:n]
	return c.readRest(p), nil
}

func (c *conn) readRest(p []byte) int {
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.dropAhead()
	}
	return n
}

func (c *conn) dropAhead() {
	if c.ahead != nil {
		aheads.Put(c.ahead)
		c.ahead = nil
	}
}

// aheads are the buffers of first reads, each held only from the read to the parsing of a request.
var aheads = sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }}

// Write arms the deadline of every write, whoever makes it: our answers, fasthttp's own and the TLS layer's.
// The deadline moves rarely, because each move costs a timer.
func (c *conn) Write(p []byte) (int, error) {
	if now := time.Now(); c.writeBy.Sub(now) < c.listener.stall/2 {
		c.writeBy = now.Add(c.listener.stall)
		if err := c.SetWriteDeadline(c.writeBy); err != nil {
			return 0, err
		}
	}
	return c.TCPConn.Write(p)
}

// Close closes the connection, at once or after the client stopped sending. It may be called twice.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	defer c.listener.closing.Done()
	c.releaseBody()
	c.listener.forget(c)
	if c.linger.Load() && c.listener.lingerOn(c) {
		return nil
	}
	return c.TCPConn.Close()
}

// bodyQuantum is what a request takes before it is counted: the usual one is never counted at all.
const bodyQuantum = 64 << 10

func (c *conn) reserve() bool {
	want := c.received - c.reserved.Load()
	if !c.listener.bodies.take(want) {
		c.overfull = true
		return false
	}
	c.reserved.Add(want)
	return true
}

func (c *conn) releaseBody() {
	if n := c.reserved.Swap(0); n > 0 {
		c.listener.bodies.give(n)
	}
}
