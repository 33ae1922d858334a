// Package faultproxy bends the network between Vel and a provider. It passes TCP bytes both ways and, when told to,
// does to an answer what real networks and dying servers do. It knows just enough HTTP/1.1 to find the end of an
// answer's head, so that a fault can be placed inside it, at its end, or so many bytes into the body.
//
//	Vel ──▶ Proxy ──▶ simulator
//	    ◀── fault ◀──
package faultproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// Kind is what happens to an answer.
type Kind int

const (
	None        Kind = iota
	Cut              // both sides are closed properly (FIN)
	Reset            // the connection is reset (RST)
	Stall            // nothing more comes, the connection stays open
	Slow             // everything comes, a few bytes at a time
	HalfClose        // the sending side is closed, the receiving side stays open
	Garbage          // bytes that are not HTTP come instead of the rest, then the end
	LongLength       // the head promises more bytes than come, then the end
	Refuse           // nobody listens any more
	Blackhole        // requests are swallowed, no answer comes
	CloseReused      // the second request on a connection is read, then the connection ends without an answer
)

// BeforeHead as Fault.After strikes before the first byte of the answer.
const BeforeHead = -1

// Fault is what a Proxy does from the moment it is set: to answers that begin later, on open connections too.
type Fault struct {
	Kind  Kind
	After int           // bytes of the body (framing included) that come through first; or BeforeHead
	Pace  time.Duration // Slow: the pause before each piece of 16 bytes
	Every int           // only one answer of so many is struck, the last of them; 0: all are
}

// Proxy is one listening address in front of one upstream address.
type Proxy struct {
	addr, upstream string

	mu       sync.Mutex // guards what follows
	fault    Fault
	answers  int          // begun since the fault was set
	listener net.Listener // nil while refusing
	conns    map[*link]struct{}
	accepted int
	closed   bool

	done    chan struct{} // closed by Close; wakes every pause
	running sync.WaitGroup
}

// New starts a proxy for the length of a test.
func New(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	p := &Proxy{addr: "127.0.0.1:0", upstream: upstream, conns: map[*link]struct{}{}, done: make(chan struct{})}
	if err := p.listen(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.close)
	return p
}

// Addr is the host:port to point Vel at. It stays the same over Refuse.
func (p *Proxy) Addr() string { return p.addr }

// Accepted counts the connections so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Set changes the fault. Refuse also drops every open connection, as a stopped server would.
func (p *Proxy) Set(tb testing.TB, f Fault) {
	tb.Helper()
	p.mu.Lock()
	p.fault, p.answers = f, 0
	refusing, l := p.listener == nil, p.listener
	if f.Kind == Refuse && !refusing {
		p.listener = nil
		for c := range p.conns {
			c.close()
		}
	}
	p.mu.Unlock()
	switch {
	case f.Kind == Refuse && !refusing:
		_ = l.Close() // its accept loop ends with it
	case f.Kind != Refuse && refusing:
		if err := p.listen(); err != nil {
			tb.Fatal(err)
		}
	}
}

// next is what happens to the answer that begins now.
func (p *Proxy) next() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers++; p.fault.Every > 0 && p.answers%p.fault.Every != 0 {
		return Fault{}
	}
	return p.fault
}

// listen opens the proxy's address and serves it until the listener is closed.
func (p *Proxy) listen() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen for the fault proxy: %w", err)
	}
	p.mu.Lock()
	p.listener, p.addr = l, l.Addr().String()
	p.mu.Unlock()
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue
			}
			p.running.Go(func() { p.serve(c.(*net.TCPConn)) })
		}
	})
	return nil
}

// serve connects one accepted connection to the upstream until either is gone.
func (p *Proxy) serve(client *net.TCPConn) {
	up, err := net.Dial("tcp", p.upstream)
	if err != nil {
		_ = client.Close()
		return
	}
	x := &link{proxy: p, client: client, server: up.(*net.TCPConn), gone: make(chan struct{})}
	p.mu.Lock()
	p.accepted++
	if p.closed || p.listener == nil {
		p.mu.Unlock()
		x.close()
		return
	}
	p.conns[x] = struct{}{}
	p.mu.Unlock()
	x.run()
	p.mu.Lock()
	delete(p.conns, x)
	p.mu.Unlock()
}

// close ends everything and waits for it.
func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	close(p.done)
	if p.listener != nil {
		_ = p.listener.Close()
	}
	for c := range p.conns {
		c.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}
