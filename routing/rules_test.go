package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/tenancy"
)

// head is a request's header.
type head map[string]string

func (h head) Peek(name string) []byte {
	for k, v := range h {
		if strings.EqualFold(k, name) {
			return []byte(v)
		}
	}
	return nil
}

// ruled has the routes "m" with rules, and "n", over providers p0 to p3.
func ruled(t testing.TB, rules ...RuleConfig) *Table {
	t.Helper()
	return tableForTest(t, configForTest(4, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) { m.Rules, m.Targets = rules, m.Targets[:1] })
		c.Models["n"] = ModelConfig{Targets: []TargetConfig{{Provider: "p2"}}, Attempts: new(7)}
	}))
}

func own(provider string) []TargetConfig { return []TargetConfig{{Provider: provider}} }

// TestConditions: each variable is what docs/routing.md says of it.
func TestConditions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.FixedZone("", 3600)) // a Sunday, 22:30 UTC
	who := &tenancy.Principal{Identity: tenancy.Identity{Org: "org_a", Team: "team_b", User: "user_c", Key: "key_d"}, Name: "ci"}
	chat := func(content string) []byte { return []byte(`[{"role":"user","content":` + content + `}]`) }
	code := chat(`"Write a Python function that sorts a list of numbers."`)
	for _, c := range []struct {
		when string
		ask  Ask
		want bool
	}{
		{`model == "m"`, Ask{}, true},
		{`task == "code"`, Ask{Input: code}, true},
		{`task == "code"`, Ask{Input: chat(`"Thanks, good night!"`)}, false},
		{`task == "research"`, Ask{Input: code, Header: head{"X-Vel-Task": "research"}}, true},
		{`task == "code"`, Ask{Input: code, Header: head{"X-Vel-Task": "nonsense"}}, true},
		{`tokens == 1000`, Ask{Input: make([]byte, 4000)}, true},
		{`tokens < 8000 && task == "simple"`, Ask{}, true},
		{`stream`, Ask{Stream: true}, true},
		{`not stream`, Ask{}, true},
		{`tools`, Ask{Body: []byte(`{"tools":[{"type":"function"}]}`)}, true},
		{`tools`, Ask{Body: []byte(`{"tools":[]}`)}, false},
		{`images`, Ask{Input: chat(`[{"type":"image_url","image_url":{"url":"x"}}]`)}, true},
		{`images`, Ask{Input: chat(`[{"type":"input_image"}]`)}, true},
		{`images`, Ask{Input: chat(`"an image_url"`)}, false},
		{`json_schema`, Ask{Body: []byte(`{"response_format":{"type":"json_schema"}}`)}, true},
		{`json_schema`, Ask{Body: []byte(`{"text":{"format":{"type":"json_schema"}}}`)}, true},
		{`json_schema`, Ask{Body: []byte(`{"response_format":{"type":"json_object"}}`)}, false},
		{`org == "org_a" and team == "team_b" and user == "user_c" and key == "ci"`, Ask{}, true},
		{`org in ["x", "org_a"]`, Ask{}, true},
		{`tags.env == "prod" && tags["tier"] == "1"`, Ask{Tags: [][]byte{[]byte("env=prod, tier = 1"), []byte("a=b")}}, true},
		{`tags.env == ""`, Ask{}, true},
		{`headers["user-agent"] contains "curl"`, Ask{Header: head{"User-Agent": "curl/8"}}, true},
		{`headers["user-agent"] == ""`, Ask{}, true},
		{`hour == 22 && weekday == 7`, Ask{}, true},
		{`hour in 9..17`, Ask{}, false},
		{`1 / (tokens - tokens) > 0 and false`, Ask{}, false},
		{`tokens % (tokens - tokens) == 0`, Ask{}, false}, // can not be evaluated: does not hold
	} {
		t.Run(c.when, func(t *testing.T) {
			t.Parallel()
			table := ruled(t, RuleConfig{When: c.when, Targets: own("p1")})
			c.ask.Model, c.ask.Who, c.ask.Endpoint = "m", who, adapters.ChatCompletions
			var p Plan
			if err := table.Plan(&p, &c.ask, &State{}, now); err != nil {
				t.Fatal(err)
			}
			if got := p.Targets[0].Provider.Name == "p1"; got != c.want || got != (len(p.Followed) == 1) {
				t.Errorf("held %v, followed %v", got, p.Followed)
			}
		})
	}
}

// TestRules: the first rule that holds decides, and leads to targets, to another route, or to a refusal.
func TestRules(t *testing.T) {
	t.Parallel()
	table := ruled(t, RuleConfig{When: "stream", Targets: own("p3")}, RuleConfig{When: "stream or tokens > 10", Use: "n"}, RuleConfig{When: "tokens > 5", Refuse: "Too long."})
	plan := func(a *Ask) (*Plan, error) {
		var p Plan
		return &p, table.Plan(&p, a, &State{}, epoch)
	}
	a := ask(t)
	if p, err := plan(a); err != nil || p.Route.Name != "m" || p.Targets[0].Provider.Name != "p0" || p.Followed != nil {
		t.Errorf("no rule: %v %+v", err, p)
	}
	a.Stream = true
	if p, err := plan(a); err != nil || p.Route.Name != "m" || p.Targets[0].Provider.Name != "p3" || p.Followed[0] != (Followed{"m", 0}) || len(p.Why) != 1 {
		t.Errorf("own targets: %v %+v", err, p)
	}
	a.Stream, a.Input = false, make([]byte, 100)
	if p, err := plan(a); err != nil || p.Route.Name != "n" || p.Targets[0].Provider.Name != "p2" || p.Attempts != 7 || p.Followed[0] != (Followed{"m", 1}) {
		t.Errorf("another route: %v %+v", err, p)
	}
	a.Who = principal(t, "acme", "m")
	if p, err := plan(a); err != NotAllowed || len(p.Targets) != 0 {
		t.Errorf("another route that the key may not use: %v %+v", err, p)
	}
	a.Input = a.Input[:24]
	if p, err := plan(a); err != ByRule || p.Refusal != "Too long." || len(p.Targets) != 0 || p.Followed[0].Rule != 2 {
		t.Errorf("a refusal: %v %+v", err, p)
	}
	if p, _ := plan(a); p.Task != task.None {
		t.Error("the kind of work was judged, and no rule asks for it")
	}
}

// TestRuleTargetsAreKnown: what a rule has of its own has a price, a state, and is counted.
func TestRuleTargetsAreKnown(t *testing.T) {
	t.Parallel()
	table, s := ruled(t, RuleConfig{When: "stream", Targets: own("p3")}), &State{}
	table.Price(func(*Provider, string) Pricer { return tariff{1, 1, 1} })
	s.Retain(table)
	if n := len(s.Status(epoch)); n != 3 {
		t.Errorf("%d targets have a state, want 3", n)
	}
	if _, total := s.Available(table, epoch); total != 3 {
		t.Errorf("%d providers are counted, want 3", total)
	}
	if table.unnamed[0].Targets[0].Price == nil || table.Alone(ask(t)) {
		t.Error("the rule's target has no price, or is overlooked")
	}
}

func TestRuleFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ when, want string }{
		{`tasc == "code"`, "unknown name tasc (line 1, column 1)"},
		{`stream && tokens == "x"`, "mismatched types int and string) (line 1, column 18)"},
		{`tokens`, "expected bool, but got int"},
		{`stream &&`, "unexpected token EOF (line 1, column 9)"},
		{"stream &&\ntokens <", "(line 2, column"},
		{`headers["authorization"] == "x"`, "headers has no such field (column"},
		{`headers[model] == "x"`, "headers has no such field (column"},
		{`hour > now().Hour()`, "unknown name now (line 1, column 8)"},
	} {
		cfg := configForTest(2, func(cfg *Config) {
			change(cfg.Models, "m", func(m *ModelConfig) { m.Rules = []RuleConfig{{When: c.when, Targets: own("p1")}} })
		})
		list := faults(cfg)
		if len(list) != 1 || !strings.HasPrefix(list[0], "models.m.rules[0].when: ") || !strings.Contains(list[0], c.want) {
			t.Errorf("%s: %q, want %q", c.when, list, c.want)
		}
		if _, err := Build(cfg, kindsForTest(), 0); err == nil {
			t.Errorf("%s: a table was built", c.when)
		}
	}
	circle := configForTest(1, func(cfg *Config) {
		use := func(of string) []RuleConfig { return []RuleConfig{{When: "stream", Use: of}} }
		for name, to := range map[string]string{"a": "b", "b": "c", "c": "a", "d": "a"} {
			cfg.Models[name] = ModelConfig{Rules: use(to), Targets: own("p0")}
		}
	})
	if list := faults(circle); len(list) != 3 || !strings.Contains(list[0], "models.a.rules[0].use: leads back") {
		t.Errorf("%q", list)
	}
}

// demanding is a route of ten targets and twenty rules of which the last one holds.
func demanding(tb testing.TB) (*Table, *State, *Ask) {
	var rules []RuleConfig
	for i := range 19 {
		rules = append(rules, RuleConfig{When: fmt.Sprintf(`task == "code" && tokens > %d || org == "org_%d" && stream`, 9000+i, i), Targets: own("p1")})
	}
	rules = append(rules, RuleConfig{When: `tokens > 300 && tools && key != "x"`, Use: "n"})
	table := tableForTest(tb, configForTest(10, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) {
			c.Models["n"] = ModelConfig{Targets: m.Targets, Strategy: "weighted"}
			m.Rules = rules
		})
	}))
	a := ask(tb)
	a.Header = head{"x-vel-task": "simple"}
	a.Input, a.Body = make([]byte, 4000), []byte(`{"model":"m","tools":[{"type":"function"}]}`)
	s := &State{}
	s.Retain(table)
	return table, s, a
}

// BenchmarkRules is of planning alone: what kind of work is asked stands in the header. Package task has its own.
func BenchmarkRules(b *testing.B) {
	table, s, a := demanding(b)
	var p Plan
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Plan(&p, a, s, now); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRuleToWhatIsGone: a call that a rule sends to a model which is not there goes nowhere, and not to the targets that the
// rule keeps it from.
func TestRuleToWhatIsGone(t *testing.T) {
	t.Parallel()
	table, err := Build(configForTest(1, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) { m.Rules = []RuleConfig{{When: "stream", Use: "gone"}} })
	}), kindsForTest(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var p Plan
	a := ask(t)
	if err := table.Plan(&p, a, &State{}, epoch); err != nil {
		t.Error(err)
	}
	a.Stream = true
	if err := table.Plan(&p, a, &State{}, epoch); err != NoTarget || len(p.Targets) != 0 || len(p.Followed) != 1 {
		t.Errorf("%v, %+v", err, p.Targets)
	}
}

// TestRulesAllocateLittle: twenty rules before ten targets.
func TestRulesAllocateLittle(t *testing.T) {
	table, s, a := demanding(t)
	var p Plan
	now, i := time.Now(), 0
	n := testing.AllocsPerRun(100, func() {
		i++
		a.Input = a.Input[:2000+4*(i%2)] // so that no call is as the one before
		if err := table.Plan(&p, a, s, now); err != nil || p.Route.Name != "n" {
			t.Fatal(err, p.Route.Name)
		}
	})
	if n > 2 {
		t.Errorf("a plan with rules allocates %v times", n)
	}
}
