package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/tenancy"
)

// leftBehind is the spool of a node that is gone: two calls that ended, one that was under way, and a record that no
// database takes.
func leftBehind(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := accounting.NewRecorder(s, accounting.Refuse)
	call := func(id tenancy.ID) *accounting.Record {
		return &accounting.Record{ID: id, Begun: time.Now(), Who: tenancy.Identity{Org: "org_1"}, Route: "m", Estimate: 7_000}
	}
	for _, id := range []tenancy.ID{"req_1", "req_2", "req_open"} {
		if err := r.Begin(call(id)); err != nil {
			t.Fatal(err)
		}
	}
	r.End(call("req_1"))
	r.End(call("req_2"))
	if err := errors.Join(s.Bury([]byte("no record"), errors.New("it is none")), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// vel runs a command and gives what it writes.
func vel(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(args, &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

func spoolOf(t *testing.T, dir string) (s spoolStatus) {
	t.Helper()
	out, errs, code := vel(t, "--json", "spool", "status", dir)
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitOK {
		t.Fatalf("code %d, %s%s, error %v", code, out, errs, err)
	}
	return s
}

func TestSpoolShip(t *testing.T) {
	t.Parallel()
	dir, orphan := t.TempDir(), leftBehind(t)
	path := filepath.Join(dir, "vel.yaml")
	writeConfig(t, path, "")
	if s := spoolOf(t, orphan); s.InUse || s.Segments != 1 || s.Dead != 1 || s.Oldest == nil || !strings.HasPrefix(s.Node, "node_") {
		t.Errorf("what is left behind: %+v", s)
	}
	out, errs, code := vel(t, "spool", "ship", orphan, "--config", path)
	if code != exitOK || !strings.HasPrefix(out, "3 records of node_") {
		t.Fatalf("code %d, %s%s", code, out, errs)
	}
	if out, _, _ := vel(t, "spool", "ship", orphan, "--config", path); !strings.HasPrefix(out, "0 records of node_") {
		t.Errorf("a second time: %s", out)
	}
	if s := spoolOf(t, orphan); s.Segments != 0 || s.Dead != 1 || s.InUse {
		t.Errorf("what is left after it: %+v", s)
	}
	out, _, _ = vel(t, "spool", "dead", orphan)
	if !strings.Contains(out, "it is none") {
		t.Errorf("dead letters: %s", out)
	}
	cfg, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openDatabase(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	calls, err := db.Calls(t.Context(), accounting.CallQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	states := map[tenancy.ID]accounting.State{}
	for _, c := range calls {
		states[c.ID] = c.State
	}
	if len(calls) != 3 || states["req_1"] != accounting.Ended || states["req_2"] != accounting.Ended || states["req_open"] != accounting.Interrupted {
		t.Errorf("%d calls in the database: %v", len(calls), states)
	}
}

func TestSpoolOfNobody(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, command := range []string{"status", "ship", "dead"} {
		if _, errs, code := vel(t, "spool", command, none); code != exitFailed || !strings.Contains(errs, "inspect the spool") {
			t.Errorf("%s: code %d, %s", command, code, errs)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a directory was made")
	}
}

// Two processes never write into one spool: the second is not started, and a command does not take it away.
func TestSpoolOfARunningNode(t *testing.T) {
	t.Parallel()
	app, cfg, out, path := testApp(t, "")
	if want := filepath.Join(filepath.Dir(path), "data", "spool"); cfg.Spool.Dir != want {
		t.Errorf("the spool lies in %s, want %s, beside the database", cfg.Spool.Dir, want)
	}
	if s := spoolOf(t, cfg.Spool.Dir); !s.InUse {
		t.Errorf("%+v", s)
	}
	if _, errs, code := vel(t, "spool", "ship", cfg.Spool.Dir, "--config", path); code != exitFailed || !strings.Contains(errs, "another process has the spool in") {
		t.Errorf("ship: code %d, %s", code, errs)
	}
	other := *cfg
	elsewhere, err := config.Load("", []string{"VEL__DATABASE=sqlite:" + filepath.Join(t.TempDir(), "vel.db")})
	if err != nil {
		t.Fatal(err)
	}
	other.Database = elsewhere.Database
	if err := NewApp(slog.New(slog.DiscardHandler)).Start(&other); err == nil || !strings.Contains(err.Error(), "another process has the spool in") {
		t.Errorf("a second process: %v", err)
	}
	writeConfig(t, path, "spool: {sync: 1s}")
	app.Reload(path)
	if !strings.Contains(out.String(), `"some settings change only at a restart","paths":["spool"]`) {
		t.Errorf("the log does not say that the spool changes at a restart: %s", out)
	}
}

// What is recorded last is in the database when the process ends.
func TestAStopShipsWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "vel.yaml")
	writeConfig(t, path, "")
	cfg, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	app := NewApp(slog.New(slog.DiscardHandler))
	if err := app.Start(cfg); err != nil {
		t.Fatal(err)
	}
	body := `{"model":"` + app.served()[0] + `","messages":[{"role":"user","content":"Say hello."}]}`
	q, err := http.NewRequest("POST", "http://"+app.server.Addr().String()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+app.first.key.Reveal())
	q.Header.Set("Content-Type", "application/json")
	q.Close = true
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // perhaps before its end: the call is recorded all the same
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	if s := spoolOf(t, cfg.Spool.Dir); s.Segments != 0 || s.InUse {
		t.Errorf("the spool after the stop: %+v", s)
	}
	db, err := openDatabase(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	calls, err := db.Calls(t.Context(), accounting.CallQuery{Limit: 10})
	if err != nil || len(calls) != 1 || calls[0].ID != tenancy.ID(answer.Header.Get("X-Request-Id")) {
		t.Errorf("%d calls in the database, error %v", len(calls), err)
	}
}
