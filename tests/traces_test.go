package tests

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/collector"
	"github.com/vel-gateway/vel/tests/vel"
)

const clientTrace, clientSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// tracing is a Vel that sends its traces to a collector.
func tracing(t *testing.T, sim *simulated, to *collector.Collector, sample string) *vel.Process {
	t.Helper()
	return vel.Start(t, options(sim.config("")+"otel: {endpoint: \""+to.URL+"\", sample: "+sample+"}\n"))
}

// withParent is the header field of a client that traces.
func withParent(flags string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-"+flags)
		r.Header.Set("Tracestate", "vendor=canary")
	}
}

// spansOf waits until the collector has a call's own span and as many below it.
func spansOf(t *testing.T, c *collector.Collector, id string, attempts int) (call collector.Span, below []collector.Span) {
	t.Helper()
	err := vel.Poll(deadline(t), "the spans of a call", func() (bool, error) {
		for _, s := range c.Spans() {
			if s.Attributes["vel.call.id"] == id {
				call = s
			}
		}
		below = nil
		for _, s := range c.Spans() {
			if call.ID != "" && s.Parent == call.ID {
				below = append(below, s)
			}
		}
		return len(below) == attempts, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return call, below
}

// TestTraces: a call that a client traces is a span of Vel, its attempt one below, and the provider is told of that.
func TestTraces(t *testing.T) {
	t.Parallel()
	sim, to := simulate(t), collector.Start(t)
	p := tracing(t, sim, to, "0")
	for name, more := range map[string]string{"whole": "", "stream": streaming + `,"stream_options":{"include_usage":true}`} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey, chat("sim-echo", "[[id=traced-"+name+"]] "+secretary+" one two", more), withParent("01")))
			if a.status != http.StatusOK {
				t.Fatalf("status %d: %s", a.status, a.body)
			}
			call, attempts := spansOf(t, to, a.header.Get("X-Request-Id"), 1)
			attempt := attempts[0]
			if call.Trace != clientTrace || call.Parent != clientSpan || attempt.Trace != clientTrace || call.Kind.String() != "SPAN_KIND_SERVER" || attempt.Kind.String() != "SPAN_KIND_CLIENT" {
				t.Errorf("call %+v, attempt %+v", call, attempt)
			}
			if got, want := sim.seen(t, "traced-"+name).Header.Get("Traceparent"), "00-"+clientTrace+"-"+attempt.ID+"-01"; got != want {
				t.Errorf("the provider was told %q, want %q", got, want)
			}
			for s, want := range map[*collector.Span]map[string]string{
				&call:    {"http.response.status_code": "200", "vel.route": "sim-echo", "vel.provider": "sim", "vel.attempts": "1"},
				&attempt: {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "sim-echo", "gen_ai.response.model": "sim-echo", "vel.attempt": "1"},
			} {
				for key, value := range want {
					if s.Attributes[key] != value {
						t.Errorf("%s: %s is %q, want %q", s.Name, key, s.Attributes[key], value)
					}
				}
			}
			if attempt.Attributes["gen_ai.usage.input_tokens"] == "" || attempt.Attributes["gen_ai.usage.output_tokens"] == "" || call.Attributes["vel.org.id"] == "" {
				t.Errorf("usage or organization is missing: %v, %v", attempt.Attributes, call.Attributes)
			}
			if call.Resource["service.name"] != "vel" || call.Resource["service.version"] == "" || call.Resource["service.instance.id"] == "" {
				t.Errorf("the process is %v", call.Resource)
			}
		})
	}
	noSecretIn(t, to)
}

// TestTraceSampling: the share decides where no client does, and what is not traced passes as it came.
func TestTraceSampling(t *testing.T) {
	t.Parallel()
	sim, to := simulate(t), collector.Start(t)
	none, all := tracing(t, sim, to, "0"), tracing(t, sim, to, "1")
	post := func(p *vel.Process, id string, edits ...func(*http.Request)) string {
		a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey, chat("sim-echo", "[[id="+id+"]] hi", ""), edits...))
		if a.status != http.StatusOK {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		return a.header.Get("X-Request-Id")
	}
	untraced := []string{post(none, "share-0"), post(all, "quiet", withParent("00"))}
	if got := sim.seen(t, "share-0").Header.Get("Traceparent"); got != "" {
		t.Errorf("a provider was told of a trace that is none: %s", got)
	}
	if h := sim.seen(t, "quiet").Header; h.Get("Traceparent") != "00-"+clientTrace+"-"+clientSpan+"-00" || h.Get("Tracestate") != "vendor=canary" {
		t.Errorf("the client's context became %v", h)
	}
	call, attempts := spansOf(t, to, post(all, "share-1"), 1)
	if call.Parent != "" || !strings.Contains(sim.seen(t, "share-1").Header.Get("Traceparent"), call.Trace+"-"+attempts[0].ID) {
		t.Errorf("the root is %+v", call)
	}
	for _, p := range []*vel.Process{none, all} { // what had to be sent is sent at the stop
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range to.Spans() {
		for _, id := range untraced {
			if s.Attributes["vel.call.id"] == id {
				t.Errorf("%s was traced", id)
			}
		}
	}
}

// TestTraceOfFailedAttempts: every attempt has a span, with what became of it, and no span quotes anybody.
func TestTraceOfFailedAttempts(t *testing.T) {
	t.Parallel()
	bad, good, to := simulate(t), simulate(t), collector.Start(t)
	bad.fail(t, "status=500")
	provider := func(name string, s *simulated) string {
		return "  " + name + ": {kind: openai, base_url: \"" + s.URL() + "/v1\", api_key: env:SIM_KEY, allow_private: true}\n"
	}
	p := startVel(t, "otel: {endpoint: \""+to.URL+"\", sample: 1}\nproviders:\n"+provider("bad", bad)+provider("good", good)+
		"models:\n  two: {targets: [{provider: bad, model: sim-echo}, {provider: good, model: sim-echo}]}\n")
	a := askVel(t, p, chat("two", secretary, ""))
	call, attempts := spansOf(t, to, a.header.Get("X-Request-Id"), 2)
	if a.status != http.StatusOK || call.Failed || call.Attributes["vel.attempts"] != "2" {
		t.Errorf("status %d, call %+v", a.status, call)
	}
	for _, s := range attempts {
		want := map[string][4]string{"bad": {"1", "server", "500", ""}, "good": {"2", "", "200", "1"}}[s.Attributes["vel.provider"]]
		got := [4]string{s.Attributes["vel.attempt"], s.Attributes["error.type"], s.Attributes["http.response.status_code"], s.Attributes["http.request.resend_count"]}
		if got != want || s.Failed != (want[1] != "") {
			t.Errorf("%s: %v, failed %v, want %v", s.Attributes["vel.provider"], got, s.Failed, want)
		}
	}
	noSecretIn(t, to)
}

// TestTraceCollectorHangs: a collector that takes and never answers holds up neither calls nor a stop.
func TestTraceCollectorHangs(t *testing.T) {
	t.Parallel()
	sim, to := simulate(t), collector.Start(t)
	to.Hang()
	p := tracing(t, sim, to, "1")
	for range 20 {
		askVel(t, p, chat("sim-echo", "hi", "")).content(t)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// TestTraceCollectorRefuses: what a collector does not take is lost, counted and logged once.
func TestTraceCollectorRefuses(t *testing.T) {
	t.Parallel()
	sim, to := simulate(t), collector.Start(t)
	to.Status.Store(http.StatusServiceUnavailable)
	p := tracing(t, sim, to, "1")
	askVel(t, p, chat("sim-echo", "hi", "")).content(t)
	err := vel.Poll(deadline(t), "lost spans to be counted", func() (bool, error) {
		m, err := p.Metrics(t.Context())
		return m.Sum("vel_spans_total", `result="failed"`) == 2, err
	})
	if err != nil {
		t.Fatal(err)
	}
	to.Status.Store(0)
	a := askVel(t, p, chat("sim-echo", "hi", ""))
	spansOf(t, to, a.header.Get("X-Request-Id"), 1)
	if _, err := p.Log.Wait(deadline(t), "the collector's return", func(line string) bool { return strings.Contains(line, "traces reach the collector again") }); err != nil {
		t.Error(err)
	}
}

// noSecretIn looks for prompts, keys and header fields in all that a collector got.
func noSecretIn(t *testing.T, to *collector.Collector) {
	t.Helper()
	bodies := to.Bodies()
	if len(bodies) == 0 {
		t.Error("the collector got nothing to look at")
	}
	for _, body := range bodies {
		for _, secret := range []string{secretary, fullKey, narrowKey, simKey, "vendor=canary"} {
			if bytes.Contains(body, []byte(secret)) {
				t.Errorf("a span holds %q", secret)
			}
		}
	}
}
