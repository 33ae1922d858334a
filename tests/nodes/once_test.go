package nodes

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A call with an Idempotency-Key is made once in the house: another node gives its answer, and so does one that has come since the
// node that made it is gone.
func TestOnceInTheHouse(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	o := options(sim, "", "DATABASE_URL="+server.Database(t).URL)
	first := map[string]answer{}
	call := func(n *node, what string) answer {
		t.Helper()
		return n.askAs(t, fileKey, "POST", "/v1/chat/completions", chatBody("sim-echo", what == "a stream"), "Idempotency-Key: "+what)
	}
	replayed := func(n *node, what string) {
		t.Helper()
		var again answer
		soon(t, patience, "the answer is there", func() bool { again = call(n, what); return again.status == http.StatusOK })
		if string(first[what].body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %s\nfirst %s", what, again, first[what])
		}
	}
	n, other := start(t, o), start(t, o)
	for _, what := range []string{"whole", "a stream"} {
		if first[what] = call(n, what); first[what].status != http.StatusOK || len(first[what].body) == 0 {
			t.Fatal(first[what])
		}
		replayed(other, what)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	last := start(t, o)
	for _, what := range []string{"whole", "a stream"} {
		replayed(last, what)
	}
	if made := sim.Stats().ByModel["sim-echo"].Executed; made != 2 {
		t.Errorf("the provider has made %d calls, want 2", made)
	}
}

// asking is a call with an Idempotency-Key, as often as a client repeats it.
type asking struct {
	key, what string
	stream    bool
}

func (c *asking) on(n *node) (answer, error) {
	content := object{"model": "sim-echo", "stream": c.stream, "messages": []object{{"role": "user", "content": c.what + " " + c.key}}}
	return n.do(context.Background(), fileKey, "POST", "/v1/chat/completions", content, "Idempotency-Key: "+c.key, "x-vel-tags: call="+c.key)
}

// repeated repeats a call while it is told that it still runs.
func (c *asking) repeated(t *testing.T, n *node) (a answer) {
	t.Helper()
	soon(t, patience, "an answer to "+c.key, func() bool {
		var err error
		if a, err = c.on(n); err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusConflict && a.header.Get("Retry-After") == "" {
			t.Fatalf("nothing says when to come again: %s", a)
		}
		return a.status != http.StatusConflict
	})
	return a
}

// The node that makes a call is killed. The call's client repeats it on another node, which makes it and gives its answer ever
// after; the first attempt is charged at its estimate, the second one at what it cost.
func TestANodeIsKilledInACallThatIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	o, dir := w.options("", "DATABASE_URL="+server.Database(t).URL, counters(t).url()), t.TempDir()
	other, n := start(t, o), launch(t, dir, o)
	calls := []*asking{{key: "whole", what: "dawdle"}, {key: "stream", what: "dawdle", stream: true}}
	var held sync.WaitGroup
	for _, c := range calls {
		held.Go(func() { _, _ = c.on(n) }) // it ends with the node
	}
	soon(t, patience, "both calls are held", func() bool { return w.has("whole") && w.has("stream") })
	n.kill(t)
	held.Wait()

	answers := map[string]answer{}
	for _, c := range calls {
		if answers[c.key] = c.repeated(t, other); answers[c.key].status != http.StatusOK {
			t.Fatalf("%s: %s", c.key, answers[c.key])
		}
	}
	n = launch(t, dir, o) // it tells what the first one had begun
	for _, c := range calls {
		for _, at := range []*node{n, other} {
			if again := c.repeated(t, at); string(again.body) != string(answers[c.key].body) || again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("%s: %s\nfirst %s", c.key, again, answers[c.key])
			}
		}
		if made := w.times(c.key); made != 2 {
			t.Errorf("%s reached the provider %d times, want 2", c.key, made)
		}
	}
	n.ships(t, patience)
	other.ships(t, patience)
	for _, c := range calls {
		charged := map[string]int{}
		for _, l := range other.recorded(t) {
			if l.Tags["call"] != c.key {
				continue
			}
			charged[l.State+" "+map[bool]string{true: "free", false: "charged"}[l.Cost == "0"]]++
			if l.State == "interrupted" {
				other.costsItsEstimate(t, l)
			}
		}
		if charged["interrupted charged"] != 1 || charged["ended charged"] != 1 {
			t.Errorf("%s: %v", c.key, charged)
		}
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// A hundred clients make the same call at the same time, on two nodes: it is made once, and all have its answer.
func TestAHundredEqualCalls(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	o := w.options("", "DATABASE_URL="+server.Database(t).URL, counters(t).url())
	nodes := []*node{start(t, o), start(t, o)}
	for _, c := range []*asking{{key: "whole", what: "say"}, {key: "stream", what: "say", stream: true}} {
		bodies := make([]string, 100)
		var clients sync.WaitGroup
		for i := range bodies {
			clients.Go(func() {
				for range time.Tick(20 * time.Millisecond) {
					a, err := c.on(nodes[i%2])
					if err != nil || a.status == http.StatusOK || a.status != http.StatusConflict {
						bodies[i] = string(a.body)
						return
					}
				}
			})
		}
		clients.Wait()
		for i, body := range bodies {
			if body == "" || body != bodies[0] {
				t.Fatalf("%s: client %d has %q, the first %q", c.key, i, body, bodies[0])
			}
		}
		if made := w.times(c.key); made != 1 {
			t.Errorf("%s reached the provider %d times", c.key, made)
		}
	}
}
