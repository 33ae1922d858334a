package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// taskLoad is how long each stage of the load takes; without it they are as short as a test may be.
var taskLoad = flag.Duration("task-load", 0, "how long each stage of users who make tasks takes; 0: a second, with a tenth of the users")

// loadStage is some users at once, who come and go: so many at each of its points in time, and as many as lie on the line between
// them. deploy/k6 has the same stages.
type loadStage struct {
	name  string
	users []int
}

func loadStages() []loadStage {
	return []loadStage{
		{"50 to 200 users", []int{50, 100, 200, 200, 50}},
		{"spikes", []int{50, 50, 400, 50, 50, 400, 50, 50}},
		{"1,000 users", []int{200, 1000, 1000, 1000, 200}},
	}
}

// think is how long a user rests between two tasks.
const think = time.Second

// at is how many users there are after a share of the stage.
func (s *loadStage) at(share float64) int {
	place := min(max(share, 0), 1) * float64(len(s.users)-1)
	i := min(int(place), len(s.users)-2)
	return s.users[i] + int((place-float64(i))*float64(s.users[i+1]-s.users[i]))
}

// crowd is the users of one stage, and what they have seen.
type crowd struct {
	h       *estate
	secrets []string

	mu     sync.Mutex
	took   map[string][]time.Duration // by what was asked; guarded by mu
	delays []time.Duration            // of first tokens, from the provider to the client; guarded by mu
	failed map[string]int             // guarded by mu
	asked  int                        // guarded by mu
}

// TestTaskLoad: users make tasks, follow them and look at them, on one node with SQLite and on two with Postgres and Redis.
func TestTaskLoad(t *testing.T) {
	for name, c := range map[string]struct {
		nodes int
		env   func(t *testing.T) []string
	}{
		"SQLite, one node": {1, func(*testing.T) []string { return nil }},
		"Postgres and Redis, two nodes": {2, func(t *testing.T) []string {
			return []string{"DATABASE_URL=" + server.Database(t).URL, counters(t).url()}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			most, long, fewer := 1000, *taskLoad, 1
			if long == 0 {
				t.Parallel()
				most, long, fewer = 100, time.Second, 10
			}
			p := newTypist(t)
			p.stamps = true
			h := newEstate(t, c.nodes, p.options("tasks: {workers: 1000}\nlog: {level: warn}", c.env(t)...))
			secrets := h.keys(most)
			tell(t, "\n| "+name+" | requests | failed, % | create P50 / P95, ms | status P50 / P95, ms | stream opens P50 / P95, ms | first token, from the provider to the client, P50 / P95, ms | tasks/s |\n|---|---|---|---|---|---|---|---|")
			for _, s := range loadStages() {
				for i := range s.users {
					s.users[i] /= fewer
				}
				c := &crowd{h: h, secrets: secrets, took: map[string][]time.Duration{}, failed: map[string]int{}}
				c.come(t, &s, long)
				c.report(t, s.name, long)
			}
			h.firstTokens(secrets[0])
		})
	}
}

// keys makes users: each has one key.
func (h *estate) keys(n int) []string {
	h.t.Helper()
	org := h.any(0).newOrg(h.t, "crowd")
	secrets := make([]string, n)
	var making sync.WaitGroup
	for m := range 8 {
		making.Go(func() {
			for i := m; i < n; i += 8 {
				a, err := h.any(0).do(h.t.Context(), adminKey, "POST", "/api/keys?organization="+org, object{"name": "u" + strconv.Itoa(i), "role": "task_executor"})
				if secrets[i] = a.field("secret"); err != nil || secrets[i] == "" {
					h.t.Errorf("a key: %s, %v", a, err)
				}
			}
		})
	}
	making.Wait()
	return secrets
}

// come lets users come and go.
func (c *crowd) come(t *testing.T, s *loadStage, long time.Duration) {
	t.Helper()
	began := time.Now()
	var there sync.WaitGroup
	var wanted atomic.Int64
	wanted.Store(int64(s.at(0)))
	for i := range slices.Max(s.users) {
		there.Go(func() {
			for turn := i; time.Since(began) < long; turn++ {
				if int64(i) < wanted.Load() {
					c.visit(t.Context(), i, turn)
				}
				pause(t.Context(), min(think, long/4))
			}
		})
	}
	tick := time.NewTicker(long / 100)
	defer tick.Stop()
	for now := range tick.C {
		if now.Sub(began) > long {
			break
		}
		wanted.Store(int64(s.at(float64(now.Sub(began)) / float64(long))))
	}
	there.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// visit makes a task, follows its answer, and looks at it.
func (c *crowd) visit(ctx context.Context, user, turn int) {
	secret, n := c.secrets[user], c.h.any(turn)
	content := object{"body": object{"model": "sim-echo", "messages": []object{{"role": "user", "content": "hello"}}}}
	a := c.time(ctx, "create", http.StatusCreated, func() (answer, error) { return n.do(ctx, secret, "POST", "/api/tasks", content) })
	id := a.field("id")
	if id == "" {
		return
	}
	c.time(ctx, "status", http.StatusOK, func() (answer, error) {
		return c.h.any(turn+1).do(ctx, secret, "GET", "/api/tasks/"+id, nil)
	})
	c.follow(ctx, n, secret, id)
	c.time(ctx, "status", http.StatusOK, func() (answer, error) { return n.do(ctx, secret, "GET", "/api/tasks/"+id, nil) })
}

// time makes a request and notes how long it took, and whether it was answered as it should be.
func (c *crowd) time(ctx context.Context, what string, status int, do func() (answer, error)) answer {
	began := time.Now()
	a, err := do()
	c.note(ctx, what, time.Since(began), err, err == nil && a.status == status, a)
	return a
}

func (c *crowd) note(ctx context.Context, what string, took time.Duration, err error, well bool, a answer) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if !well {
		c.failed[fmt.Sprintf("%s: %s %v", what, a, err)]++
		return
	}
	c.took[what] = append(c.took[what], took)
}

// follow reads the answer of a task to its end.
func (c *crowd) follow(ctx context.Context, n *node, secret, id string) {
	began := time.Now()
	var last int
	var opened time.Duration
	f := follower{opened: func() { opened = time.Since(began) }}
	over, err := f.open(ctx, n, secret, "/api/tasks/"+id+"/stream-response", &last, func(_ int, kind, data string) bool {
		if kind == "token" && f.text == "" {
			var token struct{ Text string }
			_ = json.Unmarshal([]byte(data), &token)
			f.text = token.Text
			c.late(token.Text, time.Now())
		}
		return kind == "done"
	})
	c.note(ctx, "open", opened, err, over && err == nil, answer{})
}

// late notes how long the first word of an answer was under way: it says when it was written.
func (c *crowd) late(text string, now time.Time) {
	word, _, _ := strings.Cut(text, " ")
	if n, err := strconv.ParseInt(word[strings.LastIndexByte(word, '@')+1:], 10, 64); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.delays = append(c.delays, now.Sub(time.Unix(0, n)))
	}
}

// quantiles are the middle and the slowest twentieth, in milliseconds.
func quantiles(list []time.Duration) string {
	if len(list) == 0 {
		return "–"
	}
	slices.Sort(list)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f / %.1f", ms(list[len(list)/2]), ms(list[len(list)*95/100]))
}

func (c *crowd) report(t *testing.T, stage string, long time.Duration) {
	t.Helper()
	failed := 0
	for what, n := range c.failed {
		failed += n
		t.Logf("%d × %s", n, what)
	}
	share := float64(failed) / float64(max(c.asked, 1)) * 100
	line := fmt.Sprintf("| %s | %d | %.2f | %s | %s | %s | %s | %.0f |", stage, c.asked, share, quantiles(c.took["create"]), quantiles(c.took["status"]),
		quantiles(c.took["open"]), quantiles(c.delays), float64(len(c.took["create"]))/long.Seconds())
	t.Log(line)
	tell(t, line)
	if share > 1 || c.asked == 0 {
		t.Errorf("%s: %d of %d requests failed", stage, failed, c.asked)
	}
}

// firstTokens compares how long the first word of an answer is under way from the provider to the client: in a stream of the data
// plane, and in that of a task on the same node.
func (h *estate) firstTokens(secret string) {
	h.t.Helper()
	tries := 20
	if *taskLoad > 0 {
		tries = 300
	}
	direct, later := &crowd{h: h, took: map[string][]time.Duration{}, failed: map[string]int{}}, &crowd{h: h, took: map[string][]time.Duration{}, failed: map[string]int{}}
	n := h.any(0)
	question := object{"model": "sim-echo", "messages": []object{{"role": "user", "content": "hello"}}}
	for range tries {
		direct.stream(h.t, n, secret, question)
		a := n.askAs(h.t, secret, "POST", "/api/tasks", object{"body": question})
		later.follow(h.t.Context(), n, secret, a.field("id"))
	}
	if len(direct.delays) != tries || len(later.delays) != tries {
		h.t.Errorf("%d and %d first words came of %d", len(direct.delays), len(later.delays), tries)
	}
	line := fmt.Sprintf("First token, from the provider to the client, one after the other, P50 / P95 in ms: %s in a call's stream, %s in a task's.", quantiles(direct.delays), quantiles(later.delays))
	h.t.Log(line)
	tell(h.t, "\n"+line)
}

// stream makes a call of the data plane, and notes how long its first word was under way.
func (c *crowd) stream(t *testing.T, n *node, secret string, question object) {
	t.Helper()
	body, err := json.Marshal(object{"model": question["model"], "messages": question["messages"], "stream": true})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	res, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for first := true; lines.Scan(); {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		if is && first {
			var chunk struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			_ = json.Unmarshal([]byte(data), &chunk)
			if len(chunk.Choices) == 1 {
				c.late(chunk.Choices[0].Delta.Content, time.Now())
			}
			first = false
		}
	}
}
