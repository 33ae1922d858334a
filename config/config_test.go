package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tenancy"

	"github.com/google/go-cmp/cmp"
)

// examplePath is the file that the documentation shows; the contract says that it is accepted as it stands.
const examplePath = "../docs/vel.example.yaml"

func TestExampleIsAccepted(t *testing.T) {
	t.Parallel()
	c, err := Load(examplePath, []string{"VEL_CI_KEY=a-key-that-is-long-enough"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), paths(c.NotEnforced)); diff != "" {
		t.Errorf("not enforced (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"defaults.breaker", "models.careful.hedge", "models.fast.sticky"}, paths(c.Accepted)); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Notice{
		{"admin.oidc.client_secret", "the variable OIDC_CLIENT_SECRET is not set, so this credential is absent"},
		{"providers.openai.api_key", "the variable OPENAI_API_KEY is not set, so this credential is absent"},
		{"providers.groq.api_key", "the variable GROQ_API_KEY is not set, so this credential is absent"},
		{"providers.perplexity.api_key", "the variable PERPLEXITY_API_KEY is not set, so this credential is absent"},
	}, c.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	keys := c.Tenancy.Keys()
	if len(keys) != 1 || keys[0].ID != "key:acme/ci" || keys[0].Org != "org:acme" || !slices.Equal(keys[0].Models, []string{"gpt-4o", "fast"}) {
		t.Errorf("keys: %+v", keys)
	}
	if got := c.Routing.Providers["local"].Organizations; !slices.Equal(got, []tenancy.ID{"org:acme"}) {
		t.Errorf("the provider belongs to %v", got)
	}
}

// TestExampleSaysTheDefaults keeps the documentation true: what the example writes down for a setting that
// has a default is that default.
func TestExampleSaysTheDefaults(t *testing.T) {
	t.Parallel()
	c, err := Load(examplePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Server.TrustedProxies, want.Server.CORS.Origins = c.Gateway.Server.TrustedProxies, c.Gateway.Server.CORS.Origins // [] and not written are the same
	if !reflect.DeepEqual(c.Gateway, want.Config) || c.Log != want.Log || !reflect.DeepEqual(c.Routing.Defaults, want.Routing.Defaults) {
		t.Errorf("the example differs from the defaults:\n%+v\n%+v", c.Gateway, want.Config)
	}
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no text": "", "comments": "# nothing\n", "null": "~\n", "empty block": "{}", "empty values": "server:\nmodels:\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parse("", []byte(text), newEnvironment(nil))
			if err != nil {
				t.Fatal(err)
			}
			if !c.Simulated || len(c.NotEnforced)+len(c.Accepted)+len(c.Warnings) > 0 {
				t.Errorf("simulated %v, not enforced %v, accepted %v, warnings %v", c.Simulated, c.NotEnforced, c.Accepted, c.Warnings)
			}
			want := []string{"sim-fast", "sim-search", "sim-small", "sim-strong"}
			if got := slices.Sorted(maps.Keys(c.Routing.Models)); !slices.Equal(got, want) {
				t.Errorf("models %v, want %v", got, want)
			}
			if c.Gateway.Listen != "127.0.0.1:8080" || c.Gateway.Server.MaxBody != 64<<20 {
				t.Errorf("gateway: %+v", c.Gateway)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "vel.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that the file does not exist", err)
	}
}

func TestWellKnown(t *testing.T) {
	t.Parallel()
	file := `
providers: {openai: {kind: openai, api_key: none, base_url: https://mine.example/v1}}
models: {sonar: {targets: [{provider: openai, model: mine}]}}
`
	c, err := parse("vel.yaml", []byte(file), newEnvironment([]string{"OPENAI_API_KEY=o", "PERPLEXITY_API_KEY=p", "GROQ_API_KEY="}))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(c.Routing.Providers)); !slices.Equal(got, []string{"openai", "perplexity"}) {
		t.Errorf("providers %v: the file's openai and the environment's perplexity are wanted", got)
	}
	if got := c.Routing.Providers["openai"].APIKey.Reveal(); got != "none" {
		t.Errorf("the file's openai has key %q", got)
	}
	if got := c.Routing.Providers["perplexity"].APIKey.Reveal(); got != "p" {
		t.Errorf("perplexity has key %q", got)
	}
	if got := c.Routing.Models["sonar"].Targets[0].Provider; got != "openai" {
		t.Errorf("sonar goes to %s: a name that the file declares is the file's", got)
	}
	if _, ok := c.Routing.Models["gpt-4o"]; ok {
		t.Error("a provider of the file got models that the file does not declare")
	}
	if got := c.Routing.Models["sonar-pro"].Targets[0].Provider; got != "perplexity" || c.Simulated {
		t.Errorf("sonar-pro goes to %q, simulated %v", got, c.Simulated)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	file := `
listen: 0.0.0.0:80
server: &shared {drain: 5s}
models: {gpt-4.1: {targets: [{provider: a}, {provider: b}]}}
providers: {a: {kind: openai, api_key: none}, b: {kind: openai, api_key: none}}
`
	env := []string{
		"PORT=9000", "VEL__LISTEN=127.0.0.1:1", "VEL__SERVER__DRAIN=7s", "VEL__MODELS__GPT_4_1__ATTEMPTS=2",
		"VEL__MODELS__GPT_4_1__TARGETS__1__MODEL=second", "VEL__SERVER__TRUSTED_PROXIES=[10.0.0.0/8]",
		"VEL__RETENTION={calls: 10d}", "VEL__RETENTION__AUDIT=20d", "VEL__PROVIDERS__A__API_KEY=env:A_KEY", "A_KEY={not-yaml",
		"VEL_PORT=tcp://10.0.0.1:80", "VEL_SECRET_KEY=a-secret-that-is-long-enough-for-all", "DATABASE_URL=postgres://u:p@h/d", "VEL__DATABASE=sqlite:x",
		"VEL__OTEL__SAMPLE=0.5", "VEL__LOG__LEVEL=debug",
	}
	c, err := parse("vel.yaml", []byte(file), newEnvironment(env))
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway.Listen != "127.0.0.1:9000" || c.Gateway.Server.Drain != 7*time.Second || len(c.Gateway.Server.TrustedProxies) != 1 {
		t.Errorf("gateway: %+v", c.Gateway)
	}
	if m := c.Routing.Models["gpt-4.1"]; *m.Attempts != 2 || m.Targets[1].Model != "second" || m.Targets[0].Model != "" {
		t.Errorf("gpt-4.1: %+v", m)
	}
	if got := c.Routing.Providers["a"].APIKey.Reveal(); got != "{not-yaml" {
		t.Errorf("key %q: what a reference leads to is taken as it is", got)
	}
	if diff := cmp.Diff([]string(nil), paths(c.NotEnforced)); diff != "" {
		t.Errorf("not enforced (-want +got):\n%s", diff)
	}
	if c.Retention.Calls != 10*day || c.Retention.Audit != 20*day {
		t.Errorf("retention: %+v", c.Retention)
	}
	if c.Log.Level != "debug" {
		t.Errorf("log: %+v", c.Log)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from-a-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := `
providers:
  file: {kind: openai, api_key: "file:` + path + `"}
  env: {kind: openai, api_key: env:KEY}
  unset: {kind: openai, api_key: env:UNSET}
  literal: {kind: openai, api_key: in-the-file}
  none: {kind: openai, api_key: none}
`
	c, err := parse("vel.yaml", []byte(file), newEnvironment([]string{"KEY=from-the-environment"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"file": "from-a-file", "env": "from-the-environment", "unset": "", "literal": "in-the-file", "none": "none",
	} {
		if got := c.Routing.Providers[name].APIKey.Reveal(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]Notice{
		{"providers.unset.api_key", "the variable UNSET is not set, so this credential is absent"},
		{"providers.literal.api_key", "a secret stands in the configuration itself; write env:NAME or file:PATH"},
	}, c.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if len(c.Secrets) != 4 {
		t.Errorf("%d secrets for the redactor, want 4", len(c.Secrets))
	}
}

// TestAliasesAreBounded reads a small file whose aliases stand for ten million values.
func TestAliasesAreBounded(t *testing.T) {
	t.Parallel()
	file := "server: {cors: {origins: &o ['*'" + repeated(", '*'", 999) + "]}}\n" +
		"models: {m: {rules: [{targets: &t [{provider: a}" + repeated(", {provider: a}", 999) + "]}" + repeated(", {targets: *t}", 999) + "]}}\n"
	_, err := parse("vel.yaml", []byte(file), newEnvironment(nil))
	var faults Faults
	if !errors.As(err, &faults) || !slices.ContainsFunc(faults, func(f Fault) bool { return f.Problem == "is more than 200000 values" }) {
		t.Errorf("the file is taken, or refused for another reason")
	}
}

func repeated(s string, n int) string {
	out := make([]byte, 0, n*len(s))
	for range n {
		out = append(out, s...)
	}
	return string(out)
}

func paths(parts []Part) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p.Path)
	}
	return all
}
