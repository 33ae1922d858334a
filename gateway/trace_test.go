package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tasks"
)

const (
	clientTrace   = "0af7651916cd43dd8448eb211c80319c"
	clientSpan    = "b7ad6b7169203331"
	sampledParent = "00-" + clientTrace + "-" + clientSpan + "-01"
	quietParent   = "00-" + clientTrace + "-" + clientSpan + "-00"
)

// traced makes a house trace a share of its calls, and gives the spans that ended.
func traced(share float64) (plan, *tracetest.SpanRecorder) {
	ended := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(ended))
	return func(h *house) {
		h.before = append(h.before, func(s *Server) { s.pipe.Trace(provider.Tracer("test"), share) })
	}, ended
}

// told are a span's attributes as text.
func told(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// wants checks that a span says this; "" stands for nothing.
func wants(t *testing.T, s sdktrace.ReadOnlySpan, want map[string]string) {
	t.Helper()
	got := told(s)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s: %s is %q, want %q", s.Name(), name, got[name], want[name])
		}
	}
}

// spans waits for the spans of one call: its own, and those of its attempts in their order.
func spans(t *testing.T, ended *tracetest.SpanRecorder) (call sdktrace.ReadOnlySpan, attempts []sdktrace.ReadOnlySpan) {
	t.Helper()
	isCall := func(s sdktrace.ReadOnlySpan) bool { return s.SpanKind() == trace.SpanKindServer }
	eventually(t, "the span of the call ended", func() bool { return slices.ContainsFunc(ended.Ended(), isCall) })
	for _, s := range ended.Ended() {
		if isCall(s) {
			call = s
		} else {
			attempts = append(attempts, s)
		}
	}
	for _, s := range attempts {
		if s.Parent().SpanID() != call.SpanContext().SpanID() || s.SpanContext().TraceID() != call.SpanContext().TraceID() || s.SpanKind() != trace.SpanKindClient {
			t.Errorf("%s is not a client's span below the call's", s.Name())
		}
		if s.StartTime().Before(call.StartTime()) || s.EndTime().After(call.EndTime()) {
			t.Errorf("%s is not within the call's span", s.Name())
		}
	}
	return call, attempts
}

// heads is a script that tells what head each request had, and answers.
func heads(seen chan<- http.Header, answer string) func(*asked) bool {
	return func(a *asked) bool {
		seen <- a.http.Header
		a.send(answer)
		return true
	}
}

// A call is one span, each of its attempts one below it, and each provider is told of the attempt at it.
func TestTraceOfFallback(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 2)
	trace, ended := traced(0)
	answered := strings.Replace(completion, `"id":"1"`, `"id":"1","model":"upstream-model-2026-11-01"`, 1)
	h := newHouse(t, []func(*asked) bool{heads(seen, jsonAnswer(500, `{"error":{"message":"no `+ourSecret+`","type":"t"}}`)), heads(seen, jsonAnswer(200, answered))}, trace, priced)
	g := h.call(chatBody, "Traceparent: "+sampledParent, "Tracestate: vendor=1")
	if g.StatusCode != http.StatusOK {
		t.Fatalf("status %d", g.StatusCode)
	}
	call, attempts := spans(t, ended)
	if len(attempts) != 2 {
		t.Fatalf("%d attempts have spans, want 2", len(attempts))
	}
	if call.SpanContext().TraceID().String() != clientTrace || call.Parent().SpanID().String() != clientSpan || !call.Parent().IsRemote() {
		t.Errorf("the call's parent is %+v", call.Parent())
	}
	for i, s := range attempts {
		head := within(t, "an attempt", seen)
		if want := "00-" + clientTrace + "-" + s.SpanContext().SpanID().String() + "-01"; !slices.Equal(head.Values("Traceparent"), []string{want}) || head.Get("Tracestate") != "vendor=1" {
			t.Errorf("attempt %d: the provider was told %v", i+1, head)
		}
	}
	wants(t, call, map[string]string{
		"http.request.method": "POST", "http.route": "chat/completions", "http.response.status_code": "200", "error.type": "",
		"vel.call.id": g.Header.Get("X-Request-Id"), "vel.org.id": "org", "vel.route": "m", "vel.provider": "p2", "vel.attempts": "2",
	})
	wants(t, attempts[0], map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "upstream-model", "gen_ai.usage.input_tokens": "",
		"server.address": "127.0.0.1", "http.response.status_code": "500", "http.request.resend_count": "", "error.type": "server", "vel.provider": "p1", "vel.attempt": "1", "vel.sent": "true",
	})
	wants(t, attempts[1], map[string]string{
		"gen_ai.response.model": "upstream-model-2026-11-01", "gen_ai.usage.input_tokens": "3", "gen_ai.usage.output_tokens": "5", "gen_ai.response.time_to_first_chunk": "",
		"http.response.status_code": "200", "http.request.resend_count": "1", "error.type": "", "vel.provider": "p2", "vel.attempt": "2",
	})
	if attempts[0].Name() != "chat upstream-model" || call.Name() != "POST chat/completions" {
		t.Errorf("named %q and %q", call.Name(), attempts[0].Name())
	}
}

func TestTraceOfStream(t *testing.T) {
	t.Parallel()
	trace, ended := traced(1)
	named := strings.Replace(piece, `"id":"1"`, `"id":"1","model":"upstream-model"`, 1)
	h := newHouse(t, []func(*asked) bool{answers(streamHead + chunk(named+finish+done) + lastChunk)}, trace)
	h.call(streamBody)
	call, attempts := spans(t, ended)
	if call.Parent().IsValid() {
		t.Errorf("a parent that nobody has: %+v", call.Parent())
	}
	wants(t, attempts[0], map[string]string{"gen_ai.request.stream": "true", "gen_ai.response.model": "upstream-model", "http.response.status_code": "200"})
	if told(attempts[0])["gen_ai.response.time_to_first_chunk"] == "" {
		t.Error("it is not told when the first event came")
	}
}

// What was cut off, and what was never sent, is an error of the spans where it is one of the server.
func TestTraceOfFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script        func(*asked) bool
		body          string
		class, status string
		failed        bool // the call's span
	}{
		"broken off":    {func(a *asked) bool { a.send(streamHead + chunk(piece)); return false }, streamBody, "truncated", "200", true},
		"at fault":      {answers(jsonAnswer(422, `{"error":{"message":"odd","type":"t"}}`)), chatBody, "invalid", "422", false},
		"no such route": {answers(""), strings.Replace(chatBody, `"m"`, `"canary-model"`, 1), "invalid", "404", false},
		"down":          {func(*asked) bool { return false }, chatBody, "reset", "502", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace, ended := traced(1)
			h := newHouse(t, []func(*asked) bool{c.script}, trace)
			h.call(c.body)
			call, attempts := spans(t, ended)
			wants(t, call, map[string]string{"error.type": c.class, "http.response.status_code": c.status})
			if failed := call.Status().Code.String() == "Error"; failed != c.failed {
				t.Errorf("the call's span has failed: %v, want %v", failed, c.failed)
			}
			for _, s := range attempts {
				wants(t, s, map[string]string{"error.type": c.class})
				if s.Status().Code.String() != "Error" {
					t.Errorf("the attempt's span says %v", s.Status())
				}
			}
		})
	}
}

// The client decides about a trace of its own, the share about others; what is not traced passes as it came.
func TestTraceSampling(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off     bool
		share   float64
		field   string
		traced  bool
		outside string // what the provider sees of an untraced call
	}{
		"off":                       {off: true, field: sampledParent, outside: sampledParent},
		"off, none":                 {off: true},
		"share 0":                   {},
		"share 1":                   {share: 1, traced: true},
		"share 0, client samples":   {field: sampledParent, traced: true},
		"share 1, client does not":  {share: 1, field: quietParent, outside: quietParent},
		"share 0, no context":       {field: "nonsense", outside: "nonsense"},
		"share 1, no context":       {share: 1, field: "nonsense", traced: true},
		"share 1, the null context": {share: 1, field: "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", traced: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan http.Header, 1)
			trace, ended := traced(c.share)
			if c.off {
				trace = func(*house) {}
			}
			h := newHouse(t, []func(*asked) bool{heads(seen, jsonAnswer(200, completion))}, trace)
			fields := []string{"Tracestate: vendor=1"}
			if c.field != "" {
				fields = append(fields, "Traceparent: "+c.field)
			}
			h.call(chatBody, fields...)
			h.settled(1)
			head := within(t, "the request", seen)
			if !c.traced {
				if n := len(ended.Started()); n != 0 || head.Get("Traceparent") != c.outside || head.Get("Tracestate") != "vendor=1" {
					t.Errorf("%d spans, the provider was told %v", n, head)
				}
				return
			}
			call, attempts := spans(t, ended)
			ours := strings.HasPrefix(head.Get("Traceparent"), "00-"+call.SpanContext().TraceID().String()+"-"+attempts[0].SpanContext().SpanID().String())
			state := "vendor=1"
			if c.field != sampledParent {
				state = "" // it is of a trace that this is not
			}
			if !ours || head.Get("Tracestate") != state {
				t.Errorf("the provider was told %v", head)
			}
		})
	}
}

// Who has no key makes no spans.
func TestStrangersAreNotTraced(t *testing.T) {
	t.Parallel()
	trace, ended := traced(1)
	h := quiet(t, trace)
	c := h.dial()
	c.write(request("POST", "/v1/chat/completions", chatBody, "Authorization: Bearer sk-nobody", "Traceparent: "+sampledParent))
	if g := c.answer(); g.StatusCode != http.StatusUnauthorized || len(ended.Started()) != 0 {
		t.Errorf("status %d, %d spans", g.StatusCode, len(ended.Started()))
	}
}

// No span quotes a prompt, an answer, a key or a field, whatever a provider says.
func TestSpansQuoteNobody(t *testing.T) {
	t.Parallel()
	const canary = "canary-0123456789"
	bad := `{"error":{"message":"you said ` + canary + ` with ` + ourSecret + `","type":"` + canary + `","code":"` + canary + `"}}`
	good := strings.Replace(strings.Replace(completion, `"id":"1"`, `"id":"1","model":"canary 0123456789 is no name"`, 1), "hello", canary, 1)
	trace, ended := traced(1)
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(500, bad, "X-Request-Id: "+canary)), answers(jsonAnswer(200, good, "X-Request-Id: "+canary))}, trace)
	h.call(strings.Replace(chatBody, "hi", canary, 1), "X-Other: "+canary, "Idempotency-Key: "+canary, "User-Agent: "+canary)
	_, attempts := spans(t, ended)
	if len(attempts) != 2 {
		t.Fatalf("%d attempts", len(attempts))
	}
	for _, s := range ended.Ended() {
		text := fmt.Sprint(s.Name(), s.Status(), told(s), s.Events(), s.Links())
		for _, secret := range []string{"canary", ourSecret, goodKey} {
			if strings.Contains(text, secret) {
				t.Errorf("a span holds %q: %s", secret, text)
			}
		}
	}
}

// A sample of a traced call leads to its trace.
func TestExemplars(t *testing.T) {
	t.Parallel()
	trace, ended := traced(1)
	h := quiet(t, trace)
	h.call(chatBody)
	call, _ := spans(t, ended)
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, b := range m.GetHistogram().GetBucket() {
				if e := b.GetExemplar(); e != nil && e.Label[0].GetName() == "trace_id" && e.Label[0].GetValue() == call.SpanContext().TraceID().String() {
					found[f.GetName()] = true
				}
			}
		}
	}
	if !found["vel_call_seconds"] || !found["vel_first_token_seconds"] {
		t.Errorf("exemplars are on %v", found)
	}
	open := h.get("GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0").body
	if !strings.Contains(open, `# {trace_id="`+call.SpanContext().TraceID().String()+`"}`) || !strings.HasSuffix(open, "# EOF\n") {
		t.Error("OpenMetrics does not show them")
	}
}

func TestParseParent(t *testing.T) {
	t.Parallel()
	for text, sampled := range map[string]bool{
		sampledParent: true, quietParent: false, "00-" + clientTrace + "-" + clientSpan + "-ff": true,
		"cc-" + clientTrace + "-" + clientSpan + "-01": true, "cc-" + clientTrace + "-" + clientSpan + "-01-what-comes-later": true,
	} {
		p := parseParent(text)
		if !p.IsValid() || !p.IsRemote() || p.IsSampled() != sampled || p.TraceID().String() != clientTrace || p.SpanID().String() != clientSpan {
			t.Errorf("%s is read as %+v", text, p)
		}
	}
	for _, text := range []string{
		"", "00", sampledParent[:54], sampledParent + "-", sampledParent + "0", "ff" + sampledParent[2:], "cc" + sampledParent[2:] + "x", strings.ToUpper(sampledParent),
		"0g" + sampledParent[2:], sampledParent[:53] + "0g", strings.Replace(sampledParent, "-", "_", 1), sampledParent[:35] + "_" + sampledParent[36:],
		sampledParent[:52] + "_01", "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", "00-" + clientTrace + "-" + strings.Repeat("0", 16) + "-01",
	} {
		if p := parseParent(text); p.IsValid() {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
}

// FuzzParseParent: whatever a client sends, what is read is what the standard allows, and is written the same again.
func FuzzParseParent(f *testing.F) {
	f.Add(sampledParent)
	f.Add("cc-" + clientTrace + "-" + clientSpan + "-01-more")
	f.Fuzz(func(t *testing.T, text string) {
		p := parseParent(text)
		if p.IsValid() && !strings.HasPrefix(text[2:], "-"+p.TraceID().String()+"-"+p.SpanID().String()+"-") {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}

// untraced is a call as it stands before the pipeline asks whether to trace it.
func untraced(fields ...adapters.Field) *Call {
	c := &Call{ID: "req_1", Passed: fields, Content: adapters.Content{Endpoint: adapters.ChatCompletions, Method: "POST"}}
	return c
}

// pass takes a call to every place where a span could be written to.
func pass(p *Pipeline, c *Call) {
	_ = p.trace(c)
	p.traceAttempt(c)
	c.request.Header = c.span.outgoing(c.request.Header)
	c.span.answering(c)
	c.span.attempted(c, adapters.ClassNone, 0)
	_ = c.span.ended(c)
}

// tracers are pipelines that do not trace the call that is given with them.
func tracers() map[string]*Pipeline {
	spans := sdktrace.NewTracerProvider().Tracer("test")
	unsampled := &Pipeline{}
	unsampled.Trace(spans, 0)
	return map[string]*Pipeline{"off": {}, "not sampled": unsampled}
}

// A call that is not traced costs no memory.
func TestUntracedAllocatesNothing(t *testing.T) {
	for name, p := range tracers() {
		for _, c := range []*Call{untraced(), untraced(adapters.Field{Name: fieldTraceparent, Value: quietParent})} {
			if n := testing.AllocsPerRun(1000, func() { pass(p, c) }); n != 0 {
				t.Errorf("%s, with %d fields: %v allocations", name, len(c.Passed), n)
			}
		}
	}
}

func BenchmarkTrace(b *testing.B) {
	for name, p := range tracers() {
		c := untraced(adapters.Field{Name: fieldTraceparent, Value: quietParent})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pass(p, c)
			}
		})
	}
	plan, _ := traced(1)
	b.Run("a whole call, sampled", func(b *testing.B) {
		h := quiet(b, toRaw(rawBackend(b, jsonAnswer(200, completion))), plan)
		r := &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(chatBody)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.pipe.Execute(b.Context(), r, func([]byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
