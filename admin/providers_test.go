package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

const (
	providerKey = "sk-canary-of-a-provider-abcd"
	laterKey    = "sk-canary-of-another-day-wxyz"
)

// filed is what the file of every test declares.
func filed() *routing.Config {
	return &routing.Config{
		Providers: map[string]routing.ProviderConfig{"filed": {Kind: "groq", APIKey: new(secrets.New(providerKey))}},
		Models:    map[string]routing.ModelConfig{"filed/model": {Targets: []routing.TargetConfig{{Provider: "filed"}}}},
	}
}

func filedProviders() []routing.ManagedProvider { return filed().ManagedProviders(tenancy.ByFile) }
func filedRoutes() []routing.ManagedRoute       { return filed().ManagedRoutes(tenancy.ByFile) }

// provider makes one.
func (w *world) provider(name string) string {
	w.t.Helper()
	made := w.do("root", "POST", "/api/providers", map[string]any{"name": name, "kind": "openai", "api_key": providerKey}).want(http.StatusCreated)
	return made.object()["id"].(string)
}

func TestProviderLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{"name": "mine", "kind": "openai", "base_url": "https://llm.example.com/v1", "api_key": "` + providerKey + `",
		"organizations": ["org_acme", "org:filed"], "timeouts": {"first_byte": "90s"}, "breaker": {"failures": 7}, "tls": {"ca": "/etc/ca.pem"},
		"prices": {"m": {"input": "1", "tiers": [{"above": 200000, "input": "2"}], "from": {"2027-02-01": {"input": "0.5"}}, "organizations": {"org_acme": {"input": "0.7", "output": "2"}}}}}`
	made := w.do("root", "POST", "/api/providers", body).want(http.StatusCreated)
	v := made.object()
	id := v["id"].(string)
	want := map[string]any{
		"organization": "platform", "name": "mine", "managed_by": "api", "shadowed": false, "revision": 1.0, "has_key": true, "key_hint": "abcd", "problem": nil,
		"kind": "openai", "base_url": "https://llm.example.com/v1", "organizations": []any{"org_acme", "org:filed"},
		"timeouts": map[string]any{"first_byte": "1m30s"}, "breaker": map[string]any{"failures": 7.0}, "tls": map[string]any{"ca": "/etc/ca.pem"},
		"prices": map[string]any{"m": map[string]any{
			"input": "1", "tiers": []any{map[string]any{"above": 200000.0, "input": "2"}}, "from": map[string]any{"2027-02-01": map[string]any{"input": "0.5"}},
			"organizations": map[string]any{"org_acme": map[string]any{"input": "0.7", "output": "2"}},
		}},
	}
	for _, name := range []string{"id", "created", "updated"} {
		want[name] = v[name]
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("a new provider (-want +got):\n%s", diff)
	}
	if made.header.Get("ETag") != `"1"` || made.header.Get("Location") != "/api/providers/"+id {
		t.Errorf("%v", made.header)
	}
	stored := w.db.providers.rows[tenancy.ID(id)]
	if key, err := stored.Key(w.Keyring); err != nil || key.Reveal() != providerKey || strings.Contains(stored.Sealed.Reveal(), providerKey) {
		t.Errorf("stored: %v, %v", stored, err)
	}

	// What is read can be sent back, and the key stays if nothing is said of it.
	again := w.do("root", "GET", "/api/providers/"+id, nil).want(http.StatusOK).object()
	change := map[string]any{}
	for _, name := range []string{"name", "kind", "base_url", "organizations", "timeouts", "breaker", "tls", "prices"} {
		change[name] = again[name]
	}
	changed := w.do("root", "PUT", "/api/providers/"+id, change, "If-Match", `"1"`).want(http.StatusOK).object()
	again["revision"], again["updated"] = 2.0, changed["updated"]
	if diff := cmp.Diff(again, changed); diff != "" {
		t.Errorf("sent back (-want +got):\n%s", diff)
	}
	if w.db.providers.rows[tenancy.ID(id)].Sealed != stored.Sealed {
		t.Error("the key was sealed anew")
	}
	change = map[string]any{"name": "mine", "kind": "groq", "api_key": laterKey}
	changed = w.do("root", "PUT", "/api/providers/"+id, change).want(http.StatusOK).object()
	if changed["key_hint"] != "wxyz" || changed["base_url"] != nil || changed["timeouts"] != nil {
		t.Errorf("another key: %v", changed)
	}
	change["api_key"] = nil
	changed = w.do("root", "PUT", "/api/providers/"+id, change).want(http.StatusOK).object()
	if changed["key_hint"] != nil || changed["has_key"] != false {
		t.Errorf("without a key: %v", changed)
	}
	w.problems[tenancy.ID(id)] = "it rains"
	if v := w.do("root", "GET", "/api/providers/"+id, nil).want(http.StatusOK).object(); v["problem"] != "it rains" {
		t.Errorf("%v", v)
	}
	w.do("root", "DELETE", "/api/providers/"+id, nil).want(http.StatusNoContent)
	w.do("root", "GET", "/api/providers/"+id, nil).problem(notFound)
}

// TestKeysOfProvidersStayInside walks every answer and the log for keys.
func TestKeysOfProvidersStayInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.probed = func(*routing.ManagedProvider, string) routing.Trial { return routing.Trial{} }
	var all []*answer
	do := func(method, path string, body any, headers ...string) {
		a := w.do("root", method, path, body, headers...)
		all = append(all, a)
	}
	body := map[string]any{"name": "mine", "kind": "openai", "api_key": providerKey}
	for range 2 {
		do("POST", "/api/providers", body, "Idempotency-Key", "once")
	}
	do("POST", "/api/providers", map[string]any{"name": "mine", "kind": "openai", "api_key": laterKey}, "Idempotency-Key", "once") // 422
	do("POST", "/api/providers", map[string]any{"name": "mine", "kind": "openai", "api_key": providerKey})                         // 409
	do("POST", "/api/providers", map[string]any{"name": "x", "kind": providerKey, "api_key": providerKey})                         // 422
	do("POST", "/api/providers", map[string]any{"name": "x", "kind": "openai", "api_key": providerKey + "\n"})                     // 422
	do("POST", "/api/providers", map[string]any{"name": "x", "kind": "openai", "api_key": []string{providerKey}})                  // 422
	do("GET", "/api/providers", nil)
	do("GET", "/api/providers/provider:filed", nil)
	do("POST", "/api/providers/provider:filed/test", map[string]any{"model": "m"})
	do("GET", "/api/secrets", nil)
	if all[0].status != http.StatusCreated || string(all[0].body) != string(all[1].body) || all[1].header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a repeat: %d %s\n%d %s", all[0].status, all[0].body, all[1].status, all[1].body)
	}
	all[2].problem(otherRequest)
	all[3].problem(taken)
	for i := 4; i < 7; i++ {
		all[i].problem(invalid)
	}
	for i, a := range all {
		if strings.Contains(string(a.body), "canary") {
			t.Errorf("answer %d: %s", i, a.body)
		}
	}
	if strings.Contains(w.log.String(), "canary") {
		t.Error(w.log.String())
	}
}

func TestFaultsOfProvidersAndRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.provider("mine")
	for name, c := range map[string]struct {
		method, path, body string
		faults             []string // location, and the beginning of what is wrong
	}{
		"no key":           {"POST", "/api/providers", `{"name": "a", "kind": "openai"}`, []string{"body.api_key is missing"}},
		"a reference":      {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "env:HOME"}`, []string{"body.api_key is a reference"}},
		"nothing":          {"POST", "/api/providers", `{}`, []string{"body expected required property name", "body.kind is missing"}},
		"an unknown kind":  {"POST", "/api/providers", `{"name": "a", "kind": "x", "api_key": "k"}`, []string{"body.kind expected value to be one of"}},
		"an unknown field": {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "timeouts": {"conect": "1s"}}`, []string{"body.timeouts.conect unexpected property"}},
		"private":          {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "base_url": "http://169.254.169.254/"}`, []string{"body.base_url 169.254.169.254 is a loopback or private address; write allow_private"}},
		"no limit":         {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "limits": {"rpm": 0}}`, []string{"body.limits.rpm expected number >= 1"}},
		"no duration":      {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "timeouts": {"idle": "-1s"}}`, []string{"body.timeouts.idle expected string to be a duration"}},
		"zero":             {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "timeouts": {"idle": "0s"}}`, []string{"body.timeouts.idle must be longer than 0"}},
		"nobody":           {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "organizations": ["org_acme", "org_nobody"]}`, []string{"body.organizations[1] there is no such organization"}},
		"nobody's price":   {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "prices": {"m": {"organizations": {"org_nobody": {"input": "1"}}}}}`, []string{"body.prices.m.organizations.org_nobody there is no such organization"}},
		"null":             {"POST", "/api/providers", `{"name": "a", "kind": "openai", "api_key": "k", "proxy": null, "timeouts": {"idle": null}}`, []string{"body.proxy is null", "body.timeouts.idle is null"}},
		"null in a list":   {"POST", "/api/routes", `{"name": "r", "strategy": null, "targets": [{"provider": "mine", "model": null}]}`, []string{"body.strategy is null", "body.targets[0].model is null"}},
		"another name":     {"PUT", "/api/providers/" + id, `{"name": "other", "kind": "openai"}`, []string{"body.name can not change"}},
		"another address":  {"PUT", "/api/providers/" + id, `{"name": "mine", "kind": "openai", "base_url": "https://thief.example.com/v1"}`, []string{"body.api_key is missing; where kind, base_url"}},
		"another proxy":    {"PUT", "/api/providers/" + id, `{"name": "mine", "kind": "openai", "proxy": "http://thief.example.com:3128"}`, []string{"body.api_key is missing; where kind, base_url"}},
		"no targets":       {"POST", "/api/routes", `{"name": "r"}`, []string{"body.targets there is no target"}},
		"no such provider": {"POST", "/api/routes", `{"name": "r", "targets": [{"provider": "filed"}, {"provider": "nobody"}]}`, []string{`body.targets[1].provider there is no provider "nobody"; there are: filed, mine`}},
		"a mirror":         {"POST", "/api/routes", `{"name": "r", "mirror": {"percent": 1, "to": {"provider": "mine"}, "budget": {"usd": "1", "per": "minute"}}, "targets": [{"provider": "mine"}]}`, []string{"body.mirror.budget.per expected value to be one of"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.do("root", c.method, c.path, c.body).problem(invalid)
			if len(p.Errors) != len(c.faults) {
				t.Fatalf("%+v", p.Errors)
			}
			for i, want := range c.faults {
				if got := p.Errors[i].Location + " " + p.Errors[i].Message; !strings.HasPrefix(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
}

func TestRouteLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider("mine")
	made := w.do("root", "POST", "/api/routes", `{"name": "fast", "targets": [{"provider": "mine", "model": "gpt-4o"}, {"provider": "filed"}], "attempts": 2, "strict": true}`).want(http.StatusCreated)
	v := made.object()
	if v["name"] != "fast" || v["attempts"] != 2.0 || v["strict"] != true || v["problem"] != nil || v["organization"] != "platform" ||
		!cmp.Equal(v["targets"], []any{map[string]any{"provider": "mine", "model": "gpt-4o"}, map[string]any{"provider": "filed"}}) {
		t.Errorf("%v", v)
	}
	id := v["id"].(string)
	w.do("root", "PUT", "/api/routes/"+id, `{"name": "faster", "targets": [{"provider": "filed"}]}`, "If-Match", `"1"`).want(http.StatusOK)
	w.do("root", "PUT", "/api/routes/"+id, `{"name": "faster", "targets": [{"provider": "filed"}]}`, "If-Match", `"1"`).problem(stale)
	// The file's names are taken, for new ones and for others.
	w.do("root", "POST", "/api/routes", `{"name": "filed/model", "targets": [{"provider": "mine"}]}`).problem(taken)
	w.do("root", "PUT", "/api/routes/"+id, `{"name": "filed/model", "targets": [{"provider": "mine"}]}`).problem(taken)
	w.do("root", "POST", "/api/providers", `{"name": "filed", "kind": "openai", "api_key": "k"}`).problem(taken)
	for _, path := range []string{"/api/providers/provider:filed", "/api/routes/route:filed%2Fmodel"} {
		if v := w.do("root", "GET", path, nil).want(http.StatusOK).object(); v["managed_by"] != "file" {
			t.Errorf("%v", v)
		}
		w.do("root", "DELETE", path, nil).problem(readOnly)
	}
	list := w.do("root", "GET", "/api/routes?name=faster", nil).want(http.StatusOK).object()
	if len(list["data"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
	w.do("root", "DELETE", "/api/routes/"+id, nil).want(http.StatusNoContent)
}

// TestProvidersAreThePlatforms: nobody of an organization sees them.
func TestProvidersAreThePlatforms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.provider("mine")
	for _, who := range []string{"admin", "robot", "viewer", "outsider"} {
		for _, path := range []string{"/api/providers", "/api/providers/" + id, "/api/routes", "/api/secrets"} {
			w.do(who, "GET", path, nil).problem(notAllowed)
		}
		w.do(who, "POST", "/api/providers/"+id+"/test", nil).problem(notAllowed)
		w.do(who, "POST", "/api/secrets/rotate", nil).problem(notAllowed)
	}
}

func TestTestOfAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.provider("mine")
	var asked []string
	w.probed = func(p *routing.ManagedProvider, model string) routing.Trial {
		asked = append(asked, p.Name+" "+model)
		return routing.Trial{
			Key:   routing.Finding{Verdict: routing.Works, Status: 200, Message: "fine", Took: 1500 * time.Microsecond},
			Model: routing.Finding{Verdict: routing.Fails, Class: adapters.ClassQuota, Status: 429, Message: "poor", Said: "pay"},
		}
	}
	works := map[string]any{"verdict": "works", "class": nil, "status": 200.0, "message": "fine", "provider_says": nil, "latency_ms": 1.5}
	v := w.do("root", "POST", "/api/providers/"+id+"/test", `{"model": "m"}`).want(http.StatusOK).object()
	fails := map[string]any{"verdict": "fails", "class": "quota", "status": 429.0, "message": "poor", "provider_says": "pay", "latency_ms": 0.0}
	if diff := cmp.Diff(map[string]any{"ok": false, "key": works, "model": fails}, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v = w.do("root", "POST", "/api/providers/provider:filed/test", `{}`).want(http.StatusOK).object()
	if v["model"] != nil {
		t.Errorf("%v", v)
	}
	w.do("root", "POST", "/api/providers/provider_none/test", nil).problem(notFound)
	if diff := cmp.Diff([]string{"mine m", "filed "}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider("mine")
	w.db.providers.rows["provider_x"] = routing.ManagedProvider{Meta: meta("provider_x", tenancy.Platform, "x"), Sealed: secrets.New("01234567.x")}
	keys := []any{
		map[string]any{"id": w.Keyring.IDs()[0], "state": "current", "sealed": 1.0},
		map[string]any{"id": "01234567", "state": "missing", "sealed": 1.0},
	}
	if diff := cmp.Diff(map[string]any{"keys": keys}, w.do("root", "GET", "/api/secrets", nil).want(http.StatusOK).object()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	done := w.do("root", "POST", "/api/secrets/rotate", nil).want(http.StatusOK).object()
	if diff := cmp.Diff(map[string]any{"resealed": 3.0, "broken": 1.0, "keys": keys}, done); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Rules of a route lead to models of the file and of the database, and never back.
func TestRouteRulesLeadToModels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := func(name, use string) string {
		return `{"name": "` + name + `", "rules": [{"when": "stream", "use": "` + use + `"}], "targets": [{"provider": "filed"}]}`
	}
	first, _ := w.do("root", "POST", "/api/routes", rules("first", "filed/model")).want(http.StatusCreated).object()["id"].(string)
	w.do("root", "POST", "/api/routes", rules("second", "first")).want(http.StatusCreated)
	for use, says := range map[string]string{"second": "leads back to the model itself", "first": "leads back to the model itself", "nowhere": "there is no model"} {
		a := w.do("root", "PUT", "/api/routes/"+first, rules("first", use))
		if a.problem(invalid); !strings.Contains(string(a.body), "body.rules[0].use") || !strings.Contains(string(a.body), says) {
			t.Errorf("%s: %s", use, a.body)
		}
	}
	w.do("root", "PUT", "/api/routes/"+first, rules("renamed", "filed/model")).want(http.StatusOK)
}
