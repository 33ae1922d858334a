package routing

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing/task"
)

// TestDecisionIsReadBack: what a record keeps of a decision says what the plan did.
func TestDecisionIsReadBack(t *testing.T) {
	t.Parallel()
	p := Plan{
		Asked: `au"to`, Tokens: 12, Route: &Route{Name: "fast", Strategy: Cheapest}, Task: task.Code, Told: true,
		Followed: []Followed{{"auto", 1}, {"code", 0}}, features: []task.Feature{{Name: "cue def", Weight: 1.5}, {Name: "words", Weight: 1}},
		Why: Explanation{
			{"openai", "gpt-4o", BreakerOpen, epoch.Add(5 * time.Second), 0},
			{"groq", `"llama"`, Chosen, time.Time{}, 57500},
			{"local", "x", Chosen, time.Time{}, math.Inf(1)},
		},
	}
	text := p.AppendDecision(nil, 7)
	want := `{"rev":7,"asked":"au\"to","route":"fast","by":"cheapest","tokens":12,"task":"code","told":true,"why":[["cue def",1.50],["words",1.00]],"rules":[["auto",1],["code",0]],` +
		`"targets":[["openai","gpt-4o",3,` + strconv.FormatInt(epoch.Add(5*time.Second).UnixMilli(), 10) + `],["groq","\"llama\"",1,0,57500],["local","x",1,0,-1]]}`
	if want != string(text) || !json.Valid(text) {
		t.Errorf("%s", cmp.Diff(want, string(text)))
	}
	got, err := ReadDecision(text)
	if err != nil {
		t.Fatal(err)
	}
	expect := &Decision{
		Rev: 7, Asked: `au"to`, Route: "fast", Strategy: Cheapest, Tokens: 12, Task: task.Code, Told: true, Features: p.features, Rules: p.Followed, Candidates: p.Why,
	}
	if diff := cmp.Diff(expect, got); diff != "" {
		t.Error(diff)
	}
}

// TestDecisionOfFirstRecords: what was written before the form had a name is read too.
func TestDecisionOfFirstRecords(t *testing.T) {
	t.Parallel()
	got, err := ReadDecision([]byte(`[{"target":"openai/gpt/4o","reason":"breaker open","until":"2026-11-22T10:00:05Z"},{"target":"groq/llama","reason":"chosen","score":1.5}]`))
	want := &Decision{Candidates: Explanation{
		{"openai", "gpt/4o", BreakerOpen, time.Date(2026, 11, 22, 10, 0, 5, 0, time.UTC), 0}, {"groq", "llama", Chosen, time.Time{}, 1.5},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, bad := range []string{``, `{`, `[1]`, `{"targets":[["a"]]}`, `{"targets":[["a","b","c"]]}`} {
		if d, err := ReadDecision([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, d)
		}
	}
}

// TestDecisionOfRefusals: a call that goes nowhere has a decision too.
func TestDecisionOfRefusals(t *testing.T) {
	t.Parallel()
	table, p, a := tableForTest(t, configForTest(2, nil)), Plan{}, ask(t)
	a.Model = "nothing"
	if err := table.Plan(&p, a, &State{}, epoch); err != UnknownModel {
		t.Fatal(err)
	}
	if d := p.Decision(3); d.Asked != "nothing" || d.Route != "" || d.Refusal != UnknownModel || d.Rev != 3 {
		t.Errorf("%+v", d)
	}
	a.Model, a.Endpoint = "m", adapters.Endpoint(0)
	if err := table.Plan(&p, a, &State{}, epoch); err == nil {
		t.Fatal("an endpoint that nobody speaks has a plan")
	}
	if d := p.Decision(3); d.Route != "m" || d.Refusal != NotServed || len(d.Candidates) != 2 {
		t.Errorf("%+v", d)
	}
	if p.Reset(); p.Decided() {
		t.Error("an empty plan has decided something")
	}
}
