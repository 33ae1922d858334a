package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// held makes the house hold its calls against limits and budgets that count in memory.
type held struct {
	limits   []accounting.Limits
	budgets  []accounting.Budget
	unpriced accounting.Unpriced
	ledger   *accounting.Ledger
	memory   *ratelimit.Memory
	guard    *ratelimit.Guard
}

func (w *held) in(h *house) {
	h.before = append(h.before, func(s *Server) {
		w.memory = ratelimit.NewMemory(time.Now)
		w.guard = ratelimit.NewGuard(w.memory, ratelimit.GuardOptions{})
		h.t.Cleanup(w.guard.Close)
		w.ledger = accounting.NewLedger(w.guard, w.memory, accounting.LedgerOptions{})
		h.registry.MustRegister(w.ledger.Collectors()...)
		s.pipe.HoldBy(w.ledger)
		w.publish(h, s)
	})
}

func (w *held) publish(h *house, s *Server) {
	accounts := accounting.NewAccounts(w.limits, w.budgets, w.unpriced, w.ledger.Accounts())
	w.ledger.Publish(accounts)
	s.pipe.SetAccounts(accounts)
	if err := w.ledger.Open(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// use is what is used of the only budget.
func (w *held) use(t testing.TB) accounting.BudgetUse {
	t.Helper()
	u, err := w.ledger.BudgetUse(t.Context(), &w.budgets[0])
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func limitOf(scope accounting.Scope, l accounting.Limits) accounting.Limits {
	l.Meta = tenancy.Meta{ID: tenancy.ID("limit_" + scope.String()), Org: "org"}
	l.Scope = scope
	return l
}

func budgetOf(scope accounting.Scope, usd string, change func(*accounting.Budget)) accounting.Budget {
	b := accounting.Budget{Meta: tenancy.Meta{ID: tenancy.ID("budget_" + scope.String()), Org: "org", Name: "b"}, Scope: scope, Per: ratelimit.Total, Hard: true}
	b.Max, _ = money.Parse(usd)
	if change != nil {
		change(&b)
	}
	return b
}

// scopes are one of each level that a call of the house has.
var scopes = map[accounting.Level]accounting.Scope{
	accounting.OfOrganization: {}, accounting.OfKey: {Key: "key-1"}, accounting.OfRoute: {Route: "m"},
}

// Every kind of limit refuses at every level, and says what it is and whose.
func TestDenied(t *testing.T) {
	t.Parallel()
	names := map[accounting.Level]string{
		accounting.OfOrganization: "your organization", accounting.OfKey: "your API key", accounting.OfRoute: "the model 'm' in your organization",
	}
	for level, scope := range scopes {
		for kind, c := range map[string]struct {
			limits  accounting.Limits
			message string
			typ     string
		}{
			"rpm": {accounting.Limits{RPM: 1}, ": 1 requests per minute. Try again in 1m0s.", "requests"},
			"rph": {accounting.Limits{RPH: 1}, ": 1 requests per hour. Try again in ", "requests"},
			"rpd": {accounting.Limits{RPD: 1}, ": 1 requests per day. Try again in ", "requests"},
			"tpm": {accounting.Limits{TPM: 5000}, ": 5000 tokens per minute. Try again in ", "tokens"},
			"tpd": {accounting.Limits{TPD: 4110}, ": 4110 tokens per day. Try again in ", "tokens"},
		} {
			t.Run(level.String()+" "+kind, func(t *testing.T) {
				t.Parallel()
				w := &held{limits: []accounting.Limits{limitOf(scope, c.limits)}}
				block := make(chan struct{})
				var first atomic.Bool
				h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
					if first.CompareAndSwap(false, true) {
						<-block // what it holds is not settled
					}
					a.send(jsonAnswer(200, completion))
					return true
				}}, priced, w.in)
				one := make(chan got, 1)
				go func() { one <- h.call(chatBody) }()
				eventually(t, "the first call is there", first.Load)
				g := h.call(chatBody)
				close(block)
				if g.StatusCode != http.StatusTooManyRequests || !strings.Contains(g.body, names[level]) || !strings.Contains(g.body, c.message) ||
					!strings.Contains(g.body, `"type":"`+c.typ+`"`) || !strings.Contains(g.body, `"code":"rate_limit_exceeded"`) {
					t.Errorf("status %d, body %s", g.StatusCode, g.body)
				}
				if g.Header.Get("Retry-After") == "" || g.Header.Get("Retry-After-Ms") == "" || g.Header.Get("X-Should-Retry") != "" {
					t.Errorf("fields %v", g.Header)
				}
				if g := within(t, "the first call", one); g.StatusCode != 200 {
					t.Errorf("the first call: status %d, body %s", g.StatusCode, g.body)
				}
				if n := h.metric("vel_limit_refusals_total", "level", level.String()); n != 1 {
					t.Errorf("%v refusals are counted", n)
				}
				if h.backends[0].calls.Load() != 1 {
					t.Error("the provider was asked")
				}
			})
		}
	}
}

// What is larger than a limit ever gives is not to be tried again.
func TestDeniedForEver(t *testing.T) {
	t.Parallel()
	w := &held{limits: []accounting.Limits{limitOf(accounting.Scope{}, accounting.Limits{TPM: 4000})}}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, priced, w.in)
	g := h.call(chatBody)
	if g.StatusCode != 429 || g.Header.Get("X-Should-Retry") != "false" || g.Header.Get("Retry-After") != "" || !strings.Contains(g.body, "Lower max_tokens") {
		t.Errorf("status %d, fields %v, body %s", g.StatusCode, g.Header, g.body)
	}
}

// A place is there again once the stream before has ended, however it did.
func TestPlacesInFlight(t *testing.T) {
	t.Parallel()
	w := &held{limits: []accounting.Limits{limitOf(accounting.Scope{Key: "key-1"}, accounting.Limits{InFlight: 1})}}
	next := make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead + chunk(piece))
		<-next
		a.send(chunk(finish) + chunk(done) + lastChunk)
		return true
	}}, priced, w.in)
	c := h.dial()
	c.post(streamBody)
	r := c.head("POST")
	if r.StatusCode != 200 {
		t.Fatal(r.StatusCode)
	}
	if g := h.call(chatBody); g.StatusCode != 429 || !strings.Contains(g.body, "1 calls at the same time") {
		t.Errorf("status %d, body %s", g.StatusCode, g.body)
	}
	_ = c.Close() // the client leaves in the middle of the stream
	close(next)
	h.settled(2)
	if g := h.call(streamBody); g.StatusCode != 200 {
		t.Errorf("afterwards: status %d, body %s", g.StatusCode, g.body)
	}
}

// A budget refuses as OpenAI does when nothing is left, and free calls go on.
func TestBudgetIsSpent(t *testing.T) {
	t.Parallel()
	w := &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "0.041", func(b *accounting.Budget) { b.Per = ratelimit.Month })}}
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, priced, w.in, l.into)
	if g := h.call(chatBody); g.StatusCode != 200 {
		t.Fatalf("status %d, body %s", g.StatusCode, g.body)
	}
	h.settled(1)
	begun, ended := l.only(t)
	start, _ := w.budgets[0].Window(time.Now())
	want := []accounting.Booking{{Budget: w.budgets[0].ID, Window: start.UTC(), Held: nanos(t, "0.04098")}}
	if len(begun[0].Bookings) != 1 || begun[0].Bookings[0] != want[0] {
		t.Errorf("begun: %+v, want %+v", begun[0].Bookings, want)
	}
	want[0].Spent = ended.Cost
	if len(ended.Bookings) != 1 || ended.Bookings[0] != want[0] || ended.Cost == 0 {
		t.Errorf("ended: %+v, want %+v", ended.Bookings, want)
	}
	if u := w.use(t); u.Spent != ended.Cost || u.Held != 0 {
		t.Errorf("use %+v", u)
	}
	g := h.call(chatBody)
	if g.StatusCode != 429 || !strings.Contains(g.body, `"type":"insufficient_quota"`) || !strings.Contains(g.body, `"code":"insufficient_quota"`) ||
		g.Header.Get("X-Should-Retry") != "false" || !strings.Contains(g.body, "The budget of your organization, 0.041 USD per month") || !strings.Contains(g.body, "It begins anew at ") {
		t.Errorf("status %d, fields %v, body %s", g.StatusCode, g.Header, g.body)
	}
	if g := h.get("GET", "/v1/models", "Authorization: Bearer "+goodKey); g.StatusCode != 200 {
		t.Errorf("models: status %d", g.StatusCode)
	}
}

// What has no price costs a flat sum where a budget refuses, or is refused.
func TestUnpricedCalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unpriced accounting.Unpriced
		hard     bool
		status   int
		spent    string
	}{
		"flat":             {accounting.Unpriced{Flat: 50_000_000}, true, 200, "0.05"},
		"refused":          {accounting.Unpriced{Refuse: true}, true, 400, "0"},
		"a budget to warn": {accounting.Unpriced{Refuse: true, Flat: 50_000_000}, false, 200, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &held{unpriced: c.unpriced, budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "1", func(b *accounting.Budget) { b.Hard = c.hard })}}
			h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, w.in)
			if g := h.call(chatBody); g.StatusCode != c.status {
				t.Errorf("status %d, body %s", g.StatusCode, g.body)
			}
			h.settled(1)
			if u := w.use(t); u.Spent.String() != c.spent || u.Held != 0 {
				t.Errorf("use %+v", u)
			}
		})
	}
}

// Nothing is taken of one limit if another refuses.
func TestNothingIsTakenByARefusal(t *testing.T) {
	t.Parallel()
	w := &held{limits: []accounting.Limits{
		limitOf(accounting.Scope{}, accounting.Limits{RPH: 10}), limitOf(accounting.Scope{Key: "key-1"}, accounting.Limits{RPH: 1}),
	}}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, priced, w.in)
	for i, want := range []int{200, 429, 429} {
		if g := h.call(chatBody); g.StatusCode != want {
			t.Errorf("call %d: status %d", i, g.StatusCode)
		}
	}
	uses, err := w.ledger.LimitUses(t.Context(), &w.limits[0])
	if err != nil || uses[0].Used != 1 {
		t.Errorf("%+v, %v", uses, err)
	}
}

// What is left stands on every answer: of the tightest limit of each kind.
func TestLimitFields(t *testing.T) {
	t.Parallel()
	w := &held{limits: []accounting.Limits{
		limitOf(accounting.Scope{}, accounting.Limits{RPM: 600, TPM: 60000}), limitOf(accounting.Scope{Key: "key-1"}, accounting.Limits{RPM: 60, Burst: 3}),
	}}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, priced, w.in)
	for name, g := range map[string]got{"whole": h.call(chatBody), "models": h.get("GET", "/v1/models", "Authorization: Bearer "+goodKey), "refused": h.call(`{"model":"x","messages":[]}`)} {
		t.Log(name, g.StatusCode, g.Header)
	}
	g := h.call(chatBody)
	for field, want := range map[string]string{
		"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Limit-Tokens": "60000",
	} {
		if v := g.Header.Get(field); v != want {
			t.Errorf("%s: %q, want %q", field, v, want)
		}
	}
	for _, field := range []string{"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"} {
		if g.Header.Get(field) == "" {
			t.Errorf("%s is missing", field)
		}
	}
}

func TestAppendReset(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0ms": 0, "1ms": time.Microsecond, "20ms": 20 * time.Millisecond, "1s": time.Second, "2s": 1001 * time.Millisecond,
		"6m0s": 6 * time.Minute, "1h0m1s": time.Hour + time.Second, "24h0m0s": 24 * time.Hour,
	} {
		if got := string(appendReset(nil, d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// dearerSecond makes the second provider the dearer one.
func dearerSecond(h *house) {
	for name, price := range map[string]routing.PriceConfig{"p1": atSecond, "p2": atFirst} {
		h.routing.Providers[name].Prices["upstream-model"] = price
	}
}

// Another attempt after one that may have been executed holds more, and each is charged.
func TestTopUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget string
		status int
		calls  int64 // of the second provider
	}{
		"there is room": {"1", 200, 1},
		"there is none": {"0.04098", 500, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, c.budget, nil)}}
			h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, garbledUsed)), answers(jsonAnswer(200, completion))}, priced, dearerSecond, w.in)
			if g := h.call(chatBody); g.StatusCode != c.status {
				t.Errorf("status %d, body %s", g.StatusCode, g.body)
			}
			if n := h.backends[1].calls.Load(); n != c.calls {
				t.Errorf("the second provider was asked %d times", n)
			}
			h.settled(1)
			if u := w.use(t); u.Held != 0 || u.Spent == 0 {
				t.Errorf("use %+v", u)
			}
		})
	}
}

// A target whose provider allows no more is passed over.
func TestAccountLimits(t *testing.T) {
	t.Parallel()
	w := &held{}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion)), answers(jsonAnswer(200, completion))}, priced, w.in, func(h *house) {
		for name, p := range h.routing.Providers {
			p.Limits = &routing.AccountLimits{RPM: new(int64(1))}
			h.routing.Providers[name] = p
		}
	})
	for i, want := range []string{"p1", "p2"} {
		if g := h.call(chatBody); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != want || g.Header.Get("X-Vel-Attempts") != "1" {
			t.Errorf("call %d: status %d, fields %v", i, g.StatusCode, g.Header)
		}
	}
	if g := h.call(chatBody); g.StatusCode != 429 || g.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, fields %v, body %s", g.StatusCode, g.Header, g.body)
	}
}

// However many come at once, a budget for so many calls pays for exactly so many.
func TestRaceForABudget(t *testing.T) {
	t.Parallel()
	const room, callers, each = 1000, 64, 200
	hold := int64(nanos(t, "0.04098"))
	w := &held{budgets: []accounting.Budget{budgetOf(accounting.Scope{}, money.Nano(room*hold).String(), nil)}}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, priced, w.in)
	who, err := h.pipe.Snapshot().Keys.Resolve(h.as(1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range each {
				var r accounting.Reservation
				call := accounting.Call{ID: tenancy.ID(fmt.Sprintf("req_%d_%d", i, j)), Who: who.Identity, Route: "m"}
				h.pipe.Snapshot().Accounts.Open(&r, &call)
				if w.ledger.Reserve(t.Context(), &r, accounting.Estimate{Cost: money.Nano(hold)}) != nil {
					continue
				}
				made.Add(1)
				w.ledger.Settle(&r, &accounting.Record{Cost: money.Nano(hold)})
			}
		})
	}
	all.Wait()
	if u := w.use(t); made.Load() != room || int64(u.Spent) != room*hold || u.Held != 0 {
		t.Errorf("%d calls, use %+v", made.Load(), u)
	}
}

// Whenever a client leaves, nothing stays held.
func TestAbortsHoldNothing(t *testing.T) {
	t.Parallel()
	const calls = 60
	w := &held{
		limits:  []accounting.Limits{limitOf(accounting.Scope{}, accounting.Limits{InFlight: calls, TPH: 1 << 40})},
		budgets: []accounting.Budget{budgetOf(accounting.Scope{}, "1000", nil)},
	}
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead)
		for range 4 {
			a.send(chunk(piece))
		}
		a.send(chunk(finish) + chunk(done) + lastChunk)
		return true
	}}, priced, w.in)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			c := h.dial()
			defer func() { _ = c.Close() }()
			c.post(streamBody)
			_, _ = io.CopyN(io.Discard, c, int64(i*20)) // and then it leaves, also before the head and at the end
		})
	}
	all.Wait()
	eventually(t, "nothing is held", func() bool {
		uses, err := w.ledger.LimitUses(t.Context(), &w.limits[0])
		return err == nil && uses[1].Used == 0 && w.use(t).Held == 0 && w.guard.Live() == 0 && h.metric("vel_calls_in_flight") == 0
	})
}

// BenchmarkExecuteHeld is the pipeline with 8 limits and 2 budgets in this process, beside BenchmarkExecute without.
func BenchmarkExecuteHeld(b *testing.B) {
	w := &held{}
	for _, scope := range scopes {
		w.limits = append(w.limits, limitOf(scope, accounting.Limits{RPM: 1 << 40, Burst: 1 << 30, TPM: 1 << 40}))
	}
	w.limits[0].RPD, w.limits[0].TPD = 1<<40, 1<<40
	for _, scope := range []accounting.Scope{{}, {Key: "key-1"}} {
		w.budgets = append(w.budgets, budgetOf(scope, "9000000", nil))
	}
	h := quiet(b, toRaw(rawBackend(b, jsonAnswer(200, completion))), priced, w.in)
	each := func(p []byte) error { _, err := io.Discard.Write(p); return err }
	r := &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(chatBody)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.pipe.Execute(b.Context(), r, each); err != nil {
			b.Fatal(err)
		}
	}
}
