package routing

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/tenancy"
)

// perToken is a price of so many nano-dollars for each token that comes back.
type perToken money.Nano

func (p perToken) Cost(u *adapters.Usage, _ time.Time) (money.Nano, bool) {
	return money.Nano(p) * money.Nano(u[adapters.Output]), true
}
func (p perToken) Version() string { return "test" }

// pricedBy gives each target of a table the price of its provider.
func pricedBy(t *Table, prices map[string]perToken) *Table {
	t.Price(func(p *Provider, _ string) Pricer {
		if price, ok := prices[p.Name]; ok {
			return price
		}
		return nil
	})
	return t
}

// recorded is a call for the route "m" that a target answered.
func recorded(t testing.TB, i int, provider string, took time.Duration) *Recorded {
	t.Helper()
	return &Recorded{
		ID: fmt.Sprint("req_", i), Begun: epoch.Add(time.Duration(i) * time.Second), Who: principal(t, "acme"), Endpoint: adapters.ChatCompletions,
		Decision: &Decision{Asked: "m", Facts: &Facts{}}, Tries: []Tried{{
			Provider: provider, Model: "m", Total: took, Usage: adapters.Usage{adapters.Output: 10}, Cost: 1000, Priced: true,
		}},
	}
}

// compare adds calls to a what-if, as whoever makes one does.
func compare(now, then *Table, calls ...*Recorded) *Comparison {
	var m Measured
	for _, c := range calls {
		m.Learn(c)
	}
	w := NewWhatIf(now, then, &m, 3)
	for _, c := range calls {
		w.Add(c)
	}
	return w.Result()
}

// near tells whether a time is right within a fiftieth.
func near(t testing.TB, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d > want/40 || -d > want/40 {
		t.Errorf("%s is %s, not %s", what, got, want)
	}
}

// TestWhatIf: calls that went to p0 and p1 would go to p1; the numbers are those that one counts by hand.
func TestWhatIf(t *testing.T) {
	t.Parallel()
	now := tableForTest(t, configForTest(2, nil))
	then := pricedBy(tableForTest(t, configForTest(2, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) { m.Targets = m.Targets[1:] })
	})), map[string]perToken{"p1": 40})
	var calls []*Recorded
	for i := range 20 {
		calls = append(calls, recorded(t, i, "p0", 2*time.Second))
	}
	for i := range 5 {
		calls = append(calls, recorded(t, 20+i, "p1", 500*time.Millisecond))
	}
	calls[0].Tries[0].Class = adapters.ClassServer // it had no answer
	calls[24].Tries = append(calls[24].Tries, Tried{Provider: "p0", Model: "m", Class: adapters.ClassOvertaken, Total: time.Second})
	calls[1].Tries[0].Priced = false
	calls = append(calls, &Recorded{Cached: true}, &Recorded{}, &Recorded{Decision: &Decision{Asked: "m"}})
	got := compare(now, then, calls...)

	if got.Calls != 28 || got.Move != 20 || got.Stay != 5 || got.Refuse != 0 || len(got.Examples) != 3 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[Lack]int64{WasCached: 1, NamesNoModel: 1, OldRecord: 1}, got.Lacking); diff != "" {
		t.Error(diff)
	}
	if want := (Costs{Before: 23 * 1000, After: 23 * 400, Known: 23, Unknown: 2}); got.Costs != want {
		t.Errorf("costs %+v", got.Costs)
	}
	m := got.Shifts[0]
	if m.Asked != "m" || m.From != "p0/m" || m.To != "p1/m" || m.Calls != 20 || m.ByTable != 20 || len(got.Shifts) != 1 {
		t.Errorf("%+v", got.Shifts)
	}
	if want := (Costs{Before: 18 * 1000, After: 18 * 400, Known: 18, Unknown: 2}); m.Costs != want || m.Times.Known != 19 || m.Times.Unknown != 1 {
		t.Errorf("%+v", m)
	}
	near(t, "the median of what moves", m.Times.Before.Median, 2*time.Second)
	near(t, "the median where it goes", m.Times.After.Median, 500*time.Millisecond)
	near(t, "the median of all before", got.Times.Before.Median, 2*time.Second)
	near(t, "the P95 of all after", got.Times.After.P95, 500*time.Millisecond)
	if len(got.Figures) != 2 || got.Figures[0].Provider != "p0" || got.Figures[0].Answers != 19 || got.Figures[1].Answers != 5 {
		t.Errorf("%+v", got.Figures)
	}
}

// TestWhatIfNothingChanges: the same table moves only what did not go as it says.
func TestWhatIfNothingChanges(t *testing.T) {
	t.Parallel()
	table := tableForTest(t, configForTest(2, nil))
	got := compare(table, table, recorded(t, 1, "p0", time.Second), recorded(t, 2, "p1", time.Second)) // p0 was out
	if got.Stay != 1 || got.Move != 1 || got.Shifts[0].ByTable != 0 || got.Shifts[0].To != "p0/m" {
		t.Errorf("%+v", got)
	}
	if got.Costs.Unknown != 2 { // there are no prices
		t.Errorf("%+v", got.Costs)
	}
}

// TestWhatIfRefused: calls that would go nowhere are told with the reason, and those that went nowhere too.
func TestWhatIfRefused(t *testing.T) {
	t.Parallel()
	now := tableForTest(t, configForTest(1, nil))
	then := tableForTest(t, configForTest(1, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) { m.Rules = []RuleConfig{{When: `tags["no"] == "yes"`, Refuse: "not now"}} })
		c.Models["new"] = c.Models["m"]
	}))
	by, unknown, opened := recorded(t, 1, "p0", time.Second), recorded(t, 2, "", 0), recorded(t, 3, "", 0)
	by.Tags = [][]byte{[]byte("no=yes")}
	for c, asked := range map[*Recorded]string{unknown: "a text of the client's", opened: "new"} {
		c.Tries, c.Decision.Asked, c.Decision.Refusal = nil, asked, UnknownModel
	}
	got := compare(now, then, by, unknown, opened)
	if got.Refuse != 1 || got.Move != 1 || got.Stay != 1 || got.StillRefused != 1 {
		t.Errorf("%+v", got)
	}
	want := map[path]bool{{"m", "p0/m", "", ByRule}: true, {"new", "", "p0/new", 0}: true}
	for _, s := range got.Shifts {
		if !want[s.path] || s.ByTable != 1 {
			t.Errorf("%+v", s)
		}
	}
	if refused := compare(now, then, unknown); refused.Stay != 1 || len(refused.Shifts) != 0 {
		t.Errorf("%+v", refused)
	}
}

// TestWhatIfFactsAreMissing: a rule that asks for what was not kept makes a call one that can not be planned; what no rule
// comes to asks for nothing.
func TestWhatIfFactsAreMissing(t *testing.T) {
	t.Parallel()
	now := tableForTest(t, configForTest(1, nil))
	by := func(when string, change func(c *Recorded)) *Comparison {
		c := recorded(t, 1, "p0", time.Second)
		change(c)
		return compare(now, tableForTest(t, configForTest(1, func(cfg *Config) {
			m := cfg.Models["m"]
			m.Rules = []RuleConfig{{When: "stream", Targets: m.Targets}, {When: when, Refuse: "no"}}
			cfg.Models["m"] = m
		})), c)
	}
	for name, c := range map[string]struct {
		when   string
		change func(c *Recorded)
		lack   Lack // empty: it is refused
	}{
		"task":              {`task == "code"`, func(*Recorded) {}, LacksTask},
		"known task":        {`task == "code"`, func(c *Recorded) { c.Decision.Facts.Task = task.Code }, ""},
		"field":             {`headers["origin"] == "a"`, func(*Recorded) {}, LacksAnyField + " origin"},
		"known field":       {`headers["origin"] == "a"`, func(c *Recorded) { c.Decision.Facts.Headers = map[string]string{"origin": "a"} }, ""},
		"agent":             {`headers["user-agent"] == "a"`, func(c *Recorded) { c.Agent = "a" }, ""},
		"any field":         {`len(headers) == 0`, func(*Recorded) {}, LacksAnyField},
		"key that is gone":  {`key == "a"`, func(c *Recorded) { c.Who = &tenancy.Principal{Identity: tenancy.Identity{Key: "key_1"}} }, LacksKey},
		"tools":             {`tools && images && json_schema`, func(c *Recorded) { *c.Decision.Facts = Facts{Tools: true, Images: true, JSONSchema: true} }, ""},
		"tokens":            {`tokens == 70 && hour == 10`, func(c *Recorded) { c.Decision.Tokens = 70 }, ""},
		"nothing is needed": {`org == "acme"`, func(*Recorded) {}, ""},
	} {
		got := by(c.when, c.change)
		if c.lack == "" && got.Refuse != 1 || c.lack != "" && (got.Lacking[c.lack] != 1 || got.Refuse != 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := by(`task == "code"`, func(c *Recorded) { c.Stream = true }); got.Stay != 1 {
		t.Errorf("a rule before the one that asks for it matched: %+v", got)
	}
}

// TestWhatIfKnowsTheTargets: a fastest route goes where the calls say it was fast, and calls that belong together stay
// together.
func TestWhatIfKnowsTheTargets(t *testing.T) {
	t.Parallel()
	now := tableForTest(t, configForTest(2, nil))
	then := tableForTest(t, configForTest(2, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) {
			m.Strategy, m.Sticky = "fastest", &StickyConfig{By: "session", TTL: time.Hour}
			m.Rules = []RuleConfig{{When: "tools", Targets: m.Targets[:1]}}
		})
	}))
	var calls []*Recorded
	for i := range 64 { // some of which would explore, if anything were to be learned
		calls = append(calls, recorded(t, i, fmt.Sprint("p", i%2), time.Duration(2-i%2)*time.Second))
	}
	got := compare(now, then, calls...)
	if got.Move != 32 || got.Shifts[0].From != "p0/m" || got.Shifts[0].ByTable != 32 {
		t.Errorf("%+v", got.Shifts)
	}
	first, second := recorded(t, 70, "p0", 2*time.Second), recorded(t, 71, "p1", time.Second)
	first.Decision.Facts = &Facts{Session: 7, Tools: true}
	second.Decision.Facts = &Facts{Session: 7}
	got = compare(now, then, first, second)
	if got.Stay != 1 || got.Shifts[0].From != "p1/m" || got.Shifts[0].To != "p0/m" {
		t.Errorf("a session that was answered by the slow one does not stay there: %+v", got.Shifts)
	}
}

// TestPlanAgainIsThePlan: a call that is planned again by the same table in the same state goes where it went.
func TestPlanAgainIsThePlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := configForTest(4, func(c *Config) {
			change(c.Models, "m", func(m *ModelConfig) {
				m.Strategy = rapid.SampledFrom(chosenBy).Draw(rt, "strategy")
				if by := rapid.SampledFrom(append(stickies, "")).Draw(rt, "sticky by"); by != "" {
					m.Sticky = &StickyConfig{by, time.Hour}
				}
				m.Rules = []RuleConfig{
					{When: `task == "code" && tokens > 10`, Targets: m.Targets[1:]},
					{When: `headers["origin"] == "a" || tools`, Targets: m.Targets[2:]},
					{When: `json_schema || images`, Targets: m.Targets[3:]},
					{When: `stream && tags["a"] == "b"`, Refuse: "no"},
				}
			})
		})
		table, state, p, q, a := tableForTest(t, cfg), &State{}, Plan{}, Plan{}, ask(t)
		id := rapid.StringN(1, 5, -1).Draw(rt, "id")
		a.Seed, a.MaxOutput, a.Stream = SeedOf(id), rapid.Int64Range(0, 1000).Draw(rt, "max"), rapid.Bool().Draw(rt, "stream")
		a.Input = []byte(rapid.SampledFrom([]string{`"Hello"`, `"Write a Go function that sorts a list of names by their length"`, `[{"type":"image_url"}]`}).Draw(rt, "input"))
		a.Body = []byte(rapid.SampledFrom([]string{`{}`, `{"tools":[{}]}`, `{"response_format":{"type":"json_schema"}}`, `{"\u0074ools":[1]}`}).Draw(rt, "body"))
		a.Header = head{"origin": rapid.SampledFrom([]string{"", "a"}).Draw(rt, "origin"), "x-vel-task": rapid.SampledFrom([]string{"", "code"}).Draw(rt, "task")}
		a.Session, a.Tags = []byte(rapid.SampledFrom([]string{"", "s"}).Draw(rt, "session")), [][]byte{[]byte(rapid.SampledFrom([]string{"a=b", "a=c"}).Draw(rt, "tags"))}
		_ = table.Plan(&p, a, state, epoch)
		p.Note(a.Input, a.Body, true)
		d, err := ReadDecision(p.AppendDecision(nil, 1))
		if err != nil {
			rt.Fatal(err)
		}
		c := &Recorded{ID: id, Begun: epoch, Who: a.Who, Endpoint: a.Endpoint, Stream: a.Stream, Tags: a.Tags, Decision: d}
		if lacks := table.PlanAgain(&q, c, state); lacks != "" {
			rt.Fatal(lacks)
		}
		if p.Refused != q.Refused || !cmp.Equal(p.Why, q.Why) || p.Stick != q.Stick || fmt.Sprint(p.Followed) != fmt.Sprint(q.Followed) {
			rt.Fatalf("planned %v %v, and again %v %v", p.Followed, p.Why, q.Followed, q.Why)
		}
	})
}

// TestDurations: percentiles are right within a fiftieth, whatever the times.
func TestDurations(t *testing.T) {
	t.Parallel()
	var d, half Durations
	if d.Percentile(50) != 0 || d.Known() != 0 {
		t.Error("of nothing something is known")
	}
	for i := 1; i <= 1000; i++ {
		d.add(time.Duration(i) * 10 * time.Millisecond)
	}
	near(t, "the median", d.Percentile(50), 5*time.Second)
	near(t, "P95", d.Percentile(95), 9500*time.Millisecond)
	half.take(500, &d)
	near(t, "the median of as many as half", half.Percentile(50), 5*time.Second)
	if half.take(1, &Durations{}); half.Known() != 500 {
		t.Errorf("%d", half.Known())
	}
	d.add(0)
	d.add(time.Hour * 24)
	if d.Known() != 1002 {
		t.Errorf("%d", d.Known())
	}
}
