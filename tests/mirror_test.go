package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// copied waits until a copy can be read.
func copied(t *testing.T, o *office, id string) (c members) {
	t.Helper()
	err := vel.Poll(deadline(t), "the record of a copy", func() (bool, error) {
		a := o.root.do(t, "GET", "/api/calls/"+id, nil)
		if a.status == http.StatusOK {
			c = read[members](t, a)
		}
		return a.status == http.StatusOK, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The copy of a call is found by the call's id, says how the two compare, and is paid by its own budget alone.
func TestCopies(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	file := priced(sim, `sim-echo: {input: "1", output: "1"}, sim-fast: {input: "2", output: "2"}`)
	file = strings.Replace(file, "  sim-echo: {", `  sim-echo: {mirror: {percent: 100, to: {provider: sim, model: sim-fast}, budget: {usd: "0.02", per: total}}, `, 1)
	o := openOffice(t, file)
	a := askVel(t, o.Process, chat("sim-echo", quick, ""))
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	id := a.header.Get("X-Request-Id")
	c := copied(t, o, "mir_"+strings.TrimPrefix(id, "req_"))
	mirror, ok := c["mirror"].(map[string]any)
	if !ok || c["organization"] != "platform" || c["route"] != "mirror of sim-echo" || c["model"] != "sim-fast" || c["class"] != "none" {
		t.Fatalf("%v", c)
	}
	if mirror["of"] != id || mirror["model"] != "sim-echo" || mirror["same_text"] != false || mirror["finish_reason"] != "stop" || mirror["copy_finish_reason"] != "stop" {
		t.Errorf("%v", mirror)
	}
	if cost := mirror["cost_usd"]; cost != a.header.Get("X-Vel-Cost") || c["cost_usd"] == cost {
		t.Errorf("the call cost %v, by its head %s; the copy %v", cost, a.header.Get("X-Vel-Cost"), c["cost_usd"])
	}
	usage := func(org string) []members {
		return read[struct{ Data []members }](t, o.root.do(t, "GET", "/api/usage?by=route&organization="+org, nil).want(t, http.StatusOK)).Data
	}
	whose := mirror["organization"].(string)
	if rows := usage(whose); len(rows) != 1 || rows[0]["route"] != "sim-echo" || rows[0]["calls"] != 1.0 {
		t.Errorf("of the organization: %v", rows)
	}
	if rows := usage("platform"); len(rows) != 1 || rows[0]["route"] != "mirror of sim-echo" || rows[0]["calls"] != 1.0 {
		t.Errorf("of the platform: %v", rows)
	}
	// A copy of such a call is held with more than 0.018 USD, which is not left for long.
	err := vel.Poll(deadline(t), "the budget of copies to end", func() (bool, error) {
		if a := askVel(t, o.Process, chat("sim-echo", "[[latency=0s]] "+strings.Repeat("many words ", 400), `,"max_tokens":9000`)); a.status != http.StatusOK {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		text := string(ask(t, request(t, "GET", o.URL+"/metrics", "", "")).body)
		return strings.Contains(text, `vel_mirrors_total{result="over_budget",route="sim-echo"}`), nil
	})
	if err != nil {
		t.Error(err)
	}
}
