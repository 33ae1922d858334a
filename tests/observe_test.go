package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, method := range []string{"GET", "HEAD"} {
			if a := ask(t, request(t, method, w.vel.URL+path, "", "")); a.status != 200 {
				t.Errorf("%s %s: status %d", method, path, a.status)
			}
		}
	}
}

// TestMetrics makes a few calls and checks that each is counted where it belongs.
func TestMetrics(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	for range 3 {
		askVel(t, p, chat("sim-echo", "one two three", "")).content(t)
	}
	askStream(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey,
		chat("sim-echo", "one two three", streaming+`,"stream_options":{"include_usage":true}`))).whole(t)
	askVel(t, p, chat("sim-echo", "[[status=400]]", "")).wantError(t, 400, "")
	askVel(t, p, chat("sim-echo", "[[status=500]]", "")).readError(t)
	askVel(t, p, chat("nobody", "hi", "")).wantError(t, 404, "")
	var m vel.Metrics
	route, provider, upstream := `route="sim-echo"`, `provider="sim"`, `model="sim-echo"`
	err := vel.Poll(deadline(t), "all calls to be counted", func() (ok bool, err error) {
		m, err = p.Metrics(t.Context())
		return m.Sum("vel_calls_total", route) == 6, err // settled behind the answer, so a moment later
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ got, want float64 }{
		"good calls":          {m.Sum("vel_calls_total", route, provider, upstream, `status="2xx"`), 4},
		"refused calls":       {m.Sum("vel_calls_total", route, `status="4xx"`), 1},
		"failed calls":        {m.Sum("vel_calls_total", route, `status="5xx"`), 1},
		"latencies":           {m.Sum("vel_call_seconds_count"), m.Sum("vel_calls_total")},
		"first tokens":        {m.Sum("vel_first_token_seconds_count", route), 4},
		"attempts":            {m.Sum("vel_attempts_total", provider, upstream), 6},
		"open streams":        {m.Sum("vel_open_streams"), 0},
		"tokens in":           {m.Sum("vel_tokens_total", route, `kind="input"`), float64(sim.Stats().ByModel["sim-echo"].PromptTokens)},
		"tokens out":          {m.Sum("vel_tokens_total", route, `kind="output"`), float64(sim.Stats().ByModel["sim-echo"].CompletionTokens)},
		"breakers, none open": {m.Sum("vel_breaker_open"), 0},
	} {
		if want.got != want.want {
			t.Errorf("%s: %v, want %v", name, want.got, want.want)
		}
	}
	if m.Sum("vel_upstream_errors_total", provider) < 1 {
		t.Error("the provider's failure is not counted")
	}
	for _, name := range []string{"vel_open_connections", "go_goroutines", "process_open_fds"} {
		if !m.Has(name) {
			t.Errorf("no metric %s", name)
		}
	}
	for name := range m {
		if strings.Contains(name, "nobody") || strings.Contains(name, "acme") || strings.Contains(name, "full") {
			t.Errorf("a label that a client chooses, or one per tenant: %s", name)
		}
	}
}

func TestOpenStreamsGauge(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	var open []*socket
	for range 5 {
		x := dial(t, p.Addr())
		x.write(t, w.raw(chat("sim-fast", "[[latency=0s chunks=10 stall=3]] hi", streaming)))
		if _, err := x.in.Peek(100); err != nil {
			t.Fatal(err)
		}
		open = append(open, x)
	}
	count := func(want float64) {
		t.Helper()
		err := vel.Poll(deadline(t), "the gauge of open streams", func() (bool, error) {
			m, err := p.Metrics(t.Context())
			return m.Sum("vel_open_streams") == want, err
		})
		if err != nil {
			t.Errorf("want %v open streams: %v", want, err)
		}
	}
	count(5)
	for _, x := range open {
		_ = x.conn.Close()
	}
	count(0)
}

// TestAccessLog checks the one line that every call leaves, and that no prompt and no answer stand in it.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	cases := []struct {
		name, key, body string
		want            vel.Record
	}{
		{"whole", fullKey, chat("sim-echo", secretary+" one two", ""), vel.Record{Route: "sim-echo", Provider: "sim", Model: "sim-echo", Status: 200, Attempts: 1}},
		{
			"stream", fullKey, chat("sim-echo", secretary+" one two", streaming+`,"stream_options":{"include_usage":true}`),
			vel.Record{Route: "sim-echo", Provider: "sim", Model: "sim-echo", Status: 200, Stream: true, Attempts: 1},
		},
		{
			"provider fails", fullKey, chat("sim-echo", "[[status=422]] "+secretary, ""),
			vel.Record{Route: "sim-echo", Provider: "sim", Model: "sim-echo", Status: 422, Attempts: 1},
		},
		{"not allowed", narrowKey, chat("sim-echo", secretary, ""), vel.Record{Status: 403}},
		{"unknown model", fullKey, chat("nobody", secretary, ""), vel.Record{Status: 404}},
		{"bad JSON", fullKey, `{"model":"sim-echo","messages":"` + secretary, vel.Record{Status: 400}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", c.key, c.body))
			if a.status != c.want.Status {
				t.Fatalf("status %d, want %d\n%s", a.status, c.want.Status, a.body)
			}
			r, err := p.Log.Call(deadline(t), a.header.Get("X-Request-Id"))
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != c.want.Status || r.Stream != c.want.Stream || r.Attempts != c.want.Attempts ||
				r.Provider != c.want.Provider || r.Model != c.want.Model || c.want.Route != "" && r.Route != c.want.Route {
				t.Errorf("logged %+v, want %+v", r, c.want)
			}
			if r.Key == "" || r.Org == "" || r.TotalMS == nil {
				t.Errorf("the line lacks key, org or total_ms: %+v", r)
			}
			if c.want.Status == 200 && (r.TokensIn == 0 || r.TokensOut == 0 || r.FirstTokenMS == nil) {
				t.Errorf("the line lacks tokens or first_token_ms: %+v", r)
			}
			if c.want.Status != 200 && r.Class == "" {
				t.Errorf("a failed call without class: %+v", r)
			}
		})
	}
}

// TestTrustedProxies: X-Forwarded-For is believed from the configured networks only.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for networks, want := range map[string]string{"127.0.0.0/8": "192.0.2.7", "10.0.0.0/8": "127.0.0.1"} {
		sim := simulate(t)
		p := vel.Start(t, options(sim.config(", trusted_proxies: ["+networks+"]")))
		a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey, chat("sim-echo", "hi", ""),
			func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") }))
		r, err := p.Log.Call(deadline(t), a.header.Get("X-Request-Id"))
		if err != nil || r.Client != want {
			t.Errorf("behind %s the client is %q, want %q (%v)", networks, r.Client, want, err)
		}
	}
}

// TestLogIsJSON: every line of the log is one JSON object, also those of a broken client and of a failing provider.
func TestLogIsJSON(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	dial(t, p.Addr()).send(t, "GET / HTTP/1.1\r\nAuthorization: Bearer "+fullKey+"\r\nbroken line\r\n\r\n")
	askVel(t, p, chat("sim-echo", "[[die=0]] "+secretary, "")).readError(t)
	last := askVel(t, p, chat("sim-echo", secretary, "")).header.Get("X-Request-Id")
	if _, err := p.Log.Call(deadline(t), last); err != nil {
		t.Fatal(err)
	}
	for _, line := range p.Log.Lines() {
		if !json.Valid([]byte(line)) || !strings.HasPrefix(line, "{") {
			t.Errorf("not a JSON line: %s", line)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config(`, cors: {origins: ["https://app.example.com"]}`)))
	preflight := func(origin string) answer {
		return ask(t, request(t, "OPTIONS", p.URL+"/v1/chat/completions", "", "", func(r *http.Request) {
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-stainless-lang")
		}))
	}
	good := preflight("https://app.example.com")
	if good.status != 204 && good.status != 200 {
		t.Errorf("preflight: status %d", good.status)
	}
	for field, want := range map[string]string{"Allow-Origin": "https://app.example.com", "Allow-Methods": "post", "Allow-Headers": "authorization"} {
		if got := good.header.Get("Access-Control-" + field); !strings.Contains(strings.ToLower(got), want) && got != "*" {
			t.Errorf("preflight: Access-Control-%s is %q", field, got)
		}
	}
	if !strings.Contains(good.header.Get("Access-Control-Allow-Headers"), "x-stainless-lang") && good.header.Get("Access-Control-Allow-Headers") != "*" {
		t.Error("the SDK's own headers are not allowed")
	}
	if bad := preflight("https://evil.example.com"); bad.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger's page was allowed: %v", bad.header)
	}
	for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example.com": ""} {
		for _, more := range []string{"", streaming} {
			a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey, chat("sim-echo", "hi", more), func(r *http.Request) { r.Header.Set("Origin", origin) }))
			if got := a.header.Get("Access-Control-Allow-Origin"); a.status != 200 || got != want {
				t.Errorf("%s: status %d with Access-Control-Allow-Origin %q, want %q", origin, a.status, got, want)
			}
			if want != "" && !strings.Contains(strings.ToLower(a.header.Get("Access-Control-Expose-Headers")), "x-request-id") {
				t.Error("x-request-id is not exposed to pages")
			}
		}
	}
	refused := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", "sk-nobody-0123456789012345", chat("sim-echo", "hi", ""),
		func(r *http.Request) { r.Header.Set("Origin", "https://app.example.com") }))
	refused.wantError(t, 401, "")
	if refused.header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("a page can not read its error")
	}
}

// TestPlainOptions: without a configured origin OPTIONS is a method like any other wrong one.
func TestPlainOptions(t *testing.T) {
	t.Parallel()
	w := shared(t)
	ask(t, request(t, "OPTIONS", w.vel.URL+"/v1/chat/completions", w.key, "")).wantError(t, 405, "")
}
