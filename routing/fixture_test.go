package routing

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// codec stands for any codec: routing only asks whether there is one.
type codec struct{ adapters.Codec }

func kindsForTest() map[string]*adapters.Adapter {
	chat := map[adapters.Endpoint]adapters.Codec{adapters.ChatCompletions: codec{}, adapters.Objects: codec{}}
	return map[string]*adapters.Adapter{
		"openai":          {Kind: "openai", BaseURL: "https://api.openai.com/v1", Codecs: chat},
		"groq":            {Kind: "groq", BaseURL: "https://api.groq.com/openai/v1/", Codecs: chat},
		"perplexity":      {Kind: "perplexity", BaseURL: "https://api.perplexity.ai", Codecs: map[adapters.Endpoint]adapters.Codec{}},
		"perplexity/chat": {Kind: "perplexity", BaseURL: "https://chat.example.com", Codecs: chat},
	}
}

// key is a credential that is there; noKey is one whose reference leads nowhere.
func key() *secrets.Secret   { return new(secrets.New("sk-test-0123456789")) }
func noKey() *secrets.Secret { return new(secrets.Secret) }

// configForTest has the route "m" over providers p0, p1, … and lets change alter it.
func configForTest(n int, change func(*Config)) Config {
	c := Defaults()
	c.Providers, c.Models = map[string]ProviderConfig{}, map[string]ModelConfig{}
	var m ModelConfig
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		c.Providers[name] = ProviderConfig{Kind: "openai", APIKey: key()}
		m.Targets = append(m.Targets, TargetConfig{Provider: name})
	}
	c.Models["m"] = m
	if change != nil {
		change(&c)
	}
	return c
}

// change replaces a value in a map of structs.
func change[T any](m map[string]T, name string, f func(*T)) {
	v := m[name]
	f(&v)
	m[name] = v
}

// tableForTest builds a table of a configuration that must have no fault.
func tableForTest(t testing.TB, c Config) *Table {
	t.Helper()
	c.Validate(func(path, problem, _ string) { t.Errorf("%s: %s", path, problem) })
	table, err := Build(c, kindsForTest(), epoch.Unix())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// principal is who calls with a key that may use the given models; none: all.
func principal(t testing.TB, org tenancy.ID, models ...string) *tenancy.Principal {
	t.Helper()
	index, err := tenancy.NewKeyIndex([]tenancy.APIKey{{Meta: tenancy.Meta{ID: "k", Org: org}, Models: models}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := index.Lookup(tenancy.Hash{}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask is a chat completion for the route "m" by a key that may use everything.
func ask(t testing.TB) *Ask {
	t.Helper()
	return &Ask{Model: "m", Who: principal(t, "acme"), Endpoint: adapters.ChatCompletions}
}

// planForTest plans a call for the route "m".
func planForTest(t testing.TB, c Config, s *State, now time.Time) *Plan {
	t.Helper()
	var p Plan
	if err := tableForTest(t, c).Plan(&p, ask(t), s, now); err != nil {
		t.Fatal(err)
	}
	return &p
}
