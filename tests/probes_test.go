package tests

import (
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// TestTargetsAreProbed: a target that has failed is found to be back without a single call of a client; until then, probes that fail keep
// it away. Whose provider is not to be probed waits for a call.
func TestTargetsAreProbed(t *testing.T) {
	t.Parallel()
	first, unprobed := simulate(t), simulate(t)
	p := startVel(t, `
defaults: {attempts: 1, breaker: {failures: 5, window: 60s, cooldown: 1s}}
providers:
  probed: {kind: openai, base_url: "`+first.URL()+`/v1", api_key: env:SIM_KEY, allow_private: true, probe: 1s}
  quiet: {kind: openai, base_url: "`+unprobed.URL()+`/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  probed: {targets: [{provider: probed, model: sim-echo}]}
  quiet: {targets: [{provider: quiet, model: sim-echo}]}
`)
	metric := func(name string, labels ...string) float64 {
		m, err := p.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m.Sum(name, labels...)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		if err := vel.Poll(deadline(t), what, func() (bool, error) { return ok(), nil }); err != nil {
			t.Fatal(err)
		}
	}
	for model, sim := range map[string]*simulated{"probed": first, "quiet": unprobed} {
		sim.fail(t, "status=500")
		for range 10 {
			ask(t, request(t, "POST", p.URL+"/v1/chat/completions", shared(t).key, chat(model, "hello", "")))
		}
	}
	if n := metric("vel_breaker_open"); n != 2 {
		t.Fatalf("%v breakers are open, want 2", n)
	}
	asked := unprobed.Stats().Calls
	until("a probe to fail", func() bool { return metric("vel_probes_total", `provider="probed"`, `result="fails"`) >= 2 })
	if n := metric("vel_breaker_open"); n != 2 {
		t.Errorf("%v breakers are open after probes that failed, want 2", n)
	}
	first.fail(t, "")
	unprobed.fail(t, "")
	until("the target to be back", func() bool { return metric("vel_breaker_open") == 1 })
	if n := metric("vel_probes_total", `provider="probed"`, `result="works"`); n != 1 {
		t.Errorf("%v probes have found out that it works, want 1", n)
	}
	if now := unprobed.Stats().Calls; now != asked {
		t.Errorf("the provider that is not to be probed was asked %d times", now-asked)
	}
}
