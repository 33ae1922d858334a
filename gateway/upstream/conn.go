package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one place in the pool of a provider: a connection that is opened when an exchange first uses it.
// The pool hands it out closed, so that the exchange which waits for the dial can also cancel it.
//
// One goroutine owns it between Acquire and Finish; the watcher touches nothing but left, and wakes who flows.
type conn struct {
	net.Conn // TCP, or TLS above it; nil while closed
	host     *host
	tcp      *net.TCPConn
	raw      syscall.RawConn
	slot     int32
	served   int                      // exchanges begun on this connection
	until    time.Time                // the deadline that stands
	left     atomic.Bool              // set by the watcher: the peer closed its side
	flowing  atomic.Pointer[Exchange] // who waits for the next bytes and has to hear of it

	look func(fd uintptr) // peeks into seen; kept, so that a look allocates nothing
	seen peeked

	release, discard func() // back to the pool, or out of it
}

func newConn(h *host) *conn {
	c := &conn{host: h}
	c.look = func(fd uintptr) { c.seen = peekFD(fd) }
	return c
}

// connect opens the connection. ctx ends the dial, the proxy's answer and the handshake.
func (c *conn) connect(ctx context.Context) error {
	stream, tcp, err := c.host.dialer.dial(ctx)
	if err != nil {
		return err
	}
	c.left.Store(false)
	c.Conn, c.tcp, c.served, c.until = stream, tcp, 0, time.Time{}
	if c.raw, err = tcp.SyscallConn(); err == nil {
		c.slot, err = c.host.watcher.Add(tcp, c)
	}
	if err != nil {
		_ = c.Close()
		return err
	}
	return nil
}

// Left is called by the watcher.
func (c *conn) Left() {
	c.left.Store(true)
	if x := c.flowing.Load(); x != nil {
		x.nudge(c)
	}
}

// Close closes the connection and leaves the place open for another connect.
func (c *conn) Close() error {
	if c.Conn == nil {
		return nil
	}
	c.host.watcher.Remove(c.slot, c)
	err := c.Conn.Close()
	c.Conn, c.tcp, c.raw, c.slot = nil, nil, nil, 0
	return err
}

// deadline moves the deadline of the connection, unless one stands that is as good: under load a connection is
// used many times a second, and each move costs a timer. Only Exchange.arm calls it.
func (c *conn) deadline(until time.Time, wait time.Duration) error {
	if off := until.Sub(c.until); off >= 0 && off < min(wait/16, time.Second) {
		return nil
	}
	c.until = until
	return c.tcp.SetDeadline(until)
}

// clean tells whether the idle connection may carry another request: the peer is there and nothing has
// arrived. Stray bytes would become the next caller's answer, and the watcher does not see them.
func (c *conn) clean() bool {
	if c.left.Load() {
		return false
	}
	c.seen = peekEnd
	if err := c.raw.Control(c.look); err != nil || c.seen != peekQuiet {
		return false
	}
	return !c.holdsPlaintext()
}

// holdsPlaintext tells whether the TLS layer has decrypted bytes that nobody read. With the deadline in the
// past, a read gives what is there and never touches the socket.
func (c *conn) holdsPlaintext() bool {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return false
	}
	if err := secure.SetReadDeadline(past); err != nil {
		return true
	}
	c.until = time.Time{}
	var one [1]byte
	n, err := secure.Read(one[:])
	timeout, ok := errors.AsType[net.Error](err)
	return n > 0 || !ok || !timeout.Timeout()
}

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)
