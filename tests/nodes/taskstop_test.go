package nodes

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// asks makes a task that calls the witness, and gives its path.
func asks(t *testing.T, n *node, secret, prompt string, more object) string {
	t.Helper()
	content := object{"body": object{"model": "sim-echo", "messages": []object{{"role": "user", "content": prompt}}}}
	for name, value := range more {
		content[name] = value
	}
	a := n.askAs(t, secret, "POST", "/api/tasks", content)
	if a.status != http.StatusCreated {
		t.Fatal(a)
	}
	return "/api/tasks/" + a.field("id")
}

// in waits until a task is in a state, and gives it then.
func (n *node) in(t *testing.T, secret, path, state string) (s shown) {
	t.Helper()
	soon(t, patience, "the task is "+state, func() bool {
		s = n.task(t, secret, strings.TrimPrefix(path, "/api/tasks/"))
		return s.State == state
	})
	return s
}

// A task is cancelled by any node; its provider sees that, and what had come is kept and charged.
func TestTaskIsCancelledFromAnyNode(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	o := w.options("", "DATABASE_URL="+server.Database(t).URL)
	a, b := start(t, o), start(t, o)
	k := a.newKey(t, a.newOrg(t, "acme"), "robot", object{"role": "task_executor"})
	for i, n := range []*node{a, b, a, b} { // on whichever node each runs
		call := "call" + string(rune('0'+i))
		path := asks(t, n, k.secret, "hold "+call, nil)
		n.in(t, k.secret, path, "running")
		soon(t, patience, "the provider is asked", func() bool { return w.has(call) })
		n.tokens(t, k.secret, path)
		began := time.Now()
		other := map[*node]*node{a: b, b: a}[n]
		if got := other.askAs(t, k.secret, "POST", path+"/cancel", nil); got.status != http.StatusOK {
			t.Fatal(got)
		}
		soon(t, patience, "the provider has noticed", func() bool { return w.left(call) })
		t.Logf("%s: the provider noticed after %s", call, time.Since(began))
		s := other.in(t, k.secret, path, "cancelled")
		if len(s.Content.Answer.Choices) != 1 || s.Content.Answer.Choices[0].Message.Content != "x" || s.Result.Cost == "0" {
			t.Errorf("%+v", s)
		}
	}
}

// tokens waits until some of a task's answer is there.
func (n *node) tokens(t *testing.T, secret, path string) {
	t.Helper()
	var f follower
	var last int
	over, err := f.open(t.Context(), n, secret, path+"/stream", &last, func(_ int, kind, _ string) bool { return kind == "progress" })
	if err != nil || !over {
		t.Fatalf("no tokens came: %v", err)
	}
}

// A node that stops gives back what it can not end in time; another one begins it anew.
func TestStoppingNodeHandsItsTasksOver(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	o, dir := w.options("server: {drain: 300ms}", "DATABASE_URL="+server.Database(t).URL, counters(t).url()), t.TempDir()
	n := launch(t, dir, o)
	k := n.newKey(t, n.newOrg(t, "acme"), "robot", object{"role": "task_executor"})
	path := asks(t, n, k.secret, "dawdle one", nil)
	soon(t, patience, "the provider is asked", func() bool { return w.has("one") })
	later := asks(t, n, k.secret, "say two", object{"start_at": time.Now().Add(2 * time.Second)})
	other := start(t, o)
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	s := other.in(t, k.secret, path, "succeeded")
	var kinds []string
	for _, step := range s.History {
		kinds = append(kinds, step.Kind)
	}
	if got := strings.Join(kinds, " "); got != "created begun interrupted begun succeeded" || w.times("one") != 2 {
		t.Errorf("%s; the provider was asked %d times", got, w.times("one"))
	}
	other.in(t, k.secret, later, "succeeded")
}

// However many tasks are asked for at the same time, on whichever node, a user has no more of them than they may.
func TestTaskLimitHoldsOnTwoNodes(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	o := w.options("server: {drain: 300ms}", "DATABASE_URL="+server.Database(t).URL)
	nodes := []*node{start(t, o), start(t, o)}
	k := nodes[0].newKey(t, nodes[0].newOrg(t, "acme"), "robot", object{"role": "task_executor"})
	soon(t, patience, "both nodes know the key", func() bool { return nodes[1].askAs(t, k.secret, "GET", "/api/tasks", nil).status == http.StatusOK })
	var taken, refused atomic.Int32
	var asking sync.WaitGroup
	for i := range 40 {
		asking.Go(func() {
			a, err := nodes[i%2].do(t.Context(), k.secret, "POST", "/api/tasks", object{"body": object{"model": "sim-echo", "messages": []object{{"role": "user", "content": "hold x"}}}})
			switch {
			case err == nil && a.status == http.StatusCreated:
				taken.Add(1)
			case err == nil && a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "" && strings.Contains(string(a.body), "too-many-tasks"):
				refused.Add(1)
			default:
				t.Errorf("%s, %v", a, err)
			}
		})
	}
	asking.Wait()
	if taken.Load() != 10 || refused.Load() != 30 {
		t.Errorf("%d were taken and %d refused, want 10 and 30", taken.Load(), refused.Load())
	}
}
