package nodes

import (
	"math"
	"net/http"
	"testing"
)

// What is promised: so many calls of a budget, and so many a day. And how many call at the same time.
const (
	affordable = 400
	daily      = 40
	promised   = 32
)

// promises are a key for each thing that can be limited and each on_store_failure that matters to it.
func (h *house) promises(t *testing.T) []*promise {
	t.Helper()
	const quota, rate, unknown = "insufficient_quota", "rate_limit_exceeded", "limits_unavailable"
	all := []*promise{
		{what: "a budget, local", model: "echo", away: "local", tells: []string{quota, unknown}},
		{what: "a budget, closed", model: "echo", away: "closed", tells: []string{quota, unknown}},
		{what: "a day, local", model: "sim-echo", away: "local", tells: []string{rate}},
		{what: "a day, closed", model: "sim-echo", away: "closed", tells: []string{rate, unknown}},
		{what: "a day, open", model: "sim-echo", away: "open", tells: []string{rate}},
	}
	for _, p := range all {
		p.key, p.told = h.nodes[0].newKey(t, h.org, p.what, nil), map[string]int{}
		if p.model == "echo" {
			p.budget = h.budgetOf(t, p.key, affordable, p.away)
			continue
		}
		h.nodes[0].must(t, http.StatusCreated, "POST", "/api/limits?organization="+h.org, object{"key": p.key.id, "rpd": daily, "on_store_failure": p.away})
		for _, n := range h.nodes {
			n.limits(t, p.key)
		}
	}
	return all
}

// limits waits until a node knows that the requests of a key are limited; each look is one of them.
func (n *node) limits(t *testing.T, k key) {
	t.Helper()
	soon(t, patience, "a node that counts", func() bool {
		return n.askAs(t, k.secret, "GET", "/v1/models", nil).header.Get("X-Ratelimit-Limit-Requests") != ""
	})
}

// alone is how many calls the nodes may give of a promise without Redis, as docs/limits.md says, if so many were left.
func (h *house) alone(p *promise, left int) int {
	switch {
	case p.away == "open":
		return math.MaxInt32
	case p.away == "closed":
		return 0
	case p.budget != "":
		return len(h.nodes) * left * 5 / 100
	}
	return daily // the shares of all
}

// left is how many calls of a promise are left, at most.
func (h *house) left(t *testing.T, p *promise) int {
	t.Helper()
	if p.budget == "" {
		return daily
	}
	u := h.used(t, h.nodes[0], p.budget)
	return int((u.max - u.total()) / 0.5)
}

// Redis is killed, comes back empty and is flushed while many call two nodes. Nobody is told anything but what
// docs/limits.md says, nothing is exceeded by more than it says, and in the end the counters are what the ledger comes to.
// For 25 seconds of it the nodes wait for each other until they believe what is counted.
func TestRedisGoesAwayUnderLoad(t *testing.T) {
	t.Parallel()
	h := counting(t, 2)
	all := h.promises(t)
	stop := h.callFor(t, all, promised)
	goOn(t, all, daily)

	left, before := map[*promise]int{}, map[*promise]int{}
	for _, p := range all {
		left[p] = h.left(t, p)
	}
	h.redis.kill()
	for _, p := range all {
		before[p], _ = p.so()
	}
	for _, n := range h.nodes {
		n.shown(t, false)
	}
	goOn(t, all, daily)
	for _, p := range all {
		made, _ := p.so()
		t.Logf("%s: %d were left, and %d calls were answered while redis was away", p.what, left[p], made-before[p])
		p.bound(t, "while redis was away", made-before[p], h.alone(p, left[p])+promised/len(all)+1) // some were under way
	}

	h.redis.begin(t)
	for _, n := range h.nodes {
		n.shown(t, true)
	}
	if got := h.redis.says("FLUSHALL"); got != "+OK" {
		t.Fatalf("flush: %q", got)
	}
	goOn(t, all, daily)
	for _, p := range all {
		if p.budget != "" {
			h.exhaust(t, p)
		}
	}
	stop()
	exceeded := 0
	for _, p := range all {
		p.kept(t)
		exceeded += h.judge(t, p, left[p])
	}
	h.broken(t, h.nodes[0], exceeded)
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// exhaust waits until every node says that nothing is left of a budget, which it does not say before it knows.
func (h *house) exhaust(t *testing.T, p *promise) {
	t.Helper()
	for _, n := range h.nodes {
		soon(t, patience, p.what+": it is spent", func() bool {
			a, err := n.chat(t.Context(), p.key.secret, p.model, false)
			p.note(a, err)
			return err == nil && outOfMoney(a)
		})
	}
}

// forgot is how often Redis has forgotten everything.
const forgot = 2

// judge wants no more calls to be answered than what docs/limits.md says, and the counters and the ledger to know of
// exactly those. It tells how many budgets were exceeded by what the nodes may give without Redis: the ledger names them.
func (h *house) judge(t *testing.T, p *promise, left int) (exceeded int) {
	t.Helper()
	made, _ := p.so()
	if p.budget == "" {
		p.bound(t, "a day", made, daily*(1+forgot)+h.alone(p, left))
		return 0
	}
	p.bound(t, "of a budget", made, affordable+forgot*h.alone(p, left))
	var u used
	soon(t, patience, p.what+": the ledger knows what was spent", func() bool {
		u = h.used(t, h.nodes[0], p.budget)
		return u.held == 0 && u.booked == u.spent
	})
	if u.spent != float64(made)/2 || u.spent < u.max || u.overrun != 0 {
		t.Errorf("%s: %d calls were answered, and used is %+v", p.what, made, u)
	}
	if u.spent > u.max {
		return 1
	}
	return 0
}
