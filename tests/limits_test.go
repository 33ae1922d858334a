package tests

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// limited is a file with one key that has these limits and budgets.
func limited(s *simulated, more string) vel.Options {
	file := priced(s, `sim-fast: {input: "1", output: "1"}`)
	file = file[:strings.Index(file, "organizations:")]
	return options(file + "organizations:\n  acme:\n    keys: {full: {key: env:FULL_KEY, " + more + "}}\n")
}

const quick = "[[latency=0s chunks=3]] hello"

// tooFast reads a 429 as the official SDKs do.
func tooFast(t *testing.T, a answer) (typ, code, message string) {
	t.Helper()
	var body struct {
		Error struct{ Type, Code, Message string }
	}
	if err := json.Unmarshal(a.body, &body); err != nil || a.status != http.StatusTooManyRequests {
		t.Fatalf("status %d, body %s: %v", a.status, a.body, err)
	}
	return body.Error.Type, body.Error.Code, body.Error.Message
}

// A key that is too fast hears when it may go on.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	p := vel.Start(t, limited(simulate(t), "limits: {rpm: 1, tpm: 100000}"))
	first := askVel(t, p, chat("sim-fast", quick, ""))
	if first.status != 200 || first.header.Get("X-Ratelimit-Limit-Requests") != "1" || first.header.Get("X-Ratelimit-Remaining-Requests") != "0" ||
		first.header.Get("X-Ratelimit-Limit-Tokens") != "100000" {
		t.Errorf("status %d, fields %v", first.status, first.header)
	}
	for what, a := range map[string]answer{
		"a call": askVel(t, p, chat("sim-fast", quick, "")),
		"a list": ask(t, request(t, "GET", p.URL+"/v1/models", fullKey, "")),
	} {
		typ, code, message := tooFast(t, a)
		wait, err := strconv.Atoi(a.header.Get("Retry-After-Ms"))
		if typ != "requests" || code != "rate_limit_exceeded" || !strings.HasPrefix(message, "Rate limit reached for your API key: 1 requests per minute.") ||
			err != nil || wait < 1 || wait > 60_000 || a.header.Get("Retry-After") == "" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: fields %v, body %s", what, a.header, a.body)
		}
	}
}

// A budget that is spent stays so over a kill, and what the killed process had under way is paid.
func TestBudgetOverAKill(t *testing.T) {
	t.Parallel()
	o := limited(simulate(t), "budget: {usd: \"0.0082\", per: total}")
	dir := t.TempDir()
	p, err := vel.Launch(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if a := askVel(t, p, chat("sim-fast", quick, "")); a.status != 200 {
		t.Fatalf("status %d, body %s", a.status, a.body)
	}
	under := make(chan struct{})
	go func() {
		defer close(under)
		r, err := http.DefaultClient.Do(request(t, "POST", p.URL+"/v1/chat/completions", fullKey, chat("sim-fast", "[[latency=1h]] hello", `,"stream":true`)))
		if err == nil {
			_ = r.Body.Close()
		}
	}()
	err = vel.Poll(deadline(t), "the second call holds money", func() (bool, error) {
		m, err := p.Metrics(t.Context())
		return err == nil && m.Sum("vel_limit_holds") == 1, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	<-under
	if p, err = vel.Launch(dir, o); err != nil {
		t.Fatal(err)
	}
	a := askVel(t, p, chat("sim-fast", quick, ""))
	typ, code, _ := tooFast(t, a)
	if typ != "insufficient_quota" || code != "insufficient_quota" || a.header.Get("X-Should-Retry") != "false" {
		t.Errorf("fields %v, body %s", a.header, a.body)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// redis starts a private Redis for the length of a test; the function ends it.
func redis(t *testing.T, dir string, port int) (end func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join("services", "redis"), dir, strconv.Itoa(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	t.Cleanup(end)
	err := vel.Poll(deadline(t), "redis", func() (bool, error) {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = c.Close()
		}
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// Two processes on one Redis count together; without it each of them goes on with its share, and says so.
func TestSharedLimits(t *testing.T) {
	t.Parallel()
	port, err := vel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "redis")
	end := redis(t, dir, port)
	o := limited(simulate(t), "limits: {rpd: 20}")
	o.Env = append(o.Env, fmt.Sprintf("REDIS_URL=redis://127.0.0.1:%d", port))
	nodes := [2]*vel.Process{vel.Start(t, o), vel.Start(t, o)}
	sum := func(n *vel.Process, name string, want float64) {
		t.Helper()
		err := vel.Poll(deadline(t), fmt.Sprint(name, " at ", want), func() (bool, error) {
			m, err := n.Metrics(t.Context())
			return err == nil && m.Sum(name) == want, err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, n := range nodes {
		sum(n, "vel_limit_nodes", 2)
	}
	made := 0
	for i := range 30 {
		switch a := askVel(t, nodes[i%2], chat("sim-fast", quick, "")); a.status {
		case 200:
			made++
		case 429:
		default:
			t.Errorf("status %d, body %s", a.status, a.body)
		}
	}
	if made != 20 {
		t.Errorf("%d calls of 20", made)
	}

	end()
	made = 0
	for range 15 {
		if a := askVel(t, nodes[0], chat("sim-fast", quick, "")); a.status == 200 {
			made++
		}
	}
	if made != 10 {
		t.Errorf("%d calls of a share of 10 without redis", made)
	}
	sum(nodes[0], "vel_limit_store_up", 0)
	a := ask(t, request(t, "GET", nodes[0].URL+"/api/health", "", ""))
	if a.status != 200 || !strings.Contains(string(a.body), `"limits":{"ok":false,"store":"redis","reason":"redis does not answer`) || !strings.Contains(string(a.body), `"status":"degraded"`) {
		t.Errorf("health: status %d, body %s", a.status, a.body)
	}

	redis(t, dir, port)
	sum(nodes[0], "vel_limit_store_up", 1)
	if a := askVel(t, nodes[0], chat("sim-fast", quick, "")); a.status != 200 {
		t.Errorf("with a redis that is back, and empty: status %d, body %s", a.status, a.body)
	}
}
