package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// startTestUpstream gives the address of an upstream that lives as long as the test.
func startTestUpstream(t *testing.T, chunked bool) string {
	t.Helper()
	u, err := newUpstream(chunked)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- u.serve(ctx, []net.Listener{ln}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		u.alarm.stop()
	})
	return ln.Addr().String()
}

func TestClientAcceptsTheUpstream(t *testing.T) {
	t.Parallel()
	for name, chunked := range map[string]bool{"length": false, "chunked": true} {
		for _, usage := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if err := verify(t.Context(), startTestUpstream(t, chunked), usage); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestWindowCountsWhatItSees(t *testing.T) {
	t.Parallel()
	addr := startTestUpstream(t, false)
	for name, stream := range map[string]*script{"plain": nil, "streams": {Chunks: 3, Delay: time.Millisecond, Grid: 2 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := someWindow(t, loadSpec{Addr: addr, Conns: 2, Script: stream})
			if r.Latency.N == 0 || r.Latency.P50 <= 0 || r.Used["load"].CPU <= 0 || r.Mallocs != nil {
				t.Errorf("got %+v", r)
			}
			if stream != nil && (r.Events < r.Calls || r.EventDelay.P50 <= 0 || r.FirstEvent.P50 <= 0) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// someWindow is as long as it takes to see a call: a busy machine may give the test little time.
func someWindow(t *testing.T, spec loadSpec) *loadResult {
	t.Helper()
	for spec.Window = 50 * time.Millisecond; ; spec.Window *= 2 {
		r, err := loadWindow(t.Context(), &spec)
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls > 0 && r.Latency.N > 0 && (spec.Script == nil || r.FirstEvent.N > 0) {
			return r
		}
	}
}

// TestWrongAnswersFailTheRun: a benchmark of errors is worth nothing.
func TestWrongAnswersFailTheRun(t *testing.T) {
	t.Parallel()
	right := answerHead + "Content-Length: 5\r\n\r\n"
	for name, tt := range map[string]struct{ answer, want string }{
		"another answer": {right + "hello", errShape.Error()},
		"refused":        {"HTTP/1.1 429 No\r\nContent-Length: 9\r\n\r\nslow down", "status 429: slow down"},
		"hung up":        {"", "wait for the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := startTestUpstreamThat(t, tt.answer)
			_, err := loadWindow(t.Context(), &loadSpec{Addr: addr, Conns: 1, Warmup: time.Minute})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// startTestUpstreamThat answers everything with the same bytes and closes.
func startTestUpstreamThat(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 8192))
			c.Write([]byte(answer))
			c.Close()
		}
	}()
	return ln.Addr().String()
}

func TestHeldStreamsStayAlive(t *testing.T) {
	t.Parallel()
	u := startTestUpstream(t, false)
	spec := loadSpec{
		Addr: u, Levels: []int{3, 100}, Hold: 100 * time.Millisecond,
		Script: &script{Chunks: 1 << 30, Delay: 10 * time.Millisecond},
		Watch:  withSelf(nil),
	}
	r, err := holdStreams(t.Context(), &spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Held) != 3 || r.Held[2].Streams != 100 || r.Held[2].Bytes["load"] <= 0 {
		t.Errorf("held %+v", r.Held)
	}
}

func TestADyingStreamFailsTheHold(t *testing.T) {
	t.Parallel()
	spec := loadSpec{
		Addr:   startTestUpstreamThat(t, answerHead+"Transfer-Encoding: chunked\r\n\r\n"),
		Levels: []int{1}, Hold: 100 * time.Millisecond,
		Script: &script{Chunks: 1 << 30},
	}
	if _, err := holdStreams(t.Context(), &spec); err == nil || !strings.Contains(err.Error(), "after 0 content events") {
		t.Errorf("got %v", err)
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	want := script{Chunks: 7, Delay: 3 * time.Second, Grid: time.Millisecond, Usage: true}
	if got, err := parseScript(chatBody(&want)); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, body := range []string{"[[chunks=x]]", "[[what=1]]", "[[chunks=1"} {
		if _, err := parseScript(body); err == nil {
			t.Errorf("%q gives no error", body)
		}
	}
}

func TestLoadRoleNeedsOneSpec(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"{"}, {"{}", "{}"}} {
		if err := loadRole(t.Context(), args); !errors.As(err, new(usageError)) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
}
