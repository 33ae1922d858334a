package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
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
			if h.metric("vel_hedges_total", "route", "m", "result", "won") != 1 {
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
