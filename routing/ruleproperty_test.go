package routing

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// verdicts are conditions whose truth is known, one way or the other.
var verdicts = map[bool][]string{
	true:  {"stream", `tags.env == "prod"`, "tokens < 10", `org == "acme"`, `model == "m"`},
	false: {"not stream", `tags.env == "test"`, "tokens > 10", `org == "other"`, "tools", "1 / (tokens - tokens) > 0 and false"},
}

// ending is where a rule leads: to another model, to a target of its own, or nowhere.
var endings = []string{"use", "targets", "refuse"}

// TestRuleProperties: whatever rules a route has and whatever the health of the targets, the first one that holds decides; a rule
// that leads to another model leads on by that one's; the same question has the same answer; a key that may not use the model that
// a rule leads to gets no target of it.
func TestRuleProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var first string // where the first rule that holds leads
		at := -1
		cfg := configForTest(4, func(c *Config) {
			change(c.Models, "m", func(m *ModelConfig) {
				m.Targets = m.Targets[:1]
				for i := range rapid.IntRange(0, 6).Draw(rt, "rules") {
					holds := rapid.Bool().Draw(rt, "holds")
					r := RuleConfig{When: rapid.SampledFrom(verdicts[holds]).Draw(rt, "when")}
					ending := rapid.SampledFrom(endings).Draw(rt, "ending")
					switch ending {
					case "use":
						r.Use = "n"
					case "targets":
						r.Targets = own("p1")
					case "refuse":
						r.Refuse = "Not today."
					}
					if m.Rules = append(m.Rules, r); holds && at < 0 {
						at, first = i, ending
					}
				}
			})
			c.Models["n"] = ModelConfig{Targets: []TargetConfig{{Provider: "p2"}, {Provider: "p3"}}}
		})
		table, state := tableForTest(t, cfg), &State{}
		narrow := rapid.Bool().Draw(rt, "the key may use m only")
		models := []string(nil)
		if narrow {
			models = []string{"m"}
		}
		a := ask(t)
		a.Who, a.Stream, a.Tags = principal(t, "acme", models...), true, [][]byte{[]byte("env=prod")}
		var p, again Plan
		err := table.Plan(&p, a, state, epoch)
		if errAgain := table.Plan(&again, a, state, epoch); !errors.Is(errAgain, err) || !slices.Equal(p.Targets, again.Targets) || !slices.Equal(p.Why, again.Why) || !slices.Equal(p.Followed, again.Followed) {
			rt.Fatal("the same question has two answers")
		}
		want := map[string][]string{"": {"p0"}, "use": {"p2", "p3"}, "targets": {"p1"}, "refuse": nil}[first]
		if first == "use" && narrow {
			want = nil
		}
		var got []string
		for _, target := range p.Targets {
			got = append(got, target.Provider.Name)
		}
		if !slices.Equal(got, want) || (err == nil) != (len(want) > 0) {
			rt.Fatalf("rule %d (%s) decides: targets %v, want %v, err %v", at, first, got, want, err)
		}
		if at >= 0 && (len(p.Followed) == 0 || p.Followed[0] != Followed{"m", at}) {
			rt.Fatalf("followed %v, want rule %d of m", p.Followed, at)
		}
		if first == "refuse" && (p.Refused != ByRule || p.Refusal != "Not today.") {
			rt.Fatalf("refused %v with %q", p.Refused, p.Refusal)
		}
		if err == nil && len(p.Why) != len(want) {
			rt.Fatalf("%d targets, explained %q", len(want), p.Why)
		}
	})
}
