package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// manyItems is how many items a batch has whose nodes are killed.
var manyItems = flag.Int("items", 300, "how many items a batch has whose nodes are killed")

// pile is what the API says of a batch.
type pile struct {
	State                                     string
	Total, Done, Succeeded, Failed, Cancelled int
	Cost                                      string `json:"cost_usd"`
}

// submit makes a batch of so many calls of the witness, in parts, and starts it.
func (h *estate) submit(secret string, n, parallel int) (path string) {
	t := h.t
	t.Helper()
	a := h.any(0).askAs(t, secret, "POST", "/api/batches", object{"name": "b", "parallel": parallel})
	if a.status != http.StatusCreated {
		t.Fatal(a)
	}
	path = "/api/batches/" + a.field("id")
	const part = 5000
	for from := 0; from < n; from += part {
		var lines bytes.Buffer
		for i := from; i < min(from+part, n); i++ {
			fmt.Fprintf(&lines, `{"custom_id":"i%d","body":{"model":"sim-echo","messages":[{"role":"user","content":"say i%d"}]}}`+"\n", i, i)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s%s/items?from=%d", h.any(0).URL, path, from), &lines)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", "application/x-ndjson")
		res, err := h.any(0).client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Fatalf("items: %d", res.StatusCode)
		}
	}
	if a := h.any(0).askAs(t, secret, "POST", path+"/start", nil); a.status != http.StatusOK {
		t.Fatal(a)
	}
	return path
}

func (h *estate) pile(secret, path string) (p pile) {
	a, err := h.any(0).do(h.t.Context(), secret, "GET", path, nil)
	if err == nil {
		_ = json.Unmarshal(a.body, &p) // then it is asked again
	}
	return p
}

// TestBatchSurvivesKills: whichever node is killed while a batch runs, each of its items ends once, and is charged for once but for
// what was under way.
func TestBatchSurvivesKills(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes, share int
		env          func(t *testing.T) []string
	}{
		"two nodes on postgres and redis": {2, 1, func(t *testing.T) []string {
			return []string{"DATABASE_URL=" + server.Database(t).URL, counters(t).url()}
		}},
		"one node on sqlite": {1, 5, func(*testing.T) []string { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t)
			h := newEstate(t, c.nodes, w.options("tasks: {workers: 64}\nlog: {level: warn}", c.env(t)...))
			k := h.any(0).newKey(t, h.any(0).newOrg(t, "acme"), "robot", object{"role": "task_executor"})
			n := *manyItems / c.share
			began := time.Now()
			path := h.submit(k.secret, n, 40)
			sent := time.Since(began)
			for i := range 4 {
				want := n * (i + 1) / 5
				soon(t, 60*patience, "items have ended", func() bool { return h.pile(k.secret, path).Done >= want })
				h.kill(i % len(h.dirs))
			}
			var p pile
			soon(t, 60*patience, "the batch has ended", func() bool { p = h.pile(k.secret, path); return p.State == "completed" })
			took := time.Since(began) - sent
			if p.Succeeded != n || p.Done != n || p.Total != n {
				t.Errorf("%+v, want %d", p, n)
			}
			again := h.judgeItems(w, k.secret, path, n)
			bytes := h.any(0).metric(t, "process_resident_memory_bytes")
			line := fmt.Sprintf("| %s | %d | %.1f | %.0f | 4 | %d | %.0f |", name, n, sent.Seconds(), float64(n)/took.Seconds(), again, bytes/(1<<20))
			t.Log(line)
			tell(t, line)
		})
	}
}

// judgeItems holds each result against what the provider has seen, and gives how many calls were made again.
func (h *estate) judgeItems(w *witness, secret, path string, n int) (again int) {
	t := h.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.any(0).URL+path+"/results", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	res, err := h.any(0).client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	seen := 0
	for ; lines.Scan(); seen++ {
		var r struct {
			Item     int
			CustomID string `json:"custom_id"`
			State    string
			Response struct {
				Choices []struct{ Message struct{ Content string } }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if r.Item != seen || r.CustomID != fmt.Sprintf("i%d", seen) || r.State != "succeeded" || len(r.Response.Choices) != 1 || r.Response.Choices[0].Message.Content != "x" {
			t.Errorf("%s", lines.Bytes())
		}
		times := w.times(strings.TrimSpace(r.CustomID))
		if times < 1 || times > 5 {
			t.Errorf("%s reached the provider %d times", r.CustomID, times)
		}
		again += times - 1
	}
	if seen != n || lines.Err() != nil {
		t.Errorf("%d results of %d, %v", seen, n, lines.Err())
	}
	if most := 4 * 64 * 2; again > most {
		t.Errorf("%d calls were made again, which is more than ran at four kills", again)
	}
	return again
}
