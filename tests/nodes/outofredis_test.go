package nodes

import (
	"math"
	"net/http"
	"testing"
)

// What is promised: so many calls a day, and of a budget. And how many call at the same time.
const (
	daily    = 40
	afforded = 400
	promised = 32
)

// promises are a key for each thing that can be limited and each on_store_failure that matters to it, with budgets for so
// many calls.
func (h *house) promises(t *testing.T, afforded int) []*promise {
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
			p.budget = h.budgetOf(t, p.key, afforded, p.away)
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
	all := h.promises(t, afforded)
	stop := h.callFor(t, all, promised)
	goOn(t, all, daily)

	left, before := map[*promise]int{}, map[*promise]int{}
	for _, p := range all {
		left[p] = h.left(t, p)
	}
	h.redis.kill()
	for _, p := range all {
		before[p] = p.answered()
	}
	for _, n := range h.nodes {
		n.shown(t, false)
	}
	goOn(t, all, daily)
	for _, p := range all {
		alone := p.answered() - before[p]
		t.Logf("%s: %d were left, and %d calls were answered while redis was away", p.what, left[p], alone)
		p.bound(t, "while redis was away", alone, h.alone(p, left[p])+promised/len(all)+1) // some were under way
	}

	h.redis.begin(t)
	for _, n := range h.nodes {
		n.shown(t, true)
	}
	if got := h.redis.says("FLUSHALL"); got != "+OK" {
		t.Fatalf("flush: %q", got)
	}
	goOn(t, all, daily)
	h.judge(t, all, stop, befell{outages: 2, forgot: 2}, afforded)
}

// befell is how often Redis was away or forgot what it counted, and how often it forgot everything; and whether a node of it
// died that had taken settlements which the one in its place had not heard of.
type befell struct {
	outages, forgot int
	unheard         bool
}

// judge lets the budgets be spent and ends the calls. It wants no more of them to be answered than what docs/limits.md says,
// and the ledger to name no budget that was not exceeded by what the nodes may give without Redis.
func (h *house) judge(t *testing.T, all []*promise, stop func(), redis befell, afforded int) {
	t.Helper()
	for _, p := range all {
		if p.budget != "" {
			h.exhaust(t, p)
		}
	}
	stop()
	exceeded := 0
	for _, p := range all {
		p.kept(t)
		if p.budget == "" {
			p.bound(t, "a day", p.answered(), daily*(1+redis.forgot)+h.alone(p, daily))
			continue
		}
		p.bound(t, "of a budget", p.answered(), afforded+redis.outages*h.alone(p, afforded))
		if h.settled(t, p, redis.unheard) > afforded {
			exceeded++
		}
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

// settled waits until nothing is held of a budget, and wants the counters and the ledger to know of exactly those calls
// that were answered: all that the budget was for. Calls whose settlements were unheard of are counted twice when their holds
// expire, until that is repaired; none is forgotten.
func (h *house) settled(t *testing.T, p *promise, unheard bool) (calls int) {
	t.Helper()
	var u used
	soon(t, expires, p.what+": the ledger knows what was spent", func() bool {
		u = h.used(t, h.nodes[0], p.budget)
		return u.held == 0 && (u.booked == u.spent || unheard && u.booked < u.spent && u.booked == float64(p.answered())/2)
	})
	calls = p.answered()
	twice := u.spent - u.booked
	if twice > 0 {
		if twice > promised/2 {
			t.Errorf("%s: $%.2f are counted twice, and no more than %d calls were under way", p.what, twice, promised)
		}
		h.repair(t)
		u = h.used(t, h.nodes[0], p.budget)
	}
	if u.spent != float64(calls)/2 || u.spent+twice < u.max {
		t.Errorf("%s: %d calls were answered, $%.2f were counted twice, and used is %+v", p.what, calls, twice, u)
	}
	return calls
}
