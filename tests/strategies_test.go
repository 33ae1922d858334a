package tests

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/faultproxy"
	"github.com/vel-gateway/vel/tests/vel"
)

// strategies are all ways to choose among targets, as a route says them.
var strategies = map[string]string{
	"fallback": "", "weighted": "strategy: weighted, ", "fastest": "strategy: fastest, ", "cheapest": "strategy: cheapest, ",
	"least_request": "strategy: least_request, ", "optimize": "optimize: {cost: 1, speed: 1}, ",
}

// connectTimeout is how long a target may take to be reached; one that is dead is not waited for.
const connectTimeout = time.Second

// bent is a first target under a fault, and what an attempt there is in the record.
type bent struct {
	fault   faultproxy.Fault
	words   string
	class   []string // one of these
	charged bool     // the provider may have done the work
	streams bool     // the fault strikes streams, else whole answers
}

var allBent = map[string]bent{
	"refuse":                 {fault: faultproxy.Fault{Kind: faultproxy.Refuse}, class: []string{"connect"}},
	"reset before the head":  {fault: faultproxy.Fault{Kind: faultproxy.Reset, After: faultproxy.BeforeHead}, class: []string{"reset"}, charged: true, streams: true},
	"cut before the head":    {fault: faultproxy.Fault{Kind: faultproxy.Cut, After: faultproxy.BeforeHead}, class: []string{"reset"}, charged: true},
	"garbage as a head":      {fault: faultproxy.Fault{Kind: faultproxy.Garbage, After: faultproxy.BeforeHead}, class: []string{"garbage"}, charged: true},
	"blackhole":              {fault: faultproxy.Fault{Kind: faultproxy.Blackhole}, class: []string{"timeout"}, charged: true, streams: true},
	"stall after the head":   {fault: faultproxy.Fault{Kind: faultproxy.Stall}, class: []string{"timeout"}, charged: true},
	"cut in the body":        {fault: faultproxy.Fault{Kind: faultproxy.Cut, After: 30}, class: []string{"truncated"}, charged: true},
	"cut in the first event": {fault: faultproxy.Fault{Kind: faultproxy.Cut, After: 20}, class: []string{"truncated"}, charged: true, streams: true},
	"wrong length":           {fault: faultproxy.Fault{Kind: faultproxy.LongLength, After: 30}, class: []string{"truncated"}, charged: true},
	"status 408":             {words: "status=408", class: []string{"timeout"}, charged: true},
	"status 429":             {words: "status=429", class: []string{"rate_limit"}, streams: true},
	"status 500":             {words: "status=500", class: []string{"server"}},
	"status 503":             {words: "status=503", class: []string{"overloaded"}, streams: true},
	"status 401":             {words: "status=401", class: []string{"credential"}},
	"200 with garbage":       {words: "garbage", class: []string{"garbage"}, charged: true},
	"200 with an error":      {words: "error_first", class: []string{"server", "overloaded"}, streams: true},
}

// matrix is a Vel with two targets for each strategy, of which the first is bent, and an organization whose budget pays.
type matrix struct {
	*office
	bent
	org, key, budget string
	second           *simulated
}

func newMatrix(t *testing.T, f bent) *matrix {
	t.Helper()
	first, second := simulate(t), simulate(t)
	proxy := faultproxy.New(t, first.Addr())
	var providers, models strings.Builder
	for name, how := range strategies {
		for i, url := range []string{proxy.Addr(), second.Addr()} {
			fmt.Fprintf(&providers, "  %s-%d: {kind: openai, base_url: \"http://%s/v1\", api_key: env:SIM_KEY, allow_private: true, prices: {sim-echo: {input: \"1\", output: \"2\"}}}\n", name, i+1, url)
		}
		fmt.Fprintf(&models, "  %s: {%stargets: [{provider: %[1]s-1, model: sim-echo}, {provider: %[1]s-2, model: sim-echo}]}\n", name, how)
	}
	o := openOffice(t, `
defaults:
  timeouts: {connect: `+connectTimeout.String()+`, first_byte: 400ms, idle: 400ms, total: 20s}
  backoff: [10ms]
  breaker: {failures: 1000000}
providers:
`+providers.String()+"models:\n"+models.String()+`
organizations:
  acme: {budget: {usd: "1000", per: total}, keys: {own: {key: env:FULL_KEY}}}
`)
	m := &matrix{office: o, bent: f, org: "org:acme", key: fullKey, second: second}
	budgets := read[struct{ Data []struct{ ID string } }](t, o.root.do(t, "GET", "/api/budgets"+within(m.org), nil).want(t, http.StatusOK))
	m.budget = budgets.Data[0].ID
	proxy.Set(t, f.fault)
	first.fail(t, f.words)
	return m
}

// call makes a call by a strategy and gives its record. Its client sees a whole answer, whatever the first target did.
func (m *matrix) call(t *testing.T, strategy string) (s shown) {
	t.Helper()
	more := ""
	if m.streams {
		more = streaming
	}
	begun := time.Now()
	a := askStream(t, request(t, "POST", m.URL+"/v1/chat/completions", m.key, chat(strategy, "hello", more)))
	took := time.Since(begun)
	if got := a.said(t); got != "hello" || a.header.Get("X-Vel-Provider") != strategy+"-2" {
		t.Fatalf("%s: %q by %q", strategy, got, a.header.Get("X-Vel-Provider"))
	}
	if m.fault.Kind == faultproxy.Refuse && took >= connectTimeout {
		t.Errorf("%s: it took %v to go elsewhere from a dead target, as if that had been waited for", strategy, took)
	}
	path := "/api/calls/" + a.header.Get("X-Request-Id") + within(m.org)
	err := vel.Poll(deadline(t), "the record", func() (bool, error) {
		a, err := m.root.send(t.Context(), "GET", path, nil)
		return a.status == http.StatusOK, err
	})
	if err != nil {
		t.Fatal(err)
	}
	s = read[shown](t, m.root.do(t, "GET", path, nil).want(t, http.StatusOK))
	if got := fmt.Sprint(len(s.Attempts)); got != a.header.Get("X-Vel-Attempts") {
		t.Errorf("%s: x-vel-attempts is %q, the record has %s", strategy, a.header.Get("X-Vel-Attempts"), got)
	}
	return s
}

// check wants every attempt to be what the fault makes of it, and the call to cost what its attempts did.
func (m *matrix) check(t *testing.T, strategy string, s *shown) (cost int64) {
	t.Helper()
	for i, a := range s.Attempts {
		paid := nanos(t, a.Cost)
		cost += paid
		if i == len(s.Attempts)-1 {
			if a.Provider != strategy+"-2" || a.Class != "none" || paid == 0 {
				t.Errorf("%s: the last attempt is %+v", strategy, a)
			}
			continue
		}
		if a.Provider != strategy+"-1" || !slices.Contains(m.class, a.Class) || (paid > 0) != m.charged {
			t.Errorf("%s: attempt %d is %+v; want one of %v, charged: %v", strategy, i+1, a, m.class, m.charged)
		}
	}
	if nanos(t, s.Cost) != cost {
		t.Errorf("%s: the call cost %s, its attempts %d billionths", strategy, s.Cost, cost)
	}
	return cost
}

// TestEveryFaultByEveryStrategy: however targets are chosen and whatever the first one does, the client sees a whole answer, the
// second target makes each call once, every attempt is charged as what it was, and the budget pays just that.
func TestEveryFaultByEveryStrategy(t *testing.T) {
	t.Parallel()
	for name, f := range allBent {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, f)
			calls, cost, failed := 0, int64(0), 0
			for strategy := range strategies {
				for range 2 { // those which draw lots may try the second target first
					s := m.call(t, strategy)
					cost += m.check(t, strategy, &s)
					failed += len(s.Attempts) - 1
					calls++
				}
			}
			if made := m.second.Stats().Calls; made != int64(calls) || failed == 0 {
				t.Errorf("the second provider has made %d of %d calls, and %d attempts failed before", made, calls, failed)
			}
			m.paid(t, cost)
		})
	}
}

// paid waits until the budget has paid so many billionths of a dollar, and holds nothing.
func (m *matrix) paid(t *testing.T, cost int64) {
	t.Helper()
	var last answer
	err := vel.Poll(deadline(t), "the budget to be settled", func() (bool, error) {
		var err error
		last, err = m.root.send(t.Context(), "GET", "/api/budgets/"+m.budget+"/usage"+within(m.org), nil)
		if err != nil || last.status != http.StatusOK {
			return false, err
		}
		u := read[struct {
			Spent string `json:"spent_usd"`
			Held  string `json:"held_usd"`
		}](t, last)
		return nanos(t, u.Spent) == cost && nanos(t, u.Held) == 0, nil
	})
	if err != nil {
		t.Errorf("%v: %d billionths were spent, the budget says %s", err, cost, last.body)
	}
}
