package tests

import (
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// failing is a model whose first target fails every call.
const failing = `
providers:
  down: {kind: openai, base_url: "DOWN/v1", api_key: env:SIM_KEY, allow_private: true, breaker: {failures: 5, cooldown: 1h}}
  ours: {kind: openai, base_url: "URL/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  safe: {targets: [{provider: down, model: sim-fast}, {provider: ours, model: sim-fast}], attempts: 2}
organizations:
  filed: {keys: {full: {key: env:FULL_KEY}}}
`

type target struct {
	ID, Breaker        string
	Routes             []string
	Failures, Attempts int
	Until              *string
}

// A target that fails too often is left alone, and everybody who may know hears of it: the list, the audit log, the metrics; a
// person can bring it back.
func TestTargets(t *testing.T) {
	t.Parallel()
	down := scripted(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusInternalServerError) })
	o := openOffice(t, strings.NewReplacer("DOWN", down.url, "URL", simulate(t).URL()).Replace(failing))
	call := func() (provider string) {
		t.Helper()
		a := askVel(t, o.Process, chat("safe", quick, ""))
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return a.header.Get("X-Vel-Attempts")
	}
	for range 10 {
		if n := call(); n != "2" {
			t.Fatalf("%s attempts before the breaker opens", n)
		}
	}
	find := func(query string) []target {
		t.Helper()
		return read[struct{ Data []target }](t, o.root.do(t, "GET", "/api/targets"+query, nil).want(t, http.StatusOK)).Data
	}
	all := find("")
	if len(all) != 2 || all[0].ID != "down/sim-fast" || all[0].Breaker != "open" || all[0].Until == nil || !slices.Equal(all[0].Routes, []string{"safe"}) || all[1].Breaker != "closed" {
		t.Errorf("%+v", all)
	}
	if away := find("?away=true"); len(away) != 1 || away[0].ID != "down/sim-fast" {
		t.Errorf("away: %+v", away)
	}
	if n := call(); n != "1" {
		t.Errorf("%s attempts while the breaker is open", n)
	}
	audited(t, o, "targets.opened")

	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(deadline(t), binary, "targets", "reset", "down/sim-fast")
	cmd.Env = append(cmd.Environ(), "VEL_URL="+o.URL, "VEL_ADMIN_KEY="+rootKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := call(); n != "2" {
		t.Errorf("%s attempts after the reset", n)
	}
	if all := find("?provider=down"); len(all) != 1 || all[0].Breaker != "closed" || all[0].Until != nil {
		t.Errorf("%+v", all)
	}
	audited(t, o, "targets.closed")
	audited(t, o, "targets.reset")
	m, err := o.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := m.Sum("vel_breaker_changes_total", "target", "down/sim-fast"); n != 2 {
		t.Errorf("%v changes are counted, want 2", n)
	}
}

// audited waits until something about the target stands in the audit log of the platform.
func audited(t *testing.T, o *office, action string) {
	t.Helper()
	err := vel.Poll(deadline(t), action, func() (bool, error) {
		a, err := o.root.send(t.Context(), "GET", "/api/audit?action="+action, nil)
		return strings.Contains(string(a.body), `"down/sim-fast"`), err
	})
	if err != nil {
		t.Error(err)
	}
}
