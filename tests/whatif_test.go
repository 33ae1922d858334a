package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// whatIfFile has a dear target and one that costs a tenth of it, and a provider that one organization has alone.
const whatIfFile = `
providers:
  dear: {kind: openai, base_url: "URL/v1", api_key: env:SIM_KEY, allow_private: true, prices: {sim-fast: {input: "1", output: "2"}}}
  cheap: {kind: openai, base_url: "URL/v1", api_key: env:SIM_KEY, allow_private: true, prices: {sim-fast: {input: "0.1", output: "0.2"}}}
  theirs: {kind: openai, base_url: "URL/v1", api_key: env:SIM_KEY, allow_private: true, organizations: [filed]}
models:
  m: {targets: [{provider: dear, model: sim-fast}]}
  n: {targets: [{provider: cheap, model: sim-fast}]}
  gone: {targets: [{provider: cheap, model: sim-fast}]}
  hidden: {targets: [{provider: theirs, model: sim-fast}]}
organizations:
  filed: {keys: {full: {key: env:FULL_KEY}}}
`

// proposal is the same file after a change: calls with tools stay, code is refused, the rest of m becomes cheap, and gone is
// no more. Its secrets lead nowhere.
const proposal = `
providers:
  cheap: {kind: openai, base_url: "https://models.example.com/v1", api_key: "file:/nowhere", prices: {sim-fast: {input: "0.1", output: "0.2"}}}
models:
  m:
    rules: [{when: tools, targets: [{provider: dear, model: sim-fast}]}, {when: 'task == "code"', refuse: Not here.}]
    targets: [{provider: cheap, model: sim-fast}]
  n: {targets: [{provider: cheap, model: sim-fast}]}
organizations:
  filed: {keys: {full: {key: env:FULL_KEY}}}
`

type changed struct {
	Before  string `json:"before_usd"`
	After   string `json:"after_usd"`
	Change  string `json:"change_usd"`
	Known   int64
	Unknown int64
}

type took struct {
	MedianBefore float64 `json:"median_before_ms"`
	MedianAfter  float64 `json:"median_after_ms"`
	P95After     float64 `json:"p95_after_ms"`
	Known        int64
	Unknown      int64
}

// compared is what would become of calls, as the API says.
type compared struct {
	Found, Stay, Move, Refuse, Every int64
	Looked                           int64                   `json:"looked_at"`
	NotPlanned                       []struct{ Calls int64 } `json:"not_planned"`
	Cost                             changed
	Shifts                           []struct {
		Asked, From, To, Refused string
		Calls                    int64
		ByConfiguration          int64 `json:"by_configuration"`
		Cost                     changed
		Latency                  took
	}
	Targets []struct {
		Provider string
		Answers  int64
		Median   float64 `json:"median_ms"`
		P95      float64 `json:"p95_ms"`
	}
	Examples []struct{ ID string }
}

// way is the shifts as text.
func (c *compared) way() string {
	var b strings.Builder
	for _, s := range c.Shifts {
		fmt.Fprintf(&b, "%d %s: %s > %s%s\n", s.Calls, s.Asked, s.From, s.To, s.Refused)
	}
	return b.String()
}

// TestWhatIf plans calls that were made by a changed file, and counts by hand what should come out.
func TestWhatIf(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); whatIf(t) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); whatIf(t, onPostgres(t)...) })
}

func whatIf(t *testing.T, env ...string) {
	o := openOffice(t, strings.ReplaceAll(whatIfFile, "URL", simulate(t).URL()), env...)
	n := o.tenant(t, "acme")
	l := &ledger{n, o.root.create(t, "/api/keys", members{"organization": n.org, "name": "own"})["secret"].(string)}
	other := o.tenant(t, "other")
	foreign := &ledger{other, o.root.create(t, "/api/keys", members{"organization": other.org, "name": "own"})["secret"].(string)}
	const plain, slow = "[[latency=0s chunks=3]] Tell me a story.", "[[latency=200ms chunks=3]] Tell me a story."
	var moved, stays int64 // nano-dollars
	cost := func(a answer) int64 { return nanos(t, a.header.Get("X-Vel-Cost")) }
	for range 3 {
		moved += cost(l.call(t, chat("m", slow, ""), "env=prod"))
	}
	stays += cost(l.call(t, chat("m", plain, `,"tools":[{"type":"function","function":{"name":"f"}}]`), "env=prod"))
	l.call(t, chat("m", "[[latency=0s chunks=3]] Write a Python function def canaryword(x): that sorts a list of numbers", ""), "env=prod")
	for range 2 {
		stays += cost(l.call(t, chat("n", plain, ""), "env=prod"))
	}
	away := l.call(t, chat("gone", plain, ""), "env=test")
	unplanned := ask(t, request(t, "POST", o.URL+"/v1/chat/completions", l.own, `{"model":1}`))
	last := foreign.call(t, chat("m", plain, ""), "env=prod")
	for id, by := range map[string]*ledger{away.header.Get("X-Request-Id"): l, unplanned.header.Get("X-Request-Id"): l, last.header.Get("X-Request-Id"): foreign} {
		by.stored(t, "/api/calls/"+id+within(by.org))
	}

	diff := func(by *caller, query string, body members) compared {
		t.Helper()
		return read[compared](t, by.do(t, "POST", "/api/routes/diff"+query, body).want(t, http.StatusOK))
	}
	c := diff(o.root, within(l.org), members{"with": proposal})
	if c.Found != 9 || c.Looked != 9 || c.Every != 1 || c.Stay != 3 || c.Move != 3 || c.Refuse != 2 || len(c.NotPlanned) != 1 || c.NotPlanned[0].Calls != 1 || len(c.Examples) != 5 {
		t.Errorf("%+v", c)
	}
	const way = "3 m: dear/sim-fast > cheap/sim-fast\n1 gone: cheap/sim-fast > no route has this name\n1 m: dear/sim-fast > a rule of the route refuses the call\n"
	if c.way() != way {
		t.Errorf("the calls would go\n%swant\n%s", c.way(), way)
	}
	if s := c.Shifts[0]; nanos(t, s.Cost.Before) != moved || nanos(t, s.Cost.After)*10 != moved || s.Cost.Known != 3 || s.ByConfiguration != 3 {
		t.Errorf("three calls cost %d nano-dollars, a tenth elsewhere: %+v", moved, s.Cost)
	}
	if s := c.Cost; nanos(t, s.Before) != moved+stays || nanos(t, s.After)*10 != moved+10*stays || s.Known != 6 || s.Unknown != 2 || s.Change != "-"+dollars(moved-moved/10) {
		t.Errorf("all cost %d nano-dollars: %+v", moved+stays, s)
	}
	// Each of the three has waited at least 200 ms for the provider. Those to the cheap one are known by three answers.
	if s := c.Shifts[0].Latency; s.MedianBefore < 195 || s.Known != 3 || s.MedianAfter >= s.MedianBefore {
		t.Errorf("%+v", s)
	}
	for _, target := range c.Targets {
		if want := map[string]int64{"dear": 5, "cheap": 3}[target.Provider]; target.Answers != want {
			t.Errorf("%s has %d answers, not %d", target.Provider, target.Answers, want)
		}
		if s := c.Shifts[0].Latency; target.Provider == "cheap" && (s.MedianAfter != target.Median || s.P95After != target.P95) {
			t.Errorf("calls that would go to %+v would take %+v", target, s)
		}
	}
	whatIfOf(t, l, diff)
	whatIfInShell(t, l)
	if text := l.get(t, "/api/calls", "").body; strings.Contains(string(text), "canaryword") {
		t.Errorf("a word of the prompt is kept: %s", text)
	}
}

// whatIfOf is about who may compare what, and about filters.
func whatIfOf(t *testing.T, l *ledger, diff func(by *caller, query string, body members) compared) {
	t.Helper()
	root := l.office.root
	if all := diff(root, "", members{"with": proposal, "tag": "env:prod"}); all.Found != 8 || all.Move != 4 || all.Refuse != 1 {
		t.Errorf("of all organizations: %+v", all)
	}
	if part := diff(root, within(l.org), members{"with": proposal, "part": true}); part.Move != 3 || part.Refuse != 1 {
		t.Errorf("as a part: %+v", part)
	}
	if same := diff(root, within(l.org), members{"with": "models: {}"}); same.Move+same.Refuse != 0 || same.Stay != 8 || same.Cost.Change != "0" {
		t.Errorf("a proposal that changes nothing: %+v", same)
	}
	if few := diff(root, within(l.org), members{"with": proposal, "limit": 3}); few.Looked != 3 || few.Every != 3 || few.Found != 9 {
		t.Errorf("one of three: %+v", few)
	}
	models := "models" + strings.SplitN(proposal, "\nmodels", 2)[1]
	models, _, _ = strings.Cut(models, "\norganizations")
	if own := diff(l.admin, "", members{"with": models}); own.Found != 9 || own.Move != 3 || own.Refuse != 1 {
		t.Errorf("an organization's own: %+v", own)
	}
	for text, says := range map[string]string{
		proposal: "only the platform proposes providers",
		"models: {m: {targets: [{provider: theirs, model: x}]}}": "theirs", // as if it were not there
		"models: {m: {targets: [{provider: nobody, model: x}]}}": "nobody",
		"models: {m: {tragets: []}}":                             "targets",
		"models: {m: {rules: [{when: stream, use: hidden}]}}":    `there is no model \"hidden\"`,
		"models: {m: {rules: [{when: stream, use: no}]}}":        `there are: gone, m, n"`,
		"models: {m: {rules: [{when: 'tokens >', refuse: a}]}}":  "body.with.models.m.rules[0].when",
		"models: {": "check colons",
	} {
		a := l.admin.do(t, "POST", "/api/routes/diff", members{"with": text}).want(t, http.StatusUnprocessableEntity)
		if !strings.Contains(string(a.body), says) {
			t.Errorf("%q does not say %q: %s", text, says, a.body)
		}
	}
	if there := diff(root, within(l.org), members{"with": "models: {m: {targets: [{provider: theirs, model: sim-fast}]}}", "part": true}); there.Refuse != 5 {
		t.Errorf("at a provider that the organization may not use: %+v", there)
	}
}

// whatIfInShell asks by the command line.
func whatIfInShell(t *testing.T, l *ledger) {
	t.Helper()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte(proposal), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says []string }{
		{[]string{"--since", "24h", "--with", file, "--org", l.org}, []string{"9 of 9", "not planned", "dear/sim-fast", "cheap/sim-fast", "a rule of the route refuses the call", "req_"}},
		{[]string{"--with", file, "--org", l.org, "--json", "--route", "m", "--examples", "1"}, []string{`"looked_at": 5`, `"move": 3`}},
	} {
		cmd := exec.CommandContext(deadline(t), binary, append([]string{"routes", "diff"}, c.args...)...)
		cmd.Env = append(cmd.Environ(), "VEL_URL="+l.office.URL, "VEL_ADMIN_KEY="+rootKey)
		out, err := cmd.CombinedOutput()
		for _, s := range c.says {
			if err != nil || !strings.Contains(string(out), s) {
				t.Errorf("vel routes diff %s does not say %q: %v\n%s", strings.Join(c.args, " "), s, err, out)
			}
		}
	}
}

// dollars is a cost as the API writes it.
func dollars(nanos int64) string {
	text := fmt.Sprintf("%d.%09d", nanos/1_000_000_000, nanos%1_000_000_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
