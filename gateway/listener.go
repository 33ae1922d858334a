package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vel-gateway/vel/gateway/upstream"

	"github.com/vel-gateway/vel/secrets"
)

// listener accepts clients, watches each for leaving and keeps them for the drain.
type listener struct {
	tcp     *net.TCPListener
	accept  func() (*net.TCPConn, error)
	stop    chan struct{} // closed with the listener
	once    sync.Once     // guards stop
	stall   time.Duration // writeStall
	watcher *upstream.Watcher
	tls     *tls.Config // nil: plain HTTP
	bodies  bodyBound
	max     int // connections; more are turned away
	full    func(net.Addr)

	mu    sync.Mutex // guards conns: they come and go on many goroutines
	conns map[*conn]struct{}

	closing   sync.WaitGroup // counts the connections that are not closed yet
	lingering sync.WaitGroup
	places    chan struct{} // how many may linger at once
}

// How an early refusal leaves: the client, which still sends, must read the answer before it sees a reset.
const (
	lingerFor    = 2 * time.Second
	lingerPlaces = 256
)

func newListener(tcp *net.TCPListener, w *upstream.Watcher, cert *certificate, maxBodies int64, maxConns int, full func(net.Addr)) *listener {
	l := &listener{
		tcp: tcp, accept: tcp.AcceptTCP, stop: make(chan struct{}), stall: writeStall,
		watcher: w, bodies: bodyBound{max: maxBodies}, max: maxConns, full: full,
		conns: map[*conn]struct{}{}, places: make(chan struct{}, lingerPlaces),
	}
	if cert != nil {
		l.tls = cert.config()
	}
	return l
}

// Accept waits for the next client.
func (l *listener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.accept()
		if err != nil {
			if l.passes(err) {
				continue
			}
			return nil, net.ErrClosed
		}
		c := &conn{TCPConn: tcp, listener: l, peer: tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()}
		c.client = c.peer.String()
		if l.open() >= l.max {
			l.turnAway(c)
			continue
		}
		if c.raw, err = tcp.SyscallConn(); err == nil {
			c.slot, err = l.watcher.Add(tcp, c)
		}
		if err != nil {
			_ = tcp.Close() // it left already
			continue
		}
		l.mu.Lock()
		l.conns[c] = struct{}{}
		l.mu.Unlock()
		l.closing.Add(1)
		if l.tls != nil {
			return tls.Server(c, l.tls), nil
		}
		return c, nil
	}
}

// acceptPause is how long no client is accepted when descriptors or memory have run out.
const acceptPause = 50 * time.Millisecond

// passes waits after a failure to accept and tells whether to try again. fasthttp would stop serving for ever.
func (l *listener) passes(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	select {
	case <-time.After(acceptPause):
		return true
	case <-l.stop:
		return false
	}
}

// turnAway answers a client for whom there is no connection left. A fresh socket takes the few bytes at once; a
// client of TLS sees its handshake fail.
func (l *listener) turnAway(c *conn) {
	if l.tls == nil {
		body := appendError(nil, errFull, (*secrets.Redactor)(nil).Scrub)
		head := "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nRetry-After: 1\r\nX-Request-Id: " +
			newID() + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
		_, _ = c.TCPConn.Write(append([]byte(head), body...)) // it may have left already
	}
	l.full(c.RemoteAddr())
	if l.tls != nil || !l.lingerOn(c) {
		_ = c.TCPConn.Close()
	}
}

// Close stops accepting; the connections that stand go on.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.stop) })
	return l.tcp.Close()
}

// Addr is where the listener listens.
func (l *listener) Addr() net.Addr { return l.tcp.Addr() }

func (l *listener) forget(c *conn) {
	l.watcher.Remove(c.slot, c)
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// drain ends every call under way.
func (l *listener) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.drain()
	}
}

// open is the number of connections.
func (l *listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// lingerOn closes our side and reads on until the client closes its own. It refuses when too many do so.
func (l *listener) lingerOn(c *conn) bool {
	select {
	case l.places <- struct{}{}:
	default:
		return false
	}
	l.lingering.Go(func() {
		defer func() { <-l.places }()
		defer func() { _ = c.TCPConn.Close() }()
		if c.TCPConn.SetReadDeadline(time.Now().Add(lingerFor)) != nil || c.CloseWrite() != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c.TCPConn) // until it closes or the time is over
	})
	return true
}

// wait returns when nobody lingers.
func (l *listener) wait() { l.lingering.Wait() }

// bodyBound is the memory that all large request bodies may take together.
type bodyBound struct {
	max  int64
	used atomic.Int64
}

func (b *bodyBound) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *bodyBound) give(n int64) { b.used.Add(-n) }

// certificate serves a key pair from files and reads them again when told to.
type certificate struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate]
}

// load reads the files; on an error the old pair stays.
func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load server.tls: %w", err)
	}
	c.pair.Store(&pair)
	return nil
}

// config speaks TLS 1.3 with whoever can, and 1.2 with others, if they have a suite with a key for each session and
// authenticated encryption: without CBC, and without RSA for the exchange of keys.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all modern
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}
