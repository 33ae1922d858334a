package tests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// The secrets of the tests. None may ever show up in a log, and only the first two may be seen by a client.
const (
	fullKey   = "sk-vel-canary-full-0123456789abcdefghijklmnopqrs"
	narrowKey = "sk-vel-canary-narrow-0123456789abcdefghijklmnopq"
	simKey    = "sk-sim-canary-provider-0123456789abcdefghijklmn"
	secretary = "canary-prompt" // stands in prompts that must not be logged
)

// organizations is the end of every vel.yaml here: who may call.
const organizations = `
organizations:
  acme:
    keys:
      full: {key: env:FULL_KEY}
      narrow: {key: env:NARROW_KEY, models: [MODEL]}
`

// world is one Vel in front of one simulator, shared by all tests that leave it as they found it.
type world struct {
	vel                 *vel.Process
	sim                 *simulated
	key, narrow, simKey string
}

// start brings the shared world up when the first test asks for it.
var start = sync.OnceValues(func() (*world, error) {
	server, err := simulator.Start(simulator.Config{Provider: simulator.Provider{Key: simKey}})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vel-shared-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the shared vel: %w", err)
	}
	w := &world{sim: &simulated{server}, key: fullKey, narrow: narrowKey, simKey: simKey}
	w.vel, err = vel.Launch(dir, options(w.sim.config("")))
	return w, err
})

// shared is the shared world.
func shared(t *testing.T) *world {
	t.Helper()
	w, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait for timers of Vel and not for a processor: more of them fit than there are processors.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	code := m.Run()
	if w, err := start(); err == nil {
		if err := errors.Join(w.vel.Stop(), w.sim.Stop(context.Background()), os.RemoveAll(w.vel.Dir)); err != nil {
			fmt.Fprintln(os.Stderr, "the shared vel:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// options start a Vel with this file and the test's secrets in its environment.
func options(yaml string) vel.Options {
	return vel.Options{
		Config:   yaml,
		Env:      []string{"FULL_KEY=" + fullKey, "NARROW_KEY=" + narrowKey, "SIM_KEY=" + simKey},
		Canaries: []string{fullKey, narrowKey, simKey, secretary},
	}
}

// startVel starts a Vel of the test's own; the file gets the organizations added. The narrow key may use the first
// model of the file.
func startVel(t *testing.T, yaml string) *vel.Process {
	t.Helper()
	return vel.Start(t, options(complete(yaml)))
}

// complete adds the organizations to a file.
func complete(yaml string) string {
	_, models, _ := strings.Cut(yaml, "\nmodels:\n")
	first, _, _ := strings.Cut(strings.TrimSpace(models), ":")
	return yaml + strings.Replace(organizations, "MODEL", first, 1)
}

// chat makes a call through the shared Vel.
func (w *world) chat(t *testing.T, body string) answer {
	t.Helper()
	return ask(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, body))
}

// simulated is a simulator in this process.
type simulated struct{ *simulator.Server }

// simulate starts a simulator for the length of a test.
func simulate(t *testing.T) *simulated {
	t.Helper()
	return simulateWith(t, simulator.Config{})
}

func simulateWith(t *testing.T, cfg simulator.Config) *simulated {
	t.Helper()
	cfg.Provider.Key = simKey
	server, err := simulator.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // what is still open at the end of a test is cut
		_ = server.Stop(ended)
	})
	return &simulated{server}
}

// config is a file with this simulator as the only provider, all its models as routes and a single attempt, so
// that its errors come through; more goes into the block server.
func (s *simulated) config(more string) string {
	var b strings.Builder
	b.WriteString("server: {max_body: 8MiB, max_body_in_flight: 256MiB" + more + "}\n")
	b.WriteString("defaults: {attempts: 1, breaker: {failures: 1000000}}\n")
	b.WriteString("providers:\n  sim: {kind: openai, base_url: \"" + s.URL() + "/v1\", api_key: env:SIM_KEY, allow_private: true}\n")
	b.WriteString("models:\n")
	for _, m := range s.Models() {
		b.WriteString("  " + m + ": {targets: [{provider: sim}]}\n")
	}
	return complete(b.String())
}

// fail sets the words for every call of the simulator.
func (s *simulated) fail(t *testing.T, words string) {
	t.Helper()
	if err := s.SetFaults(words); err != nil {
		t.Fatal(err)
	}
}

// seen is the request that carried this id in its marker.
func (s *simulated) seen(t *testing.T, id string) simulator.Request {
	t.Helper()
	r, ok := s.Request(id)
	if !ok {
		t.Fatalf("no request marked %q reached the provider", id)
	}
	return r
}

// provider is a scripted provider: it answers what the test's handler writes.
type provider struct {
	url, key string
}

// scripted starts one for the length of a test.
func scripted(t *testing.T, handler http.HandlerFunc) *provider {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &provider{server.URL, simKey}
}

// vel starts a Vel in front of the scripted provider, with the routes "scripted" (same name upstream) and "renamed".
func (p *provider) vel(t *testing.T) *vel.Process {
	t.Helper()
	return startVel(t, `
defaults: {attempts: 1}
providers:
  scripted: {kind: openai, base_url: "`+p.url+`/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  scripted: {targets: [{provider: scripted}]}
  renamed: {targets: [{provider: scripted, model: up/stream-name}]}
`)
}

// answerPlain answers "x", whole or as a stream.
func answerPlain(w http.ResponseWriter, streaming bool) {
	const head = `{"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion`
	if !streaming {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, head+`","choices":[{"index":0,"message":{"role":"assistant","content":"x","refusal":null},"logprobs":null,"finish_reason":"stop"}]}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	writePieces(w, "data: "+head+`.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"x"},"finish_reason":null}]}`+"\n\n"+
		"data: "+head+`.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n", 4096)
}

// writePieces writes s in flushed pieces of n bytes.
func writePieces(w http.ResponseWriter, s string, n int) {
	flush := http.NewResponseController(w)
	for len(s) > 0 {
		if _, err := w.Write([]byte(s[:min(n, len(s))])); err != nil {
			return // the gateway left
		}
		if err := flush.Flush(); err != nil {
			return
		}
		s = s[min(n, len(s)):]
	}
}

// deadline ends with the test, or when patience is over.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
