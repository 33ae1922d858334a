package tests

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/faultproxy"
	"github.com/vel-gateway/vel/tests/vel"
)

var (
	hedgeCalls  = flag.Int("hedge-calls", 600, "calls of each route while a target stalls")
	hedgeReport = flag.String("hedge-report", "", "the file that takes what they took")
)

// What stalls, and how long it is waited for without a hedge.
const (
	stallsEvery  = 20
	stallTimeout = "1s"
	hedgeCallers = 8
	hedgeWarmUp  = 160 // calls before it is measured: percentiles and costs have to be known
)

// hedging is two providers of which the first one stalls now and then, and a Vel with two routes over both: plain waits and
// falls back, hedged asks the second one meanwhile.
func hedging(t *testing.T) *office {
	t.Helper()
	model := simulator.Profile{Model: "sim", Median: 40 * time.Millisecond, P95: 80 * time.Millisecond, Price: simulator.Price{Input: 2_500_000_000, Output: 10_000_000_000}}
	first := simulateWith(t, simulator.Config{Provider: simulator.Provider{Profiles: []simulator.Profile{model}}, Seed: 1})
	second := simulateWith(t, simulator.Config{Provider: simulator.Provider{Profiles: []simulator.Profile{model}}, Seed: 2})
	proxy := faultproxy.New(t, first.Addr())
	proxy.Set(t, faultproxy.Fault{Kind: faultproxy.Stall, After: faultproxy.BeforeHead, Every: stallsEvery})
	const prices = `prices: {sim: {input: "2.5", output: "10"}}`
	return openOffice(t, complete(`
defaults:
  timeouts: {first_byte: `+stallTimeout+`}
  breaker: {failures: 1000000}
providers:
  first: {kind: openai, base_url: "http://`+proxy.Addr()+`/v1", api_key: env:SIM_KEY, allow_private: true, `+prices+`}
  second: {kind: openai, base_url: "`+second.URL()+`/v1", api_key: env:SIM_KEY, allow_private: true, `+prices+`}
models:
  plain: {targets: [{provider: first, model: sim}, {provider: second, model: sim}]}
  hedged: {hedge: {after: p90, max_extra_cost: 5%}, targets: [{provider: first, model: sim}, {provider: second, model: sim}]}
`))
}

// firstTokens makes streams of a route and gives the times to their first tokens, in order.
func firstTokens(t *testing.T, o *office, route string, calls int) []time.Duration {
	t.Helper()
	body := chat(route, "[[chunks=50]] "+strings.Repeat("word ", 200), `,"stream":true`)
	took := make([]time.Duration, calls)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range hedgeCallers {
		callers.Go(func() {
			for i := int(next.Add(1)) - 1; i < calls; i = int(next.Add(1)) - 1 {
				d, err := firstToken(request(t, "POST", o.URL+"/v1/chat/completions", fullKey, body))
				if err != nil {
					t.Error(err)
					return
				}
				took[i] = d
			}
		})
	}
	callers.Wait()
	slices.Sort(took)
	return took
}

func firstToken(r *http.Request) (time.Duration, error) {
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	var one [1]byte
	if _, err := io.ReadFull(answer.Body, one[:]); err != nil {
		return 0, err
	}
	took := time.Since(began)
	rest, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !strings.HasSuffix(string(rest), "data: [DONE]\n\n")) {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, rest)
	}
	return took, err
}

// addedOn is what the records say of a route's calls, once all of them are there, in billionths of a dollar: what attempts cost that
// were overtaken, and what everything else did.
func addedOn(t *testing.T, o *office, route string, calls int) (added, alone int64) {
	t.Helper()
	var lines []string
	err := vel.Poll(deadline(t), "all records are there", func() (bool, error) {
		a, err := o.root.send(t.Context(), "GET", "/api/calls/export?route="+route, nil)
		lines = strings.Split(strings.TrimSpace(string(a.body)), "\n")
		return len(lines) == calls, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		var c shown
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		alone += nanos(t, c.Cost)
		for _, a := range read[shown](t, o.root.do(t, "GET", "/api/calls/"+c.ID, nil).want(t, http.StatusOK)).Attempts {
			if a.Class == "overtaken" {
				added += nanos(t, a.Cost)
			}
		}
	}
	return added, alone - added
}

// With a target that stalls in 5 % of its calls a hedge takes more than half of the P99 of the time to the first token away, for
// less than 5 % of the cost.
func TestHedgeAgainstStalls(t *testing.T) {
	t.Parallel()
	o := hedging(t)
	firstTokens(t, o, "hedged", hedgeWarmUp)
	hedged := firstTokens(t, o, "hedged", *hedgeCalls)
	added, alone := addedOn(t, o, "hedged", hedgeWarmUp+*hedgeCalls) // of all: what the first calls leave of their share is there for the next ones
	plain := firstTokens(t, o, "plain", *hedgeCalls)
	if t.Failed() {
		return
	}
	extra := 100 * float64(added) / float64(alone)
	p99 := func(all []time.Duration) time.Duration { return percentile(all, 99) }
	t.Logf("P99 %s without, %s with a hedge; extra spend %.2f %%", p99(plain), p99(hedged), extra)
	if 2*p99(hedged) >= p99(plain) {
		t.Errorf("P99 of the time to the first token is %s with a hedge and %s without", p99(hedged), p99(plain))
	}
	if extra >= 5 || extra <= 0 {
		t.Errorf("second attempts add %.2f %% to the cost", extra)
	}
	if *hedgeReport != "" {
		reportHedge(t, plain, hedged, extra)
	}
}

// percentile is one of times in order.
func percentile(all []time.Duration, percent int) time.Duration {
	return all[(len(all)*percent+99)/100-1]
}

// reportHedge writes the figures down.
func reportHedge(t *testing.T, plain, hedged []time.Duration, extra float64) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d streams on each of two routes over the same two targets, %d at once; a first token takes the targets 40 ms (P95 80 ms), and the first one stalls in 1 call of %d, which is waited for %s. "+
		"The hedge is `{after: p90, max_extra_cost: 5%%}`.\n\n", len(plain), hedgeCallers, stallsEvery, stallTimeout)
	b.WriteString("| time to the first token, ms | p50 | p90 | p95 | p99 | longest | extra spend, % |\n|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		took []time.Duration
		last string
	}{{"without a hedge", plain, "–"}, {"with one", hedged, fmt.Sprintf("%.2f", extra)}} {
		fmt.Fprintf(&b, "| %s |", row.name)
		for _, percent := range []int{50, 90, 95, 99, 100} {
			fmt.Fprintf(&b, " %.0f |", percentile(row.took, percent).Seconds()*1000)
		}
		fmt.Fprintf(&b, " %s |\n", row.last)
	}
	fmt.Fprintf(&b, "\nP99 falls by %.0f %% (bar: more than 50).\n", 100*(1-percentile(hedged, 99).Seconds()/percentile(plain, 99).Seconds()))
	if err := os.WriteFile(*hedgeReport, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
