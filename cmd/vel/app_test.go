package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// logged is a log that a test reads while others write it.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

func TestWelcomeText(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:8080"
	call := "Your first API key:\nsk-vel-x\nTry it:\n" +
		`curl -N ` + url + `/v1/chat/completions -H "Authorization: Bearer sk-vel-x" -H "Content-Type: application/json" ` +
		`-d '{"model":"a","stream":true,"messages":[{"role":"user","content":"Say hello."}]}'` + "\n"
	admin := "The admin key, shown this once; it opens /api and the command line:\nsk-vel-y\n"
	for name, c := range map[string]struct {
		key, admin string
		models     []string
		want       string
	}{
		"nothing":       {"", "", nil, "Vel is ready at " + url + "\n"},
		"no key":        {"", "", []string{"a", "b"}, "Vel is ready at " + url + "\nModels: a, b\n"},
		"no models":     {"sk-vel-x", "", nil, "Vel is ready at " + url + "\n"},
		"only admin":    {"", "sk-vel-y", nil, "Vel is ready at " + url + "\n" + admin},
		"a first start": {"sk-vel-x", "sk-vel-y", []string{"a"}, "Vel is ready at " + url + "\nModels: a\n" + call + admin},
		"a later start": {"sk-vel-x", "", []string{"a"}, "Vel is ready at " + url + "\nModels: a\n" + call},
	} {
		if got := welcomeText(url, first{secrets.New(c.key), secrets.New(c.admin)}, c.models); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "[::ffff:10.0.0.1]:80": "10.0.0.1:80",
	} {
		if got := reachable(netip.MustParseAddrPort(from)); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

func TestKeptSecret(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "data")
	first, err := keptSecret(filepath.Join(dir, "first.key"), tenancy.NewKeySecret)
	if err != nil || !strings.HasPrefix(first.Reveal(), "sk-vel-") || len(first.Reveal()) != len("sk-vel-")+43 {
		t.Fatalf("key of %d bytes, error %v", len(first.Reveal()), err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "first.key"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s: %o, want %o", path, got, want)
		}
	}
	again, err := keptSecret(filepath.Join(dir, "first.key"), tenancy.NewKeySecret)
	if err != nil || again.Reveal() != first.Reveal() {
		t.Errorf("a restart has another key, error %v", err)
	}
	other, err := keptSecret(filepath.Join(t.TempDir(), "first.key"), tenancy.NewKeySecret)
	if err != nil || other.Reveal() == first.Reveal() {
		t.Errorf("two gateways have one key, error %v", err)
	}
}

// A start that was killed between making the file and writing it must not leave a gateway that no key opens.
func TestKeptSecretOfAnEmptyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "first.key"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := keptSecret(filepath.Join(dir, "first.key"), tenancy.NewKeySecret)
	if err != nil || key.IsZero() {
		t.Fatalf("no key, error %v", err)
	}
	if again, err := keptSecret(filepath.Join(dir, "first.key"), tenancy.NewKeySecret); err != nil || again.Reveal() != key.Reveal() {
		t.Errorf("the new key was not kept, error %v", err)
	}
}

func TestSecretThatCanNotBeKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := keptSecret(filepath.Join(file, "first.key"), tenancy.NewKeySecret); err == nil || !key.IsZero() {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "first.key"), 0o700); err != nil {
		t.Fatal(err)
	}
	if key, err := keptSecret(filepath.Join(dir, "first.key"), tenancy.NewKeySecret); err == nil || !key.IsZero() {
		t.Errorf("a directory in its place: error %v", err)
	}
}

func TestLogIsWritten(t *testing.T) {
	t.Parallel()
	var out logged
	l := newLog(&out, config.Log{Level: "info", Format: "json"})
	l.Debug("never")
	l.Info("soon")
	eventually(t, "the block is written by itself", func() bool { return strings.Contains(out.String(), `"msg":"soon"`) })
	l.Info("before the error")
	l.Error("at once")
	if s := out.String(); !strings.Contains(s, "before the error") || !strings.Contains(s, "at once") {
		t.Errorf("an error is not written at once: %s", s)
	}
	var writing sync.WaitGroup
	const lines = 3 * queueBound / 4
	for w := range 4 {
		writing.Go(func() {
			mine := l.With(slog.Int("w", w))
			for i := range lines / 4 {
				mine.Info("one of many", slog.Int("i", i))
			}
		})
	}
	writing.Wait()
	l.Info("the last")
	l.stop()
	next := map[float64]float64{}
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if m["msg"] != "one of many" {
			continue
		}
		w := m["w"].(float64)
		if m["i"] != next[w] {
			t.Fatalf("line %v of %v, want %v", m["i"], w, next[w])
		}
		next[w]++
	}
	if next[0]+next[1]+next[2]+next[3] != lines || !strings.HasSuffix(out.String(), "\"msg\":\"the last\"}\n") || strings.Contains(out.String(), "never") {
		t.Errorf("%v lines, want %d each", next, lines/4)
	}
}

func TestLogAsText(t *testing.T) {
	t.Parallel()
	var out logged
	l := newLog(&out, config.Log{Level: "warn", Format: "text"})
	l.Info("never")
	l.Warn("here", slog.String("a", "b c"))
	l.stop()
	if s := out.String(); !strings.Contains(s, `level=WARN msg=here a="b c"`) || strings.Contains(s, "never") {
		t.Errorf("%q", s)
	}
}

// The fast line must say what slog's own handler says.
func TestLinesAreSlogsOwn(t *testing.T) {
	t.Parallel()
	var fast logged
	var slow bytes.Buffer
	l := newLog(&fast, config.Log{Level: "debug", Format: "json"})
	own := slog.New(slog.NewJSONHandler(&slow, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, log := range []*slog.Logger{l.Logger, own} {
		log.Info("plain", slog.String("s", "x"), slog.Int("i", -5), slog.Bool("b", true), slog.Float64("f", 0.125), slog.Float64("g", 1234567.891))
		log.Info("large", slog.Float64("h", 1e20), slog.Float64("tiny", 1e-9), slog.Float64("zero", 0), slog.Int64("max", 1<<62))
		log.Warn("es\"cape\n", slog.String("s", "ü\x00\\"), slog.String("html", "<a&b>"))
		log.With("a", 1).WithGroup("g").Debug("grouped", slog.Duration("d", time.Second), slog.Any("e", fmt.Errorf("bad")))
		log.Info("key", slog.String("k\"", "v"))
	}
	l.stop()
	got, want := strings.Split(strings.TrimSpace(fast.String()), "\n"), strings.Split(strings.TrimSpace(slow.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		a, b := parsed(t, got[i]), parsed(t, want[i])
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("line %s\nwant %s", got[i], want[i])
		}
	}
}

func parsed(t *testing.T, line string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
		t.Error(err)
	}
	delete(m, "time")
	return m
}

// testApp starts a gateway with a file in a directory of its own.
func testApp(t *testing.T, file string) (*App, *config.Config, *logged, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "vel.yaml")
	writeConfig(t, path, file)
	cfg, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &logged{}
	app := NewApp(slog.New(slog.NewJSONHandler(out, nil)))
	if err := app.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(); err != nil {
			t.Error(err)
		}
	})
	return app, cfg, out, path
}

func writeConfig(t *testing.T, path, file string) {
	t.Helper()
	file = "listen: 127.0.0.1:0\ndatabase: sqlite:" + filepath.Join(filepath.Dir(path), "data", "vel.db") + "\n" + file
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *App) models(t *testing.T) string {
	t.Helper()
	q, err := http.NewRequest("GET", "http://"+a.server.Addr().String()+"/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+a.first.key.Reveal())
	q.Close = true
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("status %d, error %v, body %s", r.StatusCode, err, b)
	}
	return string(b)
}

const oneModel = `
providers: {local: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none, allow_private: true}}
models: {%s: {targets: [{provider: local}]}}
`

func TestReload(t *testing.T) {
	t.Parallel()
	app, _, out, path := testApp(t, fmt.Sprintf(oneModel, "before"))
	was := app.pipeline.Snapshot()
	for name, file := range map[string]string{
		"no YAML": "\t{", "an unknown key": "modles: {}", "an unknown provider": "models: {x: {targets: [{provider: nobody}]}}",
		"a missing authority": strings.Replace(fmt.Sprintf(oneModel, "x"), "api_key: none", "api_key: none, tls: {ca: /nowhere/ca.pem}", 1),
		"no provider left":    "",
	} {
		writeConfig(t, path, file)
		faults := strings.Count(out.String(), "the old one stays")
		app.Reload(path)
		if app.pipeline.Snapshot() != was || app.rev != 1 || strings.Count(out.String(), "the old one stays") != faults+1 {
			t.Errorf("%s: rev %d, log %s", name, app.rev, out)
		}
		if got := app.models(t); !strings.Contains(got, `"before"`) {
			t.Errorf("%s: models %s", name, got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	app.Reload(path)
	if app.pipeline.Snapshot() != was {
		t.Error("a file that is gone was taken for an empty one")
	}
	writeConfig(t, path, fmt.Sprintf(oneModel, "after"))
	app.Reload(path)
	if got := app.models(t); app.rev != 2 || !strings.Contains(got, `"after"`) || strings.Contains(got, `"before"`) {
		t.Errorf("rev %d, models %s", app.rev, got)
	}
}

func TestWelcomeAsJSON(t *testing.T) {
	t.Parallel()
	app, cfg, _, _ := testApp(t, "")
	var text, asJSON bytes.Buffer
	if err := welcome(&output{Out: &asJSON, JSON: true}, app, cfg); err != nil {
		t.Fatal(err)
	}
	var got struct {
		URL, Key string
		Models   []string
	}
	if err := json.Unmarshal(asJSON.Bytes(), &got); err != nil || got.Key != app.first.key.Reveal() || got.URL != "http://"+app.server.Addr().String() || len(got.Models) == 0 {
		t.Errorf("%s, error %v", asJSON.String(), err)
	}
	if err := welcome(&output{Out: &text}, app, cfg); err != nil || !strings.Contains(text.String(), got.Key) {
		t.Errorf("%s, error %v", text.String(), err)
	}
}
