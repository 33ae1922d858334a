// Package prometheus is a real Prometheus of the test's own: it reads one Vel, evaluates the rules that Vel comes with,
// and answers queries.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// Server runs for the length of a test.
type Server struct{ URL string }

// Start starts one that reads a Vel each second. rules is the path of the rules, and config the file that operators
// would give it: of that only the address, the times and the place of the rules are changed.
func Start(tb testing.TB, config, rules, target string) *Server {
	tb.Helper()
	port, err := vel.FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		tb.Fatal(err)
	}
	dir, at := tb.TempDir(), "127.0.0.1:"+strconv.Itoa(port)
	changed := strings.NewReplacer("127.0.0.1:8080", target, "15s", "1s", "[rules.yml]", "["+rules+"]").Replace(string(text))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(changed), 0o600); err != nil {
		tb.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", at, "--enable-feature=exemplar-storage", "--log.level=warn")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait() // how it ends is not what is tested
		close(done)
	}()
	tb.Cleanup(func() {
		stop(tb, cmd, done)
		_ = log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && tb.Failed() {
			tb.Logf("what Prometheus says:\n%s", said)
		}
	})
	s := &Server{"http://" + at}
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	if err := vel.Poll(ctx, "Prometheus", func() (bool, error) { return s.Get(ctx, "/-/ready", nil, nil) == nil, nil }); err != nil {
		tb.Fatal(err)
	}
	return s
}

func stop(tb testing.TB, cmd *exec.Cmd, done <-chan struct{}) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-done:
	case <-time.After(stopLimit):
		_ = cmd.Process.Kill()
		<-done
		tb.Errorf("Prometheus had not stopped %s after SIGTERM", stopLimit)
	}
}

// Get asks for a path of its API and decodes the member data of the answer; a nil data is not read.
func (s *Server) Get(ctx context.Context, path string, query url.Values, data any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if data == nil && res.StatusCode == http.StatusOK {
		return nil
	}
	var answer struct {
		Data  json.RawMessage
		Error string
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: status %d: %w", path, res.StatusCode, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", path, res.StatusCode, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// Sample is one series of a result.
type Sample struct {
	Metric map[string]string
	Value  [2]any // when, and the value as text
}

// Query evaluates an expression now.
func (s *Server) Query(ctx context.Context, expr string) ([]Sample, error) {
	var data struct{ Result []Sample }
	err := s.Get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// Rule is one rule as Prometheus has it.
type Rule struct {
	Name, Type, Query, Health, LastError string
	LastEvaluation                       time.Time
	Labels, Annotations                  map[string]string
}

// Rules are all rules.
func (s *Server) Rules(ctx context.Context) (all []Rule, err error) {
	var data struct {
		Groups []struct{ Rules []Rule }
	}
	err = s.Get(ctx, "/api/v1/rules", nil, &data)
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all, err
}
