package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/postgres"
	"github.com/vel-gateway/vel/tests/vel"
)

// way is how a node reaches its database.
type way struct {
	name string
	env  func(db postgres.Database) []string
}

// ways are all that there are.
var ways = []way{
	{"direct", func(db postgres.Database) []string { return []string{"DATABASE_URL=" + db.URL} }},
	{"pgbouncer", func(db postgres.Database) []string { return []string{"DATABASE_URL=" + db.Pooled} }},
	{"pgbouncer and direct", func(db postgres.Database) []string {
		return []string{"DATABASE_URL=" + db.Pooled, "VEL__DATABASE_DIRECT=" + db.URL}
	}},
}

// node is one Vel, and a client that keeps its connections.
type node struct {
	*vel.Process
	client *http.Client
}

// options start a node with two models of the simulator and one key of the file. What more says comes first in the file.
func options(sim *simulator.Server, more string, env ...string) vel.Options {
	return optionsAt(sim.URL(), more, env...)
}

// optionsAt are the same with any provider that has its models.
func optionsAt(url, more string, env ...string) vel.Options {
	return vel.Options{
		Config: more + `
defaults: {attempts: 1, breaker: {failures: 1000000}}
providers:
  sim: {kind: openai, base_url: "` + url + `/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  sim-echo: {targets: [{provider: sim}]}
  other: {targets: [{provider: sim, model: sim-echo}]}
organizations:
  filed: {keys: {filed: {key: env:FILE_KEY}}}
`,
		Env: append([]string{
			"SIM_KEY=" + simKey, "FILE_KEY=" + fileKey, "VEL_SECRET_KEY=" + secretKey, "VEL_ADMIN_KEY=" + adminKey,
		}, env...),
		Canaries: []string{simKey, fileKey, secretKey, adminKey},
	}
}

// start starts a node for the length of a test.
func start(t *testing.T, o vel.Options) *node {
	t.Helper()
	return nodeOf(vel.Start(t, o))
}

func nodeOf(p *vel.Process) *node {
	return &node{p, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}}
}

// simulate starts the provider of a test.
func simulate(t *testing.T) *simulator.Server {
	t.Helper()
	sim, err := simulator.Start(simulator.Config{Provider: simulator.Provider{Key: simKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // what is still open at the end of a test is cut
		_ = sim.Stop(ended)
	})
	return sim
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.status, a.body) }

// field is one string of a JSON answer; empty if it is not there.
func (a answer) field(name string) string {
	var members map[string]any
	_ = json.Unmarshal(a.body, &members) // then there is no field
	text, _ := members[name].(string)
	return text
}

// do sends one request. A body is sent as JSON; headers are "Name: value".
func (n *node) do(ctx context.Context, credential, method, path string, body any, headers ...string) (answer, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, n.URL+path, content)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := n.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, text}, err
}

// chat makes a call. Its answer must be whole: a stream that ends without [DONE] has failed.
func (n *node) chat(ctx context.Context, key, model string, stream bool) (answer, error) {
	a, err := n.do(ctx, key, "POST", "/v1/chat/completions", chatBody(model, stream))
	if err == nil && a.status == http.StatusOK && stream != bytes.HasSuffix(a.body, []byte("data: [DONE]\n\n")) {
		err = fmt.Errorf("the answer is not whole: %s", a)
	}
	return a, err
}

func chatBody(model string, stream bool) any {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	return struct {
		Model    string    `json:"model"`
		Stream   bool      `json:"stream,omitempty"`
		Messages []message `json:"messages"`
	}{model, stream, []message{{"user", "[[chunks=3 delay=2ms]] Say hello."}}}
}

// call makes a call and gives its status.
func (n *node) call(t *testing.T, key, model string) int {
	t.Helper()
	a, err := n.chat(t.Context(), key, model, false)
	if err != nil {
		t.Fatal(err)
	}
	return a.status
}

// ask sends a request to the API as the platform's administrator.
func (n *node) ask(t *testing.T, method, path string, body any, headers ...string) answer {
	t.Helper()
	return n.askAs(t, adminKey, method, path, body, headers...)
}

func (n *node) askAs(t *testing.T, credential, method, path string, body any, headers ...string) answer {
	t.Helper()
	a, err := n.do(t.Context(), credential, method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// must sends a request to the API that must be answered by this status.
func (n *node) must(t *testing.T, status int, method, path string, body any) answer {
	t.Helper()
	a := n.ask(t, method, path, body)
	if a.status != status {
		t.Fatalf("%s %s: %s, want %d", method, path, a, status)
	}
	return a
}

// object is the body of a request to the API.
type object = map[string]any

// newOrg makes an organization.
func (n *node) newOrg(t *testing.T, name string) (id string) {
	t.Helper()
	return n.must(t, http.StatusCreated, "POST", "/api/organizations", object{"name": name}).field("id")
}

// key is one that was made.
type key struct{ id, org, name, secret string }

// newKey makes a key; more goes into its body.
func (n *node) newKey(t *testing.T, org, name string, more object) key {
	t.Helper()
	a := n.must(t, http.StatusCreated, "POST", "/api/keys?organization="+org, body(name, more))
	k := key{a.field("id"), org, name, a.field("secret")}
	if k.id == "" || k.secret == "" {
		t.Fatalf("a new key without an id or a secret: %s", a)
	}
	return k
}

func body(name string, more object) object {
	o := object{"name": name}
	for field, value := range more {
		o[field] = value
	}
	return o
}

// path is where the key is in the API.
func (k key) path(below string) string { return "/api/keys/" + k.id + below + "?organization=" + k.org }

// metric is the value of a metric.
func (n *node) metric(t *testing.T, name string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	m, err := n.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m.Sum(name)
}
