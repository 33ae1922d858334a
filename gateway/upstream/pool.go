package upstream

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/routing"
)

// How long an idle connection is kept. Large providers keep theirs a minute or more; uvicorn, in front of most
// self-hosted models, closes at 5 s.
const (
	idlePublic  = 50 * time.Second
	idlePrivate = 4 * time.Second
)

// readBuffer holds a provider's whole answer head; OpenAI's with its cookies and limits is about 2 KiB.
const readBuffer = 8192

// Pool keeps the connections to all providers. It outlives the snapshots: a provider that a reload did not
// change keeps its connections.
type Pool struct {
	watcher  *Watcher
	maxConns int
	hosts    atomic.Pointer[map[string]*host] // by provider id; replaced as a whole by Use
	exchange sync.Pool

	mu      sync.Mutex // held by Use
	resends atomic.Int64
}

// host is the pool of one provider: fasthttp's list of idle connections, our way to open them.
type host struct {
	provider *routing.Provider
	dialer   *dialer
	watcher  *Watcher
	conns    *fasthttp.HostClient
	name     string      // Host header
	prefix   string      // path of the base URL
	retired  atomic.Bool // no longer in the configuration: connections are closed as they come back
}

// NewPool makes a pool for at most maxConns connections to each provider.
func NewPool(w *Watcher, maxConns int) *Pool {
	p := &Pool{watcher: w, maxConns: maxConns}
	p.exchange.New = func() any { return newExchange(p) }
	p.hosts.Store(&map[string]*host{})
	return p
}

// Prepare builds what the providers need and returns the step that puts it to use; the step can not fail.
// Idle connections to providers that are gone or have changed are closed by it.
func (p *Pool) Prepare(providers []*routing.Provider) (use func(), err error) {
	next := make(map[string]*host, len(providers))
	for _, provider := range providers {
		h, err := p.newHost(provider)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", provider.Name, err)
		}
		next[provider.ID] = h
	}
	return func() { p.swap(next) }, nil
}

func (p *Pool) swap(next map[string]*host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.hosts.Load()
	for id, h := range next {
		if was, ok := old[id]; ok && was.reaches(h.provider) {
			next[id] = was
		}
	}
	p.hosts.Store(&next)
	for id, h := range old {
		if next[id] != h {
			h.retired.Store(true)
			h.conns.CloseIdleConnections()
		}
	}
}

// Close closes all idle connections; those in use are closed as they come back.
func (p *Pool) Close() { p.swap(map[string]*host{}) }

// Resends is how many requests were written a second time, because the reused connection turned out to be
// closed before any byte of an answer.
func (p *Pool) Resends() int64 { return p.resends.Load() }

func (p *Pool) newHost(provider *routing.Provider) (*host, error) {
	d, err := newDialer(provider)
	if err != nil {
		return nil, err
	}
	h := &host{provider: provider, dialer: d, watcher: p.watcher, name: provider.Base.Host, prefix: provider.Base.EscapedPath()}
	idle := idlePublic
	if provider.AllowPrivate {
		idle = idlePrivate
	}
	h.conns = &fasthttp.HostClient{
		Addr: d.address, MaxConns: p.maxConns, MaxIdleConnDuration: idle, ConnPoolStrategy: fasthttp.LIFO,
		ReadBufferSize: readBuffer, SecureErrorLogMessage: true,
		Dial: func(string) (net.Conn, error) { return newConn(h), nil },
	}
	return h, nil
}

// reaches tells whether the connections of this host are those that the provider would open.
func (h *host) reaches(p *routing.Provider) bool {
	was := h.provider
	sameCAs := was.RootCAs == p.RootCAs || was.RootCAs != nil && p.RootCAs != nil && was.RootCAs.Equal(p.RootCAs)
	sameProxy := was.Proxy == p.Proxy || was.Proxy != nil && p.Proxy != nil && *was.Proxy == *p.Proxy
	return *was.Base == *p.Base && was.AllowPrivate == p.AllowPrivate && sameCAs && sameProxy
}

// take finds an idle connection that is clean, or a place for a new one.
func (h *host) take() (*conn, error) {
	for {
		cc, err := h.conns.AcquireConn(0, false)
		if err != nil {
			return nil, fmt.Errorf("take a connection to the provider: %w", err)
		}
		c := cc.Conn().(*conn) // Dial makes no other
		if c.release == nil {
			c.release = func() { h.conns.ReleaseConn(cc) }
			c.discard = func() { h.conns.CloseConn(cc) }
		}
		if c.Conn == nil || c.clean() {
			return c, nil
		}
		c.discard()
	}
}

// give takes a connection back: into the pool if it is whole, out of it otherwise.
func (h *host) give(c *conn, whole bool) {
	if whole && !h.retired.Load() {
		c.release()
		return
	}
	c.discard()
}
