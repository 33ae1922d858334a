package simulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHead   = 64 << 10               // bytes of a request's head that are kept; longer ones are shown canonical
	tearPause = 200 * time.Microsecond // between torn pieces, so that a receiver can see each of them alone
)

// listener wraps every connection, so that faults below HTTP are possible and requests are seen as they came.
type listener struct {
	net.Listener
	tls   *tls.Config // nil: plain
	tally *tally
}

// Accept returns the next connection, wrapped.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, raw: raw, tally: l.tally, capturing: true}
	if l.tls != nil {
		c.Conn = tls.Server(raw, l.tls)
	}
	l.tally.connected(1)
	return c, nil
}

// conn is one connection: the bytes above TLS, with a copy of the head that is being read.
type conn struct {
	net.Conn          // what HTTP reads and writes
	raw      net.Conn // the TCP connection below
	tally    *tally
	closed   atomic.Bool
	tear     atomic.Int32 // write in pieces of so many bytes; 0: as given

	mu        sync.Mutex // guards the fields below: net/http reads in the background while a handler runs
	head      []byte     // bytes since the last rearm, up to the end of a head
	capturing bool
}

// Read reads and keeps a copy of what belongs to a request's head.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.capture(p[:n])
	}
	return n, err
}

func (c *conn) capture(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.capturing {
		return
	}
	from := max(0, len(c.head)-3) // the end may lie across two reads
	c.head = append(c.head, p...)
	if end := bytes.Index(c.head[from:], []byte("\r\n\r\n")); end >= 0 {
		c.head = c.head[:from+end+4]
		c.capturing = false
	} else if len(c.head) > maxHead {
		c.head, c.capturing = nil, false
	}
}

// takeHead gives away the bytes of the head just read, request line to empty line, or nil if they were not
// seen whole (a head over maxHead, a pipelined request).
func (c *conn) takeHead() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.head
	c.head = nil
	if c.capturing {
		return nil
	}
	return head
}

// rearm begins to keep the next request's head: called when a request was read to its end.
func (c *conn) rearm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.capturing = nil, true
}

// Write writes p, torn in pieces if that was asked for.
func (c *conn) Write(p []byte) (int, error) {
	size := int(c.tear.Load())
	if size == 0 {
		return c.Conn.Write(p)
	}
	written := 0
	for len(p) > 0 {
		n, err := c.Conn.Write(p[:min(size, len(p))])
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
		time.Sleep(tearPause)
	}
	return written, nil
}

// Close closes the connection and counts it out, once.
func (c *conn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.tally.connected(-1)
	}
	return c.Conn.Close()
}

// reset ends the connection so that the peer gets RST: what it has not read yet may be lost, as in life.
func (c *conn) reset() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		// A failure leaves an ordinary close, which the next line does anyway.
		_ = tcp.SetLinger(0)
	}
	_ = c.raw.Close()
}

// closeWrite sends FIN and still reads.
func (c *conn) closeWrite() error {
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	return tcp.CloseWrite()
}

// connKey is where ConnContext leaves the connection: net/http has no other way to hand it to a handler.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
