package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// inForce is a configuration with a provider of the environment and one of the file.
func inForce(t *testing.T) *Config {
	t.Helper()
	c, err := parse("vel.yaml", []byte(`
organizations: {acme: {}}
providers:
  local: {kind: openai, base_url: "https://models.example.com/v1", api_key: env:LOCAL}
models:
  m: {targets: [{provider: local}]}
  n: {targets: [{provider: local}]}
`), environment{"LOCAL": "key-of-local", "GROQ_API_KEY": "key-of-groq"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestProposal: a whole file takes the place of the models that the file has, a part only of those that it names; providers
// keep their keys, and what is offered without a file stays.
func TestProposal(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("what nobody may read here"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := inForce(t)
	p, err := ReadProposal([]byte(`
listen: 127.0.0.1:1
redis: file:/nowhere
organizations: {other: {keys: {k: {key: file:/nowhere}}}}
providers:
  local: {kind: openai, base_url: "https://else.example.com/v1", api_key: env:ELSE, organizations: [acme], tls: {ca: /nowhere}, proxy: "http://p:1"}
  fresh: {kind: groq, api_key: "file:` + secret + `"}
models:
  m: {strategy: cheapest, targets: [{provider: local}, {provider: fresh}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []bool{false, true} {
		next := p.Over(now, part)
		if _, kept := next.Models["n"]; kept != part || next.Models["m"].Strategy != "cheapest" || next.Models["openai/gpt-oss-20b"].Targets == nil {
			t.Errorf("part %v: %v", part, next.Models)
		}
		local, fresh := next.Providers["local"], next.Providers["fresh"]
		if local.APIKey.Reveal() != "key-of-local" || fresh.APIKey.Reveal() != none || local.BaseURL != "https://else.example.com/v1" || local.TLS.CA+local.Proxy != "" ||
			!cmp.Equal(local.Organizations, []tenancy.ID{tenancy.OrgID("acme")}) || next.Providers["groq"].Kind != "groq" {
			t.Errorf("%+v", next.Providers)
		}
		if diff := cmp.Diff(routing.Defaults().Defaults, next.Defaults); diff != "" {
			t.Error(diff)
		}
	}
	if len(now.Routing.Models) != len(now.Offered)+2 || now.Routing.Providers["local"].BaseURL != "https://models.example.com/v1" {
		t.Error("what is in force has changed")
	}
	for path, wrote := range map[string]bool{"models.m": true, "models.m.targets[0].provider": true, "models.mm": false, "models.n.rules": false, "providers.fresh.kind": true, "defaults": false} {
		if p.Wrote(path) != wrote {
			t.Errorf("%s: %v", path, !wrote)
		}
	}
	if p.ModelsAlone() {
		t.Error("it has providers")
	}
}

// TestProposalAsJSON: it may be JSON, and the models alone.
func TestProposalAsJSON(t *testing.T) {
	t.Parallel()
	p, err := ReadProposal([]byte(`{"models": {"m": {"targets": [{"provider": "groq", "model": "x"}]}}}`))
	if err != nil || !p.ModelsAlone() || p.Models["m"].Targets[0].Model != "x" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = ReadProposal([]byte(`{"defaults": {"attempts": 1}}`)); err != nil || p.ModelsAlone() || p.Over(inForce(t), false).Defaults.Attempts != 1 || p.Over(inForce(t), false).Models["n"].Targets == nil {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestProposalFaults: what can not be read is named with its line.
func TestProposalFaults(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"models:\n  m: {tragets: []}": "models.m.tragets: is not a known key",
		"model: {}":                   "model: is not a known key",
		"models: {":                   "check colons",
		"[]":                          "a block",
	} {
		if _, err := ReadProposal([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
