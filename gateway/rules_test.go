package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/routing"
)

// TestRulesSeeTheCall: what rules ask about reaches them from a real request, and what they say reaches the client.
func TestRulesSeeTheCall(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{wellBehaved, wellBehaved}, func(h *house) {
		other := []routing.TargetConfig{{Provider: "p2", Model: "other-model"}}
		h.routing.Models["m"] = routing.ModelConfig{
			Rules: []routing.RuleConfig{
				{When: `tags.stop == "yes"`, Refuse: "Not \"today\"."},
				{When: `task == "code" or stream or tools or json_schema or images or tokens > 1000`, Targets: other},
				{When: `headers["user-agent"] == "odd" or model != "m"`, Targets: other},
			},
			Targets: h.routing.Models["m"].Targets[:1],
		}
	})
	body := func(extra string) string { return strings.Replace(chatBody, `{"model"`, `{`+extra+`"model"`, 1) }
	for _, c := range []struct{ name, body, field, want string }{
		{"nothing", chatBody, "", "p1"},
		{"a hint", chatBody, "X-Vel-Task: code", "p2"},
		{"a hint that is none", chatBody, "X-Vel-Task: cooking", "p1"},
		{"what is asked", strings.Replace(chatBody, `"hi"`, `"Write a Python function that sorts a list of numbers."`, 1), "", "p2"},
		{"a stream", streamBody, "", "p2"},
		{"tools", body(`"tools":[{"type":"function","function":{"name":"f"}}],`), "", "p2"},
		{"a schema", body(`"response_format":{"type":"json_schema","json_schema":{}},`), "", "p2"},
		{"a picture", strings.Replace(chatBody, `"hi"`, `[{"type":"image_url","image_url":{"url":"data:,"}}]`, 1), "", "p2"},
		{"a long one", strings.Replace(chatBody, "hi", strings.Repeat("hi ", 2000), 1), "", "p2"},
		{"a header", chatBody, "User-Agent: odd", "p2"},
		{"a tag of another value", chatBody, "X-Vel-Tags: stop=no", "p1"},
	} {
		fields := []string{}
		if c.field != "" {
			fields = append(fields, c.field)
		}
		if g := h.call(c.body, fields...); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != c.want {
			t.Errorf("%s: status %d from %s, want %s: %s", c.name, g.StatusCode, g.Header.Get("X-Vel-Provider"), c.want, g.body)
		}
	}
	g := h.call(chatBody, "X-Vel-Tags: a=b, stop=yes")
	if e := errorOf(t, g.body); g.StatusCode != 403 || e.code() != "refused_by_rule" || e.Message != `Not "today".` {
		t.Errorf("status %d: %s", g.StatusCode, g.body)
	}
}

// TestSessionsStick: calls with the same x-vel-session go where the first one was answered.
func TestSessionsStick(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{wellBehaved, wellBehaved, wellBehaved}, func(h *house) {
		m := h.routing.Models["m"]
		m.Strategy, m.Sticky = "least_request", &routing.StickyConfig{By: "session", TTL: time.Hour}
		h.routing.Models["m"] = m
	})
	for _, session := range []string{"X-Vel-Session: a", "X-Vel-Session: b", "X-Vel-Session: c"} {
		first := h.call(chatBody, session).Header.Get("X-Vel-Provider")
		for range 5 {
			if again := h.call(chatBody, session).Header.Get("X-Vel-Provider"); again != first {
				t.Fatalf("%s: %s, then %s", session, first, again)
			}
		}
	}
}
