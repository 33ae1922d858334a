package gateway

import (
	"strings"
	"testing"

	"github.com/vel-gateway/vel/routing"
)

// TestExplain: who asks for it is told under which id the decision is, also of a refusal, and the record names what spoke for
// the task without a word of the prompt.
func TestExplain(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{wellBehaved, wellBehaved}, func(h *house) {
		l.into(h)
		m := h.routing.Models["m"]
		m.Rules = []routing.RuleConfig{{When: `task == "research"`, Refuse: "Not here."}}
		h.routing.Models["m"] = m
	})
	const secret = "flamingopassword"
	body := `{"model":"m","messages":[{"role":"user","content":"Write a Python function def ` + secret + `(x): that sorts a list"}]}`
	for _, c := range []struct {
		body, field string
		status      int
		told        bool
	}{
		{body, "X-Vel-Explain: 1", 200, true},
		{body, "X-Vel-Explain: 0", 200, false},
		{strings.Replace(body, `"m"`, `"gone"`, 1), "X-Vel-Explain: 1", 404, true},
		{`{"model":1}`, "X-Vel-Explain: 1", 400, false},
	} {
		g := h.call(c.body, c.field)
		id := g.Header.Get("X-Vel-Decision")
		if g.StatusCode != c.status || (id != "") != c.told || c.told && id != g.Header.Get("X-Request-Id") {
			t.Errorf("%s: status %d, x-vel-decision %q", c.field, g.StatusCode, id)
		}
	}
	eventually(t, "the calls have ended", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.ended) == 4 })
	ended := l.ended
	for i, asked := range []string{"m", "m", "gone"} {
		d, err := routing.ReadDecision(ended[i].Decision)
		if err != nil || d.Asked != asked || d.Rev != 1 || strings.Contains(string(ended[i].Decision), secret) {
			t.Fatalf("%s: %+v, %v", ended[i].Decision, d, err)
		}
		if (len(d.Features) > 0) != (i == 0) {
			t.Errorf("call %d names %v", i, d.Features)
		}
	}
}

// TestDecisionsHaveNoKey: a field that a rule names is kept with the decision, and the key of the call is not, wherever it stood.
func TestDecisionsHaveNoKey(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{wellBehaved}, func(h *house) {
		l.into(h)
		m := h.routing.Models["m"]
		m.Rules = []routing.RuleConfig{{When: `headers["x-title"] == "never"`, Refuse: "Not here."}}
		h.routing.Models["m"] = m
	})
	h.call(chatBody, "X-Title: a page "+goodKey)
	eventually(t, "the call has ended", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.ended) == 1 })
	d, err := routing.ReadDecision(l.ended[0].Decision)
	if err != nil || d.Facts == nil || d.Facts.Headers["x-title"] != "a page ***" || d.Facts.Task == 0 {
		t.Errorf("%s: %v", l.ended[0].Decision, err)
	}
}
