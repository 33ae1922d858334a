package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mounting mounts a handler at /api.
func mounting(h http.HandlerFunc) plan {
	return func(house *house) {
		house.before = append(house.before, func(s *Server) { s.Mount("/api", h) })
	}
}

// problemOf reads a problem strictly.
func problemOf(t testing.TB, g got) string {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
		RequestID           string `json:"request_id"`
	}
	in := json.NewDecoder(strings.NewReader(g.body))
	in.DisallowUnknownFields()
	if err := in.Decode(&p); err != nil || !strings.HasPrefix(p.Type, "urn:vel:problem:") || p.Type == "urn:vel:problem:" || p.Title == "" || p.Status != g.StatusCode {
		t.Fatalf("problem %q, error %v", g.body, err)
	}
	if g.Header.Get("Content-Type") != "application/problem+json" || p.RequestID == "" || g.Header.Get("X-Request-Id") != p.RequestID {
		t.Errorf("head %v", g.Header)
	}
	return p.Detail
}

// What a handler sees of a request is what the client sent, with the client in the place of the proxy.
func TestBridgeRequest(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	h := quiet(t, mounting(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"a":1}` || r.ContentLength != int64(len(body)) {
			t.Errorf("body %q, length %d, error %v", body, r.ContentLength, err)
		}
		seen <- r
	}), func(h *house) {
		h.config.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	c := h.dial()
	c.write(request("PUT", "/api/a%2Fb/c?x=1&y=%20", `{"a":1}`, "Cookie: a=1; b=2", "X-Twice: 1", "x-twice: 2", "X-Forwarded-For: 203.0.113.9", `If-Match: "7"`))
	if g := c.answer(); g.StatusCode != 200 || g.ContentLength != 0 {
		t.Errorf("status %d, length %d", g.StatusCode, g.ContentLength)
	}
	r := within(t, "the request", seen)
	for what, is := range map[string][2]string{
		"method": {r.Method, "PUT"}, "uri": {r.RequestURI, "/api/a%2Fb/c?x=1&y=%20"}, "path": {r.URL.Path, "/api/a/b/c"}, "raw path": {r.URL.EscapedPath(), "/api/a%2Fb/c"},
		"query": {r.URL.Query().Get("y"), " "}, "host": {r.Host, "vel"}, "host field": {r.Header.Get("Host"), ""}, "protocol": {r.Proto, "HTTP/1.1"},
		"client": {r.RemoteAddr, "203.0.113.9:0"}, "cookie": {r.Header.Get("Cookie"), "a=1; b=2"}, "type": {r.Header.Get("Content-Type"), "application/json"},
		"twice": {strings.Join(r.Header.Values("X-Twice"), ","), "1,2"}, "etag": {r.Header.Get("If-Match"), `"7"`},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %q, want %q", what, is[0], is[1])
		}
	}
	if r.TLS != nil || !r.ProtoAtLeast(1, 1) {
		t.Errorf("TLS %v, protocol %d.%d", r.TLS, r.ProtoMajor, r.ProtoMinor)
	}
	if within(t, "the context to end", r.Context().Done()); !errors.Is(r.Context().Err(), context.Canceled) {
		t.Errorf("after the answer: %v", r.Context().Err())
	}
}

// Every kind of answer, one after the other on one connection: a wrong length or a body too many would spoil the next.
func TestBridgeAnswers(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", keptMost)
	flush := func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil && r.Method != "HEAD" {
			t.Errorf("flush: %v", err)
		}
	}
	answers := map[string]struct {
		handler http.HandlerFunc
		status  int
		length  int64 // -1: chunked
		body    string
		kind    string
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, 200, 0, "", ""},
		"small":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":1}`) }, 200, 7, `{"a":1}`, "text/plain; charset=utf-8"},
		"a page":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, 200, 6, "<html>", "text/html; charset=utf-8"},
		"created": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			w.Header().Set("Content-Type", "too/late")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "{}")
		}, 201, 2, "{}", "application/json"},
		"in pieces": {func(w http.ResponseWriter, r *http.Request) {
			for _, p := range []string{big[:100], big[100:5000], big[5000:5001], big[5001:]} {
				if n, err := io.WriteString(w, p); (n != len(p) || err != nil) && r.Method != "HEAD" {
					t.Errorf("wrote %d of %d, error %v", n, len(p), err)
				}
			}
		}, 200, -1, big, "text/plain; charset=utf-8"},
		"announced": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			_, _ = io.WriteString(w, big)
			if n, err := w.Write([]byte("x")); (n != 0 || !errors.Is(err, http.ErrContentLength)) && r.Method != "HEAD" {
				t.Errorf("more than announced: wrote %d, error %v", n, err)
			}
		}, 200, int64(len(big)), big, "text/plain; charset=utf-8"},
		"flushed": {func(w http.ResponseWriter, r *http.Request) {
			flush(w, r)
			_, _ = io.WriteString(w, "a")
			flush(w, r)
			flush(w, r)
			_, _ = io.WriteString(w, "b")
		}, 200, -1, "ab", ""},
		"served": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.css", time.Time{}, strings.NewReader(big))
		}, 200, int64(len(big)), big, "text/css; charset=utf-8"},
		"no content": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(204)
			flush(w, r)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("a body for 204: %v", err)
			}
		}, 204, 0, "", ""},
		"not modified": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(304)
		}, 304, 0, "", ""},
		"informed": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(202) }, 202, 0, "", ""},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/api/", http.StatusSeeOther) }, 303, -2, "", ""},
	}
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Query().Get("a")].handler(w, r) }))
	c := h.dial()
	for range 3 {
		for name, want := range answers {
			for _, method := range []string{"GET", "HEAD"} {
				c.write(request(method, "/api?a="+strings.ReplaceAll(name, " ", "%20"), ""))
				g := c.answerTo(method)
				if g.StatusCode != want.status || g.err != nil || g.Close || method == "HEAD" && g.body != "" {
					t.Fatalf("%s %s: status %d, %d bytes, error %v, close %v", method, name, g.StatusCode, len(g.body), g.err, g.Close)
				}
				if method == "GET" && want.length != -2 && (g.body != want.body || g.ContentLength != want.length || g.Header.Get("Content-Type") != want.kind) {
					t.Errorf("%s: %d bytes, length %d, head %v", name, len(g.body), g.ContentLength, g.Header)
				}
				if method == "HEAD" && want.length > 0 && g.ContentLength != want.length {
					t.Errorf("HEAD %s: length %d, want %d", name, g.ContentLength, want.length)
				}
			}
		}
	}
	if n := h.listener.bodies.used.Load(); n != 0 {
		t.Errorf("%d bytes are counted for bodies", n)
	}
}

func TestBridgeHead(t *testing.T) {
	t.Parallel()
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Connection", "Keep-Alive", "Upgrade", "Trailer", "Te", "Transfer-Encoding", http.TrailerPrefix + "X"} {
			w.Header().Set(name, "x")
		}
		w.Header()["connection"] = []string{"close"}
		w.Header().Add("Set-Cookie", "a=1; Path=/; HttpOnly")
		w.Header().Add("Set-Cookie", "a=2; Path=/api")
		w.Header().Add("Vary", "Cookie")
		w.Header().Add("Vary", "Accept")
		w.Header().Set("ETag", `"7"`)
		w.Header().Set("X-Lines", "a\r\nX-Injected: b")
		if _, ok := w.(http.Hijacker); ok {
			t.Error("the connection can be hijacked")
		}
		c := http.NewResponseController(w)
		if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijack: %v", err)
		}
		if err := errors.Join(c.SetWriteDeadline(time.Now()), c.SetReadDeadline(time.Now())); err != nil {
			t.Errorf("deadlines: %v", err)
		}
		_, _ = io.WriteString(w, "fine")
	}), func(h *house) { h.config.Server.CORS.Origins = []string{"*"} })
	g := h.get("GET", "/api", "Origin: https://app.example.com")
	if g.body != "fine" || g.ContentLength != 4 || g.Close {
		t.Errorf("body %q, length %d, close %v", g.body, g.ContentLength, g.Close)
	}
	if got := g.Header.Values("Set-Cookie"); !slices.Equal(got, []string{"a=1; Path=/; HttpOnly", "a=2; Path=/api"}) {
		t.Errorf("cookies %q", got)
	}
	if got := g.Header.Values("Vary"); !slices.Equal(got, []string{"Cookie", "Accept"}) || g.Header.Get("ETag") != `"7"` {
		t.Errorf("head %v", g.Header)
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Upgrade", "Trailer", "Te", "X", "X-Injected", "Access-Control-Allow-Origin"} {
		if v := g.Header.Get(name); v != "" || len(g.TransferEncoding) > 0 {
			t.Errorf("%s: %s came through", name, v)
		}
	}
	if g := h.get("OPTIONS", "/api", "Origin: https://app.example.com", "Access-Control-Request-Method: PUT"); g.body != "fine" {
		t.Errorf("a preflight was answered for the handler: %v", g.Header)
	}
}

// Whatever a handler keeps of a request stays as it was, while others are served from the same memory.
func TestBridgeRequestIsACopy(t *testing.T) {
	t.Parallel()
	type kept struct {
		*http.Request
		body []byte
	}
	const clients, each = 4, 50
	requests := make(chan kept, clients*each)
	h := quiet(t, mounting(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- kept{r, body}
	}))
	var asking sync.WaitGroup
	for i := range clients {
		c := h.dial()
		asking.Go(func() {
			for j := range each {
				mark := strings.Repeat(fmt.Sprintf("%d.%d;", i, j), 20)
				c.write(request("POST", "/api/"+mark+"?q="+mark, mark, "X-Mark: "+mark))
				if g := c.answer(); g.StatusCode != 200 {
					t.Errorf("status %d", g.StatusCode)
				}
			}
		})
	}
	asking.Wait()
	for range clients * each {
		r := within(t, "a request", requests)
		mark := string(r.body)
		if r.URL.Path != "/api/"+mark || r.URL.RawQuery != "q="+mark || r.Header.Get("X-Mark") != mark || r.RequestURI != "/api/"+mark+"?q="+mark ||
			r.Method != "POST" || r.Host != "vel" || r.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") {
			t.Fatalf("the request changed: %s %s %v, body %s", r.Method, r.RequestURI, r.Header, mark)
		}
	}
}

func TestBridgeBodies(t *testing.T) {
	t.Parallel()
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), takesFiles)
	c := h.dial()
	for size, path := range map[int]string{1: "/api", largeBody + 1: "/api", maxMountedBody: "/api", 3 << 20: "/api/file?name=x"} { // without any key
		body := strings.Repeat("x", size)
		for framing, ask := range map[string]string{
			"a length": request("POST", path, body),
			"chunks":   "POST " + path + " HTTP/1.1\r\nHost: vel\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body[:size-size/2]) + lastOf(body[size-size/2:]),
		} {
			c.write(ask)
			if g := c.answer(); g.StatusCode != 200 || g.body != body {
				t.Errorf("with %s: status %d, %d bytes for %d", framing, g.StatusCode, len(g.body), size)
			}
		}
	}
	h.heads.Range(func(k, v any) bool { t.Errorf("a head is left: %v %v", k, v); return true })
}

// lastOf is the end of a chunked body.
func lastOf(rest string) string {
	if rest == "" {
		return lastChunk
	}
	return chunk(rest) + lastChunk
}

// What is refused below a mounted path before its body was read has that API's shape, also where fasthttp has
// forgotten the head, and no rule of cross-origin reading.
func TestBridgeEarlyRefusals(t *testing.T) {
	t.Parallel()
	h := quiet(t, mounting(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }),
		func(h *house) { h.config.Server.CORS.Origins = []string{"*"} })
	for name, c := range map[string]struct {
		fields, body string
		status       int
	}{
		"too large":           {"Content-Length: 1048577\r\n", "", 413},
		"too large in chunks": {"Transfer-Encoding: chunked\r\n", "100001\r\n" + strings.Repeat("x", 1000), 413},
		"two framings":        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", lastChunk, 400},
		"no chunk":            {"Transfer-Encoding: chunked\r\n", "what\r\n", 400},
		"a wrong path":        {"", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := h.dial()
			path := "/api/keys"
			if name == "a wrong path" {
				path = "/api/%zz"
			}
			conn.write("POST " + path + " HTTP/1.1\r\nHost: vel\r\nOrigin: https://a.example.com\r\nAuthorization: Bearer nobody\r\n" + c.fields + "\r\n" + c.body)
			g := conn.answer()
			if problemOf(t, g); g.StatusCode != c.status || g.Header.Get("Access-Control-Allow-Origin")+g.Header.Get("Vary") != "" {
				t.Errorf("status %d, head %v", g.StatusCode, g.Header)
			}
		})
	}
}

// A panic fails one request: with a problem if nothing was sent, else by closing the connection.
func TestBridgePanics(t *testing.T) {
	t.Parallel()
	stream := func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  int // 0: no answer at all
		body    string
		logged  int
	}{
		"before":         {func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, "", 1},
		"after writing":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "half"); panic("boom") }, 500, "", 1},
		"a wrong status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) }, 500, "", 1},
		"too little": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
		}, 500, "", 0},
		"in a stream":         {func(w http.ResponseWriter, _ *http.Request) { stream(w); panic("boom") }, 200, "half", 1},
		"aborted":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "", 0},
		"aborted in a stream": {func(w http.ResponseWriter, _ *http.Request) { stream(w); panic(http.ErrAbortHandler) }, 200, "half", 0},
		"too little in a stream": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			stream(w)
		}, 200, "half", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := quiet(t, mounting(c.handler))
			conn := h.dial()
			conn.write(request("GET", "/api", ""))
			switch c.status {
			case 0:
				if all, err := io.ReadAll(conn.in); len(all) > 0 || err != nil {
					t.Errorf("%q, error %v", all, err)
				}
			case 500:
				if g := conn.answerTo("GET"); g.StatusCode != 500 || problemOf(t, g) != "internal error" {
					t.Errorf("status %d, body %s", g.StatusCode, g.body)
				}
				conn.write(request("GET", "/healthz", "")) // the connection goes on
				if g := conn.answerTo("GET"); g.StatusCode != 200 {
					t.Errorf("the next answer: status %d", g.StatusCode)
				}
			default:
				if g := conn.answerTo("GET"); g.StatusCode != c.status || g.body != c.body || !errors.Is(g.err, io.ErrUnexpectedEOF) {
					t.Errorf("status %d, body %q, error %v", g.StatusCode, g.body, g.err)
				}
			}
			if n := len(h.log.lines(t, "panic in a handler")); n != c.logged || h.metric("vel_panics_total") != float64(c.logged) {
				t.Errorf("%d lines of log, %v counted", n, h.metric("vel_panics_total"))
			}
		})
	}
}

func TestBridgePipelined(t *testing.T) {
	t.Parallel()
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/stream" {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.Copy(w, r.Body)
	}))
	c := h.dial()
	paths := []string{"/api/stream", "/api/small", "/healthz", "/api/stream"}
	var all strings.Builder
	for i, path := range paths {
		all.WriteString(request("POST", path, fmt.Sprint("body ", i)))
	}
	c.write(all.String())
	for i, path := range paths {
		g := c.answer()
		if path == "/healthz" {
			if g.StatusCode != 405 {
				t.Errorf("%s: status %d", path, g.StatusCode)
			}
		} else if g.StatusCode != 200 || g.body != fmt.Sprint("body ", i) {
			t.Errorf("%s: status %d, body %q", path, g.StatusCode, g.body)
		}
	}
}
