package simulator

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A client that leaves is noticed in every phase: before the first byte, in a JSON answer, in a stream.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, words string
		stream      bool
		bytes       bool // leave only after the first byte
	}{
		{"before the first byte", "latency=1h", false, false},
		{"before a stream's first byte", "latency=1h", true, false},
		{"with the head", "latency=1h early_head", true, true},
		{"in a stream", "delay=1h", true, true},
		{"in a stalled stream", "stall=2", true, true},
		{"in a stalled body", "stall=1", false, true},
		{"while nothing comes", "stall=0", true, false},
		{"in a slow body", "slow_body=1h", false, true},
		{"before an error", "status=500 latency=1h", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			var more []string
			if c.stream {
				more = append(more, streaming)
			}
			conn, r := dial(t, s, ask("a b c d [["+c.words+"]]", more...))
			await(t, s, func(t Stats) bool { return t.Open == 1 })
			if c.bytes {
				if _, err := r.ReadByte(); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
			stats := await(t, s, func(t Stats) bool { return t.Left == 1 })
			if stats.Open != 0 || stats.OpenStreams != 0 || (stats.LeftBeforeFirstByte == 1) == c.bytes {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func TestStopCutsWhatIsOpen(t *testing.T) {
	t.Parallel()
	s, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, r := dial(t, s, ask("x [[stall=1]]", streaming))
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	rest, err := io.ReadAll(r)
	if strings.HasSuffix(string(rest), "0\r\n\r\n") || isTimeout(err) {
		t.Errorf("the cut answer looks whole: %v %q", err, rest)
	}
	if stats := s.Stats(); stats.Stopped != 1 || stats.Open != 0 || stats.Connections.Open != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestStopWaits(t *testing.T) {
	t.Parallel()
	s, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if a := chat(t, s, ask("x")); a.status != 200 {
		t.Fatal(a)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// The request is kept as it came: field names as written, their order, the body's bytes.
func TestRequestsAreKept(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	body := `{"model":"sim-echo", "messages":[{"role":"user","content":"x [[id=mine]]"}]}`
	c, r := dial(t, s, body)
	for _, raw := range []string{
		"", // what dial sent
		"POST /v1/chat/completions?a=b HTTP/1.1\r\nhost: sim\r\naUTHORization: Bearer sk-1\r\nX-Two: 1\r\nX-Two: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if raw != "" {
			if _, err := io.WriteString(c, raw+"4\r\n"+body[:4]+"\r\n48\r\n"+body[4:]+"\r\n0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{res.Header.Get("X-Request-Id"), "mine", "last"} {
			q, ok := s.Request(id)
			if !ok || string(q.Body) != body || q.Length != len(body) || q.SHA256 != digest([]byte(body)) {
				t.Fatalf("%q: %v %+v", id, ok, q)
			}
			if raw != "" && (q.Head != raw || !q.Chunked || q.URI != "/v1/chat/completions?a=b" || len(q.Header["X-Two"]) != 2) {
				t.Errorf("%+v", q)
			}
		}
	}
	for range keptRequests + 3 {
		chat(t, s, ask("y"))
	}
	if _, ok := s.Request("mine"); ok || len(s.recorder.list()) != keptRequests {
		t.Error("the ring is not bounded")
	}
}

func TestRecorderBoundsBytes(t *testing.T) {
	t.Parallel()
	var r recorder
	for range 12 {
		r.add(&Request{ID: "a"}, make([]byte, keptBody+1))
	}
	if r.bytes > keptBytes || len(r.ring) != keptBytes/keptBody {
		t.Errorf("%d bytes in %d requests", r.bytes, len(r.ring))
	}
	if q, _ := r.find("a"); q.Length != keptBody+1 || len(q.Body) != keptBody || q.SHA256 != digest(make([]byte, keptBody+1)) {
		t.Errorf("%d %d", q.Length, len(q.Body))
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	get := func(method, path string) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/simulator/"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, r)
	}
	chat(t, s, strings.Replace(ask("one two [[latency=0 delay=0]]"), "sim-echo", "sim-fast", 1))
	var stats Stats
	a := get("GET", "stats?completed=1&open=0&wait=10s")
	if err := json.Unmarshal([]byte(a.body), &stats); err != nil || stats.Completed != 1 || stats.Calls != 1 {
		t.Fatalf("%v %s", err, a.body)
	}
	m := stats.ByModel["sim-fast"]
	if want := (m.PromptTokens*590_000_000 + m.CompletionTokens*790_000_000) / 1_000_000; m.BilledNano != want || want == 0 {
		t.Errorf("billed %d, want %d", m.BilledNano, want)
	}
	for _, c := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "stats?left=9&wait=1ms", 408, `"left":0`},
		{"GET", "stats?nonsense=1", 400, "nonsense"},
		{"GET", "faults", 200, `"latency"`},
		{"GET", "profiles", 200, `"sim-strong"`},
		{"GET", "requests", 200, `"req_`},
		{"GET", "requests/last", 200, `"body"`},
		{"GET", "requests/none", 404, "not_found"},
		{"POST", "stats", 405, "method_not_supported"},
		{"GET", "other", 404, "unknown_url"},
		{"DELETE", "stats", 200, `"calls": 0`},
	} {
		if a := get(c.method, c.path); a.status != c.status || !strings.Contains(a.body, c.has) {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // has a certificate for 127.0.0.1
	defer lender.Close()
	s := start(t, Config{TLS: &tls.Config{Certificates: lender.TLS.Certificates}})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/chat/completions", strings.NewReader(ask("hello")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer k")
	res, err := lender.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer lender.Client().CloseIdleConnections()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), "hello") {
		t.Errorf("%v %s", err, body)
	}
	if q, _ := s.Request("last"); !strings.HasPrefix(q.Head, "POST /v1/chat/completions HTTP/1.1\r\n") {
		t.Errorf("head %q", q.Head)
	}
}

func TestProfileDraws(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Seed: 3})
	p := &Profiles()[0]
	const draws = 4000
	under, over := 0, 0
	for range draws {
		d := s.drawLatency(p)
		if d < p.Median {
			under++
		}
		if d > p.P95 {
			over++
		}
	}
	// ± 5 standard deviations; the seed is fixed, so the numbers are too.
	if under < draws/2-160 || under > draws/2+160 || over < draws/20-70 || over > draws/20+70 {
		t.Errorf("%d under the median, %d over P95 of %d", under, over, draws)
	}
}
