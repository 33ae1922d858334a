package upstream

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// serveForever answers every request alike.
func serveForever(s *peer) {
	for s.answer(fixed("ok")) {
	}
}

// A reload builds equal providers anew: what did not change keeps its connections.
func TestUnchangedProviderKeepsItsConnections(t *testing.T) {
	t.Parallel()
	_, roots := identity(t)
	p := provide(t, serveForever)
	p.RootCAs, p.Proxy = roots, nil
	p.pool.Close()
	p.use(t, p.Provider)
	p.call(t, "ok")
	again, base := *p.Provider, *p.Base
	again.Base, again.RootCAs = &base, roots.Clone()
	again.Timeouts = routing.Timeouts{Idle: time.Second} // is no matter of the connection
	p.use(t, &again)
	p.call(t, "ok")
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want the first one to be used again", n)
	}
}

func TestChangedProviderGetsNewConnections(t *testing.T) {
	t.Parallel()
	_, roots := identity(t)
	for name, change := range map[string]func(*routing.Provider){
		"path":        func(p *routing.Provider) { p.Base = &url.URL{Scheme: "http", Host: p.Base.Host, Path: "/v2"} },
		"authorities": func(p *routing.Provider) { p.RootCAs = roots },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{}, 2)
			p := provide(t, func(s *peer) { serveForever(s); closed <- struct{}{} })
			p.call(t, "ok")
			old := p.host()
			next := *p.Provider
			change(&next)
			p.use(t, &next)
			within(t, "the old idle connection to be closed", closed)
			if n := old.conns.ConnsCount(); n != 0 {
				t.Errorf("%d places still taken at the old host", n)
			}
			p.call(t, "ok")
			if n := p.accepted.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// A call that is under way over a reload ends on its connection, which is then closed and not kept.
func TestConnectionsInUseAreClosedAsTheyComeBack(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	p := provide(t, func(s *peer) { serveForever(s); closed <- struct{}{} })
	x := p.open(t)
	old := p.host()
	p.use(t)
	got, err := readAll(x)
	x.Finish(err)
	if err != nil || got != "ok" {
		t.Fatalf("body %q, error %v", got, err)
	}
	if n := old.conns.ConnsCount(); n != 0 { // at once: an idle one would be closed too, but later
		t.Errorf("%d places still taken", n)
	}
	within(t, "the connection to be closed", closed)
}

// A call that was planned before a reload is made as it was planned, by a connection that nobody else gets; it does not
// bring the old key to the provider's new address.
func TestCallFromBeforeAReloadGoesWhereItWasToGo(t *testing.T) {
	t.Parallel()
	paths, closed := make(chan string, 3), make(chan struct{}, 3)
	p := provide(t, func(s *peer) {
		for {
			r, _, ok := s.request()
			if !ok {
				closed <- struct{}{}
				return
			}
			paths <- r.URL.Path
			s.send(fixed("ok"))
		}
	})
	moved := *p.Provider
	base := *p.Base
	base.Path = "/elsewhere"
	moved.Base = &base
	for _, now := range [][]*routing.Provider{{&moved}, nil} {
		p.use(t, now...)
		x, err := p.pool.Acquire(p.Provider)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Open(ping(), ample, time.Time{}); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(x)
		x.Finish(err)
		if err != nil || got != "ok" {
			t.Errorf("body %q, error %v", got, err)
		}
		if path := <-paths; path != p.Base.Path+"/chat/completions" {
			t.Errorf("it went to %s", path)
		}
		within(t, "the connection to be closed", closed)
	}
	p.use(t, &moved)
	same := moved
	p.use(t, &same)
	x, err := p.pool.Acquire(&moved)
	if err != nil {
		t.Fatal(err)
	}
	x.Finish(errors.New("not used"))
}

// Prepare can be given up: nothing changes until use is called.
func TestPrepareAloneChangesNothing(t *testing.T) {
	t.Parallel()
	p := provide(t, serveForever)
	p.call(t, "ok")
	if _, err := p.pool.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	p.call(t, "ok")
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	p := provide(t, serveForever)
	var all []*Exchange
	for range 64 {
		all = append(all, p.open(t))
	}
	x := p.acquire(t)
	sent, err := x.Open(ping(), ample, time.Time{})
	if sent || classOf(t, err) != adapters.ClassConnect {
		t.Errorf("the 65th: sent %v, error %v", sent, err)
	}
	x.Finish(err)
	for _, x := range all {
		x.Finish(errors.New("given up"))
	}
	if n := p.held(); n != 0 {
		t.Errorf("%d places still taken", n)
	}
	p.call(t, "ok")
}

// Whoever acquires and never opens, because the call ended before, leaves nothing behind.
func TestFinishWithoutOpen(t *testing.T) {
	t.Parallel()
	p := provide(t, serveForever)
	p.acquire(t).Finish(nil)
	p.acquire(t).Finish(errors.New("gone"))
	if p.held() != 0 || p.accepted.Load() != 0 {
		t.Errorf("%d places taken, %d connections", p.held(), p.accepted.Load())
	}
}

// A connection that the answer was not read from to its end never serves again.
func TestUnreadAnswersAreDiscarded(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		if s.number == 1 {
			s.answer(fixed("of the first caller"))
			s.gone()
			return
		}
		s.answer(fixed("clean"))
	})
	p.open(t).Finish(nil)
	p.call(t, "clean")
	if n := p.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// An exchange allocates next to nothing: no buffer, no closure and no timer of its own.
func TestExchangeAllocations(t *testing.T) {
	p := provide(t, func(s *peer) {
		in, answer := make([]byte, 4096), []byte(fixed("ok"))
		for {
			if _, err := s.Read(in); err != nil {
				return
			}
			if _, err := s.Write(answer); err != nil {
				return
			}
		}
	})
	r := ping()
	p.call(t, "ok")
	got := testing.AllocsPerRun(200, func() {
		x, err := p.pool.Acquire(p.Provider)
		if err == nil {
			_, err = x.Open(r, ample, time.Time{})
		}
		for err == nil {
			_, err = x.Next()
		}
		x.Finish(nil)
	})
	if got > 4 {
		t.Errorf("%.1f allocations for an exchange, want at most 4", got)
	}
}
