package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/collector"
	"github.com/vel-gateway/vel/tests/prometheus"
	"github.com/vel-gateway/vel/tests/vel"
)

// board is what these tests read of a dashboard.
type board struct {
	UID, Title, Description string
	SchemaVersion           int
	Panels                  []panel
	Templating              struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr string }
}

func boards(t *testing.T) map[string]board {
	t.Helper()
	files, err := filepath.Glob("../deploy/grafana/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("dashboards: %v, error %v", files, err)
	}
	all := map[string]board{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = b
	}
	return all
}

// TestDashboardsAreWhole: every panel says what it shows, in which unit, and from the data source that is chosen above;
// none lies on another.
func TestDashboardsAreWhole(t *testing.T) {
	t.Parallel()
	uids := map[string]string{}
	for name, b := range boards(t) {
		if other, taken := uids[b.UID]; taken || b.UID == "" || b.Title == "" || b.Description == "" || b.SchemaVersion < 39 {
			t.Errorf("%s: uid %q (also of %q), title %q, schema %d", name, b.UID, other, b.Title, b.SchemaVersion)
		}
		uids[b.UID] = name
		variables := map[string]bool{"__rate_interval": true, "__range": true}
		for _, v := range b.Templating.List {
			variables[v.Name] = true
		}
		taken := map[[2]int]string{}
		for _, p := range b.Panels {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x > 23 {
						t.Fatalf("%s: %q lies on %q, or beyond the edge", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
				t.Errorf("%s: the panel %q lacks a description, a unit, a query or the data source", name, p.Title)
			}
			for _, target := range p.Targets {
				for _, m := range variable.FindAllStringSubmatch(target.Expr, -1) {
					if !variables[m[1]] {
						t.Errorf("%s: %q has the variable %s, which is none", name, p.Title, m[1])
					}
				}
			}
		}
	}
}

var variable = regexp.MustCompile(`\$\{?(\w+)`)

// TestAlertsLeadToRunbooks: every alert says what is wrong, and names a section of the runbooks that exists.
func TestAlertsLeadToRunbooks(t *testing.T) {
	t.Parallel()
	anchors, alerts := anchorsOf(t, "../docs/runbooks.md"), blocks(t, "../deploy/prometheus/rules.yml", "- alert: ")
	tested, err := os.ReadFile("../deploy/prometheus/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range alerts {
		for _, part := range []string{"summary:", "description:", "severity:"} {
			if !strings.Contains(block, part) {
				t.Errorf("%s has no %s", name, part)
			}
		}
		_, link, _ := strings.Cut(block, "/docs/runbooks.md#")
		if anchor, _, _ := strings.Cut(link, "\n"); !anchors[anchor] {
			t.Errorf("%s leads to %q, which the runbooks do not have", name, anchor)
		}
		if !strings.Contains(string(tested), `alertname="`+name+`"`) {
			t.Errorf("rules_test.yml does not let %s fire", name)
		}
		if !strings.Contains(string(table), "| `"+name+"` |") {
			t.Errorf("%s is not in docs/deployment.md", name)
		}
	}
	if len(alerts) < 15 {
		t.Errorf("only %d alerts were found", len(alerts))
	}
}

// blocks cuts a file of rules at what each of them begins with.
func blocks(t *testing.T, file, begin string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, block := range strings.Split(string(text), begin)[1:] {
		name, rest, _ := strings.Cut(block, "\n")
		all[name] = rest
	}
	return all
}

// anchorsOf are the headings of a page as links name them.
func anchorsOf(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			all[strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")] = true
		}
	}
	return all
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// TestRules lets Prometheus' own tool check the rules, and that each alarm fires on what it is for.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "rules", "rules.yml"}, {"check", "config", "--syntax-only", "prometheus.yml"}, {"test", "rules", "rules_test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = "../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// watched is a Vel that has met everything that a dashboard shows.
type watched struct {
	t  *testing.T
	p  *vel.Process
	by map[string]*simulated
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, by: map[string]*simulated{"bad": simulate(t), "good": simulate(t)}}
	w.by["bad"].fail(t, "status=503")
	providers := ""
	for _, name := range []string{"bad", "good"} {
		providers += "  " + name + ": {kind: openai, base_url: \"" + w.by[name].URL() + "/v1\", api_key: env:SIM_KEY, allow_private: true, prices: {sim-echo: {input: \"1\", output: \"2\"}}}\n"
	}
	// It may be called once a minute, which is less than live does.
	providers += "  tight: {kind: openai, base_url: \"" + w.by["good"].URL() + "/v1\", api_key: env:SIM_KEY, allow_private: true, limits: {rpm: 1}}\n"
	port, err := vel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	redis(t, filepath.Join(t.TempDir(), "redis"), port)
	o := options(complete("otel: {endpoint: \"" + collector.Start(t).URL + "\", sample: 1}\n" +
		"defaults: {breaker: {failures: 3, window: 60s, cooldown: 1s}, backoff: [1ms]}\nproviders:\n" + providers +
		"models:\n  two: {targets: [{provider: bad, model: sim-echo}, {provider: good, model: sim-echo}]}\n" +
		"  alone: {targets: [{provider: bad, model: sim-echo}]}\n  plain: {targets: [{provider: good, model: sim-echo}]}\n  free: {targets: [{provider: good, model: sim-fast}]}\n" +
		"  tight: {targets: [{provider: tight, model: sim-echo}]}\n"))
	o.Env = append(o.Env, fmt.Sprintf("REDIS_URL=redis://127.0.0.1:%d", port))
	w.p = vel.Start(t, o)
	return w
}

// live makes every kind of call once.
func (w *watched) live() {
	w.t.Helper()
	for _, model := range []string{"two", "plain", "free", "tight"} {
		askVel(w.t, w.p, chat(model, "hi", ""))
		askVel(w.t, w.p, chat(model, "hi", streaming+`,"stream_options":{"include_usage":true}`))
	}
	askVel(w.t, w.p, chat("alone", "hi", ""))
	askVel(w.t, w.p, chat("plain", "[[status=400]] hi", ""))
	ask(w.t, request(w.t, "POST", w.p.URL+"/v1/chat/completions", fullKey, chat("plain", "[[die=1]] one two three four", streaming)))
	ask(w.t, request(w.t, "POST", w.p.URL+"/api/auth/login", "", `{"email":"nobody@example.com","password":"Wrong-Password-1"}`))
}

// names are the metrics and sums in an expression.
func names(expr string) (all []string) {
	for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expr, ""), -1) {
		if strings.Contains(name, ":") || strings.HasPrefix(name, "vel_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_") {
			all = append(all, name)
		}
	}
	return all
}

var (
	quoted     = regexp.MustCompile(`"[^"]*"`)
	metricName = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_:]*`)
)

// queries are all expressions of the dashboards, with what Grafana puts into them.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	filled := strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$instance", ".*", "$route", ".*", "$provider", ".*", "$model", ".*")
	for name, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				where := name + ": " + p.Title
				all[where] = append(all[where], filled.Replace(target.Expr))
			}
		}
	}
	return all
}

// TestMonitoring reads a running Vel with a real Prometheus: every metric that a dashboard or a rule names exists, every
// panel shows something, and every rule is evaluated without an error.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	rules, err := filepath.Abs("../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t)
	prom := prometheus.Start(t, "../deploy/prometheus/prometheus.yml", rules, w.p.Addr())
	panels := queries(t)
	empty := maps.Clone(panels)
	err = vel.Poll(deadline(t), "every panel to show something", func() (bool, error) {
		w.live()
		for where, exprs := range empty {
			shown, err := shows(t, prom, exprs)
			if err != nil {
				return false, fmt.Errorf("%s: %w", where, err)
			}
			if shown {
				delete(empty, where)
			}
		}
		return len(empty) == 0, nil
	})
	if err != nil {
		t.Errorf("%v\nnothing was shown by %v", err, slices.Sorted(maps.Keys(empty)))
	}
	loaded := checkRules(t, prom)
	checkNames(t, w.p, panels, loaded)
}

// shows tells whether every expression of a panel has a result.
func shows(t *testing.T, prom *prometheus.Server, exprs []string) (bool, error) {
	t.Helper()
	for _, expr := range exprs {
		found, err := prom.Query(t.Context(), expr)
		if err != nil || len(found) == 0 {
			return false, err
		}
	}
	return true, nil
}

// checkRules waits until every rule was evaluated and says that it is well.
func checkRules(t *testing.T, prom *prometheus.Server) (all []prometheus.Rule) {
	t.Helper()
	err := vel.Poll(deadline(t), "every rule to be evaluated", func() (ok bool, err error) {
		all, err = prom.Rules(t.Context())
		return !slices.ContainsFunc(all, func(r prometheus.Rule) bool { return r.Health == "unknown" }), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(blocks(t, "../deploy/prometheus/rules.yml", "- alert: ")) + len(blocks(t, "../deploy/prometheus/rules.yml", "- record: ")); len(all) != want {
		t.Errorf("%d rules are loaded, want %d", len(all), want)
	}
	for _, r := range all {
		if r.Health != "ok" {
			t.Errorf("%s: %s: %s", r.Name, r.Health, r.LastError)
		}
	}
	return all
}

// checkNames looks every name up, on a Vel that has met everything, and on one with a certificate.
func checkNames(t *testing.T, p *vel.Process, panels map[string][]string, rules []prometheus.Rule) {
	t.Helper()
	m, err := p.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	secure, _ := secureVel(t, a, simulate(t))
	more, err := secure.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exprs, recorded := maps.Clone(panels), map[string]bool{}
	for _, r := range rules {
		exprs[r.Name] = append(exprs[r.Name], r.Query)
		recorded[r.Name] = r.Type == "recording"
	}
	for where, list := range exprs {
		for _, name := range names(strings.Join(list, " ")) {
			if bare := strings.TrimSuffix(name, "_bucket"); !recorded[name] && !m.Has(bare) && !more.Has(bare) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	documented(t, m, more)
}

// documented checks that every metric of ours has a row in the table of metrics.
func documented(t *testing.T, readings ...vel.Metrics) {
	t.Helper()
	table, err := os.ReadFile("../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range readings {
		for series := range m {
			name, _, _ := strings.Cut(series, "{")
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if m.Has(strings.TrimSuffix(name, suffix)) {
					name = strings.TrimSuffix(name, suffix)
				}
			}
			if strings.HasPrefix(name, "vel_") && !strings.Contains(string(table), "`"+name+"`") {
				t.Errorf("%s is not in docs/deployment.md", name)
			}
		}
	}
}

// The script for k6 can be read, asks what the API has, and holds what it measures against the bars of docs/tasks.md.
func TestLoadScript(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../deploy/k6/tasks.js")
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(t.TempDir(), "tasks.mjs")
	if err := os.WriteFile(module, script, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("node", "--check", module).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, has := range []string{
		"task_create: ['p(95)<500']", "task_status: ['p(95)<200']", "task_stream_open: ['p(95)<1000']", "task_failed: ['rate<0.01']",
		"/api/tasks`", "urls.self", "urls.stream_response", "event: done",
	} {
		if !strings.Contains(string(script), has) {
			t.Errorf("the script does not have %q", has)
		}
	}
}
