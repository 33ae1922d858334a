package nodes

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// How many calls race for a budget, and for how many of them it is; a soak has more of both.
var (
	racing  = flag.Int("racing", 1600, "calls that race for a budget on three nodes")
	affords = flag.Int("affords", 200, "the calls that it is for")
)

// priced is what each call of these tests costs, and holds. It and all sums of it are exact in binary.
const priced = "0.5"

// house is nodes that count together, and an organization with a key on them.
type house struct {
	redis *store // nil: a cluster
	nodes []*node
	dirs  []string // of the nodes
	with  vel.Options
	org   string
	key   key
}

// counting starts so many nodes with one Redis and one database.
func counting(t *testing.T, nodes int) *house {
	t.Helper()
	redis := counters(t)
	h := countingBy(t, nodes, redis.url())
	h.redis = redis
	return h
}

// countingBy starts them with any Redis.
func countingBy(t *testing.T, nodes int, redisURL string) *house {
	t.Helper()
	h, sim := &house{}, simulate(t)
	h.with = options(sim, "", "DATABASE_URL="+server.Database(t).URL, redisURL)
	for i := range nodes {
		h.dirs = append(h.dirs, t.TempDir())
		h.nodes = append(h.nodes, launch(t, h.dirs[i], h.with))
	}
	first := h.nodes[0]
	h.org = first.newOrg(t, "acme")
	h.key = first.newKey(t, h.org, "key", nil)
	first.must(t, http.StatusCreated, "POST", "/api/providers", object{
		"name": "priced", "kind": "openai", "base_url": sim.URL() + "/v1", "api_key": simKey, "allow_private": true,
		"prices": object{"sim-echo": object{"input": "0", "output": "0", "request": priced}},
	})
	first.must(t, http.StatusCreated, "POST", "/api/routes", object{"name": "echo", "targets": []object{{"provider": "priced", "model": "sim-echo"}}})
	for _, n := range h.nodes {
		soon(t, patience, "a node that knows the route, the key and the others", func() bool {
			return n.call(t, h.key.secret, "echo") == http.StatusOK && n.metric(t, "vel_limit_nodes") == float64(nodes)
		})
	}
	return h
}

// budget makes a budget of the house's key for so many calls, and waits until every node counts it.
func (h *house) budget(t *testing.T, calls int, away string) (id string) {
	t.Helper()
	return h.budgetOf(t, h.key, calls, away)
}

// budgetOf makes one of any key.
func (h *house) budgetOf(t *testing.T, k key, calls int, away string) (id string) {
	t.Helper()
	id = h.nodes[0].must(t, http.StatusCreated, "POST", "/api/budgets?organization="+h.org, object{
		"name": k.name, "key": k.id, "usd": strconv.FormatFloat(float64(calls)/2, 'f', -1, 64), "per": "total", "on_store_failure": away,
	}).field("id")
	for _, n := range h.nodes {
		soon(t, patience, "a node that counts the budget", func() bool {
			before := h.used(t, h.nodes[0], id)
			return n.call(t, k.secret, "echo") == http.StatusOK && h.used(t, h.nodes[0], id).total() > before.total()
		})
	}
	soon(t, patience, "the ledger knows of these calls", func() bool {
		u := h.used(t, h.nodes[0], id)
		return u.held == 0 && u.booked == u.spent
	})
	h.nodes[0].must(t, http.StatusOK, "POST", "/api/budgets/"+id+"/reset?organization="+h.org, nil)
	return id
}

// used is what a node says of a budget, in dollars.
type used struct{ max, spent, held, overrun, booked float64 }

func (u used) total() float64 { return u.spent + u.held }

func (h *house) used(t *testing.T, n *node, budget string) (u used) {
	t.Helper()
	a, err := n.do(context.WithoutCancel(t.Context()), adminKey, "GET", "/api/budgets/"+budget+"/usage?organization="+h.org, nil)
	if err != nil || a.status != http.StatusOK {
		t.Errorf("use of a budget: %v, %s", err, a)
		return used{}
	}
	for _, f := range []struct {
		name string
		to   *float64
	}{{"usd", &u.max}, {"spent_usd", &u.spent}, {"held_usd", &u.held}, {"overrun_usd", &u.overrun}, {"booked_usd", &u.booked}} {
		usd, err := strconv.ParseFloat(a.field(f.name), 64)
		if err != nil {
			t.Errorf("%s: %v in %s", f.name, err, a)
		}
		*f.to = usd
	}
	return u
}

// lawful waits until the ledger knows of everything, and wants it to say that the law holds.
func (h *house) lawful(t *testing.T, n *node, budget string) {
	t.Helper()
	soon(t, patience, "the ledger knows what was spent", func() bool {
		u := h.used(t, n, budget)
		return u.held == 0 && u.booked == u.spent
	})
	h.verified(t, n)
}

// verified wants the ledger to say that the law holds.
func (h *house) verified(t *testing.T, n *node) {
	t.Helper()
	h.broken(t, n, 0)
}

// broken wants the ledger to say that the law holds but for so many windows at most.
func (h *house) broken(t *testing.T, n *node, windows int) {
	t.Helper()
	var report struct {
		OK         bool
		Checked    int
		Violations []any
	}
	a := n.must(t, http.StatusOK, "GET", "/api/ledger/verify?organization="+h.org, nil)
	if err := json.Unmarshal(a.body, &report); err != nil || report.OK != (len(report.Violations) == 0) || report.Checked == 0 || len(report.Violations) > windows {
		t.Errorf("%v: %s", err, a)
	}
}

// tally is what became of calls.
type tally struct {
	mu    sync.Mutex // guards what follows: every caller writes it
	made  int
	spent int // refused, because nothing was left
	other []string
}

// race makes one call until it is decided: while Redis is slower than a node waits for it, a budget that is closed then
// refuses for the moment.
func (r *tally) race(ctx context.Context, h *house, n *node) {
	for {
		a, err := n.chat(ctx, h.key.secret, "echo", false)
		r.mu.Lock()
		switch {
		case err == nil && a.status == http.StatusOK:
			r.made++
		case err == nil && outOfMoney(a):
			r.spent++
		case err == nil && a.status == http.StatusServiceUnavailable:
			r.mu.Unlock()
			again(ctx, a)
			continue
		default:
			r.other = append(r.other, fmt.Sprint(a, err))
		}
		r.mu.Unlock()
		return
	}
}

// again waits until a client may come again.
func again(ctx context.Context, a answer) {
	wait, _ := strconv.Atoi(a.header.Get("Retry-After-Ms")) // without one, at once
	select {
	case <-time.After(time.Duration(wait) * time.Millisecond):
	case <-ctx.Done():
	}
}

// outOfMoney tells whether a call was refused as one is that a budget can not pay.
func outOfMoney(a answer) bool {
	var body struct{ Error struct{ Type, Code string } }
	return json.Unmarshal(a.body, &body) == nil && a.status == http.StatusTooManyRequests &&
		body.Error.Type == "insufficient_quota" && body.Error.Code == "insufficient_quota" && a.header.Get("X-Should-Retry") == "false"
}

// Many more calls than a budget is for are made at the same time on three nodes: exactly those that it is for are answered,
// the others are told that it is spent, and the ledger comes to the same.
func TestBudgetOfThreeNodes(t *testing.T) {
	t.Parallel()
	h := counting(t, 3)
	id := h.budget(t, *affords, "closed")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience+time.Duration(*racing)*10*time.Millisecond)
	defer cancel()
	var r tally
	var running sync.WaitGroup
	for i := range *racing {
		running.Go(func() { r.race(ctx, h, h.nodes[i%len(h.nodes)]) })
	}
	running.Wait()
	// Redis may have answered later than a node waits for it: what it took then was given back, and is still to be had.
	given := 0
	for h.used(t, h.nodes[0], id).total() < h.used(t, h.nodes[0], id).max && ctx.Err() == nil {
		r.race(ctx, h, h.nodes[given%len(h.nodes)])
		given++
	}
	if r.made != *affords || r.made+r.spent != *racing+given || len(r.other) > 0 {
		t.Errorf("%d of %d calls were answered, %d are paid for, %d were refused; others: %.5q", r.made, *racing+given, *affords, r.spent, r.other)
	}
	h.lawful(t, h.nodes[0], id)
	if u := h.used(t, h.nodes[1], id); u.spent != u.max || u.overrun != 0 {
		t.Errorf("used: %+v", u)
	}
	for i, n := range h.nodes {
		t.Logf("node %d decided %.0f times without redis", i, n.metric(t, "vel_limit_degraded_total"))
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// What one node has spent and the ledger does not know yet is not forgiven by a reset on another: what is counted after it
// is what the ledger comes to.
func TestResetOfABudget(t *testing.T) {
	t.Parallel()
	h := counting(t, 2)
	id := h.budget(t, 100, "local")
	for range 10 {
		if status := h.nodes[1].call(t, h.key.secret, "echo"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	soon(t, patience, "the calls are counted", func() bool { return h.used(t, h.nodes[1], id).held == 0 })
	h.nodes[0].must(t, http.StatusOK, "POST", "/api/budgets/"+id+"/reset?organization="+h.org, nil)
	after := h.used(t, h.nodes[0], id)
	h.lawful(t, h.nodes[0], id)
	if end := h.used(t, h.nodes[0], id); end.spent != after.spent || after.spent > 5 {
		t.Errorf("%.2f dollars were counted after the reset, and are %.2f in the end", after.spent, end.spent)
	}
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}
