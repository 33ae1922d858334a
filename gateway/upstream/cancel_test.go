package upstream

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// blackhole makes dials hang until they are given up, and tells when one began.
func (p *provider) blackhole(begun chan struct{}) {
	p.host().dialer.net.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		select {
		case begun <- struct{}{}:
		case <-ctx.Done():
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// result is how an owner's work on an exchange ended.
type result struct {
	sent bool
	err  error
}

// openApart opens on a goroutine of its own, as a serving goroutine does, and reads the body to its end.
func openApart(x *Exchange) <-chan result {
	done := make(chan result, 1)
	go func() {
		sent, err := x.Open(ping(), ample, time.Time{})
		if err == nil {
			_, err = readAll(x)
		}
		done <- result{sent, err}
	}()
	return done
}

func TestCancelDuringDial(t *testing.T) {
	t.Parallel()
	p := provide(t, func(*peer) {})
	begun := make(chan struct{})
	p.blackhole(begun)
	x := p.acquire(t)
	done := openApart(x)
	within(t, "the dial", begun)
	x.Cancel()
	r := within(t, "the owner", done)
	if r.sent || classOf(t, r.err) != adapters.ClassGone {
		t.Errorf("sent %v, error %v", r.sent, r.err)
	}
	x.Finish(r.err)
	if n := p.held(); n != 0 {
		t.Errorf("%d places still taken", n)
	}
}

func TestCancelWhileItWaits(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"for the first byte":  "",
		"for the rest of it":  "HTTP/1.1 200 OK\r\nContent-",
		"in a fixed body":     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"in a chunked body":   chunkedHead + chunk("hello"),
		"in half a chunk":     chunkedHead + "ff\r\nhel",
		"in an endless body":  "HTTP/1.1 200 OK\r\n\r\nhello",
		"for compressed data": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written, left := make(chan struct{}), make(chan struct{})
			p := provide(t, func(s *peer) {
				if s.number > 1 {
					s.answer(fixed("clean"))
					return
				}
				s.answer(answer)
				close(written)
				s.gone()
				close(left)
			})
			x := p.acquire(t)
			done := openApart(x)
			within(t, "the answer", written)
			x.Cancel()
			r := within(t, "the owner", done)
			if classOf(t, r.err) != adapters.ClassGone {
				t.Errorf("error %v", r.err)
			}
			x.Finish(r.err)
			within(t, "the provider to see the client leave", left)
			p.call(t, "clean")
		})
	}
}

func TestCancelBeforeOpen(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		for s.answer(fixed("ok")) {
		}
	})
	for name, prepare := range map[string]func(){"fresh": func() {}, "reused": func() { p.call(t, "ok") }} {
		prepare()
		x := p.acquire(t)
		x.Cancel()
		x.Cancel()
		sent, err := x.Open(ping(), ample, time.Time{})
		if sent || classOf(t, err) != adapters.ClassGone {
			t.Errorf("%s: sent %v, error %v", name, sent, err)
		}
		x.Finish(err)
		p.call(t, "ok") // the exchange's next use knows nothing of it
	}
}

// After the end a cancel comes too late for the answer, but the connection is not trusted any more.
func TestCancelAfterTheEnd(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		for s.answer(fixed("ok")) {
		}
	})
	x := p.open(t)
	if got, err := readAll(x); err != nil || got != "ok" {
		t.Fatalf("body %q, error %v", got, err)
	}
	x.Cancel()
	x.Finish(nil)
	if p.held() != 0 {
		t.Error("a cancelled connection, with its deadline in the past, went back to the pool")
	}
	p.call(t, "ok")
}

// Only the last one to hold the lock decides the deadline: an arm that comes late must not take the cancel back,
// else the owner would wait for ever.
func TestLateArmNeverTakesTheCancelBack(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		s.answer(chunkedHead)
		s.gone()
	})
	for range 100 {
		x := p.open(t)
		start := make(chan struct{})
		var cancelling sync.WaitGroup
		cancelling.Go(func() { <-start; x.Cancel() })
		close(start)
		armed := 0
		for x.arm(time.Hour) == nil {
			armed++
		}
		_, err := x.Next()
		if classOf(t, err) != adapters.ClassGone {
			t.Fatalf("after %d arms: %v", armed, err)
		}
		cancelling.Wait()
		x.Finish(err)
	}
}

// Cancels from outside, at any time, next to an owner that opens, reads and finishes: nothing may race, no
// connection may be lost from the count, and every owner must come to an end.
func TestCancelStorm(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		for s.answer(chunkedHead + chunk("a") + chunk("b") + "0\r\n\r\n") {
		}
	})
	var owners sync.WaitGroup
	for range 4 {
		owners.Go(func() {
			for i := range 100 {
				x, err := p.pool.Acquire(p.Provider)
				if err != nil {
					t.Error(err)
					return
				}
				var mu sync.Mutex
				held := true
				var cancelling sync.WaitGroup
				cancelling.Go(func() { // what Call.end does: never after the owner let go
					for range i % 7 {
						mu.Lock()
						mu.Unlock() //nolint:staticcheck // only to come at another moment each time
					}
					mu.Lock()
					defer mu.Unlock()
					if held {
						x.Cancel()
					}
				})
				_, err = x.Open(ping(), ample, time.Time{})
				if err == nil {
					_, err = readAll(x)
				}
				if err != nil && classOf(t, err) != adapters.ClassGone {
					t.Error(err)
				}
				mu.Lock()
				held = false
				mu.Unlock()
				x.Finish(err)
				cancelling.Wait()
			}
		})
	}
	owners.Wait()
	if p.held() != p.idle() {
		t.Errorf("%d places taken, %d idle", p.held(), p.idle())
	}
}
