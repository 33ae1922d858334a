package gateway

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func quiet(t testing.TB, changes ...plan) *house {
	return newHouse(t, []func(*asked) bool{wellBehaved}, changes...)
}

func TestPaths(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	key := "Authorization: Bearer " + goodKey
	for name, c := range map[string]struct {
		method, path string
		status       int
		code         string
		allow        string
	}{
		"health":               {"GET", "/healthz", 200, "", ""},
		"readiness":            {"GET", "/readyz", 200, "", ""},
		"models":               {"GET", "/v1/models", 200, "", ""},
		"models, no v1":        {"GET", "/models", 200, "", ""},
		"models, slash":        {"GET", "/v1/models/", 200, "", ""},
		"models, query":        {"GET", "/v1/models?limit=1", 200, "", ""},
		"one model":            {"GET", "/v1/models/m", 200, "", ""},
		"no such model":        {"GET", "/v1/models/%6e%22", 404, "model_not_found", ""},
		"wrong escape":         {"GET", "/v1/models/%zz", 404, "model_not_found", ""},
		"stored calls":         {"GET", "/v1/chat/completions", 200, "", ""},
		"GET a call":           {"GET", "/v1/embeddings", 405, "method_not_allowed", "POST"},
		"files":                {"GET", "/v1/files", 200, "", ""},
		"no list of them":      {"GET", "/v1/uploads", 404, "unknown_url", ""},
		"DELETE all files":     {"DELETE", "/v1/files", 404, "unknown_url", ""},
		"an unknown family":    {"GET", "/v1/fine_tuning/alpha", 501, "unsupported_endpoint", ""},
		"PUT a file":           {"PUT", "/v1/files/file-1", 405, "method_not_allowed", "GET, POST, DELETE"},
		"out of the files":     {"GET", "/v1/files/../models", 404, "unknown_url", ""},
		"out, escaped":         {"GET", "/v1/files/..%2Fmodels", 404, "unknown_url", ""},
		"out, dots escaped":    {"GET", "/v1/files/%2e%2e/models", 404, "unknown_url", ""},
		"an empty id":          {"GET", "/v1/files//content", 404, "unknown_url", ""},
		"a strange deployment": {"POST", "/openai/deployments/%zz/chat/completions", 404, "unknown_url", ""},
		"PUT a call":           {"PUT", "/v1/chat/completions", 405, "method_not_allowed", "POST"},
		"OPTIONS a call":       {"OPTIONS", "/v1/chat/completions", 405, "method_not_allowed", "POST"},
		"POST models":          {"POST", "/v1/models", 405, "method_not_allowed", "GET"},
		"DELETE health":        {"DELETE", "/healthz", 405, "method_not_allowed", "GET"},
		"an odd method":        {"BREW", "/v1/models", 405, "method_not_allowed", "GET"},
		"not served yet":       {"GET", "/v1/realtime?model=x", 501, "unsupported_endpoint", ""},
		"below a call":         {"GET", "/v1/chat/completions/id", 404, "object_not_found", ""},
		"unknown":              {"GET", "/", 404, "unknown_url", ""},
		"a page's name":        {"GET", "/favicon.ico", 404, "unknown_url", ""},
		"a look-alike":         {"POST", "/v1/chat/completionsx", 404, "unknown_url", ""},
		"escaped":              {"POST", "/v1/chat%2fcompletions", 404, "unknown_url", ""},
		"dots":                 {"POST", "/v1/../v1/chat/completions", 404, "unknown_url", ""},
		"two slashes":          {"POST", "//v1/chat/completions", 404, "unknown_url", ""},
		"v1 alone":             {"GET", "/v1", 404, "unknown_url", ""},
		"upper case":           {"GET", "/V1/models", 404, "unknown_url", ""},
		"quotes in the path":   {"GET", "/%22%3Cscript%3E%00%ff", 404, "unknown_url", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := h.get(c.method, c.path, key)
			if g.StatusCode != c.status || g.Header.Get("Allow") != c.allow || g.Header.Get("X-Request-Id") == "" || g.Header.Get("Content-Type") != "application/json" {
				t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
			}
			if c.code == "" && !json.Valid([]byte(g.body)) {
				t.Errorf("body %q is no JSON", g.body)
			} else if c.code != "" && errorOf(t, g.body).code() != c.code {
				t.Errorf("body %s, want the code %s", g.body, c.code)
			}
		})
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	for path, status := range map[string]int{"/healthz": 200, "/v1/models": 200, "/v1/chat/completions": 405, "/nowhere": 404, "/metrics": 200} {
		c := h.dial()
		for range 2 { // a body would be read as the beginning of the second answer
			c.write(request("HEAD", path, "", "Authorization: Bearer "+goodKey))
			if g := c.answerTo("HEAD"); g.StatusCode != status || g.body != "" {
				t.Errorf("%s: status %d, body %q", path, g.StatusCode, g.body)
			}
		}
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	h := quiet(t, func(h *house) { h.routing.Models[`a/"b`] = h.routing.Models["m"] })
	var list struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    int64
			OwnedBy    string `json:"owned_by"`
		}
	}
	g := h.get("GET", "/v1/models", "api-key: "+goodKey)
	if err := json.Unmarshal([]byte(g.body), &list); err != nil || list.Object != "list" || len(list.Data) != 2 {
		t.Fatalf("body %s, error %v", g.body, err)
	}
	for i, id := range []string{`a/"b`, "m"} {
		if d := list.Data[i]; d.ID != id || d.Object != "model" || d.Created != 1 || d.OwnedBy != "p1" {
			t.Errorf("model %+v", d)
		}
	}
	for _, path := range []string{`/v1/models/a/%22b`, `/v1/models/a%2F%22b`} {
		if g := h.get("GET", path, "x-api-key: "+goodKey); g.StatusCode != 200 || !strings.Contains(g.body, `"id":"a/\"b"`) {
			t.Errorf("%s: status %d, body %s", path, g.StatusCode, g.body)
		}
	}
	if g := h.get("GET", "/v1/models", "Authorization: bearer "+narrowKey); g.body != `{"object":"list","data":[]}` {
		t.Errorf("a key that may use none sees %s", g.body)
	}
	if g := h.get("GET", "/v1/models/m", "Authorization: Bearer "+narrowKey); g.StatusCode != 404 {
		t.Errorf("a key that may not use it: status %d", g.StatusCode)
	}
	for _, path := range []string{"/v1/models", "/v1/models/m"} {
		if g := h.get("GET", path); g.StatusCode != 401 {
			t.Errorf("%s without a key: status %d", path, g.StatusCode)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	some := quiet(t, func(h *house) { h.config.Server.CORS.Origins = []string{app} })
	all := quiet(t, func(h *house) { h.config.Server.CORS.Origins = []string{"*"} })
	none := quiet(t)
	ask := func(h *house, origin string) got {
		return h.get("OPTIONS", "/v1/chat/completions", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,x-stainless-os")
	}
	for name, c := range map[string]struct {
		h       *house
		origin  string
		allowed bool
	}{
		"its origin": {some, app, true}, "another": {some, "https://evil.example.com", false}, "a longer one": {some, app + ".evil.com", false},
		"any": {all, "https://evil.example.com", true}, "not configured": {none, app, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := ask(c.h, c.origin)
			if allowed := g.Header.Get("Access-Control-Allow-Origin") == c.origin; allowed != c.allowed || c.allowed != (g.StatusCode == 204) {
				t.Errorf("preflight: status %d, head %v", g.StatusCode, g.Header)
			}
			if c.allowed && g.Header.Get("Access-Control-Allow-Headers") != "authorization,x-stainless-os" {
				t.Errorf("preflight: head %v", g.Header)
			}
			if g.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are let in")
			}
			for what, g := range map[string]got{
				"answer": c.h.call(chatBody, "Origin: "+c.origin), "refusal": c.h.call("x", "Origin: "+c.origin), "unknown": c.h.get("GET", "/x", "Origin: "+c.origin),
				"early": c.h.get("POST", "/v1/chat/completions", "Origin: "+c.origin, "Content-Length: 900000000"),
			} {
				if allowed := g.Header.Get("Access-Control-Allow-Origin") == c.origin; allowed != c.allowed {
					t.Errorf("%s: head %v", what, g.Header)
				}
				if c.h != none && g.Header.Get("Vary") != "Origin" {
					t.Errorf("%s: a cache may serve it to another origin", what)
				}
			}
		})
	}
}

func TestMetricsOnlyFromHere(t *testing.T) {
	t.Parallel()
	trusting := func(networks ...string) plan {
		return func(h *house) {
			for _, n := range networks {
				h.config.Server.TrustedProxies = append(h.config.Server.TrustedProxies, netip.MustParsePrefix(n))
			}
		}
	}
	plain, behind, chain := quiet(t), quiet(t, trusting("127.0.0.0/8")), quiet(t, trusting("127.0.0.1/32", "10.0.0.0/8"))
	for name, c := range map[string]struct {
		h      *house
		fields []string
		client string
		open   bool
	}{
		"direct":                        {plain, nil, "127.0.0.1", true},
		"the field of nobody we trust":  {plain, []string{"X-Forwarded-For: 203.0.113.9"}, "127.0.0.1", true},
		"a trusted proxy":               {behind, []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9", false},
		"a forged first hop":            {behind, []string{"X-Forwarded-For: 127.0.0.1, 203.0.113.9"}, "203.0.113.9", false},
		"a forged line of its own":      {behind, []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9"}, "203.0.113.9", false},
		"two proxies":                   {chain, []string{"X-Forwarded-For: 127.0.0.1, 203.0.113.9, 10.1.2.3"}, "203.0.113.9", false},
		"two proxies on two lines":      {chain, []string{"X-Forwarded-For: 127.0.0.1,203.0.113.9", "X-Forwarded-For: 10.1.2.3"}, "203.0.113.9", false},
		"nonsense behind a trusted one": {behind, []string{"X-Forwarded-For: 127.0.0.2, unknown"}, "127.0.0.1", true},
		"no field":                      {behind, nil, "127.0.0.1", true},
		"an IPv6 client":                {behind, []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := c.h.get("GET", "/metrics", c.fields...)
			if open := g.StatusCode == http.StatusOK; open != c.open || open != strings.Contains(g.body, "# TYPE vel_open_streams gauge") {
				t.Errorf("status %d, %d bytes", g.StatusCode, len(g.body))
			}
			fields := append([]string{"User-Agent: " + name}, c.fields...)
			c.h.call("x", fields...)
			eventually(t, "the line of log", func() bool {
				for _, line := range c.h.log.lines(t, "call") {
					if line["agent"] == name {
						if line["client"] != c.client {
							t.Errorf("client %v, want %s", line["client"], c.client)
						}
						return true
					}
				}
				return false
			})
		})
	}
}

func TestAdminListen(t *testing.T) {
	t.Parallel()
	h := quiet(t, func(h *house) { h.config.AdminListen = "127.0.0.1:0" })
	if g := h.get("GET", "/metrics"); g.StatusCode != 404 {
		t.Errorf("metrics on the data plane's port: status %d", g.StatusCode)
	}
	if g := h.get("GET", "/healthz"); g.StatusCode != 200 {
		t.Errorf("health on the data plane's port: status %d", g.StatusCode)
	}
	for path, status := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/v1/models": 404, "/v1/chat/completions": 404, "/": 404} {
		r, err := http.Get("http://" + h.AdminAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != status {
			t.Errorf("%s on the second port: status %d, want %d", path, r.StatusCode, status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if quiet(t).AdminAddr().IsValid() {
		t.Error("a second port where none is configured")
	}
}

// A stop that comes before fasthttp has begun to serve must not wait for ever. Each house is stopped at once by the
// end of its test.
func TestStopRightAfterStart(t *testing.T) {
	t.Parallel()
	for range 20 {
		t.Run("", func(t *testing.T) { quiet(t, func(h *house) { h.config.AdminListen = "127.0.0.1:0" }) })
	}
}
