package nodes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// The keys of accounts, one after the other.
const (
	firstAccount  = "sk-acc-canary-nodes-first-0123456789abcdefghijkl"
	secondAccount = "sk-acc-canary-nodes-second-0123456789abcdefghijk"
)

// provider is one that takes some keys, and knows which were sent.
type provider struct {
	*httptest.Server
	mu    sync.Mutex      // guards what follows
	takes map[string]bool // by key
	sent  map[string]int
}

func newProvider(t *testing.T, keys ...string) *provider {
	t.Helper()
	p := &provider{takes: map[string]bool{}, sent: map[string]int{}}
	for _, k := range keys {
		p.takes[k] = true
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP answers a chat.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.sent[key]++
	takes := p.takes[key]
	p.mu.Unlock()
	const head = `{"id":"chatcmpl-1","created":1,"model":"m","object":"chat.completion`
	switch {
	case !takes:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key: %s"}}`, key)
	case strings.Contains(string(body), `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+head+`.chunk","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, head+`","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}`)
	}
}

// refuse takes a key no longer.
func (p *provider) refuse(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.takes, key)
}

// calls is how often a key was sent.
func (p *provider) calls(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[key]
}

// settings are those of a provider at this server.
func (p *provider) settings(name, key string) object {
	o := object{"name": name, "kind": "openai", "base_url": p.URL + "/v1", "allow_private": true, "breaker": object{"failures": 1000000}}
	if key != "" {
		o["api_key"] = key
	}
	return o
}

// A provider and a route that one node is told of serve calls on the other within two seconds. Its key, its address and
// its end are as live, and none of it breaks a call.
func TestProvidersAreLive(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			o := options(simulate(t), "", w.env(server.Database(t))...)
			o.Canaries = append(o.Canaries, firstAccount, secondAccount)
			p := &pair{start(t, o), start(t, o)}
			k := p.a.newKey(t, p.a.newOrg(t, "acme"), "key", nil)
			p.serves(t, k, "sim-echo", http.StatusOK) // the second organization is known, and that accounts are shared
			file := &load{nodes: []*node{p.a, p.b}, keys: []key{k}}
			endFile := file.begin(t)

			first, second := newProvider(t, firstAccount, secondAccount), newProvider(t, secondAccount)
			account := p.a.must(t, http.StatusCreated, "POST", "/api/providers", first.settings("account", firstAccount)).field("id")
			route := p.a.must(t, http.StatusCreated, "POST", "/api/routes",
				object{"name": "live", "targets": []object{{"provider": "account", "model": "m"}}, "attempts": 1}).field("id")
			p.serves(t, k, "live", http.StatusOK)
			becomes(t, "and on the node that was told", func() bool { return p.a.call(t, k.secret, "live") == http.StatusOK })
			live := &load{nodes: []*node{p.a, p.b}, keys: []key{k}, model: "live"}
			endLive := live.begin(t)

			path := "/api/providers/" + account
			p.a.must(t, http.StatusOK, "PUT", path, first.settings("account", secondAccount))
			becomes(t, "both nodes use the new key", func() bool {
				before, made := first.calls(firstAccount), live.made()
				return soonMade(t, live, made+2*callers*len(live.nodes)) && first.calls(firstAccount) == before
			})
			first.refuse(firstAccount)
			more(t, live)

			p.a.must(t, http.StatusOK, "PUT", path, second.settings("account", secondAccount))
			becomes(t, "both nodes use the new address", func() bool {
				before, made := first.calls(secondAccount), live.made()
				return soonMade(t, live, made+2*callers*len(live.nodes)) && first.calls(secondAccount) == before
			})
			more(t, live)
			if second.calls(firstAccount) > 0 {
				t.Error("the old key came to the new address")
			}

			if in := p.b.ask(t, "DELETE", path, nil); in.status != http.StatusConflict || !strings.Contains(string(in.body), "the route live") {
				t.Errorf("a provider in use is deleted: %s", in)
			}
			endLive()
			live.judge(t)
			p.b.must(t, http.StatusNoContent, "DELETE", "/api/routes/"+route, nil)
			p.b.must(t, http.StatusNoContent, "DELETE", path, nil)
			becomes(t, "the route is gone on the first node", func() bool { return p.a.call(t, k.secret, "live") == http.StatusNotFound })
			endFile()
			file.judge(t)
		})
	}
}

// serves waits until the second node answers a model by a status.
func (p *pair) serves(t *testing.T, k key, model string, status int) {
	t.Helper()
	becomes(t, fmt.Sprintf("%s gets %d on the other node", model, status), func() bool { return p.b.call(t, k.secret, model) == status })
}

// more waits for calls that begin from now on.
func more(t *testing.T, l *load) {
	t.Helper()
	made := l.made()
	if !soonMade(t, l, made+4*callers*len(l.nodes)) {
		t.Fatal("no calls are made")
	}
}

// soonMade waits until so many calls were made.
func soonMade(t *testing.T, l *load, calls int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return vel.Poll(ctx, "calls", func() (bool, error) { return l.made() >= calls, nil }) == nil
}

// TestSecretsRotate: on a running house, everything that an old key has sealed is sealed with the new one. Who has only
// the old one says what it can not open, and goes on with the rest.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	const next = "canary-nodes-next-secret-0123456789abcdefghijklm"
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := engine(t)
			sim, account, dir := simulate(t), newProvider(t, firstAccount), t.TempDir()
			with := func(keys []string, f func(n *node)) {
				t.Helper()
				o := options(sim, "", append(append([]string{}, env...), keys...)...)
				o.Canaries = append(o.Canaries, firstAccount, next)
				p, err := vel.Launch(dir, o)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := p.Stop(); err != nil {
						t.Error(err)
					}
				}()
				f(nodeOf(p))
			}
			var k key
			with(nil, func(n *node) {
				k = n.newKey(t, n.newOrg(t, "acme"), "key", nil)
				for _, name := range []string{"one", "two", "three"} {
					n.must(t, http.StatusCreated, "POST", "/api/providers", account.settings(name, firstAccount))
				}
				n.must(t, http.StatusCreated, "POST", "/api/routes", object{"name": "live", "targets": []object{{"provider": "two"}}})
				if a := n.ask(t, "POST", "/api/teams?organization="+k.org, object{"name": "kept"}, "Idempotency-Key: kept"); a.status != http.StatusCreated {
					t.Fatal(a)
				}
			})
			both := []string{"VEL_SECRET_KEY=" + next, "VEL_SECRET_KEY_OLD=" + secretKey}
			with(both, func(n *node) {
				l := &load{nodes: []*node{n}, keys: []key{k}, model: "live"}
				end := l.begin(t)
				more(t, l)
				for i, want := range []string{"4 secrets sealed anew", "0 secrets sealed anew"} {
					if said := command(t, n, "secrets", "rotate"); !strings.Contains(said, want) {
						t.Errorf("rotation %d: %s", i+1, said)
					}
				}
				if said := command(t, n, "secrets", "status"); strings.Count(said, " 4\n") != 1 || strings.Count(said, " 0\n") != 1 {
					t.Errorf("after the rotations: %s", said)
				}
				more(t, l)
				end()
				l.judge(t)
				again := n.ask(t, "POST", "/api/teams?organization="+k.org, object{"name": "kept"}, "Idempotency-Key: kept")
				if again.header.Get("Idempotency-Replayed") != "true" {
					t.Errorf("an answer that was kept: %s", again)
				}
			})
			with([]string{"VEL_SECRET_KEY=" + next}, func(n *node) {
				if status := n.call(t, k.secret, "live"); status != http.StatusOK {
					t.Errorf("with the new key alone: %d", status)
				}
			})
			with(nil, func(n *node) {
				if status := n.call(t, k.secret, "live"); status != http.StatusServiceUnavailable {
					t.Errorf("with the old key alone: %d", status)
				}
				if status := n.call(t, k.secret, "sim-echo"); status != http.StatusOK {
					t.Errorf("a model of the file, with the old key alone: %d", status)
				}
				list := n.must(t, http.StatusOK, "GET", "/api/providers", nil)
				if strings.Count(string(list.body), "its key was sealed with") != 3 || n.metric(t, "vel_faulty_objects") != 4 {
					t.Errorf("%s", list)
				}
				if said := command(t, n, "secrets", "status"); strings.Count(said, "missing") != 1 {
					t.Errorf("%s", said)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, err := n.Log.Wait(ctx, "the provider", func(line string) bool {
					return strings.Contains(line, `"ERROR"`) && strings.Contains(line, "its key was sealed with")
				}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// command runs a command against a node, as its administrator.
func command(t *testing.T, n *node, args ...string) string {
	t.Helper()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = []string{"VEL_URL=" + n.URL, "VEL_ADMIN_KEY=" + adminKey}
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("vel %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}
