package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Where a mounted path begins and ends, by the exact bytes of the request line.
func TestMountedPaths(t *testing.T) {
	t.Parallel()
	mounted := func(h *house) {
		for _, prefix := range []string{"/api", "/dashboard"} {
			h.before = append(h.before, func(s *Server) {
				s.Mount(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%s %s", prefix, r.URL.Path) }))
			})
		}
	}
	one := quiet(t, mounted)
	two := quiet(t, mounted, func(h *house) { h.config.AdminListen = "127.0.0.1:0" })
	for path, want := range map[string]string{
		"/api": "/api /api", "/api/": "/api /api/", "/api?a=/x": "/api /api", "/api/keys": "/api /api/keys", "/api//keys": "/api /api//keys",
		"/dashboard/costs": "/dashboard /dashboard/costs", "/api/v1/chat/completions": "/api /api/v1/chat/completions",
		"/api/%2e%2e/v1/models": "/api /api/../v1/models", "/api/../v1/models": "/api /api/../v1/models", "/api/metrics": "/api /api/metrics",
		"/apiary": "", "/api%2fkeys": "", "/API/keys": "", "//api/keys": "", "/v1/api": "", "/dashboards": "", "/x/../api/keys": "",
		"/chat/completionsx": "", "/openai/api/keys": "",
	} {
		for where, g := range map[string]got{"one port": one.get("GET", path), "two ports": two.admin(path)} {
			if want != "" && (g.StatusCode != 200 || g.body != want) || want == "" && g.StatusCode != 404 {
				t.Errorf("%s, %s: status %d, body %s", path, where, g.StatusCode, g.body)
			}
		}
		if g := two.get("GET", path); g.StatusCode != 404 || errorOf(t, g.body).code() != "unknown_url" {
			t.Errorf("%s on the data plane's port: status %d, body %s", path, g.StatusCode, g.body)
		}
	}
	for _, path := range []string{"/v1/chat/completions", "/chat/completions"} {
		if g := one.outright("POST", path, chatBody); g.StatusCode != 200 || g.body != completion {
			t.Errorf("%s: status %d", path, g.StatusCode)
		}
	}
}

// outright makes a request with the good key, on the path as it is.
func (h *house) outright(method, path, body string) got {
	h.t.Helper()
	c := h.dial()
	defer func() { _ = c.Close() }()
	c.write(request(method, path, body, "Authorization: Bearer "+goodKey))
	return c.answerTo(method)
}

// dialAdmin connects to the second port.
func (h *house) dialAdmin() *client {
	h.t.Helper()
	c, err := net.Dial("tcp", h.AdminAddr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return &client{h.t, c.(*net.TCPConn), bufio.NewReader(c)}
}

// admin asks the second port for a path.
func (h *house) admin(path string, fields ...string) got {
	h.t.Helper()
	c := h.dialAdmin()
	defer func() { _ = c.Close() }()
	c.write(request("GET", path, "", fields...))
	return c.answerTo("GET")
}

// takesFiles makes /api/file a path that takes files of 3 MiB, three times what a body may have.
func takesFiles(h *house) {
	h.config.Server.MaxBody, h.config.Server.MaxUpload = maxMountedBody, 3<<20
	h.before = append(h.before, func(s *Server) { s.Uploads = func(path string) bool { return path == "/api/file" } })
}

// The second port has the same handlers in the same manner: the client behind the proxies, bounded bodies, an end of
// its streams in a drain.
func TestMountedOnTheSecondPort(t *testing.T) {
	t.Parallel()
	begun, cause := make(chan struct{}), make(chan error, 1)
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/client":
			_, _ = io.WriteString(w, r.RemoteAddr)
		case "/api/body", "/api/file":
			n, err := io.Copy(io.Discard, r.Body)
			_, large := errors.AsType[*http.MaxBytesError](err)
			_, _ = fmt.Fprint(w, n, large)
		case "/api/panic":
			panic("boom")
		case "/api/stream":
			_ = http.NewResponseController(w).Flush()
			close(begun)
			<-r.Context().Done()
			cause <- r.Context().Err()
			_, _ = io.WriteString(w, "goodbye")
		}
	}), func(h *house) {
		h.config.AdminListen, h.config.Server.Drain = "127.0.0.1:0", 10*time.Millisecond
		takesFiles(h)
		h.config.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for fields, want := range map[string]string{"X-A: b": "127.0.0.1:0", "X-Forwarded-For: 127.0.0.1, 203.0.113.9": "203.0.113.9:0", "X-Forwarded-For: 2001:db8::1": "[2001:db8::1]:0"} {
		if g := h.admin("/api/client", fields); g.body != want {
			t.Errorf("%s: client %s, want %s", fields, g.body, want)
		}
	}
	for _, b := range []struct {
		path string
		size int
		want string
	}{
		{"/api/body", maxMountedBody, "1048576 false"},
		{"/api/body", maxMountedBody + 1, "1048576 true"},
		{"/api/file", 3 << 20, "3145728 false"},
		{"/api/file", 3<<20 + 1, "3145728 true"},
	} {
		c := h.dialAdmin()
		c.write(request("POST", b.path, strings.Repeat("x", b.size)))
		if g := c.answer(); g.body != b.want {
			t.Errorf("%s with %d bytes: %s, want %s", b.path, b.size, g.body, b.want)
		}
	}
	c := h.dialAdmin()
	c.write(request("GET", "/api/panic", ""))
	if all, _ := io.ReadAll(c.in); len(all) > 0 || len(h.log.lines(t, "panic in a handler")) != 1 || h.metric("vel_panics_total") != 1 {
		t.Errorf("after a panic: %q", all)
	}
	if g := h.admin("/nowhere"); g.StatusCode != 404 {
		t.Errorf("an unknown path: status %d", g.StatusCode)
	} else {
		problemOf(t, g)
	}
	c = h.dialAdmin()
	c.write(request("GET", "/api/stream", ""))
	r := c.head("GET")
	within(t, "the stream", begun)
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "the context to end", cause); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream's context: %v", err)
	}
	if all, err := io.ReadAll(r.Body); string(all) != "goodbye" || err != nil {
		t.Errorf("body %q, error %v", all, err)
	}
}

// The second port takes no more connections than the first.
func TestSecondPortIsBounded(t *testing.T) {
	t.Parallel()
	h := quiet(t, func(h *house) { h.config.AdminListen = "127.0.0.1:0" })
	h.Server.admin.open.Store(int64(h.maxConns))
	if all, err := io.ReadAll(h.dialAdmin().in); len(all) > 0 {
		t.Errorf("%q, error %v", all, err)
	}
	h.Server.admin.open.Store(0)
	if g := h.admin("/healthz"); g.StatusCode != 200 {
		t.Errorf("status %d", g.StatusCode)
	}
}

// From another machine, an operator's credential opens the metrics.
func TestMetricsForAnOperator(t *testing.T) {
	t.Parallel()
	behind := func(h *house) { h.config.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	without := quiet(t, behind)
	with := quiet(t, behind, func(h *house) {
		h.before = append(h.before, func(s *Server) {
			s.Operator = func(credential []byte) bool { return string(credential) == "an admin's" }
		})
	})
	const away = "X-Forwarded-For: 203.0.113.9"
	for name, c := range map[string]struct {
		h      *house
		fields []string
		open   bool
	}{
		"an admin":                 {with, []string{away, "Authorization: Bearer an admin's"}, true},
		"an admin, another field":  {with, []string{away, "X-Api-Key: an admin's"}, true},
		"a caller":                 {with, []string{away, "Authorization: Bearer " + goodKey}, false},
		"nobody":                   {with, []string{away}, false},
		"from here":                {with, nil, true},
		"where nobody is an admin": {without, []string{away, "Authorization: Bearer an admin's"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := c.h.get("GET", "/metrics", c.fields...)
			if open := g.StatusCode == http.StatusOK; open != c.open || open != strings.Contains(g.body, "# TYPE vel_open_streams gauge") {
				t.Errorf("status %d, %d bytes", g.StatusCode, len(g.body))
			}
		})
	}
}

// Handlers take a client's side for TLS if a trusted proxy says so, on both ports, and nobody else can say it.
func TestForwardedProto(t *testing.T) {
	t.Parallel()
	handler := mounting(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-Proto"))
	})
	second := func(h *house) { h.config.AdminListen = "127.0.0.1:0" }
	trusting := func(h *house) {
		h.config.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	const says = "X-Forwarded-Proto: https"
	for name, c := range map[string]struct {
		got  string
		want string
	}{
		"a stranger":                 {quiet(t, handler).get("GET", "/api/x", says).body, ""},
		"a proxy":                    {quiet(t, handler, trusting).get("GET", "/api/x", says).body, "https"},
		"a stranger, second port":    {quiet(t, handler, second).admin("/api/x", says).body, ""},
		"a proxy, on the other port": {quiet(t, handler, second, trusting).admin("/api/x", says).body, "https"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}
