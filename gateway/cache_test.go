package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/replay"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
)

// caching makes the house keep the answers of its model for an hour.
func caching(h *house) {
	m := h.routing.Models["m"]
	m.Cache = &routing.CacheConfig{TTL: time.Hour}
	h.routing.Models["m"] = m
	h.before = append(h.before, func(s *Server) {
		s.pipe.KeepAnswers(CacheOptions{Shelf: replay.NewMemory(1<<20, time.Now), Longest: 4 << 10})
	})
}

// eachAnother answers each request with its number.
func eachAnother() func(*asked) bool {
	n := 0
	return func(a *asked) bool {
		n++
		said := strings.ReplaceAll(completion, "hello", fmt.Sprintf("hello %d", n))
		if strings.Contains(a.body, `"stream":true`) {
			a.send(streamHead + chunk(strings.ReplaceAll(piece, "hel", fmt.Sprintf("hel %d", n))+finish+usageEvent+done) + lastChunk)
			return true
		}
		a.send(jsonAnswer(200, said))
		return true
	}
}

// An equal call of the same organization gets the answer that the first one got, and pays nothing for it.
func TestCacheGivesEqualCallsTheSame(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"whole": chatBody, "a stream": streamBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{eachAnother()}, priced, caching, l.into)
			first := h.call(body)
			h.settled(1)
			respelled := strings.ReplaceAll(strings.Replace(body, `{"model":"m",`, `{ `, 1), `}]}`, `}] ,"model" : "m"}`)
			second := h.call(respelled, "X-Vel-Tags: of=another")
			h.settled(2)
			if first.Header.Get("X-Vel-Cache") != "miss" || second.Header.Get("X-Vel-Cache") != "hit" {
				t.Errorf("x-vel-cache: %q, then %q", first.Header.Get("X-Vel-Cache"), second.Header.Get("X-Vel-Cache"))
			}
			if first.StatusCode != 200 || second.StatusCode != 200 || second.body != first.body || first.body == "" {
				t.Errorf("%d %s\n%d %s", first.StatusCode, first.body, second.StatusCode, second.body)
			}
			for _, name := range []string{"Content-Type", "X-Vel-Provider", "X-Vel-Model", "X-Accel-Buffering"} {
				if second.Header.Get(name) != first.Header.Get(name) {
					t.Errorf("%s: %q, then %q", name, first.Header.Get(name), second.Header.Get(name))
				}
			}
			if second.Header.Get("X-Request-Id") == first.Header.Get("X-Request-Id") {
				t.Error("two calls have the same id")
			}
			if n := h.backends[0].calls.Load(); n != 1 {
				t.Errorf("the provider was asked %d times", n)
			}
			hit := l.ended[1]
			if hit.Cache != "hit" || l.ended[0].Cache != "miss" || len(hit.Attempts) != 0 || hit.Cost != 0 || hit.Saved != nanos(t, firstCost) || l.ended[0].Saved != 0 || hit.Provider != "p1" || hit.Status != 200 || hit.FirstToken == 0 {
				t.Errorf("record: %+v", hit)
			}
			if len(l.begun) != 1 {
				t.Errorf("%d calls were written down as begun", len(l.begun))
			}
			if saved := h.metric("vel_cache_saved_dollars_total", "route", "m"); saved != dollars(t, firstCost) {
				t.Errorf("saved %v", saved)
			}
		})
	}
}

// What is not the same question, or not the same asker, or is not to be kept, is asked of the provider.
func TestCacheMisses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body          string
		fields, again []string // of the first call, and of the second
		calls         int64
		control       string // x-vel-cache of the second
	}{
		"equal":                {chatBody, nil, nil, 1, "hit"},
		"another organization": {chatBody, nil, []string{otherKey}, 2, "miss"},
		"no-cache":             {chatBody, nil, []string{"Cache-Control: no-cache"}, 2, "miss"},
		"no-store":             {chatBody, nil, []string{"Cache-Control: max-age=0, no-store"}, 2, ""},
		"the first no-store":   {chatBody, []string{"Cache-Control: no-store"}, nil, 2, "miss"},
		"the first no-cache":   {chatBody, []string{"Cache-Control: no-cache"}, nil, 1, "hit"},
		"another beta":         {chatBody, nil, []string{"OpenAI-Beta: new"}, 2, "miss"},
		"kept by the provider": {strings.Replace(chatBody, `{`, `{"store":true,`, 1), nil, nil, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{eachAnother()}, caching)
			first := h.callAs(goodKey, c.body, c.fields...)
			h.settled(1)
			key := goodKey
			again := c.again
			if len(again) > 0 && again[0] == otherKey {
				key, again = otherKey, nil
			}
			second := h.callAs(key, c.body, again...)
			if first.StatusCode != 200 || second.StatusCode != 200 {
				t.Fatalf("%d, %d", first.StatusCode, second.StatusCode)
			}
			if n := h.backends[0].calls.Load(); n != c.calls || second.Header.Get("X-Vel-Cache") != c.control {
				t.Errorf("%d calls, x-vel-cache %q; want %d, %q", n, second.Header.Get("X-Vel-Cache"), c.calls, c.control)
			}
		})
	}
}

// An answer that is an error, is not whole or is too large is not kept.
func TestCacheKeepsWholeAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first func(*asked) bool
		body  string
	}{
		"an error":     {answers(jsonAnswer(400, `{"error":{"message":"no"}}`)), chatBody},
		"broken off":   {func(a *asked) bool { a.send(streamHead + chunk(piece)); return false }, streamBody},
		"large":        {answers(jsonAnswer(200, strings.Replace(completion, "hello", strings.Repeat("hello ", 1<<10), 1))), chatBody},
		"larger":       {answers(jsonAnswer(200, largeUsed)), chatBody},
		"a tale of it": {answers(streamHead + chunk(strings.Repeat(piece, 100)) + lastChunk), streamBody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
				if n++; n == 1 {
					return c.first(a)
				}
				return wellBehaved(a)
			}}, caching)
			h.call(c.body)
			h.settled(1)
			if g := h.call(c.body); g.StatusCode != 200 || g.Header.Get("X-Vel-Cache") != "miss" {
				t.Errorf("%d, x-vel-cache %q: %s", g.StatusCode, g.Header.Get("X-Vel-Cache"), g.body)
			}
		})
	}
}

// What was kept is of nobody any more once other targets would answer.
func TestCacheIsOfItsTargets(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{eachAnother()}, caching)
	h.call(chatBody)
	h.settled(1)
	m := h.routing.Models["m"]
	m.Targets = []routing.TargetConfig{{Provider: "p1", Model: "a-newer-model"}}
	h.routing.Models["m"] = m
	h.publish(h.pipe, goodKey, narrowKey, otherKey)
	if g := h.call(chatBody); g.Header.Get("X-Vel-Cache") != "miss" || g.Header.Get("X-Vel-Model") != "a-newer-model" {
		t.Errorf("x-vel-cache %q of %q", g.Header.Get("X-Vel-Cache"), g.Header.Get("X-Vel-Model"))
	}
}

// A hit is admitted as one request, and takes no tokens and no money.
func TestCacheHitsAreCounted(t *testing.T) {
	t.Parallel()
	w := &held{
		limits:  []accounting.Limits{limitOf(accounting.Scope{}, accounting.Limits{RPM: 2, Burst: 2, TPM: 10_000})},
		budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "0.05", nil)},
	}
	h := newHouse(t, []func(*asked) bool{eachAnother()}, priced, caching, w.in)
	h.call(chatBody)
	h.settled(1)
	spent := w.use(t).Spent
	if g := h.call(chatBody); g.StatusCode != 200 || g.Header.Get("X-Vel-Cache") != "hit" || g.Header.Get("X-Ratelimit-Remaining-Requests") != "0" {
		t.Errorf("%d, x-vel-cache %q, %q requests are left", g.StatusCode, g.Header.Get("X-Vel-Cache"), g.Header.Get("X-Ratelimit-Remaining-Requests"))
	}
	h.settled(2)
	if now := w.use(t); now.Spent != spent || now.Held != 0 {
		t.Errorf("the budget: %+v, before %v", now, spent)
	}
	if g := h.call(chatBody); g.StatusCode != 429 {
		t.Errorf("a hit beyond the limit of requests: %d", g.StatusCode)
	}
}

// What is made for a task gets what is kept too.
func TestCacheAnswersTasks(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{eachAnother()}, caching, priced)
	r := &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(chatBody)}
	for _, want := range []tasks.Result{{Provider: "p1", Attempts: 1}, {Provider: "p1", Attempts: 0}} {
		got, err := h.pipe.Execute(t.Context(), r, func([]byte) error { return nil })
		if err != nil || got.Provider != want.Provider || got.Attempts != want.Attempts || got.Model != "upstream-model" {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if n := h.backends[0].calls.Load(); n != 1 || h.metric("vel_panics_total") != 0 {
		t.Errorf("the provider was asked %d times, %v panics", n, h.metric("vel_panics_total"))
	}
}
