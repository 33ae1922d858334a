package nodes

import (
	"net/http"
	"strings"
	"testing"
)

// TestBatchHoldsItsBudget: while a batch runs, nobody else spends what its items will cost; one that may cost more than there is does
// not begin, unless it is to; and what is held for it is free again when it ends.
func TestBatchHoldsItsBudget(t *testing.T) {
	t.Parallel()
	h := counting(t, 2)
	n := h.nodes[1]
	h.key = n.newKey(t, h.org, "robot", object{"role": "task_executor"})
	budget := h.budget(t, 40, "closed")
	batch := func(items int, more object) answer {
		var list []object
		for range items {
			list = append(list, object{"body": object{"model": "echo", "messages": []object{{"role": "user", "content": "[[latency=700ms]] go"}}}})
		}
		body := object{"items": list, "parallel": 1}
		for name, value := range more {
			body[name] = value
		}
		return n.askAs(t, h.key.secret, "POST", "/api/batches", body)
	}
	if a := batch(41, nil); a.status != http.StatusTooManyRequests || !strings.Contains(a.field("type"), "over-budget") || !strings.Contains(a.field("detail"), "20.5 USD") {
		t.Errorf("a batch of more than the budget: %s", a)
	}
	if a := batch(41, object{"draft": true}); a.status != http.StatusCreated {
		t.Errorf("a draft of more than the budget: %s", a)
	}
	a := batch(30, nil)
	if a.status != http.StatusCreated {
		t.Fatal(a)
	}
	soon(t, patience, "most of what the batch may cost is held", func() bool { return h.used(t, n, budget).held >= 13 })
	calls := 0
	for n.call(t, h.key.secret, "echo") == http.StatusOK {
		if calls++; calls > 15 { // ten, and what was held for items that began meanwhile
			break
		}
	}
	if calls < 8 || calls > 15 {
		t.Errorf("%d calls beside a batch that holds what 30 of 40 cost", calls)
	}
	if a := n.askAs(t, h.key.secret, "POST", "/api/batches/"+a.field("id")+"/cancel", nil); a.status != http.StatusOK {
		t.Fatal(a)
	}
	soon(t, patience, "nothing is held any more", func() bool { return h.used(t, n, budget).held == 0 })
	if status := n.call(t, h.key.secret, "echo"); status != http.StatusOK {
		t.Errorf("a call after the batch: %d", status)
	}
	h.lawful(t, n, budget)
}
