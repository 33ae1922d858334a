package nodes

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// awayLimit is a key whose requests an hour are limited, and what becomes of them while Redis is away.
type awayLimit struct {
	word   string
	key    key
	most   int // of triesAway calls on each of two nodes
	status int // of the others
}

const (
	triesAway = 6
	perHour   = 4 // two for each node
)

// shown waits until a node says of its counters what is so.
func (n *node) shown(t *testing.T, up bool) {
	t.Helper()
	health, gauge := `"limits":{"ok":false,"store":"redis","reason":"redis does not answer`, 0.0
	if up {
		health, gauge = `"limits":{"ok":true,"store":"redis"`, 1
	}
	soon(t, patience, "the node says how it stands with redis", func() bool {
		a := n.askAs(t, "", "GET", "/api/health", nil)
		return a.status == http.StatusOK && strings.Contains(string(a.body), health) && n.metric(t, "vel_limit_store_up") == gauge
	})
}

// without makes calls on all nodes while Redis is away, and wants what on_store_failure of the key's limit says.
func (h *house) without(t *testing.T, l awayLimit) {
	t.Helper()
	made := 0
	for _, n := range h.nodes {
		for range triesAway {
			switch status := n.call(t, l.key.secret, "sim-echo"); status {
			case http.StatusOK:
				made++
			case l.status:
			default:
				t.Errorf("%s: status %d, want 200 or %d", l.word, status, l.status)
			}
		}
	}
	if made != l.most {
		t.Errorf("%s: %d calls of %d while redis is away, want %d", l.word, made, triesAway*len(h.nodes), l.most)
	}
}

// limited makes a key for each on_store_failure, with limits of requests an hour, and waits until they are in force.
func (h *house) limited(t *testing.T) []awayLimit {
	t.Helper()
	all := []awayLimit{
		{word: "local", most: perHour, status: http.StatusTooManyRequests},
		{word: "closed", most: 0, status: http.StatusServiceUnavailable},
		{word: "open", most: triesAway * len(h.nodes), status: http.StatusOK},
	}
	for i := range all {
		l := &all[i]
		l.key = h.nodes[0].newKey(t, h.org, l.word, nil)
		h.nodes[0].must(t, http.StatusCreated, "POST", "/api/limits?organization="+h.org, object{"key": l.key.id, "rph": perHour, "on_store_failure": l.word})
		for _, n := range h.nodes {
			soon(t, patience, "a node that counts", func() bool {
				a := n.askAs(t, l.key.secret, "GET", "/v1/models", nil)
				return a.header.Get("X-Ratelimit-Limit-Requests") != ""
			})
		}
	}
	return all
}

// Redis is killed under two nodes, comes back empty, and is flushed: meanwhile each limit does what it says, the nodes tell
// how it stands, afterwards they count together again, and no budget is exceeded by more than what is documented.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	h := counting(t, 2)
	id := h.budget(t, 40, "local")
	limits := h.limited(t)

	h.redis.kill()
	for _, n := range h.nodes {
		soon(t, patience, "the node has noticed", func() bool {
			_ = n.call(t, h.key.secret, "echo")
			return n.metric(t, "vel_limit_store_up") == 0
		})
		n.shown(t, false)
	}
	for _, l := range limits {
		h.without(t, l)
	}
	for _, n := range h.nodes {
		if n.metric(t, "vel_limit_degraded_total") == 0 {
			t.Error("a node has decided without redis, and does not say so")
		}
	}

	h.redis.begin(t)
	for _, n := range h.nodes {
		n.shown(t, true)
	}
	h.together(t, limits)
	h.spend(t, id)
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// Redis is flushed while a node makes a call, and the other one is the first to notice: what the call holds is known before
// anybody believes what is counted.
func TestFlushedUnderACall(t *testing.T) {
	t.Parallel()
	h := counting(t, 2)
	id := h.budget(t, 40, "closed")
	ctx, leave := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	calling.Go(func() {
		_, _ = h.nodes[1].do(ctx, h.key.secret, "POST", "/v1/chat/completions", object{ // it is left in the end
			"model": "echo", "stream": true, "messages": []object{{"role": "user", "content": "[[chunks=1000 delay=100ms]] Say hello."}},
		})
	})
	t.Cleanup(func() { leave(); calling.Wait() })
	soon(t, patience, "the call is held", func() bool { return h.used(t, h.nodes[0], id).held == 0.5 })
	if got := h.redis.says("FLUSHALL"); got != "+OK" {
		t.Fatalf("flush: %q", got)
	}
	soon(t, patience, "the budget gives something", func() bool { return h.nodes[0].call(t, h.key.secret, "echo") == http.StatusOK })
	if u := h.used(t, h.nodes[0], id); u.held < 0.5 {
		t.Errorf("what the other node holds is not known: %+v", u)
	}
	leave()
	calling.Wait()
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// together waits until the nodes count together, in a Redis that has just forgotten everything. A node that has not waited
// long enough for it has decided by itself once more; then it is tried again.
func (h *house) together(t *testing.T, limits []awayLimit) {
	t.Helper()
	soon(t, patience, "the nodes count together", func() bool {
		if got := h.redis.says("FLUSHALL"); got != "+OK" {
			t.Fatalf("flush: %q", got)
		}
		for _, l := range limits {
			made := 0
			for i := range triesAway * len(h.nodes) {
				if h.nodes[i%len(h.nodes)].call(t, l.key.secret, "sim-echo") == http.StatusOK {
					made++
				}
			}
			if made != perHour {
				t.Logf("%s: %d calls, and %d are allowed", l.word, made, perHour)
				return false
			}
		}
		return true
	})
}

// spend calls until nothing is left of a budget, once the counters know again what was spent, and wants no more to be spent
// than the budget and the share of each node that it may give without Redis.
func (h *house) spend(t *testing.T, budget string) {
	t.Helper()
	soon(t, patience, "the budget is spent on every node", func() bool {
		for _, n := range h.nodes {
			a, err := n.chat(t.Context(), h.key.secret, "echo", false)
			if err != nil {
				t.Fatal(err)
			}
			if !outOfMoney(a) {
				return false
			}
		}
		return true
	})
	soon(t, patience, "the ledger knows what was spent", func() bool {
		u := h.used(t, h.nodes[0], budget)
		return u.held == 0 && u.booked == u.spent
	})
	u := h.used(t, h.nodes[0], budget)
	if most := u.max + 2*0.05*float64(len(h.nodes))*u.max; u.spent < u.max || u.spent > most {
		t.Errorf("%.2f dollars are spent of %.2f: want at most %.2f", u.spent, u.max, most)
	}
	t.Logf("%.2f dollars are spent of %.2f", u.spent, u.max)
}
