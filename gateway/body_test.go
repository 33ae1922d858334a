package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// padded is a chat request of this many bytes.
func padded(size int) string {
	const head, tail = `{"model":"m","messages":[{"role":"user","content":"`, `"}]}`
	return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
}

func small(h *house) { h.config.Server.MaxBody, h.config.Server.MaxBodyInFlight = 1<<20, 2<<20 }

// A refusal that comes before the body was read reaches the client although it goes on to send, and comes without
// waiting for the body.
func TestEarlyRefusals(t *testing.T) {
	t.Parallel()
	h := quiet(t, small)
	key := "Authorization: Bearer " + goodKey
	for name, c := range map[string]struct {
		fields []string
		status int
		code   string
	}{
		"no key":                  {[]string{"Content-Length: 900000"}, 401, "invalid_api_key"},
		"an unknown key":          {[]string{"Content-Length: 900000", "Authorization: Bearer x"}, 401, "invalid_api_key"},
		"too large":               {[]string{"Content-Length: 2000000", key}, 413, "request_too_large"},
		"too large to be true":    {[]string{"Content-Length: 9000000000000000000", key}, 413, "request_too_large"},
		"two lengths":             {[]string{"Content-Length: 5", "Content-Length: 6", key}, 400, "malformed_request"},
		"a length of letters":     {[]string{"Content-Length: five", key}, 400, "malformed_request"},
		"another framing":         {[]string{"Transfer-Encoding: gzip", key}, 400, "malformed_request"},
		"a head that is too long": {[]string{"X-A: " + strings.Repeat("a", 10_000), key}, 431, "headers_too_large"},
		"a field without a name":  {[]string{": a", key}, 400, "malformed_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := h.dial()
			conn.write("POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\n" + strings.Join(c.fields, "\r\n") + "\r\n\r\n")
			for range 28 { // what an SDK does: it sends the whole body before it reads
				conn.write(strings.Repeat("x", 32<<10))
			}
			g := conn.answer()
			if e := errorOf(t, g.body); g.StatusCode != c.status || e.code() != c.code || !g.Close {
				t.Errorf("status %d, close %v, body %s", g.StatusCode, g.Close, g.body)
			}
			if n, err := io.Copy(io.Discard, conn.in); n != 0 || err != nil {
				t.Errorf("behind the answer: %d bytes, error %v", n, err)
			}
		})
	}
}

// fasthttp forgets the head of a chunked request whose body it can not take: the reason must still be right.
func TestChunkedRefusals(t *testing.T) {
	t.Parallel()
	h := quiet(t, small)
	for name, c := range map[string]struct {
		key    string
		size   int
		fields string
		status int
		code   string
	}{
		"fine":                          {goodKey, 100_000, "", 200, ""},
		"too large":                     {goodKey, 1 << 20, "", 413, "request_too_large"},
		"an unknown key":                {"x", 1000, "", 401, "invalid_api_key"},
		"an unknown key, and large":     {"x", 900_000, "", 401, "invalid_api_key"},
		"two framings, the other order": {goodKey, 1000, "content-length: 1000\r\n", 400, "malformed_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := h.dial()
			conn.write("POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + c.key + "\r\n" + c.fields + "Transfer-Encoding: chunked\r\n\r\n")
			body := padded(c.size)
			go func() {
				for len(body) > 0 {
					n := min(len(body), 16<<10)
					if _, err := io.WriteString(conn, chunk(body[:n])); err != nil {
						return
					}
					body = body[n:]
				}
				_, _ = io.WriteString(conn, chunk(" ")+"0\r\n\r\n")
			}()
			g := conn.answer()
			if g.StatusCode != c.status || c.code != "" && errorOf(t, g.body).code() != c.code {
				t.Errorf("status %d, body %s", g.StatusCode, g.body)
			}
		})
	}
}

// A second request hidden behind two framings must not be served.
func TestTwoFramingsHideNothing(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	for _, method := range []string{"POST", "GET", "PUT"} {
		conn := h.dial()
		conn.write(method + " /v1/models HTTP/1.1\r\nHost: vel\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + request("GET", "/healthz", ""))
		if g := conn.answer(); g.StatusCode != 400 || !g.Close {
			t.Errorf("%s: status %d, close %v", method, g.StatusCode, g.Close)
		}
		if rest, _ := io.ReadAll(conn.in); len(rest) > 0 {
			t.Errorf("%s: a second answer: %q", method, rest)
		}
	}
}

// A body of a GET is read like any other: it must not be taken for the next request.
func TestBodyOfAGetIsNoRequest(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	conn := h.dial()
	conn.write(request("GET", "/healthz", request("GET", "/nowhere", "")) + request("GET", "/readyz", ""))
	for _, want := range []string{`{"status":"ok"}`, `{"status":"ready"}`} {
		if g := conn.answer(); g.body != want {
			t.Errorf("body %s, want %s", g.body, want)
		}
	}
}

// All bodies together have a bound; what is over it is refused, and the memory comes free again.
func TestBodiesInFlight(t *testing.T) {
	t.Parallel()
	going := make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		<-going
		return wellBehaved(a)
	}}, small)
	var holding []*client
	for range 2 {
		c := h.dial()
		c.post(padded(900_000))
		holding = append(holding, c)
	}
	eventually(t, "both calls are with the provider", func() bool { return h.backends[0].calls.Load() == 2 })
	c := h.dial()
	go func() {
		_, _ = io.WriteString(c, request("POST", "/v1/chat/completions", padded(900_000), "Authorization: Bearer "+goodKey))
	}()
	if g := c.answer(); g.StatusCode != 503 || errorOf(t, g.body).code() != "overloaded" || g.Header.Get("Retry-After") != "1" {
		t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
	}
	if h.listener.bodies.used.Load() == 0 {
		t.Error("nothing is counted for two large bodies")
	}
	close(going)
	for _, c := range holding {
		if g := c.answer(); g.StatusCode != 200 {
			t.Errorf("status %d, body %s", g.StatusCode, g.body)
		}
	}
	h.settled(2)
	eventually(t, "the memory is free again", func() bool { return h.listener.bodies.used.Load() == 0 })
	if g := h.call(padded(900_000)); g.StatusCode != 200 { // on a connection of its own, while the others idle
		t.Errorf("status %d, body %s", g.StatusCode, g.body)
	}
}

// What is no call has no body to count: a connection that asks for its health all day takes no memory of others.
func TestSmallRequestsNeverAddUp(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	c := h.dial()
	for i := range 300 {
		path := []string{"/healthz", "/v1/models", "/nowhere"}[i%3]
		c.write(request("GET", path, "", "X-Padding: "+strings.Repeat("a", 1000)))
		if g := c.answer(); g.StatusCode >= 500 {
			t.Fatalf("request %d: status %d, body %s", i, g.StatusCode, g.body)
		}
	}
	if n := h.listener.bodies.used.Load(); n != 0 {
		t.Errorf("%d bytes are counted for bodies", n)
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	conn := h.dial()
	for range 2 {
		body := padded(100_000)
		conn.write(fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nExpect: 100-continue\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", goodKey, len(body)))
		if r := conn.head("POST"); r.StatusCode != http.StatusContinue {
			t.Fatalf("status %d", r.StatusCode)
		}
		conn.write(body)
		if g := conn.answer(); g.StatusCode != 200 || g.body != completion {
			t.Errorf("status %d, body %s", g.StatusCode, g.body)
		}
	}
}

// The time for a body goes by its size: a steady slow upload must not get a 408.
func TestTimeForABody(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	for name, c := range map[string]struct {
		head string
		want time.Duration
	}{
		"small":       {"Content-Length: 1000\r\n", 0}, // the server's own
		"large":       {"Content-Length: 15728640\r\n", headTimeout + 240*time.Second},
		"chunked":     {"Transfer-Encoding: chunked\r\n", headTimeout + 1024*time.Second},
		"none at all": {"", 0},
	} {
		var r fasthttpHead
		r.read(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer "+goodKey+"\r\n"+c.head+"\r\n")
		if got := h.headReceived(&r.RequestHeader); got.ReadTimeout != c.want || got.MaxRequestBodySize != 0 {
			t.Errorf("%s: %s for the body, limit %d; want %s", name, got.ReadTimeout, got.MaxRequestBodySize, c.want)
		}
	}
}
