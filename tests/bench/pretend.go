package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/simulator"
)

// market is the providers of the mix, in this process.
type market map[string]*simulator.Server

// longestAnswer lets every answer be as long as its request allows.
const longestAnswer = "chunks=4096"

// openMarket starts a simulator for each provider of the mix, with its times divided by scale.
func openMarket(m *mix, scale int) (market, error) {
	all := market{}
	for _, name := range slices.Sorted(maps.Keys(m.Providers)) {
		o := m.Providers[name]
		server, err := simulator.Start(simulator.Config{
			Faults: longestAnswer, Seed: uint64(len(all) + 1),
			Provider: simulator.Provider{Name: name, Profiles: []simulator.Profile{{
				Model: name, Median: scaled(o.Median, scale), P95: scaled(o.P95, scale),
				Price: simulator.Price{Input: nanos(o.Input), Output: nanos(o.Output), Request: nanos(o.Request)},
			}}},
		})
		if err != nil {
			all.close()
			return nil, err
		}
		all[name] = server
	}
	return all, nil
}

// nanos is dollars in whole billionths.
func nanos(dollars float64) int64 { return int64(math.Round(dollars * 1e9)) }

func (m market) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, server := range m {
		server.Stop(ctx) // what is cut was nobody's any more
	}
}

// billed is what all providers want for the calls since the last reset, in nanodollars, once none is open.
func (m market) billed(ctx context.Context) (sum int64, err error) {
	for name, server := range m {
		s, err := server.Await(ctx, func(s simulator.Stats) bool { return s.Open == 0 })
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += s.ByModel[name].BilledNano
	}
	return sum, nil
}

func (m market) reset() {
	for _, server := range m {
		server.ResetStats()
	}
}

// The ways in which a provider fails, one after the other: it says so, says that it is asked too much, drops
// connections, or says nothing.
var outages = []string{"status=503", "die=0", "status=429 retry_after=1", "stall=0", "status=500"}

// failing lets a provider fail for a tenth of every period, in its middle, until the context ends. Then it is well again.
func failing(ctx context.Context, server *simulator.Server, period time.Duration) error {
	for i := 0; ; i++ {
		for _, phase := range []struct {
			words string
			long  time.Duration
		}{{"", period * 9 / 20}, {" " + outages[i%len(outages)], period / 10}, {"", period * 9 / 20}} {
			if err := server.SetFaults(longestAnswer + phase.words); err != nil {
				return err
			}
			if !pauseUntil(ctx, time.Now().Add(phase.long)) {
				return server.SetFaults(longestAnswer)
			}
		}
	}
}

// fit makes every prompt as many tokens as the mix says, by a system message before it: what counts is the provider's own
// count. A prompt that is longer stays so.
func (m *mix) fit(ctx context.Context, prompts map[string][]json.RawMessage) error {
	server, err := simulator.Start(simulator.Config{Faults: "chunks=1 latency=0s"})
	if err != nil {
		return err
	}
	defer market{"": server}.close()
	ask := newAsker(server.URL())
	for label, all := range prompts {
		for i, messages := range all {
			got, err := ask.ask(ctx, ask.request(simulator.Models()[0], demand{label, padded(messages, 1), 1}))
			if err != nil {
				return err
			}
			if got.status != 200 {
				return fmt.Errorf("prompt %d of %s: status %d: %.300s", i+1, label, got.status, got.body)
			}
			var answer struct {
				Usage struct {
					Input int `json:"prompt_tokens"`
				}
			}
			if err := json.Unmarshal(got.body, &answer); err != nil {
				return fmt.Errorf("read the usage: %w", err)
			}
			all[i] = padded(messages, 1+m.Tokens[label][0]-answer.Usage.Input)
		}
	}
	return nil
}

// prices is an offer's, as Vel's file has it.
func (o offer) prices(model string) string {
	p := fmt.Sprintf(`input: "%g", output: "%g"`, o.Input, o.Output)
	if o.Request > 0 {
		p += fmt.Sprintf(`, request: "%g"`, o.Request)
	}
	return "{" + model + ": {" + p + "}}"
}

// routedConfig has the mix's providers but the baseline, a route for each kind of work, and one that tells them apart. What
// a provider can not answer goes to a better one.
func (m *mix) routedConfig(listen, dir string, all market, scale int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `listen: %[1]s
database: sqlite:%[2]s/vel.db
spool: {dir: %[2]s/spool}
server: {drain: 1s}
defaults:
  timeouts: {first_byte: %[3]s}
  breaker: {window: %[4]s, cooldown: %[5]s}
providers:
`, listen, dir, scaled(30, scale), max(time.Second, scaled(60, scale)), max(time.Second, scaled(30, scale)))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != baseline {
			fmt.Fprintf(&b, "  %s: {kind: openai, base_url: \"%s/v1\", api_key: none, allow_private: true, prices: %s}\n",
				name, all[name].URL(), m.Providers[name].prices(name))
		}
	}
	b.WriteString(routedModels)
	return b.String()
}

const routedModels = `models:
  strong: {targets: [{provider: strong, model: strong}, {provider: search, model: search}]}
  fast: {targets: [{provider: fast, model: fast}, {provider: strong, model: strong}]}
  small: {targets: [{provider: small, model: small}, {provider: strong, model: strong}]}
  search: {targets: [{provider: search, model: search}, {provider: strong, model: strong}]}
  auto:
    rules:
      - {when: 'task == "code"', use: fast}
      - {when: 'task == "simple"', use: small}
      - {when: 'task == "research"', use: search}
    targets: [{provider: strong, model: strong}, {provider: search, model: search}]
organizations:
  bench: {keys: {load: {key: ` + apiKey + `}}}
`
