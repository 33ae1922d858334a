package gateway

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// The prices of the house: completion has 3 tokens in and 5 out, so it costs 3 × 2.5 + 5 × 10 millionths at p1, and
// 3 × 1 + 5 × 1 at p2.
var (
	atFirst  = routing.PriceOf(routing.RatesConfig{Input: "2.5", Output: "10"})
	atSecond = routing.PriceOf(routing.RatesConfig{Input: "1", Output: "1"})
)

const firstCost, secondCost = "0.0000575", "0.000008"

// What is estimated at p1 where nobody counts: 8 tokens of input, which are 4 for the message, 3 for the answer and one for
// "hi"; two for "hello", one for "hel".
const guessedPrompt, guessedWhole, guessedPiece = "0.00002", "0.00004", "0.00003"

func priced(h *house) {
	for name, price := range map[string]routing.PriceConfig{"p1": atFirst, "p2": atSecond} {
		if p, ok := h.routing.Providers[name]; ok {
			p.Prices = map[string]routing.PriceConfig{"upstream-model": price}
			h.routing.Providers[name] = p
		}
	}
}

var (
	usageEvent  = `data: {"id":"1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}` + "\n\n"
	unmetered   = strings.Replace(completion, `,"usage":`, `,"used":`, 1)
	garbledUsed = strings.Replace(completion, `"choices":`, `"error":{"message":"no","type":"server_error"},"chosen":`, 1)
	largeUsed   = strings.Replace(completion, "hello", strings.Repeat("hello ", 1<<18), 1)
)

// What a call costs stands in the head, in its line of log and in the metrics, and nowhere if it is not known.
func TestCallsAreCharged(t *testing.T) {
	t.Parallel()
	whole, streamed := answers(jsonAnswer(200, completion)), answers(streamHead+chunk(piece+finish+usageEvent+done)+lastChunk)
	for name, c := range map[string]struct {
		scripts     []func(*asked) bool
		body        string
		change      plan
		status      int
		header      string // empty: there is none
		cost, lacks string // of the line
		first       string // of which p1
	}{
		"whole":            {[]func(*asked) bool{whole}, chatBody, priced, 200, firstCost, firstCost, "", firstCost},
		"a stream":         {[]func(*asked) bool{streamed}, streamBody, priced, 200, "", firstCost, "", firstCost},
		"a large answer":   {[]func(*asked) bool{answers(jsonAnswer(200, largeUsed))}, chatBody, priced, 200, "", firstCost, "", firstCost},
		"no price":         {[]func(*asked) bool{whole}, chatBody, func(*house) {}, 200, "", "0", "no_price", "0"},
		"no usage":         {[]func(*asked) bool{answers(jsonAnswer(200, unmetered))}, chatBody, priced, 200, "", guessedWhole, "", guessedWhole},
		"a stream without": {[]func(*asked) bool{answers(streamHead + chunk(piece+finish+done) + lastChunk)}, streamBody, priced, 200, "", guessedPiece, "", guessedPiece},
		"a part unpriced": {[]func(*asked) bool{whole}, chatBody, func(h *house) {
			p := h.routing.Providers["p1"]
			p.Prices = map[string]routing.PriceConfig{"upstream-model": routing.PriceOf(routing.RatesConfig{Input: "2.5"})}
			h.routing.Providers["p1"] = p
		}, 200, "", "0.0000075", "no_price", "0.0000075"},
		"not executed": {[]func(*asked) bool{answers(jsonAnswer(400, "{}"))}, chatBody, priced, 400, "", "", "", "0"},
		"the first one failed": {
			[]func(*asked) bool{answers(jsonAnswer(500, "{}")), whole},
			chatBody, priced, 200, secondCost, secondCost, "", "0",
		},
		"the first one was lost": {
			[]func(*asked) bool{func(a *asked) bool { a.reset(); return false }, whole},
			chatBody, priced, 200, "", "0.000028", "", guessedPrompt,
		},
		"the first one was charged": {
			[]func(*asked) bool{answers(jsonAnswer(200, garbledUsed)), whole},
			chatBody, priced, 200, "0.0000655", "0.0000655", "", firstCost,
		},
		"broken off": {
			[]func(*asked) bool{func(a *asked) bool { a.send(streamHead + chunk(piece)); return false }},
			streamBody, priced, 200, "", guessedPiece, "", guessedPiece,
		},
		"broken off after its usage": {
			[]func(*asked) bool{func(a *asked) bool { a.send(streamHead + chunk(piece+usageEvent)); return false }},
			streamBody, priced, 200, "", firstCost, "", firstCost,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, c.scripts, c.change)
			g := h.call(c.body)
			if g.StatusCode != c.status || g.Header.Get("X-Vel-Cost") != c.header {
				t.Errorf("status %d, x-vel-cost %q, want %d and %q", g.StatusCode, g.Header.Get("X-Vel-Cost"), c.status, c.header)
			}
			line := h.settled(1)
			if line["cost_usd"] != c.cost || line["unpriced"] != c.lacks {
				t.Errorf("cost_usd %v, unpriced %v, want %q and %q", line["cost_usd"], line["unpriced"], c.cost, c.lacks)
			}
			estimated := slices.Contains([]string{guessedPrompt, guessedWhole, guessedPiece}, c.first)
			if line["estimated"] != estimated || h.metric("vel_estimated_attempts_total") != map[bool]float64{true: 1}[estimated] {
				t.Errorf("estimated %v, in the metrics %v; want %v", line["estimated"], h.metric("vel_estimated_attempts_total"), estimated)
			}
			if got := h.metric("vel_cost_dollars_total", "route", "m", "model", "upstream-model"); math.Abs(got-dollars(t, c.cost)) > 1e-12 {
				t.Errorf("vel_cost_dollars_total %v, want %s", got, c.cost)
			}
			if got := h.metric("vel_cost_dollars_total", "provider", "p1"); got != dollars(t, c.first) {
				t.Errorf("vel_cost_dollars_total of the first provider %v, want %s", got, c.first)
			}
			for _, reason := range []string{"no_price", "no_usage"} {
				want := 0.0
				if reason == c.lacks {
					want = 1
				}
				if got := h.metric("vel_unpriced_calls_total", "reason", reason); got != want {
					t.Errorf("vel_unpriced_calls_total of %s: %v, want %v", reason, got, want)
				}
			}
		})
	}
}

func dollars(t *testing.T, text string) float64 {
	t.Helper()
	if text == "" {
		return 0
	}
	n, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n.Dollars()
}

// What is no text can not be counted, and costs an unknown sum.
func TestWhatCanNotBeCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{answers("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 4\r\n\r\nID3!")}, priced)
	c := h.dial()
	c.write(request("POST", "/v1/audio/speech", `{"model":"m","input":"hi","voice":"alloy"}`, "Authorization: Bearer "+goodKey))
	if g := c.answer(); g.StatusCode != 200 || g.Header.Get("X-Vel-Cost") != "" {
		t.Errorf("status %d, x-vel-cost %q", g.StatusCode, g.Header.Get("X-Vel-Cost"))
	}
	line := h.settled(1)
	if line["cost_usd"] != "0" || line["unpriced"] != "no_usage" || line["estimated"] != false || h.metric("vel_unpriced_calls_total", "reason", "no_usage") != 1 {
		t.Errorf("line %v", line)
	}
}

// A count of tokens is free: it costs nothing, and nothing is missing.
func TestFreeCallsAreNotCharged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, `{"object":"response.input_tokens","input_tokens":3}`))})
	c := h.dial()
	c.write(request("POST", "/v1/responses/input_tokens", `{"model":"m","input":"hi"}`, "Authorization: Bearer "+goodKey))
	if g := c.answer(); g.StatusCode != 200 || g.Header.Get("X-Vel-Cost") != "" {
		t.Errorf("status %d, x-vel-cost %q: %s", g.StatusCode, g.Header.Get("X-Vel-Cost"), g.body)
	}
	if line := h.settled(1); line["cost_usd"] != "" || line["unpriced"] != "" {
		t.Errorf("line %v", line)
	}
}

// What is agreed with an organization is what its calls cost, and nobody else's.
func TestCallsCostWhatIsAgreed(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{goodKey: firstCost, otherKey: "9"} {
		h := newHouse(t, []func(*asked) bool{wellBehaved}, priced, func(h *house) {
			h.agreed = map[tenancy.ID]routing.Pricer{"other": fixed(9_000_000_000)}
		})
		c := h.dial()
		c.write(request("POST", "/v1/chat/completions", chatBody, "Authorization: Bearer "+key))
		if g := c.answer(); g.StatusCode != 200 || g.Header.Get("X-Vel-Cost") != want {
			t.Errorf("status %d, x-vel-cost %q, want %s", g.StatusCode, g.Header.Get("X-Vel-Cost"), want)
		}
	}
}

// fixed is a price that only counts.
type fixed money.Nano

func (f fixed) Cost(*adapters.Usage, time.Time) (money.Nano, bool) { return money.Nano(f), true }
func (f fixed) Version() string                                    { return "fixed" }

// Charging a call and writing down what it cost takes no memory.
func TestChargeAllocatesNothing(t *testing.T) {
	h := newHouse(t, []func(*asked) bool{wellBehaved}, priced)
	r, _ := h.pipe.Snapshot().Routes.Route("m")
	c := h.pipe.acquire(newID())
	defer h.pipe.release(c)
	c.Content.Endpoint, c.plan.Route, c.outcome.Target = adapters.ChatCompletions, r, r.Targets[0]
	text := ""
	charge := func() {
		c.charged, c.record = false, accounting.Record{Attempts: c.record.Attempts[:0]}
		c.beginAttempt()
		c.usage[adapters.Input], c.usage[adapters.Output] = 3, 5
		c.charge()
		text = view(c.record.Cost.Append(c.cost[:0]))
	}
	charge()
	if n := testing.AllocsPerRun(100, charge); n != 0 || text != firstCost {
		t.Errorf("%v allocations, cost %s", n, text)
	}
}

// A sum that is too large to be counted is not counted as something smaller without a word.
func TestChargeOverflows(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{wellBehaved}, priced)
	r, _ := h.pipe.Snapshot().Routes.Route("m")
	target := *r.Targets[0]
	target.Price = fixed(1 << 62)
	c := h.pipe.acquire(newID())
	defer h.pipe.release(c)
	c.Content.Endpoint, c.plan.Route, c.outcome.Target = adapters.ChatCompletions, r, &target
	for range 2 {
		c.charged = false
		c.beginAttempt()
		c.usage[adapters.Input] = 1
		c.charge()
	}
	if c.record.Cost != 1<<62 || c.record.Unpriced != noPrice {
		t.Errorf("sum %s, unpriced %s", c.record.Cost, c.record.Unpriced)
	}
}
