package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// nanos reads a cost as whole billionths of a dollar, without a float on the way.
func nanos(t *testing.T, dollars string) int64 {
	t.Helper()
	whole, part, _ := strings.Cut(dollars, ".")
	n, err := strconv.ParseInt(whole+(part + "000000000")[:9], 10, 64)
	if err != nil || len(part) > 9 {
		t.Fatalf("%q is no cost", dollars)
	}
	return n
}

// priced is a file with prices at the simulator.
func priced(s *simulated, prices string) string {
	return strings.Replace(s.config(""), "allow_private: true}", "allow_private: true, prices: {"+prices+"}}", 1)
}

// TestCosts compares what calls cost with what the provider bills for them.
func TestCosts(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(priced(sim, `sim-fast: {input: "0.59", output: "0.79"}, sim-search: {input: "1", output: "1", request: "0.005"}`)))
	billed := func(model string, calls int64) (bill int64) {
		t.Helper()
		err := vel.Poll(deadline(t), "the provider's bill", func() (bool, error) {
			s := sim.Stats().ByModel[model]
			bill = s.BilledNano
			return s.Completed == calls, nil // it is written behind the answer
		})
		if err != nil {
			t.Error(err)
		}
		return bill
	}

	var sum int64
	for _, model := range []string{"sim-fast", "sim-search"} {
		a := askVel(t, p, chat(model, "[[latency=0s chunks=3]] one two three", ""))
		cost := nanos(t, a.header.Get("X-Vel-Cost"))
		if bill := billed(model, 1); cost == 0 || cost != bill {
			t.Errorf("%s: it cost %d nano-dollars, but the provider bills %d", model, cost, bill)
		}
		sum += cost
		if r := recordOf(t, p, a); nanos(t, r.CostUSD) != cost || r.Unpriced != "" {
			t.Errorf("%s: the log has %q %q, want %d nano-dollars", model, r.CostUSD, r.Unpriced, cost)
		}
	}

	before := billed("sim-fast", 1)
	a := askVel(t, p, chat("sim-fast", "[[latency=0s chunks=3]] one two three", streaming))
	stream{a, events(a.body)}.whole(t)
	r := recordOf(t, p, a)
	cost, bill := nanos(t, r.CostUSD), billed("sim-fast", 2)-before
	if a.header.Get("X-Vel-Cost") != "" || cost == 0 || cost != bill {
		t.Errorf("a stream: header %q, log %q, bill %d nano-dollars", a.header.Get("X-Vel-Cost"), r.CostUSD, bill)
	}
	sum += cost

	free := askVel(t, p, chat("sim-echo", "hi", ""))
	if r := recordOf(t, p, free); free.header.Get("X-Vel-Cost") != "" || r.CostUSD != "0" || r.Unpriced != "no_price" {
		t.Errorf("without a price: header %q, log %q %q", free.header.Get("X-Vel-Cost"), r.CostUSD, r.Unpriced)
	}
	refused := askVel(t, p, chat("sim-fast", "[[status=400]]", ""))
	if r := recordOf(t, p, refused); refused.header.Get("X-Vel-Cost") != "" || r.CostUSD != "" || r.Unpriced != "" {
		t.Errorf("refused: header %q, log %q %q", refused.header.Get("X-Vel-Cost"), r.CostUSD, r.Unpriced)
	}

	m, err := p.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(m.Sum("vel_cost_dollars_total", `provider="sim"`)*1e9 + 0.5); got != sum {
		t.Errorf("the metrics have %d nano-dollars, want %d", got, sum)
	}
	if got := m.Sum("vel_unpriced_calls_total", `provider="sim"`, `model="sim-echo"`, `reason="no_price"`); got != 1 || m.Sum("vel_unpriced_calls_total") != 1 {
		t.Errorf("%v calls without a price, %v in all", got, m.Sum("vel_unpriced_calls_total"))
	}
}

func recordOf(t *testing.T, p *vel.Process, a answer) vel.Record {
	t.Helper()
	r, err := p.Log.Call(deadline(t), a.header.Get("X-Request-Id"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPriceReload: the next call after a reload has the new price.
func TestPriceReload(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(priced(sim, `sim-echo: {request: "0.5"}`)))
	cost := func() string { return askVel(t, p, chat("sim-echo", "hi", "")).header.Get("X-Vel-Cost") }
	if got := cost(); got != "" { // it used tokens, which have no price
		t.Errorf("with half a price it costs %q", got)
	}
	for _, request := range []string{"0.25", "0.000001"} {
		write(t, p, priced(sim, `sim-echo: {input: "0", output: "0", request: "`+request+`"}`))
		if err := vel.Poll(deadline(t), "the new price", func() (bool, error) { return cost() == request, nil }); err != nil {
			t.Errorf("%v; the last cost was %q", err, cost())
		}
	}
}

// TestPriceOfOrganization: the same call costs one organization what the provider bills, and another one what was agreed,
// from the file as by the API.
func TestPriceOfOrganization(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	prices := `"prices": {"sim-echo": {"input": "0", "output": "0", "request": "0.5", "organizations": {"%s": {"input": "0", "output": "0", "request": "0.25"}}}}`
	file := strings.ReplaceAll(tenantsFile, "URL", sim.URL()+"/v1")
	file = strings.Replace(file, "allow_private: true}", "allow_private: true, "+fmt.Sprintf(prices, "other")+"}", 1)
	p := vel.Start(t, options(file))
	for key, want := range map[string]string{fullKey: "0.5", narrowKey: "0.25"} {
		a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", key, chat("sim-echo", "hi", "")))
		if got := a.header.Get("X-Vel-Cost"); got != want {
			t.Errorf("it costs %q, want %s\n%s", got, want, a.body)
		}
	}

	o := openOffice(t, "")
	acme, other := o.tenant(t, "acme"), o.tenant(t, "other")
	body := `{"name": "ours", "kind": "openai", "base_url": "` + sim.URL() + `/v1", "api_key": "` + simKey + `", "allow_private": true, ` + fmt.Sprintf(prices, other.org) + `}`
	o.root.do(t, "POST", "/api/providers", json.RawMessage(body)).want(t, http.StatusCreated)
	o.root.create(t, "/api/routes", members{"name": "echo", "targets": []members{{"provider": "ours", "model": "sim-echo"}}})
	for n, want := range map[*tenant]string{acme: "0.5", other: "0.25"} {
		secret := o.root.create(t, "/api/keys", members{"name": n.word(), "organization": n.org})["secret"].(string)
		var a answer
		err := vel.Poll(deadline(t), "the route", func() (bool, error) {
			a = ask(t, request(t, "POST", o.URL+"/v1/chat/completions", secret, chat("echo", "hi", "")))
			return a.status == http.StatusOK, nil
		})
		if got := a.header.Get("X-Vel-Cost"); err != nil || got != want {
			t.Errorf("it costs %q, want %s: %v\n%s", got, want, err, a.body)
		}
	}
	price := read[struct {
		General struct{ USD map[string]string }
		Agreed  []struct {
			Organization struct{ ID, Name string }
			USD          map[string]string
			Source       string
		} `json:"organizations"`
	}](t, o.root.do(t, "GET", "/api/prices?provider=ours&model=sim-echo", nil))
	if len(price.Agreed) != 1 || price.Agreed[0].Organization.ID != other.org || price.Agreed[0].USD["request"] != "0.25" || price.General.USD["request"] != "0.5" {
		t.Errorf("in force is %+v", price)
	}
}

// TestListedPrice: what speaks as Groq has the prices of the list that comes with the program.
func TestListedPrice(t *testing.T) {
	t.Parallel()
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Dialect: simulator.Groq}})
	yaml := strings.ReplaceAll(sim.config(""), "kind: openai", "kind: groq")
	p := vel.Start(t, options(strings.Replace(yaml, "/v1\"", "/openai/v1\"", 1)))
	a := askVel(t, p, chat("openai/gpt-oss-120b", "hi", ""))
	if cost := a.header.Get("X-Vel-Cost"); a.status != 200 || cost == "" || nanos(t, cost) == 0 {
		t.Errorf("status %d, x-vel-cost %q\n%s", a.status, cost, a.body)
	}
}

// TestSimulatedPrices: a gateway without a provider bills its pretend models as its simulator does.
func TestSimulatedPrices(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	key := o.firstKey(t)
	for _, profile := range simulator.Profiles() {
		if profile.Model == "sim-flaky" || profile.Echo {
			continue // not offered
		}
		a := ask(t, request(t, "POST", o.URL+"/v1/chat/completions", key, chat(profile.Model, "[[latency=0s chunks=3]] one two", "")))
		r := recordOf(t, o.Process, a)
		want := profile.Price.Request + (profile.Price.Input*r.TokensIn+profile.Price.Output*r.TokensOut)/1_000_000
		if got := a.header.Get("X-Vel-Cost"); got == "" || nanos(t, got) != want {
			t.Errorf("%s: x-vel-cost %q, want %d nano-dollars", profile.Model, got, want)
		}
	}
}

// TestPriceOfTheDatabase: a provider of the database has its prices among its settings, and a change holds at once.
func TestPriceOfTheDatabase(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	o := openOffice(t, "")
	key := o.firstKey(t)
	body := sim.account("priced")
	body["prices"] = members{"sim-echo": members{"input": "0", "output": "0", "request": "0.5"}}
	at := "/api/providers/" + o.root.create(t, "/api/providers", body)["id"].(string)
	o.root.create(t, "/api/routes", members{"name": "echo", "targets": []members{{"provider": "priced", "model": "sim-echo"}}})
	costs := func(want string) func() bool {
		return func() bool { return o.calls(t, key, "echo").header.Get("X-Vel-Cost") == want }
	}
	soon(t, "the price to hold", costs("0.5"))
	body["prices"] = members{"sim-echo": members{"input": "1e3"}}
	if p := o.root.do(t, "PUT", at, body).problem(t, http.StatusUnprocessableEntity, "invalid"); len(p.Errors) != 1 || p.Errors[0].Location != "body.prices.sim-echo.input" {
		t.Errorf("%+v", p.Errors)
	}
	body["prices"] = members{"sim-echo": members{"input": "0", "output": "0", "request": "0.25"}}
	o.root.do(t, "PUT", at, body).want(t, http.StatusOK)
	soon(t, "the new price to hold", costs("0.25"))
}
