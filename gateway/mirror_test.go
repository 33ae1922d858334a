package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// mirroring copies every call to the last of the house's providers, which is no target of its model.
func mirroring(h *house) {
	m := h.routing.Models["m"]
	to := m.Targets[len(m.Targets)-1]
	m.Targets = m.Targets[:len(m.Targets)-1]
	m.Mirror = &routing.MirrorConfig{Percent: 100, To: to}
	h.routing.Models["m"] = m
	h.before = append(h.before, func(s *Server) { mirrorUntilTheEnd(h, s) })
}

func mirrorUntilTheEnd(h *house, s *Server) {
	stop := s.pipe.Mirror()
	h.t.Cleanup(func() {
		if err := stop(); err != nil {
			h.t.Error(err)
		}
	})
}

// copyOf waits for the records of a call and its copy.
func (l *ledger) copyOf(t *testing.T) (call, copied accounting.Record) {
	t.Helper()
	eventually(t, "call and copy have ended", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.ended) == 2 })
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended[0], l.ended[1]
}

func TestCopiesAreCompared(t *testing.T) {
	t.Parallel()
	streamed := func(text string) func(*asked) bool {
		return answers(streamHead + chunk(strings.Replace(piece, "hel", text, 1)+finish+usageEvent+done) + lastChunk)
	}
	whole := func(text, finish string) func(*asked) bool {
		return answers(jsonAnswer(200, strings.NewReplacer("hello", text, `"stop"`, `"`+finish+`"`).Replace(completion)))
	}
	for name, c := range map[string]struct {
		call, copied   func(*asked) bool
		body           string
		same           bool
		finish, copies string
	}{
		"the same":           {whole("hello", "stop"), whole("hello", "stop"), chatBody, true, "stop", "stop"},
		"another":            {whole("hello", "stop"), whole("good bye", "length"), chatBody, false, "stop", "length"},
		"the same stream":    {streamed("hel"), streamed("hel"), streamBody, true, "stop", "stop"},
		"a different stream": {streamed("hel"), streamed("no"), streamBody, false, "stop", "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{c.call, c.copied}, priced, mirroring, l.into)
			g := h.call(c.body)
			if g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != "p1" || g.Header.Get("X-Vel-Attempts") != "1" {
				t.Fatalf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
			}
			call, copied := l.copyOf(t)
			if call.Mirror != (accounting.Mirror{}) || call.Cost != nanos(t, firstCost) || len(call.Attempts) != 1 {
				t.Errorf("the call: %+v", call)
			}
			if copied.Who != (tenancy.Identity{Org: tenancy.Platform}) || copied.Route != "mirror of m" || copied.Provider != "p2" || copied.Cost != nanos(t, secondCost) ||
				"req_"+strings.TrimPrefix(string(copied.ID), "mir_") != string(call.ID) || copied.Class != adapters.ClassNone || len(copied.Prompt)+len(copied.Answer) > 0 {
				t.Errorf("the copy: %+v", copied)
			}
			want := accounting.Mirror{
				Of: call.ID, Org: "org", Provider: "p1", Model: "upstream-model", FirstToken: call.FirstToken, Total: call.Total, TokensIn: 3, TokensOut: 5, Cost: call.Cost,
				Finish: c.finish, CopyFinish: c.copies, Compared: true, Same: c.same,
			}
			if copied.Mirror != want {
				t.Errorf("%+v, want %+v", copied.Mirror, want)
			}
			if n := h.metric("vel_mirrors_total", "route", "m", "result", "answered"); n != 1 {
				t.Errorf("%v copies", n)
			}
		})
	}
}

// What goes wrong with a copy is in its record, and nowhere else.
func TestCopiesThatFail(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{wellBehaved, answers(jsonAnswer(500, "{}"))}, mirroring, l.into)
	if g := h.call(chatBody); g.StatusCode != 200 || g.body != completion {
		t.Fatalf("status %d, body %s", g.StatusCode, g.body)
	}
	call, copied := l.copyOf(t)
	if call.Class != adapters.ClassNone || copied.Class != adapters.ClassServer || copied.Mirror.Of != call.ID || copied.Mirror.Compared {
		t.Errorf("%+v", copied)
	}
	eventually(t, "it is counted", func() bool { return h.metric("vel_mirrors_total", "result", "failed") == 1 })
}

func TestCallsThatAreNotCopied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string
		script func(*asked) bool
		change plan
	}{
		"one that failed":        {chatBody, answers(jsonAnswer(400, "{}")), func(*house) {}},
		"one that leaves traces": {strings.Replace(chatBody, `{`, `{"store":true,`, 1), wellBehaved, func(*house) {}},
		"not chosen":             {chatBody, wellBehaved, func(h *house) { h.routing.Models["m"].Mirror.Percent = 1e-9 }},
		"for others": {chatBody, wellBehaved, func(h *house) {
			p := h.routing.Providers["p2"]
			p.Organizations = []tenancy.ID{"other"}
			h.routing.Providers["p2"] = p
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{c.script, wellBehaved}, mirroring, c.change, l.into)
			h.call(c.body)
			if name == "for others" {
				eventually(t, "it went nowhere", func() bool { return h.metric("vel_mirrors_total", "result", "nowhere") == 1 })
			}
			h.call(c.body) // whatever the first one left has been seen
			if n := h.backends[1].calls.Load(); n != 0 {
				t.Errorf("%d copies", n)
			}
		})
	}
}

// Copies are paid by their own budget alone, and end with it.
func TestBudgetOfCopies(t *testing.T) {
	t.Parallel()
	own := budgetOf(accounting.Scope{Route: routing.MirrorName("m")}, "0.0042", func(b *accounting.Budget) { b.Org, b.Per = tenancy.Platform, ratelimit.Total })
	tenants := budgetOf(accounting.Scope{}, "1", func(b *accounting.Budget) { b.ID = "budget_of_the_tenant" })
	w, l := &held{budgets: []accounting.Budget{own, tenants}}, &ledger{}
	h := newHouse(t, []func(*asked) bool{wellBehaved, wellBehaved}, priced, mirroring, w.in, l.into) // a copy is held with 0.004104 USD
	h.call(chatBody)
	call, copied := l.copyOf(t)
	if len(copied.Bookings) != 1 || copied.Bookings[0].Budget != own.ID || len(call.Bookings) != 1 || call.Bookings[0].Budget != tenants.ID {
		t.Errorf("the copy %+v, the call %+v", copied.Bookings, call.Bookings)
	}
	if u := w.use(t); u.Spent != copied.Cost || u.Held != 0 || u.Spent == 0 {
		t.Errorf("%+v", u)
	}
	for n := 1; h.metric("vel_mirrors_total", "result", "over_budget") == 0; n++ {
		if n > 20 {
			t.Fatal("the budget never ends")
		}
		h.call(chatBody)
		eventually(t, "the copy has ended", func() bool { return h.metric("vel_mirrors_total") == float64(n+1) })
	}
	u, err := w.ledger.BudgetUse(t.Context(), &w.budgets[1])
	if err != nil || u.Spent == 0 || u.Spent%call.Cost != 0 {
		t.Errorf("the tenant's budget %+v, %v", u, err)
	}
}

// A stop ends the copies under way and drops the others, and what comes after it.
func TestCopiesAtAStop(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	var stop func() error
	h := newHouse(t, []func(*asked) bool{wellBehaved, func(a *asked) bool { a.gone(); return false }}, mirroring, l.into, func(h *house) {
		h.before = []func(*Server){func(s *Server) { stop = s.pipe.Mirror() }, h.before[len(h.before)-1]}
	})
	const calls = copiesAtOnce + copiesWaiting + 5
	for range calls {
		if g := h.call(chatBody); g.StatusCode != 200 {
			t.Fatalf("status %d", g.StatusCode)
		}
	}
	eventually(t, "all workers are busy", func() bool { return h.backends[1].calls.Load() == copiesAtOnce })
	eventually(t, "what is too much is dropped", func() bool { return h.metric("vel_mirrors_total", "result", "dropped") >= 4 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := h.metric("vel_mirrors_total"); n != calls || h.metric("vel_mirrors_total", "result", "failed") != copiesAtOnce {
		t.Errorf("of %v copies %v failed", n, h.metric("vel_mirrors_total", "result", "failed"))
	}
	h.call(chatBody)
	eventually(t, "a late one is dropped", func() bool { return h.metric("vel_mirrors_total") == calls+1 })
	eventually(t, "nothing is under way", func() bool { return h.metric("vel_calls_in_flight") == 0 })
}

// What answers say is read in every form that clients get.
func TestSaid(t *testing.T) {
	t.Parallel()
	event := func(kind, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, rest)
	}
	for name, c := range map[string]struct {
		endpoint adapters.Endpoint
		stream   bool
		answer   string
		want     saying
	}{
		"a chat":      {adapters.ChatCompletions, false, completion, saying{"hello", "stop", true}},
		"a stream":    {adapters.ChatCompletions, true, piece + piece + finish + done, saying{"helhel", "stop", true}},
		"completions": {adapters.Completions, false, `{"choices":[{"text":"a","finish_reason":"length"},{"text":"b"}]}`, saying{"ab", "length", true}},
		"a response": {
			adapters.Responses, false, `{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"}]}]}`,
			saying{"ab", "completed", true},
		},
		"events": {
			adapters.Responses, true, event("response.output_text.delta", `,"delta":"a"`) + event("response.output_text.delta", `,"delta":"b"`) +
				event("response.incomplete", `,"response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"content":[{"text":"ab"}]}]}`),
			saying{"ab", "max_output_tokens", true},
		},
		"a refusal of nothing": {adapters.ChatCompletions, false, `{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}`, saying{"", "content_filter", true}},
		"numbers":              {adapters.Embeddings, false, `{"data":[{"embedding":[1,2]}]}`, saying{}},
	} {
		if got := said(c.endpoint, c.stream, []byte(c.answer)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// About as many calls are copied as is said, whichever way a lot by the same seed goes.
func TestShareOfCopies(t *testing.T) {
	t.Parallel()
	m := &routing.Mirror{Percent: 10}
	of := map[bool]int{}
	for i := range 20_000 {
		if seed := routing.SeedOf(fmt.Sprintf("req_%d", i)); m.Takes(seed) {
			of[seed>>63 == 0]++
		}
	}
	if of[true] < 850 || of[true] > 1150 || of[false] < 850 || of[false] > 1150 {
		t.Errorf("%v of twice 10,000", of)
	}
	if (*routing.Mirror)(nil).Takes(1) || !(&routing.Mirror{Percent: 100}).Takes(1<<64-1) {
		t.Error("none, or all, is not so")
	}
}
