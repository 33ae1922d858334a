package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func TestWholeCall(t *testing.T) {
	t.Parallel()
	seen := make(chan *asked, 1)
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		seen <- a
		a.send(jsonAnswer(200, completion, "X-Request-Id: up-1", "Set-Cookie: a=b", "Openai-Processing-Ms: 7"))
		return true
	}})
	g := h.call(chatBody, "X-Other: 1", "Cookie: c=d")
	if g.StatusCode != http.StatusOK || g.body != completion || g.ContentLength != int64(len(completion)) {
		t.Fatalf("status %d, %d bytes, body %q", g.StatusCode, g.ContentLength, g.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Upstream-Request-Id": "up-1", "X-Vel-Provider": "p1", "X-Vel-Model": "upstream-model",
		"X-Vel-Attempts": "1", "Openai-Processing-Ms": "7", "Set-Cookie": "", "Server": "",
	} {
		if v := g.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if id := g.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") || id != h.settled(1)["id"] {
		t.Errorf("id %q, log %v", id, h.settled(1)["id"])
	}
	a := within(t, "the request", seen)
	if a.http.URL.Path != "/v1/chat/completions" || a.body != strings.Replace(chatBody, `"m"`, `"upstream-model"`, 1) {
		t.Errorf("path %q, body %q", a.http.URL.Path, a.body)
	}
	if a.http.Header.Get("Authorization") != "Bearer "+ourSecret || a.http.Header.Get("X-Other") != "" || a.http.Header.Get("Cookie") != "" {
		t.Errorf("fields %v", a.http.Header)
	}
	line := h.settled(1)
	if line["status"] != 200.0 || line["class"] != "none" || line["tokens_in"] != 3.0 || line["tokens_out"] != 5.0 || line["attempts"] != 1.0 || line["route"] != "m" {
		t.Errorf("line %v", line)
	}
	if h.metric("vel_attempts_total", "outcome", "answered") != 1 || h.metric("vel_tokens_total", "kind", "output") != 5 {
		t.Error("the metrics do not say so")
	}
}

func TestWholeStream(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead + chunk(": hello\n\n"))
		for _, s := range []string{piece, finish} {
			<-next
			a.send(chunk(s))
		}
		<-next
		a.send(chunk(done) + lastChunk)
		return true
	}})
	c := h.dial()
	for range 2 { // the connection is kept after a stream
		c.post(streamBody)
		next <- struct{}{}
		r := c.head("POST")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || r.ContentLength != -1 || r.Header.Get("X-Accel-Buffering") != "no" {
			t.Fatalf("status %d, head %v", r.StatusCode, r.Header)
		}
		read := make([]byte, 4096)
		var all strings.Builder
		for all.String() != ": hello\n\n"+piece { // it comes before the provider sends more
			n, err := r.Body.Read(read)
			if err != nil {
				t.Fatalf("%q, then %v", all.String(), err)
			}
			all.Write(read[:n])
		}
		next <- struct{}{}
		next <- struct{}{}
		for {
			n, err := r.Body.Read(read)
			all.Write(read[:n])
			if err != nil {
				break
			}
		}
		if want := ": hello\n\n" + piece + finish + done; all.String() != want {
			t.Fatalf("stream %q, want %q", all.String(), want)
		}
	}
	h.settled(2)
	if n := h.metric("vel_open_streams"); n != 0 {
		t.Errorf("%v open streams", n)
	}
	if n := h.backends[0].open.Load(); n != 1 {
		t.Errorf("%d connections to the provider, want one that is used again", n)
	}
}

func TestPipelinedRequests(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		if strings.Contains(a.body, `"stream":true`) {
			a.send(streamHead + chunk(piece) + chunk(finish) + lastChunk) // and no [DONE]
			return true
		}
		a.send(jsonAnswer(200, completion))
		return true
	}})
	c := h.dial()
	auth := "Authorization: Bearer " + goodKey
	c.write(request("POST", "/v1/chat/completions", chatBody, auth) + request("POST", "/v1/chat/completions", streamBody, auth) +
		request("GET", "/healthz", "") + request("POST", "/v1/chat/completions", chatBody, auth))
	for i, want := range []string{completion, piece + finish + done, `{"status":"ok"}`, completion} {
		if g := c.answer(); g.StatusCode != 200 || g.body != want {
			t.Fatalf("answer %d: status %d, body %q", i, g.StatusCode, g.body)
		}
	}
	h.settled(3)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))})
	post := func(key, body string) string {
		return request("POST", "/v1/chat/completions", body, "Authorization: Bearer "+key)
	}
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"no key":           {request("POST", "/v1/chat/completions", chatBody), 401, "invalid_api_key"},
		"an unknown key":   {post("sk-vel-unknown", chatBody), 401, "invalid_api_key"},
		"another key":      {post(ourSecret, chatBody), 401, "invalid_api_key"},
		"no body":          {post(goodKey, ""), 400, "invalid_json"},
		"no JSON":          {post(goodKey, "hello"), 400, "invalid_json"},
		"no model":         {post(goodKey, `{"messages":[]}`), 400, "missing_required_parameter"},
		"two models":       {post(goodKey, `{"model":"m","model":"x","messages":[]}`), 400, "duplicate_parameter"},
		"an unknown model": {post(goodKey, `{"model":"x\"<","messages":[]}`), 404, "model_not_found"},
		"not allowed":      {post(narrowKey, chatBody), 403, "model_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			c0 := h.dial()
			for range 2 { // and the connection is kept
				c0.write(c.request)
				g := c0.answer()
				if e := errorOf(t, g.body); g.StatusCode != c.status || e.code() != c.code {
					t.Errorf("status %d, body %s", g.StatusCode, g.body)
				}
				if g.Header.Get("Content-Type") != "application/json" || g.Header.Get("X-Request-Id") == "" {
					t.Errorf("head %v", g.Header)
				}
			}
		})
	}
	if n := h.backends[0].calls.Load(); n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	h.settled(18)
	if n := h.metric("vel_calls_total", "status", "4xx"); n != 18 {
		t.Errorf("%v calls counted as 4xx, want 18", n)
	}
}
