package gateway

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing"
)

// hedged makes the route hedge, with room for a second attempt of every other call.
func hedged(h *house) {
	m := h.routing.Models["m"]
	m.Hedge = &routing.HedgeConfig{After: "p90", MaxExtraCost: "50%"}
	h.routing.Models["m"] = m
}

// Bodies that the first provider never answers, and those that no provider does.
var (
	slowBody   = strings.Replace(chatBody, "hi", "slow", 1)
	slowStream = strings.Replace(streamBody, "hi", "slow", 1)
)

// slowFor answers, but bodies with a word never.
func slowFor(word, answer string) func(*asked) bool {
	return func(a *asked) bool {
		if strings.Contains(a.body, word) {
			a.gone()
			return false
		}
		if strings.Contains(a.body, `"stream":true`) {
			a.send(streamHead + chunk(piece+finish+usageEvent+done) + lastChunk)
			return true
		}
		a.send(answer)
		return true
	}
}

// learned makes so many calls that a percentile of the first provider's waits is known.
func (h *house) learned(bodies ...string) {
	h.t.Helper()
	for _, body := range bodies {
		for range 40 {
			if g := h.call(body); g.StatusCode != 200 {
				h.t.Fatalf("status %d, body %s", g.StatusCode, g.body)
			}
		}
	}
	h.settled(40 * len(bodies))
}

// last is the record of the newest call.
func (l *ledger) last(t *testing.T) accounting.Record {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended[len(l.ended)-1]
}

// A call whose first target is slow is answered by the second one. The first is charged for what it may have done, what was
// held for both is settled, and the record has both.
func TestHedge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ learn, ask string }{
		"whole":  {chatBody, slowBody},
		"stream": {streamBody, slowStream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, w := &ledger{}, &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "1000", nil)}}
			whole := jsonAnswer(200, completion)
			h := newHouse(t, []func(*asked) bool{slowFor("slow", whole), slowFor("never", whole)}, priced, hedged, l.into, w.in)
			h.learned(c.learn)
			g := h.call(c.ask)
			if g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != "p2" || g.Header.Get("X-Vel-Attempts") != "2" {
				t.Fatalf("status %d, provider %q, attempts %q, body %s", g.StatusCode, g.Header.Get("X-Vel-Provider"), g.Header.Get("X-Vel-Attempts"), g.body)
			}
			h.settled(41)
			r := l.last(t)
			if len(r.Attempts) != 2 || r.Provider != "p2" || r.Class != adapters.ClassNone || !r.Estimated {
				t.Fatalf("%+v", r)
			}
			first, second := r.Attempts[0], r.Attempts[1]
			if first.Class != adapters.ClassOvertaken || !first.Executed || first.Cost == 0 || second.Class != adapters.ClassNone || second.Cost == 0 || second.Began <= first.Began {
				t.Errorf("attempts %+v", r.Attempts)
			}
			if r.Cost != first.Cost+second.Cost {
				t.Errorf("the call cost %s, its attempts %s and %s", r.Cost, first.Cost, second.Cost)
			}
			if h.metric("vel_hedges_total", "route", "m", "result", "won") < 1 { // on a busy machine a call that it learned from may have had one too
				t.Error("vel_hedges_total does not tell of it")
			}
			if u := w.use(t); u.Held != 0 {
				t.Errorf("%s is still held", u.Held)
			}
			for _, s := range h.state.Status(time.Now()) {
				if s.Failures != 0 {
					t.Errorf("%s: being overtaken counts as a failure", s.Target)
				}
			}
		})
	}
}

// The first target answers after all: then the second one is ended, and charged.
func TestHedgeIsLost(t *testing.T) {
	t.Parallel()
	l, release := &ledger{}, make(chan struct{})
	first := func(a *asked) bool {
		if strings.Contains(a.body, "slow") {
			<-release
		}
		a.send(jsonAnswer(200, completion))
		return true
	}
	second := func(a *asked) bool {
		close(release)
		a.gone()
		return false
	}
	h := newHouse(t, []func(*asked) bool{first, second}, priced, hedged, l.into)
	h.learned(chatBody)
	if g := h.call(slowBody); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != "p1" {
		t.Fatalf("status %d, provider %q", g.StatusCode, g.Header.Get("X-Vel-Provider"))
	}
	h.settled(41)
	r := l.last(t)
	if len(r.Attempts) != 2 || r.Provider != "p1" || r.Attempts[0].Class != adapters.ClassNone || r.Attempts[1].Class != adapters.ClassOvertaken || r.Attempts[1].Cost == 0 {
		t.Errorf("%+v", r)
	}
	if h.metric("vel_hedges_total", "route", "m", "result", "lost") != 1 {
		t.Error("vel_hedges_total does not tell of it")
	}
}

// Calls that must not be made twice are not, and no call is while too little is known or too much was spent.
func TestNotHedged(t *testing.T) {
	t.Parallel()
	tools := strings.Replace(slowBody, `{`, `{"tools":[{"type":"function","function":{"name":"pay"}}],`, 1)
	brief := func(h *house) { h.routing.Defaults.Timeouts.FirstByte = new(200 * time.Millisecond) }
	capped := func(h *house) {
		m := h.routing.Models["m"]
		m.Hedge = &routing.HedgeConfig{After: "p90", MaxExtraCost: "1%"}
		h.routing.Models["m"] = m
	}
	for name, c := range map[string]struct {
		body   string
		learn  bool
		change plan
		twice  bool
	}{
		"with tools":             {tools, true, func(*house) {}, false},
		"kept by the provider":   {strings.Replace(slowBody, `{`, `{"store":true,`, 1), true, func(*house) {}, false},
		"with tools, as allowed": {tools, true, func(h *house) { h.routing.Models["m"].Hedge.Tools = true }, true},
		"unknown waits":          {slowBody, false, func(*house) {}, false},
		"no room":                {slowBody, true, capped, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			whole := jsonAnswer(200, completion)
			h := newHouse(t, []func(*asked) bool{slowFor("slow", whole), slowFor("never", whole)}, priced, hedged, c.change, brief, l.into)
			calls := 1
			if c.learn {
				h.learned(chatBody)
				calls = 41
			}
			if g := h.call(c.body); g.StatusCode != 200 { // by the second target, in its turn or beside the first
				t.Fatalf("status %d, body %s", g.StatusCode, g.body)
			}
			h.settled(calls)
			r := l.last(t)
			if overtaken := r.Attempts[0].Class == adapters.ClassOvertaken; overtaken != c.twice {
				t.Errorf("%+v", r.Attempts)
			}
		})
	}
}

// Whoever leaves, or whatever fails, while two attempts run: both end, and nothing stays held.
func TestHedgesThatEnd(t *testing.T) {
	t.Parallel()
	l, w := &ledger{}, &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "1000", nil)}}
	whole := jsonAnswer(200, completion)
	both := make(chan struct{}, 64)
	second := func(a *asked) bool {
		switch {
		case strings.Contains(a.body, "neither"):
			both <- struct{}{}
			a.gone()
			return false
		case strings.Contains(a.body, "fails"):
			a.send(jsonAnswer(500, `{"error":{"message":"no"}}`))
			return true
		}
		a.send(whole)
		return true
	}
	h := newHouse(t, []func(*asked) bool{slowFor("slow", whole), second}, priced, hedged, l.into, w.in, func(h *house) {
		h.routing.Defaults.Timeouts.FirstByte = new(300 * time.Millisecond)
		h.routing.Defaults.Attempts = 2
	})
	h.learned(chatBody)
	var clients []*client
	for range 4 {
		c := h.dial()
		c.post(strings.Replace(slowBody, "slow", "slow neither", 1))
		clients = append(clients, c)
	}
	for range clients {
		<-both
	}
	for _, c := range clients {
		_ = c.Close()
	}
	h.settled(44)
	if g := h.call(strings.Replace(slowBody, "slow", "slow fails", 1)); g.StatusCode != 504 && g.StatusCode != 500 {
		t.Errorf("status %d, body %s", g.StatusCode, g.body)
	}
	h.settled(45)
	if r := l.last(t); len(r.Attempts) != 2 || r.Attempts[0].Class != adapters.ClassTimeout || r.Attempts[1].Class != adapters.ClassServer {
		t.Errorf("%+v", r.Attempts)
	}
	if u := w.use(t); u.Held != 0 {
		t.Errorf("%s is still held", u.Held)
	}
}

// at makes the route hedge after a fixed time: for tests in which the second target is always asked.
func at(after string) plan {
	return func(h *house) {
		hedged(h)
		h.routing.Models["m"].Hedge.After, h.routing.Models["m"].Hedge.MaxExtraCost = after, "100%"
		h.before = append(h.before, func(s *Server) { h.state.Spent(routeOf(s), 1e9, 0, false, time.Now()) })
	}
}

func routeOf(s *Server) *routing.Route {
	r, _ := s.pipe.Snapshot().Routes.Route("m")
	return r
}

// stalls is a target that says nothing until the gateway hangs up.
func stalls(a *asked) bool { a.gone(); return false }

// A fixed wait needs no knowledge of the target; what a provider would keep is not asked for twice.
func TestHedgeAfterAFixedTime(t *testing.T) {
	t.Parallel()
	stored := strings.Replace(chatBody, `{`, `{"store":true,`, 1)
	for name, c := range map[string]struct{ body, attempts string }{"a chat": {chatBody, "2"}, "one that is kept": {stored, "2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{stalls, wellBehaved}, at("1ms"), l.into, func(h *house) {
				h.routing.Defaults.Timeouts.FirstByte = new(200 * time.Millisecond)
			})
			if g := h.call(c.body); g.StatusCode != 200 || g.Header.Get("X-Vel-Attempts") != c.attempts || g.Header.Get("X-Vel-Provider") != "p2" {
				t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
			}
			_, r := l.only(t)
			if overtaken := r.Attempts[0].Class == adapters.ClassOvertaken; overtaken != (c.body == chatBody) {
				t.Errorf("%+v", r.Attempts)
			}
		})
	}
}

// panicking is a codec that fails in its answers, once it has said so.
type panicking struct {
	adapters.Codec
	about func()
}

func (p panicking) DecodeResponse([][]byte, *adapters.Content, adapters.Header, []byte) ([][]byte, adapters.Usage, error) {
	p.about()
	panic("a bug in a codec")
}

// A panic of either attempt ends the call or the attempt, and the other one has ended before the request is given back.
func TestPanicBesideAnotherAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bad     string
		first   func(both chan struct{}) func(*asked) bool
		second  func(both chan struct{}) func(*asked) bool
		status  int
		answers string
	}{
		"of the first": {
			"p1",
			func(both chan struct{}) func(*asked) bool {
				return func(a *asked) bool { <-both; return wellBehaved(a) }
			},
			func(both chan struct{}) func(*asked) bool {
				return func(a *asked) bool { close(both); return stalls(a) }
			},
			500, "",
		},
		"of the second": {
			"p2",
			func(both chan struct{}) func(*asked) bool {
				return func(a *asked) bool { <-both; return wellBehaved(a) }
			},
			func(chan struct{}) func(*asked) bool {
				return wellBehaved // the codec tells the first one to go on
			},
			200, "p1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, both := &ledger{}, make(chan struct{})
			h := newHouse(t, []func(*asked) bool{c.first(both), c.second(both)}, at("1ms"), l.into, func(h *house) {
				bad := openai.New("groq", "http://127.0.0.1:1/v1")
				about := func() {}
				if c.bad == "p2" {
					about = func() { close(both) }
				}
				bad.Codecs[adapters.ChatCompletions] = panicking{bad.Codecs[adapters.ChatCompletions], about}
				h.kinds["groq"] = bad
				p := h.routing.Providers[c.bad]
				p.Kind = "groq"
				h.routing.Providers[c.bad] = p
			})
			g := h.call(chatBody)
			if g.StatusCode != c.status || c.answers != "" && g.Header.Get("X-Vel-Provider") != c.answers {
				t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
			}
			if _, r := l.only(t); len(r.Attempts) != 2 {
				t.Errorf("%+v", r.Attempts)
			}
			if n := h.metric("vel_panics_total"); n != 1 {
				t.Errorf("%v panics", n)
			}
			eventually(t, "no second attempt is under way", func() bool { return h.metric("vel_calls_in_flight") == 0 })
		})
	}
}

// Where a budget has room for one attempt the call is made with one.
func TestHedgeNearTheEndOfABudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ budget, held, attempts string }{
		"room for two": {"1", "0.045084", "2"}, // 4096 tokens of output and 8 of input, at both prices
		"room for one": {"0.041", "0.04098", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, l := &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, c.budget, nil)}}, &ledger{}
			both := make(chan struct{})
			if c.attempts == "1" {
				close(both)
			}
			first := func(a *asked) bool { <-both; return wellBehaved(a) }
			second := func(a *asked) bool { close(both); return stalls(a) }
			h := newHouse(t, []func(*asked) bool{first, second}, at("1ms"), priced, w.in, l.into)
			if g := h.call(chatBody); g.StatusCode != 200 || g.Header.Get("X-Vel-Attempts") != c.attempts {
				t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
			}
			begun, ended := l.only(t)
			if got := begun[0].Bookings[0].Held; got != nanos(t, c.held) {
				t.Errorf("%v is held", got)
			}
			if u := w.use(t); u.Spent != ended.Cost || u.Held != 0 || ended.Cost == 0 {
				t.Errorf("use %+v, cost %v", u, ended.Cost)
			}
		})
	}
}

// What a second attempt adds is what the call cost more than its first attempt alone would have.
func TestWhatASecondAttemptAdds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{wellBehaved, wellBehaved}, at("1h"), priced)
	r := routeOf(h.Server)
	used := adapters.Usage{adapters.Input: 3, adapters.Output: 5} // 57,500 nano-dollars at p1, 8,000 at p2
	of := func(provider string, class adapters.Class, cost money.Nano) accounting.Attempt {
		return accounting.Attempt{Provider: provider, Model: "upstream-model", Class: class, Usage: used, Cost: cost, Executed: true}
	}
	for name, c := range map[string]struct {
		attempts []accounting.Attempt
		want     money.Nano
	}{
		"nothing":               {[]accounting.Attempt{of("p1", adapters.ClassNone, 57_500)}, 0},
		"a fallback":            {[]accounting.Attempt{of("p1", adapters.ClassServer, 0), of("p2", adapters.ClassNone, 8_000)}, 0},
		"the second lost":       {[]accounting.Attempt{of("p1", adapters.ClassNone, 57_500), of("p2", adapters.ClassOvertaken, 3_000)}, 3_000},
		"a cheaper second":      {[]accounting.Attempt{of("p1", adapters.ClassOvertaken, 20_000), of("p2", adapters.ClassNone, 8_000)}, 20_000},
		"a second that is dear": {[]accounting.Attempt{of("p2", adapters.ClassOvertaken, 3_000), of("p1", adapters.ClassNone, 57_500)}, 3_000 + 49_500},
		"a first that is gone":  {[]accounting.Attempt{of("gone", adapters.ClassOvertaken, 0), of("p1", adapters.ClassNone, 57_500)}, 57_500},
	} {
		if got := addedBySecond(r, &accounting.Record{Attempts: c.attempts, Begun: time.Now()}); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// slowDoor lets nobody in at a provider until it is told to.
type slowDoor struct {
	Ledger
	account string
	at, let chan struct{}
}

func (d *slowDoor) Enter(ctx context.Context, e *accounting.Entry, call string, n int, account string, limits []*ratelimit.Limit) (bool, time.Duration, error) {
	if account == d.account {
		d.at <- struct{}{}
		<-d.let
	}
	return d.Ledger.Enter(ctx, e, call, n, account, limits)
}

// The client has the beginning of its stream while the attempt that lost can not be ended yet; the call is settled after that.
func TestLoserIsSlowToEnd(t *testing.T) {
	t.Parallel()
	w, l := &held{}, &ledger{}
	door := &slowDoor{account: "provider:p2", at: make(chan struct{}), let: make(chan struct{})}
	first := func(a *asked) bool { <-door.at; return wellBehaved(a) }
	h := newHouse(t, []func(*asked) bool{first, wellBehaved}, at("1ms"), w.in, l.into, func(h *house) {
		p := h.routing.Providers["p2"]
		p.Limits = &routing.AccountLimits{RPM: new(int64(100))}
		h.routing.Providers["p2"] = p
		h.before = append(h.before, func(s *Server) { door.Ledger = s.pipe.ledger; s.pipe.HoldBy(door) })
	})
	c := h.dial()
	c.post(streamBody)
	g := c.head("POST")
	b := make([]byte, len(piece))
	if _, err := io.ReadFull(g.Body, b); err != nil || string(b) != piece || g.Header.Get("X-Vel-Provider") != "p1" || g.Header.Get("X-Vel-Attempts") != "2" {
		t.Errorf("%s, %v, head %v", b, err, g.Header)
	}
	l.mu.Lock()
	if len(l.ended) != 0 {
		t.Error("the call is settled while its second attempt is under way")
	}
	l.mu.Unlock()
	close(door.let)
	_, r := l.only(t)
	if r.Provider != "p1" || r.Class != adapters.ClassNone || len(r.Attempts) != 2 || r.Attempts[1].Class != adapters.ClassOvertaken {
		t.Errorf("%+v", r)
	}
	eventually(t, "nothing is under way", func() bool { return h.metric("vel_calls_in_flight") == 0 })
}
