package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// raw is a request as it goes over a socket, with keep-alive.
func (w *world) raw(body string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + w.key +
		"\r\nContent-Type: application/json\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// TestKeepAliveAfterStream uses one connection for a long stream and then for other calls.
func TestKeepAliveAfterStream(t *testing.T) {
	t.Parallel()
	w := shared(t)
	x := dial(t, w.vel.Addr())
	for round := range 3 {
		s := x.send(t, w.raw(chat("sim-fast", "[[latency=0s chunks=1500 delay=1ms]] hi", `,"stream":true`)))
		stream{s, events(s.body)}.whole(t)
		text := fmt.Sprintf("round %d", round)
		if got := x.send(t, w.raw(chat("sim-echo", text, ""))).content(t); got != text {
			t.Fatalf("after the stream came %q, want %q", got, text)
		}
		x.send(t, w.raw(`{}`)).wantError(t, 400, "")
	}
}

// TestPipelining sends three requests at once; the answers must come in their order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	w := shared(t)
	x := dial(t, w.vel.Addr())
	x.write(t, w.raw(chat("sim-echo", "one", ""))+w.raw(chat("sim-echo", "two", `,"stream":true`))+w.raw(chat("sim-echo", "three", "")))
	if got := x.read(t).content(t); got != "one" {
		t.Errorf("first: %q", got)
	}
	second := x.read(t)
	if got := (stream{second, events(second.body)}).text(t); got != "two" {
		t.Errorf("second: %q", got)
	}
	if got := x.read(t).content(t); got != "three" {
		t.Errorf("third: %q", got)
	}
}

// writeStall is how long Vel lets a client take nothing of an answer. It is not configurable.
const writeStall = 60 * time.Second

// TestIdleLongerThanWriteDeadline: a deadline that one answer left behind must not kill the next one.
func TestIdleLongerThanWriteDeadline(t *testing.T) {
	t.Parallel()
	w := shared(t)
	x := dial(t, w.vel.Addr())
	if got := x.send(t, w.raw(chat("sim-echo", "before", ""))).content(t); got != "before" {
		t.Fatalf("got %q", got)
	}
	// The idle time is what is tested: nothing could signal its end.
	select {
	case <-time.After(writeStall + 2*time.Second):
	case <-t.Context().Done():
	}
	x.extend(t)
	if got := x.send(t, w.raw(chat("sim-echo", "after", ""))).content(t); got != "after" {
		t.Errorf("got %q", got)
	}
}

// TestEarlyClosedStream leaves streams in their middle and checks each time that the next caller reads only its own
// answer: a half-read upstream connection must never be used again.
func TestEarlyClosedStream(t *testing.T) {
	t.Parallel()
	w := shared(t)
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for round := range 25 {
				leaver := fmt.Sprintf("leaver-%d-%d ", caller, round)
				x := dial(t, w.vel.Addr())
				x.write(t, w.raw(chat("sim-echo", "[[chunks=200 delay=2ms]] "+leaver, `,"stream":true`)))
				for range 8 + round { // some lines into the stream
					if _, err := x.in.ReadString('\n'); err != nil {
						t.Errorf("read the stream: %v", err)
						return
					}
				}
				_ = x.conn.Close()
				text := fmt.Sprintf("next-%d-%d", caller, round)
				a := ask(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, chat("sim-echo", text, "")))
				if got := a.content(t); got != text {
					t.Errorf("the next caller read %q, want %q", got, text)
				}
			}
		})
	}
	callers.Wait()
}

// TestTwoAnswers lets the provider send a second answer behind the first. It must reach nobody.
func TestTwoAnswers(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for i := range 20 {
		mine, next := fmt.Sprintf("mine-%d", i), fmt.Sprintf("next-%d", i)
		if got := w.chat(t, chat("sim-echo", "[[two_answers]] "+mine, "")).content(t); got != mine {
			t.Errorf("the first caller read %q, want %q", got, mine)
		}
		if got := w.chat(t, chat("sim-echo", next, "")).content(t); got != next {
			t.Errorf("the next caller read %q, want %q", got, next)
		}
		s := askStream(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, chat("sim-echo", "[[two_answers]] "+mine, `,"stream":true`)))
		s.whole(t)
		if got := s.text(t); got != mine {
			t.Errorf("the stream said %q, want %q", got, mine)
		}
	}
}

// TestClientLeaves checks in every phase that the provider's side of the call ends within a second.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	w := shared(t)
	cases := []struct {
		name, more, words string
		read              int  // lines of the answer to read before leaving
		halfClose         bool // only stop sending: counts as leaving
	}{
		{name: "stream", more: `,"stream":true`, words: "latency=0s chunks=1000 delay=100ms", read: 12},
		{name: "stream, before the first byte", more: `,"stream":true`, words: "latency=1m"},
		{name: "stream, after the head only", more: `,"stream":true`, words: "latency=1m early_head"},
		{name: "whole answer, before the first byte", words: "latency=1m"},
		{name: "whole answer, in its body", words: "latency=0s slow_body=1m"},
		{name: "silent stream", more: `,"stream":true`, words: "latency=0s chunks=5 stall=2", read: 8},
		{name: "half-close", words: "latency=1m", halfClose: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t)
			p := vel.Start(t, options(sim.config("")))
			x := dial(t, p.Addr())
			x.write(t, w.raw(chat("sim-fast", "[["+c.words+"]] hi", c.more)))
			if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Open == 1 }); err != nil {
				t.Fatal(err)
			}
			for range c.read {
				if _, err := x.in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			left := time.Now()
			if c.halfClose {
				if err := x.conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			} else {
				_ = x.conn.Close()
			}
			if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Left == 1 && s.Open == 0 }); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(left); d > time.Second {
				t.Errorf("the provider noticed after %s, must be within 1s", d)
			}
			record, err := p.Log.Wait(deadline(t), "the access line", func(line string) bool { return strings.Contains(line, `"msg":"call"`) })
			if err != nil || !strings.Contains(record, `"status":499`) {
				t.Errorf("the record of a client that left: %s, %v", record, err)
			}
		})
	}
}

// TestSlowReader takes a large answer slowly: it must arrive whole, and others must be served meanwhile.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	w := shared(t)
	x := dial(t, w.vel.Addr())
	x.write(t, w.raw(chat("sim-fast", "[[latency=0s chunks=64 size=65536 delay=0s]] hi", `,"stream":true`)))
	stillThere(t, w)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	res, err := http.ReadResponse(bufio.NewReader(&paced{x.in, tick.C}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	stream{answer{res.StatusCode, res.Header, body, err}, events(body)}.whole(t)
}

// paced reads at most 32 KiB a tick.
type paced struct {
	in   io.Reader
	tick <-chan time.Time
}

func (p *paced) Read(b []byte) (int, error) {
	<-p.tick
	return p.in.Read(b[:min(len(b), 32<<10)])
}

// TestHTTP10 serves a client of HTTP/1.0: an answer that ends with the connection.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	w := shared(t)
	body := chat("sim-echo", "old", "")
	x := dial(t, w.vel.Addr())
	a := x.send(t, "POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer "+w.key+"\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
	if got := a.content(t); got != "old" {
		t.Errorf("got %q", got)
	}
	if rest := x.rest(t); rest != "" {
		t.Errorf("behind the answer came %q", rest)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := shared(t)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			for round := range 5 {
				text := fmt.Sprintf("caller %d round %d", i, round)
				res, err := client.Do(request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, chat("sim-echo", text, "")))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || !strings.Contains(string(b), text) {
					t.Errorf("%q was answered with %s, %v", text, b, err)
				}
			}
		})
	}
	callers.Wait()
}
