package tests

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// forwarded are the only request fields that a provider may see.
var forwarded = []string{
	"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Content-Type", "Host",
	"Idempotency-Key", "Openai-Beta", "Transfer-Encoding", "User-Agent",
}

// relayed are the only answer fields that a client may see.
var relayed = []string{
	"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Openai-Processing-Ms", "Openai-Version",
	"Retry-After", "Retry-After-Ms", "Vary", "X-Accel-Buffering", "X-Request-Id", "X-Should-Retry", "X-Upstream-Request-Id",
	"X-Vel-Attempts", "X-Vel-Cost", "X-Vel-Model", "X-Vel-Provider",
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	private := map[string]string{
		"Cookie":                     "session=canary-cookie",
		"Openai-Organization":        "org-canary",
		"Openai-Project":             "proj-canary",
		"Api-Key":                    w.key,
		"X-Api-Key":                  w.key,
		"X-Goog-Api-Key":             w.key,
		"Xi-Api-Key":                 "canary-xi",
		"Proxy-Authorization":        "Basic canary-proxy",
		"X-Forwarded-For":            "192.0.2.7",
		"X-Forwarded-Host":           "canary-host",
		"Forwarded":                  "for=192.0.2.7",
		"Cf-Connecting-Ip":           "192.0.2.7",
		"Origin":                     "https://canary.example",
		"Referer":                    "https://canary.example/page",
		"Te":                         "trailers",
		"X-Stainless-Lang":           "canary",
		"X-Stainless-Retry-Count":    "1",
		"X-Whatever":                 "canary-unknown",
		"Keep-Alive":                 "timeout=7",
		"Upgrade-Insecure-Requests":  "1",
		"X-Vel-Tags":                 "team=canary",
		"Accept-Language":            "xx-canary",
		"Anthropic-Version":          "2023-06-01",
		"X-Amz-Security-Token":       "canary-amz",
		"X-Original-Url":             "/canary",
		"Authorization-Canary-Check": "canary",
	}
	for _, key := range []string{"by bearer", "by api-key"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			mark := "headers-" + strings.ReplaceAll(key, " ", "-")
			req := request(t, "POST", p.URL+"/v1/chat/completions?api-version=canary", w.key, chat("sim-echo", "[[id="+mark+"]] hi", ""))
			for name, value := range private {
				req.Header.Set(name, value)
			}
			if key == "by api-key" {
				req.Header.Del("Authorization")
			}
			req.Header.Set("Openai-Beta", "responses=v1")
			req.Header.Set("Idempotency-Key", "once-"+mark)
			if got := ask(t, req).content(t); got != "hi" {
				t.Fatalf("got %q", got)
			}
			seen := sim.seen(t, mark)
			for name := range seen.Header {
				if !slices.Contains(forwarded, name) {
					t.Errorf("the provider sees %s: %q", name, seen.Header[name])
				}
			}
			if strings.Contains(seen.Head, w.key) || strings.Contains(strings.ReplaceAll(strings.ToLower(seen.Head), strings.ToLower(simKey), ""), "canary") {
				t.Errorf("the provider sees what belongs to the client alone:\n%s", seen.Head)
			}
			if got := seen.Header.Get("Authorization"); got != "Bearer "+w.simKey {
				t.Errorf("the provider is shown the key %q", got)
			}
			for name, want := range map[string]string{"Openai-Beta": "responses=v1", "Idempotency-Key": "once-" + mark, "Content-Type": "application/json"} {
				if got := seen.Header.Get(name); got != want {
					t.Errorf("%s arrived as %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	w := shared(t)
	// A provider that sends what real ones send, and some of what they should not.
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		for name, value := range map[string]string{
			"Set-Cookie": "__cf_bm=canary; path=/", "Openai-Organization": "org-canary", "Server": "canary",
			"Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*", "Alt-Svc": "h3=\":443\"",
			"Cf-Ray": "canary", "X-Goog-Api-Key": "canary", "Authorization": r.Header.Get("Authorization"),
			"X-Ratelimit-Remaining-Requests": "41", "Etag": "canary", "X-Whatever": "canary",
			"X-Request-Id": "req_upstream", "Openai-Processing-Ms": "12", "Openai-Version": "2020-10-01",
		} {
			h.Set(name, value)
		}
		body, _ := io.ReadAll(r.Body)
		answerPlain(rw, bytes.Contains(body, []byte(`"stream":true`)))
	})
	p := up.vel(t)
	for name, more := range map[string]string{"json": "", "stream": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, chat("scripted", "hi", more)))
			if a.status != 200 {
				t.Fatalf("status %d\n%s", a.status, a.body)
			}
			for field := range a.header {
				if !slices.Contains(relayed, field) {
					t.Errorf("the client sees %s: %q", field, a.header[field])
				}
			}
			want := map[string]string{
				"X-Upstream-Request-Id": "req_upstream", "Openai-Processing-Ms": "12", "Openai-Version": "2020-10-01",
				"X-Vel-Provider": "scripted", "X-Vel-Model": "scripted", "X-Vel-Attempts": "1",
			}
			if name == "stream" {
				want["Content-Type"], want["Cache-Control"], want["X-Accel-Buffering"] = "text/event-stream; charset=utf-8", "no-cache", "no"
			}
			for field, value := range want {
				if got := a.header.Get(field); got != value {
					t.Errorf("%s: %q, want %q", field, got, value)
				}
			}
			if id := a.header.Get("X-Request-Id"); id == "" || id == "req_upstream" {
				t.Errorf("x-request-id %q is not ours", id)
			}
		})
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	t.Parallel()
	w := shared(t)
	seen := map[string]bool{}
	for range 20 {
		id := w.chat(t, chat("sim-echo", "hi", "")).header.Get("X-Request-Id")
		if id == "" || seen[id] {
			t.Fatalf("x-request-id %q came twice or is empty", id)
		}
		seen[id] = true
	}
}

// TestKeyMasked lets the provider quote our key, in the message of a 401 and of a 400. The client must never see
// it; the log is checked when the process stops, and here for the alarm.
func TestKeyMasked(t *testing.T) {
	t.Parallel()
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		status := http.StatusUnauthorized
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		body, _ := io.ReadAll(r.Body)
		switch {
		case bytes.Contains(body, []byte("answer 400")):
			status = http.StatusBadRequest
		case bytes.Contains(body, []byte("answer in a stream")):
			rw.Header().Set("Content-Type", "text/event-stream")
			writePieces(rw, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n"+
				`data: {"error":{"message":"Incorrect API key provided: `+key+`","type":"t","param":null,"code":null}}`+"\n\n", 4096)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Retry-After", key)
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(`{"error":{"message":"Incorrect API key provided: ` + key + `.","type":"invalid_request_error","param":"` + key + `","code":"invalid_api_key","more":"` + key + `"}}`))
	})
	p := up.vel(t)
	refused, bad := askVel(t, p, chat("scripted", "answer 401", "")), askVel(t, p, chat("scripted", "answer 400", ""))
	refused.wantError(t, 502, "")
	bad.wantError(t, 400, "invalid_api_key")
	broken := askVel(t, p, chat("scripted", "answer in a stream", streaming))
	stream{broken, events(broken.body)}.broken(t)
	for _, a := range []answer{refused, bad, broken} {
		if strings.Contains(string(a.body), up.key) {
			t.Errorf("the answer quotes the provider's key: %s", a.body)
		}
		for name, values := range a.header {
			if strings.Contains(strings.Join(values, " "), up.key) {
				t.Errorf("%s quotes the provider's key", name)
			}
		}
	}
	alarm := regexp.MustCompile(`"level":"(ERROR|WARN)".*scripted`)
	if _, err := p.Log.Wait(deadline(t), "an alarm that names the provider", alarm.MatchString); err != nil {
		t.Error(err)
	}
}
