package nodes

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// manyTasks is how many tasks are made while nodes are killed.
var manyTasks = flag.Int("tasks", 200, "how many tasks are made while nodes are killed")

// estate is some nodes that share a database, of which some may be gone.
type estate struct {
	t    *testing.T
	o    vel.Options
	dirs []string

	mu    sync.Mutex
	nodes []*node // nil: it is gone; guarded by mu
}

func newEstate(t *testing.T, nodes int, o vel.Options) *estate {
	t.Helper()
	h := &estate{t: t, o: o, dirs: make([]string, nodes), nodes: make([]*node, nodes)}
	for i := range nodes {
		h.dirs[i] = t.TempDir()
		h.begin(i)
	}
	return h
}

func (h *estate) begin(i int) {
	h.t.Helper()
	n := launch(h.t, h.dirs[i], h.o)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes[i] = n
}

// kill kills a node and starts it anew.
func (h *estate) kill(i int) {
	h.t.Helper()
	h.mu.Lock()
	n := h.nodes[i]
	if len(h.nodes) > 1 {
		h.nodes[i] = nil
	}
	h.mu.Unlock()
	n.kill(h.t)
	h.begin(i)
}

// any is a node that is not known to be gone.
func (h *estate) any(turn int) *node {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.nodes {
		if n := h.nodes[(turn+i)%len(h.nodes)]; n != nil {
			return n
		}
	}
	return nil
}

// wanted is a task that was asked for.
type wanted struct {
	call, id string
	f        follower
	followed bool
}

// make makes a task, on any node, as often as it takes to be told that it is there.
func (h *estate) make(ctx context.Context, secret string, w *wanted, turn int) error {
	content := object{"body": object{"model": "sim-echo", "messages": []object{{"role": "user", "content": w.call}}}, "tags": object{"call": w.call}}
	for ; ctx.Err() == nil; turn++ {
		a, err := h.any(turn).do(ctx, secret, "POST", "/api/tasks", content, "Idempotency-Key: "+w.call)
		switch {
		case err == nil && a.status == http.StatusCreated:
			w.id = a.field("id")
			return nil
		case err == nil && a.status != http.StatusServiceUnavailable && a.status != http.StatusConflict && a.status != http.StatusUnauthorized:
			return fmt.Errorf("task %s: %s", w.call, a)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backAfter):
		}
	}
	return ctx.Err()
}

// shown is what the API says of a task.
type shown struct {
	State   string
	Tries   int
	History []struct{ Kind string }
	Result  struct {
		Cost string `json:"cost_usd"`
	}
	Content struct {
		Answer struct {
			Choices []struct{ Message struct{ Content string } }
		}
	}
}

func (n *node) task(t *testing.T, secret, id string) (s shown) {
	t.Helper()
	a := n.askAs(t, secret, "GET", "/api/tasks/"+id, nil)
	if err := json.Unmarshal(a.body, &s); err != nil || a.status != http.StatusOK {
		t.Fatalf("task %s: %s, %v", id, a, err)
	}
	return s
}

// TestTasksSurviveKills: whichever node is killed whenever, every task ends exactly once, with its whole answer; nothing is charged
// twice but what was under way, and whoever follows misses nothing.
func TestTasksSurviveKills(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes int
		env   func(t *testing.T) []string
	}{
		"two nodes on postgres and redis": {2, func(t *testing.T) []string {
			return []string{"DATABASE_URL=" + server.Database(t).URL, counters(t).url()}
		}},
		"two nodes behind pgbouncer, without redis": {2, func(t *testing.T) []string { return []string{"DATABASE_URL=" + server.Database(t).Pooled} }},
		"one node on sqlite":                        {1, func(*testing.T) []string { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newTypist(t)
			h := newEstate(t, c.nodes, p.options("tasks: {per_user: 100000, streams_per_user: 1000, workers: 32}", c.env(t)...))
			n := h.any(0)
			k := n.newKey(t, n.newOrg(t, "acme"), "robot", object{"role": "task_executor"})
			list := h.churn(p, k.secret)
			h.judge(p, k.secret, list)
		})
	}
}

// churn makes many tasks while nodes are killed, and waits until all of them have ended.
func (h *estate) churn(p *typist, secret string) []*wanted {
	t := h.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	list := make([]*wanted, *manyTasks)
	var made atomic.Int64
	var working sync.WaitGroup
	errs := make(chan error, 2*len(list))
	const makers = 8
	for m := range makers {
		working.Go(func() {
			for i := m; i < len(list); i += makers {
				w := &wanted{call: fmt.Sprintf("call%d", i), followed: i%10 == 0}
				list[i] = w
				if err := h.make(ctx, secret, w, i); err != nil {
					errs <- err
					return
				}
				made.Add(1)
				if w.followed {
					working.Go(func() {
						var err error
						if w.f, err = follow(ctx, func() *node { return h.any(i + w.f.times) }, secret, "/api/tasks/"+w.id); err != nil {
							errs <- fmt.Errorf("follow %s: %w", w.id, err)
						}
					})
				}
			}
		})
	}
	for i := range 4 {
		want := int64(len(list) * (i + 1) / 5)
		soon(t, 2*patience, "tasks are made", func() bool { return made.Load() >= want || len(errs) > 0 })
		h.kill(i % len(h.dirs))
	}
	working.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	soon(t, 2*patience, "all tasks have ended", func() bool {
		for _, state := range []string{"pending", "running"} {
			a := h.any(0).askAs(t, secret, "GET", "/api/tasks?limit=1&state="+state, nil)
			var page struct{ Data []json.RawMessage }
			if json.Unmarshal(a.body, &page) != nil || len(page.Data) > 0 {
				return false
			}
		}
		return true
	})
	return list
}

// judge holds every task against what the provider has seen, and against the records of its calls.
func (h *estate) judge(p *typist, secret string, list []*wanted) {
	t := h.t
	t.Helper()
	var records map[string][]line
	soon(t, patience, "every call has its record", func() bool {
		for i := range h.dirs { // a record on its way from one place to the next is in neither for a moment
			h.nodes[i].ships(t, patience)
		}
		records = map[string][]line{}
		for _, l := range h.any(0).recorded(t) {
			records[l.Tags["call"]] = append(records[l.Tags["call"]], l)
		}
		return len(records) >= len(list)
	})
	again := 0
	for i, w := range list {
		s := h.any(i).task(t, secret, w.id)
		ends := 0
		for _, step := range s.History {
			if step.Kind == "succeeded" || step.Kind == "failed" || step.Kind == "cancelled" {
				ends++
			}
		}
		if s.State != "succeeded" || ends != 1 || len(s.Content.Answer.Choices) != 1 || s.Content.Answer.Choices[0].Message.Content != said(w.call) {
			t.Errorf("%s is %+v", w.call, s)
		}
		begun, _ := p.times(w.call)
		if begun < 1 || begun > s.Tries {
			t.Errorf("%s was begun %d times, and reached the provider %d times", w.call, s.Tries, begun)
		}
		again += s.Tries - 1
		ended := slices.DeleteFunc(slices.Clone(records[w.call]), func(l line) bool { return l.State != "ended" })
		// A call that had ended when its node was killed, before the task knew: at most one for each kill of a try.
		if len(ended) < 1 || len(ended) > s.Tries || len(records[w.call]) > s.Tries {
			t.Errorf("%s: %d tries, records %+v", w.call, s.Tries, records[w.call])
		}
		if w.followed {
			h.judgeFollower(w)
		}
	}
	t.Logf("%d tasks; %d tries were made again", len(list), again)
}

func (h *estate) judgeFollower(w *wanted) {
	f := &w.f
	for i, id := range f.ids {
		if id != i+1 {
			h.t.Errorf("%s: the ids of events are %v", w.call, f.ids)
			break
		}
	}
	if f.last != "succeeded" || !f.done || f.text != said(w.call) {
		h.t.Errorf("%s: followed to %q, done %v, text %q", w.call, f.last, f.done, f.text)
	}
}
