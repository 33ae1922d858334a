package tests

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// callsFile has a model whose first target fails every call.
const callsFile = `
providers:
  down: {kind: openai, base_url: "DOWN/v1", api_key: env:SIM_KEY, allow_private: true, breaker: {failures: 1000000}}
  ours: {kind: openai, base_url: "URL/v1", api_key: env:SIM_KEY, allow_private: true, prices: {sim-fast: {input: "0.59", output: "0.79"}}}
models:
  fast: {targets: [{provider: ours, model: sim-fast}]}
  safe: {targets: [{provider: down, model: sim-fast}, {provider: ours, model: sim-fast}], attempts: 2}
  auto:
    rules: [{when: 'tags["no"] == "yes"', refuse: Not today.}, {when: 'task == "code"', use: safe}]
    targets: [{provider: ours, model: sim-fast}]
organizations:
  filed: {keys: {full: {key: env:FULL_KEY}}}
`

// shown is a call as the API shows it.
type shown struct {
	ID, State, Route, Provider, Model, Endpoint string
	Stream                                      bool
	Status                                      int
	Cost                                        string `json:"cost_usd"`
	In                                          int64  `json:"tokens_in"`
	Out                                         int64  `json:"tokens_out"`
	Tags                                        map[string]string
	Attempts                                    []struct {
		Provider, Model, Class string
		Status                 int
		Cost                   string `json:"cost_usd"`
	}
	Has     bool `json:"has_content"`
	Content *struct{ Prompt, Answer *string }
}

// ledger is an organization whose calls are looked at.
type ledger struct {
	*tenant
	own string // its key
}

func openLedger(t *testing.T) *ledger {
	t.Helper()
	down := scripted(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusInternalServerError) })
	o := openOffice(t, strings.NewReplacer("DOWN", down.url, "URL", simulate(t).URL()).Replace(callsFile))
	n := o.tenant(t, "acme")
	return &ledger{n, o.root.create(t, "/api/keys", members{"organization": n.org, "name": "own"})["secret"].(string)}
}

// call makes one with tags.
func (l *ledger) call(t *testing.T, body, tags string) answer {
	t.Helper()
	a := ask(t, request(t, "POST", l.office.URL+"/v1/chat/completions", l.own, body, func(r *http.Request) { r.Header.Set("X-Vel-Tags", tags) }))
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return a
}

// shown waits until the record of a call is there, and reads it as somebody.
func (l *ledger) shown(t *testing.T, by *caller, of answer, more string) (s shown) {
	t.Helper()
	path := "/api/calls/" + of.header.Get("X-Request-Id") + within(l.org)
	l.stored(t, path)
	return read[shown](t, by.do(t, "GET", path+more, nil).want(t, http.StatusOK))
}

func (l *ledger) stored(t *testing.T, path string) {
	t.Helper()
	err := vel.Poll(deadline(t), "the record", func() (bool, error) {
		a, err := l.office.root.send(t.Context(), "GET", path, nil)
		return a.status == http.StatusOK, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// get reads something of the organization.
func (l *ledger) get(t *testing.T, path, query string) answer {
	t.Helper()
	return l.admin.do(t, "GET", path+within(l.org)+query, nil).want(t, http.StatusOK)
}

// TestCallsAreTold follows calls from their answers into the API, the sums and the command line.
func TestCallsAreTold(t *testing.T) {
	t.Parallel()
	l := openLedger(t)
	whole := l.call(t, chat("fast", "[[latency=0s chunks=3]] one two three", ""), "feature=search, customer=Zebra-1")
	flow := l.call(t, chat("safe", "[[latency=0s chunks=3]] one two three", streaming), "feature=search")
	stream{flow, events(flow.body)}.whole(t)

	one, two := l.shown(t, l.admin, whole, ""), l.shown(t, l.admin, flow, "")
	if one.State != "ended" || one.Route != "fast" || one.Provider != "ours" || one.Model != "sim-fast" || one.Endpoint != "chat/completions" || one.Stream ||
		one.Status != 200 || one.Cost != whole.header.Get("X-Vel-Cost") || nanos(t, one.Cost) == 0 || one.In == 0 || one.Out == 0 || len(one.Attempts) != 1 || one.Has ||
		one.Tags["feature"] != "search" || one.Tags["customer"] != "Zebra-1" {
		t.Errorf("the answer cost %q, the call is shown as %+v", whole.header.Get("X-Vel-Cost"), one)
	}
	if two.Route != "safe" || !two.Stream || two.Provider != "ours" || len(two.Attempts) != 2 || two.Attempts[0].Provider != "down" || two.Attempts[0].Status != 500 ||
		two.Attempts[0].Class != "server" || two.Attempts[1].Provider != "ours" || two.Attempts[1].Cost != two.Cost || nanos(t, two.Cost) == 0 {
		t.Errorf("the stream is shown as %+v", two)
	}
	for query, want := range map[string][]string{
		"": {two.ID, one.ID}, "&tag=feature:search": {two.ID, one.ID}, "&q=zebra-1": {one.ID}, "&route=safe": {two.ID}, "&limit=1&after=9": nil, "&failed=true": {},
	} {
		if want == nil {
			l.admin.do(t, "GET", "/api/calls"+within(l.org)+query, nil).problem(t, http.StatusUnprocessableEntity, "invalid")
			continue
		}
		ids := []string{}
		for _, c := range read[page](t, l.get(t, "/api/calls", query)).Data {
			ids = append(ids, c["id"].(string))
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%q lists %v, want %v", query, ids, want)
		}
	}
	l.summed(t, nanos(t, one.Cost)+nanos(t, two.Cost))
	l.printed(t, &two)
}

// summed compares sums of two calls with what they cost.
func (l *ledger) summed(t *testing.T, cost int64) {
	t.Helper()
	type row struct {
		Key   struct{ Name string }
		Model string
		Tag   string
		Calls int64
		Cost  string `json:"cost_usd"`
	}
	for by, is := range map[string]func(r row) bool{
		"key":         func(r row) bool { return r.Key.Name == "own" },
		"model":       func(r row) bool { return r.Model == "ours/sim-fast" },
		"tag:feature": func(r row) bool { return r.Tag == "search" },
	} {
		data := read[struct{ Data []row }](t, l.get(t, "/api/usage", "&by="+by)).Data
		if len(data) != 1 || !is(data[0]) || data[0].Calls != 2 || nanos(t, data[0].Cost) != cost {
			t.Errorf("by %s: %+v, want %d nano-dollars", by, data, cost)
		}
		sheet, err := csv.NewReader(strings.NewReader(string(l.get(t, "/api/usage", "&format=csv&by="+by).body))).ReadAll()
		if err != nil || len(sheet) != 2 {
			t.Errorf("by %s: %q, %v", by, sheet, err)
			continue
		}
		if at := slices.Index(sheet[0], "cost_usd"); at < 0 || nanos(t, sheet[1][at]) != cost {
			t.Errorf("by %s: %q, want %d nano-dollars", by, sheet, cost)
		}
	}
	costs := read[struct {
		Today struct {
			Calls int64
			Cost  string `json:"cost_usd"`
		}
		Models []struct{ ID string }
	}](t, l.get(t, "/api/costs/summary", ""))
	if costs.Today.Calls != 2 || nanos(t, costs.Today.Cost) != cost || len(costs.Models) != 1 || costs.Models[0].ID != "ours/sim-fast" {
		t.Errorf("the costs: %+v, want %d nano-dollars", costs, cost)
	}
}

// printed runs the commands that tell of calls.
func (l *ledger) printed(t *testing.T, of *shown) {
	t.Helper()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, says []string
	}{
		{[]string{"calls", "list", "--org", l.org}, []string{of.ID, "ours/sim-fast", of.Cost}},
		{[]string{"calls", "show", of.ID, "--org", l.org}, []string{"down/sim-fast", "500", "feature=search"}},
		{[]string{"usage", "--by", "tag:feature", "--org", l.org}, []string{"\nsearch ", " 0.0000"}},
		{[]string{"costs", "--org", l.org}, []string{"today", "ours/sim-fast"}},
		{[]string{"spool", "status", filepath.Join(l.office.Dir, "data", "spool")}, []string{"a running process"}},
	} {
		cmd := exec.CommandContext(deadline(t), binary, c.args...)
		cmd.Env = append(cmd.Environ(), "VEL_URL="+l.office.URL, "VEL_ADMIN_KEY="+rootKey)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("vel %s: %v\n%s", strings.Join(c.args, " "), err, out)
		}
		for _, s := range c.says {
			if !strings.Contains(string(out), s) {
				t.Errorf("vel %s does not say %q:\n%s", strings.Join(c.args, " "), s, out)
			}
		}
	}
}

// TestContentOfCalls: prompts and answers are kept from when the API is told to, and shown to who may read them, who asks,
// and who is written down.
func TestContentOfCalls(t *testing.T) {
	t.Parallel()
	l := openLedger(t)
	const said = "[[latency=0s chunks=3]] a canary of a prompt"
	before := l.shown(t, l.admin, l.call(t, chat("fast", said, ""), "a=b"), "&content=true")
	if before.Has || before.Content != nil {
		t.Errorf("kept unasked: %+v", before)
	}
	l.office.root.do(t, "PUT", "/api/organizations/"+l.org, members{"name": l.name, "keep_content": true}).want(t, http.StatusOK)
	var a answer
	err := vel.Poll(deadline(t), "content that is kept", func() (bool, error) {
		a = l.call(t, chat("fast", said, ""), "a=b")
		return l.shown(t, l.admin, a, "").Has, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	reader := l.signedIn(t, l.person(t, "viewer"))
	path := "/api/calls/" + a.header.Get("X-Request-Id") + within(l.org)
	reader.do(t, "GET", path+"&content=true", nil).problem(t, http.StatusForbidden, "not-allowed")
	if s := l.shown(t, reader, a, ""); !s.Has || s.Content != nil {
		t.Errorf("shown to who may not read it: %+v", s)
	}
	if read := l.reads(t); len(read) != 0 {
		t.Errorf("nobody has read it, but the log has %v", read)
	}
	s := l.shown(t, l.admin, a, "&content=true")
	if s.Content == nil || s.Content.Prompt == nil || *s.Content.Prompt != chat("fast", said, "") || s.Content.Answer == nil || *s.Content.Answer != string(a.body) {
		text, _ := json.Marshal(s.Content) // strings always marshal
		t.Errorf("the content is %s, the answer was %s", text, a.body)
	}
	if read := l.reads(t); !slices.Equal(read, []string{s.ID}) {
		t.Errorf("the log has %v, want %s", read, s.ID)
	}
	l.tasksAreKept(t, chat("fast", said, ""))
}

// tasksAreKept: what the task of somebody who is signed in says is kept as well.
func (l *ledger) tasksAreKept(t *testing.T, body string) {
	t.Helper()
	worker := l.signedIn(t, l.person(t, "task_executor"))
	path := "/api/tasks/" + worker.create(t, "/api/tasks", members{"body": json.RawMessage(body)})["id"].(string)
	var call string
	err := vel.Poll(deadline(t), "the task to end", func() (bool, error) {
		result, _ := read[members](t, worker.do(t, "GET", path, nil).want(t, http.StatusOK))["result"].(members)
		call, _ = result["call"].(string)
		return call != "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := l.shown(t, l.admin, answer{header: http.Header{"X-Request-Id": {call}}}, "&content=true"); s.Content == nil || s.Content.Answer == nil {
		t.Errorf("of a task: %+v", s)
	}
}

// reads are the calls whose content was read, as the audit log has it.
func (l *ledger) reads(t *testing.T) (ids []string) {
	t.Helper()
	for _, e := range read[page](t, l.get(t, "/api/audit", "&action=calls.read_content&outcome=done")).Data {
		ids = append(ids, e["object"].(members)["id"].(string))
	}
	return ids
}
