package nodes

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
)

// repair lowers what is counted, and tells of how many budgets.
func (h *house) repair(t *testing.T) (lowered int) {
	t.Helper()
	var report struct{ Lowered int }
	a := h.nodes[0].must(t, http.StatusOK, "POST", "/api/ledger/repair?organization="+h.org, nil)
	if err := json.Unmarshal(a.body, &report); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	return report.Lowered
}

// Too much is counted of a budget, and a person lets that be taken off while calls are made on two nodes: nothing is lost
// of what either of them has spent, not even for the time until the ledger has it, and in the end nothing is too much.
func TestRepairUnderLoad(t *testing.T) {
	t.Parallel()
	const excess = 10_000 // dollars: far more than is spent in a second
	h := counting(t, 2)
	p := &promise{what: "a budget", key: h.key, model: "echo", tells: []string{"limits_unavailable"}, told: map[string]int{}}
	p.budget = h.budget(t, 1_000_000, "closed")
	counters := h.look(t, p.budget)
	all := []*promise{p}
	stop := h.callFor(t, all, promised/2)
	goOn(t, all, afforded)
	counters.from.must(t, "HINCRBY", counters.key, "0", strconv.Itoa(excess*1_000_000_000))
	before := p.answered()
	lowered, meanwhile := h.repair(t), p.answered()-before
	stop()
	p.kept(t)
	var u used
	soon(t, patience, "nothing is held", func() bool {
		u = h.used(t, h.nodes[0], p.budget)
		return u.held == 0
	})
	spent := float64(p.answered()) / 2
	if most := spent + excess/2; lowered != 1 || u.spent < spent || u.spent > most {
		t.Errorf("%d budgets were lowered; %.2f dollars are spent, and counted are %.2f: want at most %.2f", lowered, spent, u.spent, most)
	}
	t.Logf("%.2f dollars are spent, %d calls of it during the repair, and counted are %.2f", spent, meanwhile, u.spent)
	soon(t, patience, "the ledger knows what was spent", func() bool { return h.used(t, h.nodes[0], p.budget).booked == spent })
	h.repair(t)
	h.lawful(t, h.nodes[1], p.budget)
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}
