package routing

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/routing/task"
)

// asksForHeader is a configuration with a rule that asks for a field, and one that asks for the kind of work.
func asksForHeader(c *Config) {
	change(c.Models, "m", func(m *ModelConfig) {
		m.Sticky = &StickyConfig{By: "prefix", TTL: 1}
		m.Rules = []RuleConfig{{When: `headers["origin"] == "never"`, Refuse: "no"}, {When: `headers["x-title"] + headers["referer"] == "never"`, Refuse: "no"}}
	})
}

// TestFactsAreReadBack: what is kept of a call is what planning asked of it, and has none of its text.
func TestFactsAreReadBack(t *testing.T) {
	t.Parallel()
	table, p, a := tableForTest(t, configForTest(2, asksForHeader)), Plan{}, ask(t)
	a.Input = []byte(`[{"role":"user","content":[{"type":"text","text":"Fix the flamingo in this Go function: func f() {}"},{"type":"image_url"}]}]`)
	a.Body = []byte(`{"model":"m","messages":` + string(a.Input) + `,"tools":[{}],"response_format":{"type":"json_schema"}}`)
	a.Header, a.Session, a.MaxOutput, a.Holder = head{"origin": `a"b`, "referer": strings.Repeat("x", longestHeader+1)}, []byte("our talk"), 500, "p1"
	if err := table.Plan(&p, a, &State{}, epoch); err != nil {
		t.Fatal(err)
	}
	if d, err := ReadDecision(p.AppendDecision(nil, 1)); err != nil || d.Facts != nil || p.Named() {
		t.Errorf("without a note the facts are %+v, %v", d.Facts, err)
	}
	p.Note(a.Input, a.Body, true)
	text := p.AppendDecision(nil, 1)
	d, err := ReadDecision(text)
	if err != nil || !json.Valid(text) || !p.Named() {
		t.Fatalf("%v: %s", err, text)
	}
	want := &Facts{
		Tools: true, Images: true, JSONSchema: true, MaxOutput: 500, Task: task.Code, Sure: d.Facts.Sure, Session: hashOf("our talk"), Prefix: prefix(a.Input), Holder: "p1",
		Headers: map[string]string{"origin": `a"b`, "x-title": ""},
	}
	if diff := cmp.Diff(want, d.Facts); diff != "" || d.Facts.Sure <= 0 {
		t.Error(diff, d.Facts.Sure)
	}
	for _, word := range []string{"flamingo", "our talk"} {
		if strings.Contains(string(text), word) {
			t.Errorf("%q is kept: %s", word, text)
		}
	}
}

// TestFactsOfLittle: of a call that asks for nothing special little is kept, and the kind of work only if it was judged, or
// the client says it.
func TestFactsOfLittle(t *testing.T) {
	t.Parallel()
	table, p, a := tableForTest(t, configForTest(1, nil)), Plan{}, ask(t)
	facts := func(judge bool) string {
		t.Helper()
		if err := table.Plan(&p, a, &State{}, epoch); err != nil {
			t.Fatal(err)
		}
		p.Note(a.Input, a.Body, judge)
		_, text, _ := strings.Cut(string(p.AppendDecision(nil, 1)), `,"facts":`)
		return strings.TrimSuffix(text, "}")
	}
	a.Bound = false
	a.Body = []byte(`{"model":"m","tools":[],"response_format":{"type":"text"},"metadata":{"note":"\u0041"}}`)
	if got := facts(false); got != `{"v":1}` {
		t.Error(got)
	}
	if got := facts(true); got != `{"v":1,"task":"simple"}` {
		t.Error(got)
	}
	a.Header = head{"x-vel-task": "research"}
	if got := facts(true); got != `{"v":1,"told":true,"task":"research"}` {
		t.Error(got)
	}
}

// TestNoteAllocatesNothing: it happens for every call.
func TestNoteAllocatesNothing(t *testing.T) {
	table, p, a := tableForTest(t, configForTest(2, asksForHeader)), Plan{}, ask(t)
	a.Input = []byte(`[{"role":"user","content":"Fix this Go function: func f() {}"}]`)
	a.Body = []byte(`{"model":"m","messages":` + string(a.Input) + `,"tools":[{}]}`)
	var text []byte
	s := &State{}
	n := testing.AllocsPerRun(100, func() {
		if err := table.Plan(&p, a, s, epoch); err != nil {
			t.Fatal(err)
		}
		p.Note(a.Input, a.Body, true)
		text = p.AppendDecision(text[:0], 1)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
