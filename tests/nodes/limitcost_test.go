package nodes

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"
)

// How fast calls come that limits in Redis count, and for how long in each of the turns.
var (
	limited     = flag.Int("limited", 100, "calls a second that 8 limits and 2 budgets in Redis count")
	limitedTurn = flag.Duration("limited-turn", 500*time.Millisecond, "for how long they come, in each of six turns with those that nothing counts")
)

// TestWhatLimitsInRedisCost: calls that 8 limits and 2 budgets in Redis count, and calls that nothing counts, come by turns. What the
// limits add is told, and not asserted: everything shares this machine.
func TestWhatLimitsInRedisCost(t *testing.T) {
	if *limited == 100 {
		t.Parallel()
	}
	h := counting(t, 1)
	n := h.nodes[0]
	free := n.newKey(t, n.newOrg(t, "free"), "key", nil)
	in := "?organization=" + h.org
	var budgets []string
	for name, of := range map[string]object{"all": {}, "one": {"key": h.key.id}} {
		limits, budget := object{"rpm": 10_000_000, "tpm": 1_000_000_000, "rpd": 1_000_000_000, "in_flight": 100_000}, object{"name": name, "usd": "1000000", "per": "month"}
		maps.Copy(limits, of)
		maps.Copy(budget, of)
		n.must(t, http.StatusCreated, "POST", "/api/limits"+in, limits)
		budgets = append(budgets, n.must(t, http.StatusCreated, "POST", "/api/budgets"+in, budget).field("id"))
	}
	for _, secret := range []string{free.secret, h.key.secret} {
		soon(t, patience, "a call", func() bool { return n.call(t, secret, "echo") == http.StatusOK })
		calls(t, n, secret, "echo", *limited, *limitedTurn)
	}
	took := map[string][]time.Duration{}
	for range 6 {
		for _, secret := range []string{free.secret, h.key.secret} {
			took[secret] = append(took[secret], calls(t, n, secret, "echo", *limited, *limitedTurn)...)
		}
	}
	for _, id := range budgets {
		if u := h.used(t, n, id); u.total() < float64(len(took[h.key.secret]))/2 {
			t.Errorf("%d calls, and a budget counts %+v", len(took[h.key.secret]), u)
		}
	}
	without, with := quantile99(took[free.secret]), quantile99(took[h.key.secret])
	middle := func(list []time.Duration) time.Duration { slices.Sort(list); return list[len(list)/2] }
	added := middle(took[h.key.secret]) - middle(took[free.secret])
	ms := float64(added.Microseconds()) / 1000
	t.Logf("%d calls a second, P50 / P99 in ms: %s without limits, %s with; added to P50: %.2f", *limited, without, with, ms)
	tell(t, fmt.Sprintf(`%d calls a second, whether those before have ended or not, six turns of %s of each kind, one node with Postgres and Redis.

| counted by | P50 / P99, ms | added to P50, ms (bar: 1) |
|---|---|---|
| nothing | %s | |
| 8 limits and 2 budgets in Redis over loopback | %s | %.2f |`, *limited, *limitedTurn, without, with, ms))
}
