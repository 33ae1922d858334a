package nodes

import (
	"net/http"
	"testing"
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
