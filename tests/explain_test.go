package tests

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// decided is a decision as the API shows it.
type decided struct {
	Asked, Route, Strategy, Task, Refused string
	From                                  string `json:"task_from"`
	Features                              []struct{ Name string }
	Rules                                 []struct {
		Route string
		Rule  int
	}
	Candidates []struct {
		Provider, Model, Reason string
		Chosen                  bool
	}
}

// way is the candidates in their order.
func (d *decided) way() (way []string) {
	for _, c := range d.Candidates {
		way = append(way, c.Provider+": "+c.Reason)
	}
	return way
}

// TestCallsAreExplained: what a call was told of its way is what a dry run tells before, and it is kept without a word of the prompt.
func TestCallsAreExplained(t *testing.T) {
	t.Parallel()
	l := openLedger(t)
	explained := func(r *http.Request) { r.Header.Set("X-Vel-Explain", "1") }
	body := chat("auto", "[[latency=0s chunks=1]] Write a Python function def flamingo(x): that sorts a list of numbers", "")
	made := ask(t, request(t, "POST", l.office.URL+"/v1/chat/completions", l.own, body, explained))
	refused := ask(t, request(t, "POST", l.office.URL+"/v1/chat/completions", l.own, body, explained, func(r *http.Request) { r.Header.Set("X-Vel-Tags", "no=yes") }))
	for of, status := range map[*answer]int{&made: 200, &refused: 403} {
		if id := of.header.Get("X-Vel-Decision"); of.status != status || id == "" || id != of.header.Get("X-Request-Id") {
			t.Fatalf("status %d, decision %q: %s", of.status, id, of.body)
		}
		l.stored(t, "/api/calls/"+of.header.Get("X-Request-Id")+within(l.org))
	}

	shown := l.get(t, "/api/calls/"+made.header.Get("X-Vel-Decision")+"/route", "")
	v := read[struct {
		Decision decided
		Attempts []struct{ Provider, Class string }
	}](t, shown)
	d := v.Decision
	if d.Asked != "auto" || d.Route != "safe" || d.Strategy != "fallback" || d.Task != "code" || d.From != "judged" || len(d.Features) == 0 || len(d.Rules) != 1 ||
		d.Rules[0].Route != "auto" || d.Rules[0].Rule != 1 || strings.Join(d.way(), ", ") != "down: chosen, ours: chosen" || strings.Contains(string(shown.body), "flamingo") {
		t.Errorf("%s", shown.body)
	}
	if len(v.Attempts) != 2 || v.Attempts[0].Class != "server" || v.Attempts[1].Provider != "ours" {
		t.Errorf("the attempts are shown as %+v", v.Attempts)
	}
	no := read[struct{ Decision decided }](t, l.get(t, "/api/calls/"+refused.header.Get("X-Vel-Decision")+"/route", ""))
	if no.Decision.Refused == "" || no.Decision.Rules[0].Rule != 0 || no.Decision.Asked != "auto" {
		t.Errorf("%+v", no)
	}

	before := l.office.root.do(t, "GET", "/api/calls?limit=100", nil).body
	dry := read[decided](t, l.admin.do(t, "POST", "/api/routes/dry-run"+within(l.org), members{"model": "auto", "task": "code"}).want(t, 200))
	if dry.Route != d.Route || strings.Join(dry.way(), ", ") != strings.Join(d.way(), ", ") || dry.From != "header" {
		t.Errorf("%+v", dry)
	}
	if after := l.office.root.do(t, "GET", "/api/calls?limit=100", nil).body; string(before) != string(after) {
		t.Error("a dry run left a record")
	}
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says []string }{
		{[]string{"explain", "--model", "auto", "--task", "code", "--org", l.org}, []string{"1 of auto", "safe", "down/sim-fast", "code (header)"}},
		{[]string{"explain", "--model", "nothing", "--json"}, []string{`"refused": "no route has this name"`}},
		{[]string{"calls", "route", made.header.Get("X-Request-Id")}, []string{"1 of auto", "code (judged)", "ours/sim-fast", "server"}},
	} {
		cmd := exec.CommandContext(deadline(t), binary, c.args...)
		cmd.Env = append(cmd.Environ(), "VEL_URL="+l.office.URL, "VEL_ADMIN_KEY="+rootKey)
		out, err := cmd.CombinedOutput()
		for _, s := range c.says {
			if err != nil || !strings.Contains(string(out), s) {
				t.Errorf("vel %s does not say %q: %v\n%s", strings.Join(c.args, " "), s, err, out)
			}
		}
	}
}
