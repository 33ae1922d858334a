package tests

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/faultproxy"
	"github.com/vel-gateway/vel/tests/vel"
)

// pair is a Vel with two providers: "first" is bent by a proxy or by the simulator's own faults, "second" is well.
type pair struct {
	*world
	proxy         *faultproxy.Proxy
	first, second *simulated
	process       *vel.Process
}

// newPair starts one; its route "pair" has both targets, "alone" only the first.
func newPair(t *testing.T) *pair {
	t.Helper()
	w := shared(t)
	p := &pair{world: w, first: simulate(t), second: simulate(t)}
	p.proxy = faultproxy.New(t, p.first.Addr())
	p.process = startVel(t, `
defaults:
  timeouts: {connect: 1s, first_byte: 700ms, idle: 700ms, total: 20s}
  backoff: [10ms]
  breaker: {failures: 5, window: 60s, cooldown: 1s}
providers:
  first: {kind: openai, base_url: "http://`+p.proxy.Addr()+`/v1", api_key: env:SIM_KEY, allow_private: true}
  second: {kind: openai, base_url: "http://`+p.second.Addr()+`/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  pair: {targets: [{provider: first, model: sim-echo}, {provider: second, model: sim-echo}]}
  alone: {targets: [{provider: first, model: sim-echo}]}
`)
	return p
}

func (p *pair) post(t *testing.T, model, text, more string) stream {
	t.Helper()
	return askStream(t, request(t, "POST", p.process.URL+"/v1/chat/completions", p.key, chat(model, text, more)))
}

const streaming = `,"stream":true`

// beforeCommitment are faults that strike before the client has seen anything.
var beforeCommitment = []struct {
	name  string
	fault faultproxy.Fault // on the network
	words string           // or by the provider: its fault words
	only  string           // "json" or "stream"; empty: both
}{
	{name: "refuse", fault: faultproxy.Fault{Kind: faultproxy.Refuse}},
	{name: "reset before the head", fault: faultproxy.Fault{Kind: faultproxy.Reset, After: faultproxy.BeforeHead}},
	{name: "cut before the head", fault: faultproxy.Fault{Kind: faultproxy.Cut, After: faultproxy.BeforeHead}},
	{name: "half-close before the head", fault: faultproxy.Fault{Kind: faultproxy.HalfClose, After: faultproxy.BeforeHead}},
	{name: "garbage instead of a head", fault: faultproxy.Fault{Kind: faultproxy.Garbage, After: faultproxy.BeforeHead}},
	{name: "blackhole", fault: faultproxy.Fault{Kind: faultproxy.Blackhole}},
	{name: "stall after the head", fault: faultproxy.Fault{Kind: faultproxy.Stall}},
	{name: "cut after the head", fault: faultproxy.Fault{Kind: faultproxy.Cut}},
	{name: "reset after the head", fault: faultproxy.Fault{Kind: faultproxy.Reset}},
	{name: "cut in the body", fault: faultproxy.Fault{Kind: faultproxy.Cut, After: 30}, only: "json"},
	{name: "reset in the body", fault: faultproxy.Fault{Kind: faultproxy.Reset, After: 30}, only: "json"},
	{name: "stall in the body", fault: faultproxy.Fault{Kind: faultproxy.Stall, After: 30}, only: "json"},
	{name: "garbage in the body", fault: faultproxy.Fault{Kind: faultproxy.Garbage, After: 30}, only: "json"},
	{name: "wrong length", fault: faultproxy.Fault{Kind: faultproxy.LongLength, After: 30}, only: "json"},
	{name: "cut in the first event", fault: faultproxy.Fault{Kind: faultproxy.Cut, After: 20}, only: "stream"},
	{name: "status 408", words: "status=408"},
	{name: "status 429", words: "status=429"},
	{name: "status 500", words: "status=500"},
	{name: "status 503", words: "status=503 retry_after=1"},
	{name: "status 401, our key is wrong", words: "status=401"},
	{name: "200 with garbage", words: "garbage"},
	{name: "200 with nothing", words: "empty"},
	{name: "200 with half of the JSON", words: "truncate", only: "json"},
	{name: "200 with wrong length", words: "wrong_length", only: "json"},
	{name: "200 with an error", words: "error_first"},
}

func TestFallbackBeforeCommitment(t *testing.T) {
	t.Parallel()
	for _, f := range beforeCommitment {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for kind, more := range map[string]string{"json": "", "stream": streaming} {
				if f.only != "" && f.only != kind {
					continue
				}
				p := newPair(t) // of its own: the first failure may keep calls away from the provider for a while
				p.proxy.Set(t, f.fault)
				p.first.fail(t, f.words)
				s := p.post(t, "pair", "hello", more)
				if got := s.said(t); got != "hello" {
					t.Errorf("%s: got %q", kind, got)
				}
				if by, n := s.header.Get("X-Vel-Provider"), s.header.Get("X-Vel-Attempts"); by != "second" || n != "2" {
					t.Errorf("%s: answered by %q at attempt %q, want the second provider at the second", kind, by, n)
				}
			}
		})
	}
}

// TestErrorsWithoutFallback: what is the client's own fault, or wanted by the provider, is not tried elsewhere.
func TestErrorsWithoutFallback(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 409, 413, 422} {
		t.Run(itoa(status), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.first.fail(t, "status="+itoa(status)+" code=some_code")
			p.post(t, "pair", "hello", "").wantError(t, status, "some_code")
			p.post(t, "pair", "hello", streaming).wantError(t, status, "some_code")
			if n := p.second.Stats().Calls; n != 0 {
				t.Errorf("the second provider was asked %d times", n)
			}
		})
	}
}

// TestAfterCommitment breaks streams that the client has begun to read.
func TestAfterCommitment(t *testing.T) {
	t.Parallel()
	after := 700 // bytes: behind the first events, before the last
	cases := []struct {
		name  string
		fault faultproxy.Fault
		words string // fault words in the prompt
	}{
		{name: "cut", fault: faultproxy.Fault{Kind: faultproxy.Cut, After: after}},
		{name: "reset", fault: faultproxy.Fault{Kind: faultproxy.Reset, After: after}},
		{name: "stall", fault: faultproxy.Fault{Kind: faultproxy.Stall, After: after}},
		{name: "half-close", fault: faultproxy.Fault{Kind: faultproxy.HalfClose, After: after}},
		{name: "garbage", fault: faultproxy.Fault{Kind: faultproxy.Garbage, After: after}},
		{name: "provider dies", words: " die=5"},
		{name: "provider ends as if it were done", words: " cut=5"},
		{name: "provider sends FIN", words: " half=5"},
		{name: "provider stalls", words: " stall=5"},
		{name: "provider sends an error", words: " error_mid=5"},
		{name: "last event cut in its middle", words: " truncate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.proxy.Set(t, c.fault)
			s := p.post(t, "pair", "[[chunks=20 delay=5ms"+c.words+"]] hello", streaming)
			s.broken(t)
			if !strings.Contains(string(s.body), `"content"`) {
				t.Errorf("nothing had come before: %s", s.body)
			}
			if n := p.second.Stats().Calls; n != 0 {
				t.Errorf("the second provider was asked %d times after the first byte", n)
			}
		})
	}
}

// TestTruncatedLargeAnswer breaks an answer that is too large to be held back: the client must see a broken
// transfer, never an end.
func TestTruncatedLargeAnswer(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]faultproxy.Kind{"cut": faultproxy.Cut, "reset": faultproxy.Reset, "stall": faultproxy.Stall, "wrong length": faultproxy.LongLength} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.proxy.Set(t, faultproxy.Fault{Kind: kind, After: 300_000})
			a := p.post(t, "pair", "[[chunks=10 size=100000]] hello", "")
			if a.status == http.StatusOK && a.cut == nil && a.header.Get("X-Vel-Provider") == "first" {
				t.Errorf("a truncated answer looks complete: %d bytes", len(a.body))
			}
		})
	}
}

// TestReusedDeadConnection: the provider closes a kept connection just when the next request comes. Nobody notices.
func TestReusedDeadConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.CloseReused})
	for i, more := range []string{"", streaming, ""} {
		a := p.post(t, "alone", "hello", more)
		if a.status != 200 || a.header.Get("X-Vel-Attempts") != "1" {
			t.Fatalf("call %d: status %d at attempt %q\n%s", i, a.status, a.header.Get("X-Vel-Attempts"), a.body)
		}
	}
	if n, calls := p.proxy.Accepted(), p.first.Stats().Calls; n != 3 || calls != 3 {
		t.Errorf("%d connections and %d calls, want 3 and 3", n, calls)
	}
}

// TestIdleConnectionsClosed: the provider restarts between two calls.
func TestIdleConnectionsClosed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for range 3 {
		if a := p.post(t, "alone", "hello", ""); a.status != 200 || a.header.Get("X-Vel-Attempts") != "1" {
			t.Fatalf("status %d at attempt %q\n%s", a.status, a.header.Get("X-Vel-Attempts"), a.body)
		}
		p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Refuse})
		p.proxy.Set(t, faultproxy.Fault{})
	}
}

// TestMaybeExecuted: a call that the provider may have begun is not repeated there, one that never arrived is.
func TestMaybeExecuted(t *testing.T) {
	t.Parallel()
	t.Run("reset after the request", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Reset, After: faultproxy.BeforeHead})
		p.post(t, "alone", "hello", "").wantError(t, 502, "")
		if n := p.first.Stats().Calls; n != 1 {
			t.Errorf("the provider executed the call %d times", n)
		}
	})
	t.Run("no answer in time", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		p.post(t, "alone", "[[latency=1m]] hello", "").wantError(t, 504, "")
		if n := p.first.Stats().Calls; n != 1 {
			t.Errorf("the provider executed the call %d times", n)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Refuse})
		a := p.post(t, "alone", "hello", "")
		a.wantError(t, 502, "")
		if n := a.header.Get("X-Vel-Attempts"); n != "3" {
			t.Errorf("%q attempts, want all 3: nothing had been sent", n)
		}
	})
	t.Run("status 503, then well", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		a := p.post(t, "alone", "[[status=503 fail=2 id=recovers]] hello", "")
		if got := a.content(t); got != "hello" || a.header.Get("X-Vel-Attempts") != "3" {
			t.Errorf("got %q at attempt %q", got, a.header.Get("X-Vel-Attempts"))
		}
	})
}

// TestAllDown: both providers fail in the same way, and the answer says what the client can do.
func TestAllDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		words  string
		status int
	}{
		"500":     {"status=500", 500},
		"503":     {"status=503 retry_after=7", 503},
		"429":     {"status=429 retry_after=7", 429},
		"401":     {"status=401", 502},
		"garbage": {"garbage", 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.first.fail(t, c.words)
			p.second.fail(t, c.words)
			for _, more := range []string{"", streaming} {
				a := p.post(t, "pair", "hello", more)
				a.wantError(t, c.status, "")
				if strings.Contains(c.words, "retry_after") && a.header.Get("Retry-After") != "7" {
					t.Errorf("retry-after %q, want the provider's 7", a.header.Get("Retry-After"))
				}
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Refuse})
		p.second.fail(t, "die=0")
		e := p.post(t, "pair", "hello", "").wantError(t, 503, "") // not one provider: all of them
		for _, leak := range []string{"127.0.0.1", "dial", "refused", "EOF", "reset by peer"} {
			if strings.Contains(e.Message, leak) {
				t.Errorf("the message shows our inside: %q", e.Message)
			}
		}
	})
}

// TestBreaker: after enough failures the provider is left alone as long as there is another, and asked again when it
// had time to recover.
func TestBreaker(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.first.fail(t, "status=500")
	for range 10 {
		p.post(t, "alone", "hello", "")
	}
	open := func() float64 {
		m, err := p.process.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m.Sum("vel_breaker_open")
	}
	if n := open(); n != 1 {
		t.Errorf("%v breakers are open, want 1", n)
	}
	before := p.first.Stats().Calls
	a := p.post(t, "pair", "hello", "")
	if by, n := a.header.Get("X-Vel-Provider"), a.header.Get("X-Vel-Attempts"); a.content(t) != "hello" || by != "second" || n != "1" {
		t.Errorf("answered by %q at attempt %q, want the second provider at the first", by, n)
	}
	if now := p.first.Stats().Calls; now != before {
		t.Errorf("an open breaker let %d calls through", now-before)
	}
	p.first.fail(t, "")
	err := vel.Poll(deadline(t), "the first provider to be asked again", func() (bool, error) {
		return p.post(t, "pair", "hello", "").header.Get("X-Vel-Provider") == "first", nil
	})
	if err != nil {
		t.Error(err)
	}
	if n := open(); n != 0 {
		t.Errorf("%v breakers are open, want none", n)
	}
}

// TestRetryAfterKeepsAway: a provider that asks us to stay away is not asked meanwhile as long as there is another, and
// a client without one is told when to come back.
func TestRetryAfterKeepsAway(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.first.fail(t, "status=429 retry_after=40")
	p.post(t, "alone", "hello", "").wantError(t, 429, "")
	before := p.first.Stats().Calls
	if a := p.post(t, "pair", "hello", ""); a.content(t) != "hello" || a.header.Get("X-Vel-Attempts") != "1" {
		t.Errorf("answered at attempt %q, want the second provider at once", a.header.Get("X-Vel-Attempts"))
	}
	if now := p.first.Stats().Calls; now != before {
		t.Errorf("the provider was asked %d times more", now-before)
	}
	a := p.post(t, "alone", "hello", "")
	a.readError(t)
	if a.status != 429 && a.status != 503 {
		t.Errorf("status %d, want 429 or 503", a.status)
	}
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 30 || s > 40 {
		t.Errorf("retry-after %q, want what is left of 40 seconds", a.header.Get("Retry-After"))
	}
}

// TestSlowButAlive: an answer may take longer than any single timeout as long as it moves.
func TestSlowButAlive(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Slow, Pace: 3 * time.Millisecond})
	for kind, more := range map[string]string{"json": "", "stream": streaming} {
		begun := time.Now()
		if got := p.post(t, "alone", "[[chunks=20 size=200]] hello", more).said(t); len(got) != 4000 {
			t.Errorf("%s: %d bytes, want 4000", kind, len(got))
		}
		if d := time.Since(begun); d < 700*time.Millisecond {
			t.Errorf("%s: took %s, which proves nothing about a timeout of 700ms", kind, d)
		}
	}
}
