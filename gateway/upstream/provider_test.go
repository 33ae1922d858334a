package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// patience is how long a test waits for what must come soon. Nothing passes by waiting for it.
const patience = 20 * time.Second

// peer is one connection as the provider of a test sees it.
type peer struct {
	t testing.TB
	*net.TCPConn
	stream net.Conn // TCP, or TLS above it
	in     *bufio.Reader
	number int // of the connection, from 1
}

// request reads one request and returns its body; false: the client closed.
func (p *peer) request() (*http.Request, string, bool) {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil, "", false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", false
	}
	return r, string(body), true
}

func (p *peer) send(s string) { _, _ = io.WriteString(p.stream, s) }

// answer reads a request and sends what is given.
func (p *peer) answer(s string) bool {
	_, _, ok := p.request()
	if ok {
		p.send(s)
	}
	return ok
}

// reset ends the connection without a farewell.
func (p *peer) reset() { _ = p.SetLinger(0); _ = p.Close() }

// gone returns when the client has closed the connection.
func (p *peer) gone() { _, _ = io.Copy(io.Discard, p.in) }

// fixed is an answer with a length.
func fixed(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// provider is a scripted server, with a pool that reaches it.
type provider struct {
	*routing.Provider
	pool     *Pool
	watcher  *Watcher
	accepted atomic.Int64
}

// provide starts a provider that runs script for every connection, and closes the connection after it.
func provide(t testing.TB, script func(*peer)) *provider {
	t.Helper()
	return provideOver(t, "http", script, func(c *net.TCPConn) net.Conn { return c })
}

func provideOver(t testing.TB, scheme string, script func(*peer), over func(*net.TCPConn) net.Conn) *provider {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{Provider: &routing.Provider{ID: "provider:test", Name: "test", AllowPrivate: true}}
	p.Base = &url.URL{Scheme: scheme, Host: ln.Addr().String(), Path: "/v1"}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []*net.TCPConn
	serving.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			stream := over(c)
			pr := &peer{t: t, TCPConn: c, stream: stream, in: bufio.NewReader(stream), number: int(p.accepted.Add(1))}
			serving.Go(func() {
				defer func() { _ = stream.Close() }()
				script(pr)
			})
		}
	})
	if p.watcher, err = NewWatcher(); err != nil {
		t.Fatal(err)
	}
	p.pool = NewPool(p.watcher, 64)
	p.use(t, p.Provider)
	t.Cleanup(func() {
		p.pool.Close()
		_ = ln.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		serving.Wait()
		if err := p.watcher.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// use makes these the providers of the pool.
func (p *provider) use(t testing.TB, providers ...*routing.Provider) {
	t.Helper()
	use, err := p.pool.Prepare(providers)
	if err != nil {
		t.Fatal(err)
	}
	use()
}

func (p *provider) host() *host { return (*p.pool.hosts.Load())[p.ID] }

func (p *provider) acquire(t testing.TB) *Exchange {
	t.Helper()
	x, err := p.pool.Acquire(p.host().provider) // as the pool has it: a test may have changed it
	if err != nil {
		t.Fatal(err)
	}
	return x
}

var ample = routing.Timeouts{Connect: patience, FirstByte: patience, Idle: patience}

func ping() *adapters.Request {
	return &adapters.Request{Method: "POST", Path: "/chat/completions", Body: [][]byte{[]byte(`{"a":1}`)}}
}

// open begins an exchange that must get its head.
func (p *provider) open(t testing.TB) *Exchange {
	t.Helper()
	x := p.acquire(t)
	if sent, err := x.Open(ping(), ample, time.Time{}); err != nil || !sent {
		t.Fatalf("Open: sent %v, error %v", sent, err)
	}
	return x
}

// readAll reads the body to its end.
func readAll(x *Exchange) (string, error) {
	var b strings.Builder
	for {
		p, err := x.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		b.Write(p)
	}
}

// call makes a whole exchange that must bring this body.
func (p *provider) call(t testing.TB, want string) {
	t.Helper()
	x := p.open(t)
	got, err := readAll(x)
	x.Finish(err)
	if err != nil || got != want {
		t.Fatalf("body %q, error %v; want %q", got, err, want)
	}
}

// idle is how many connections wait in the pool.
func (p *provider) idle() int { return p.host().conns.IdleConnsCount() }

// held is how many places of the pool are taken, by idle connections and by others.
func (p *provider) held() int { return p.host().conns.ConnsCount() }

// classOf is the class of an attempt's failure.
func classOf(t testing.TB, err error) adapters.Class {
	t.Helper()
	e, ok := errors.AsType[*adapters.Error](err)
	if !ok {
		t.Fatalf("error %v (%T) is no *adapters.Error", err, err)
	}
	return e.Class
}

// eventually waits for what another goroutine brings about without telling.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

// within fails the test if a signal does not come.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
