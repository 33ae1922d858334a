package tests

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// gauge waits until the sum of a metric's series is as it should be.
func gauge(t *testing.T, p *vel.Process, want float64, metric string, labels ...string) {
	t.Helper()
	var got float64
	err := vel.Poll(deadline(t), metric, func() (bool, error) {
		m, err := p.Metrics(t.Context())
		got = m.Sum(metric, labels...)
		return m.Has(metric) && got == want, err
	})
	if err != nil {
		t.Errorf("%s %v is %v, want %v: %v", metric, labels, got, want, err)
	}
}

// TestTargetGauges: the targets of a route are ready or away, and what went elsewhere is counted where it went.
func TestTargetGauges(t *testing.T) {
	t.Parallel()
	w := watch(t)
	ready, away := `state="ready"`, `state="away"`
	gauge(t, w.p, 2, "vel_route_targets", `route="two"`, ready)
	gauge(t, w.p, 0, "vel_route_targets", `route="two"`, away)
	const calls = 10 // of which all fail at the first target: that opens its breaker
	for range calls {
		askVel(t, w.p, chat("two", "hi", ""))
	}
	gauge(t, w.p, 1, "vel_route_targets", `route="two"`, away)
	gauge(t, w.p, 1, "vel_route_targets", `route="two"`, ready)
	gauge(t, w.p, 0, "vel_route_targets", `route="alone"`, ready)
	gauge(t, w.p, calls, "vel_fallbacks_total", `route="two"`, `provider="good"`)
	gauge(t, w.p, calls, "vel_attempt_seconds_count", `provider="bad"`, `outcome="overloaded"`)
	gauge(t, w.p, calls, "vel_attempt_seconds_count", `provider="good"`, `outcome="answered"`)
	gauge(t, w.p, 0, "vel_calls_in_flight")
}

// TestRepeatGauge: the same target again is no fallback.
func TestRepeatGauge(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := startVel(t, "defaults: {backoff: [1ms]}\nproviders:\n  sim: {kind: openai, base_url: \""+sim.URL()+"/v1\", api_key: env:SIM_KEY, allow_private: true}\n"+
		"models:\n  sim-echo: {targets: [{provider: sim}]}\n")
	askVel(t, p, chat("sim-echo", "[[status=503 fail=2 id=repeats]] hi", "")).content(t)
	gauge(t, p, 2, "vel_repeats_total", `route="sim-echo"`, `provider="sim"`)
	m, err := p.Metrics(t.Context())
	if err != nil || m.Has("vel_fallbacks_total") {
		t.Errorf("a fallback is counted, error %v", err)
	}
}

// TestConfigGauge: a file that can not be loaded is an alarm until one can.
func TestConfigGauge(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	gauge(t, p, 0, "vel_config_stale")
	for _, step := range []struct {
		file  string
		stale float64
	}{{"models: nonsense\n", 1}, {sim.config(", drain: 20s"), 0}} {
		if err := p.WriteConfig(step.file); err != nil {
			t.Fatal(err)
		}
		gauge(t, p, step.stale, "vel_config_stale")
	}
	m, err := p.Metrics(t.Context())
	if at := m.Sum("vel_config_loaded_timestamp_seconds"); err != nil || at > float64(time.Now().Unix()+1) || at == 0 {
		t.Errorf("loaded at %v, error %v", at, err)
	}
}

// TestCertificateGauge: it shows the end of the certificate in use.
func TestCertificateGauge(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p, _ := secureVel(t, a, simulate(t))
	m, err := p.Metrics(t.Context())
	if left := m.Sum("vel_certificate_expires_timestamp_seconds") - float64(time.Now().Unix()); err != nil || left < 1 || left > 400*86400 {
		t.Errorf("%v seconds are left, error %v", left, err)
	}
}
