package routing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// TestInheritance: the defaults hold where nothing else is said, a provider's word beats them for what belongs to an
// attempt, and a model's word beats both.
func TestInheritance(t *testing.T) {
	t.Parallel()
	c := configForTest(2, func(c *Config) {
		change(c.Providers, "p1", func(p *ProviderConfig) {
			p.Timeouts = TimeoutsConfig{Connect: new(7 * time.Second), FirstByte: new(8 * time.Second)}
			p.Breaker.Window = new(9 * time.Second)
		})
		c.Models["n"] = ModelConfig{
			Targets:  []TargetConfig{{Provider: "p1", Model: "x"}},
			Timeouts: TimeoutsConfig{FirstByte: new(time.Second), Total: new(time.Minute)},
			Attempts: new(9), Backoff: []time.Duration{time.Second}, RepeatExecuted: true,
		}
	})
	table := tableForTest(t, c)
	m, _ := table.Route("m")
	n, _ := table.Route("n")
	const s = time.Second
	for _, v := range []struct {
		name      string
		got, want any
	}{
		{"defaults", m.Targets[0].Timeouts, Timeouts{2 * s, 120 * s, 60 * s, 900 * s}},
		{"provider", m.Targets[1].Timeouts, Timeouts{7 * s, 8 * s, 60 * s, 900 * s}},
		{"provider's own", m.Targets[1].Provider.Timeouts, Timeouts{7 * s, 8 * s, 60 * s, 0}},
		{"model", n.Targets[0].Timeouts, Timeouts{7 * s, s, 60 * s, 60 * s}},
		{"default breaker", m.Targets[0].Breaker, Breaker{5, 60 * s, 30 * s}},
		{"provider's breaker", n.Targets[0].Breaker, Breaker{5, 9 * s, 30 * s}},
		{"totals", []time.Duration{m.Total, n.Total}, []time.Duration{900 * s, 60 * s}},
		{"attempts", []int{m.Attempts, n.Attempts}, []int{3, 9}},
		{"default backoff", m.Backoff, []time.Duration{s / 10, s / 5, 2 * s / 5}},
		{"backoff", n.Backoff, []time.Duration{s}},
		{"repeat executed", []bool{m.RepeatExecuted, n.RepeatExecuted}, []bool{false, true}},
		{"ids", []string{n.Targets[0].ID, n.Targets[0].Provider.ID, n.OwnedBy}, []string{"p1/x", "provider:p1", "p1"}},
		{"one provider for all", m.Targets[1].Provider == n.Targets[0].Provider, true},
	} {
		if diff := cmp.Diff(v.want, v.got); diff != "" {
			t.Errorf("%s: %s", v.name, diff)
		}
	}
}

func TestBuildProviders(t *testing.T) {
	t.Parallel()
	c := configForTest(1, func(c *Config) {
		c.Providers["chat"] = ProviderConfig{Kind: "perplexity", API: "chat", APIKey: key()}
		c.Providers["groq"] = ProviderConfig{
			Kind: "groq", APIKey: key(), Proxy: "http://proxy:3128", AllowPrivate: true,
			Organizations: []tenancy.ID{"acme"}, TLS: ProviderTLS{CA: authority(t)},
		}
		c.Providers["own"] = ProviderConfig{Kind: "openai", APIKey: noKey(), BaseURL: "https://example.com/a%2Fb/v1//"}
	})
	var got []string
	for _, p := range tableForTest(t, c).Providers() {
		got = append(got, p.ID+" "+p.Base.String())
		if p.Name == "groq" && (p.RootCAs == nil || p.Proxy.Host != "proxy:3128" || !p.AllowPrivate || p.OpenTo("other") || !p.OpenTo("acme")) {
			t.Errorf("%+v", p)
		}
		if p.Adapter != kindsForTest()["openai"] && p.Adapter.Kind != p.Kind {
			t.Errorf("%s speaks %s", p.Kind, p.Adapter.Kind)
		}
	}
	want := []string{
		"provider:chat https://chat.example.com", "provider:groq https://api.groq.com/openai/v1",
		"provider:own https://example.com/a%2Fb/v1", "provider:p0 https://api.openai.com/v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestBuildFails: everything that fails is named, and no secret of the file is.
func TestBuildFails(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := configForTest(1, func(c *Config) {
		p := c.Providers["p0"]
		for name, alter := range map[string]func(*ProviderConfig){
			"kind":  func(p *ProviderConfig) { p.Kind = "strange" },
			"ca":    func(p *ProviderConfig) { p.TLS.CA = "/nowhere/ca.pem" },
			"empty": func(p *ProviderConfig) { p.TLS.CA = empty },
			"base":  func(p *ProviderConfig) { p.BaseURL = "http://canary:canary%zz" },
			"proxy": func(p *ProviderConfig) { p.Proxy = "http://canary:canary%zz" },
		} {
			q := p
			alter(&q)
			c.Providers[name] = q
		}
	})
	table, err := Build(c, kindsForTest(), 0)
	if err == nil || table != nil {
		t.Fatalf("%v, %v", table, err)
	}
	for _, part := range []string{
		"provider kind: there is no adapter for strange", "provider ca: read the authorities", "provider empty: ", "has no PEM certificate",
		"provider base: ", "provider proxy: ",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "p0") {
		t.Error(err)
	}
}

// TestBuildWithoutTheProvider: a route of the database may name a provider that is no longer there.
func TestBuildWithoutTheProvider(t *testing.T) {
	t.Parallel()
	c := configForTest(1, func(c *Config) { delete(c.Providers, "p0") })
	table, err := Build(c, kindsForTest(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var plan Plan
	err = table.Plan(&plan, &Ask{Model: "m", Who: &tenancy.Principal{}, Endpoint: adapters.ChatCompletions}, &State{}, epoch)
	if err != NoTarget || len(plan.Why) != 1 || plan.Why[0].Reason != NoProvider {
		t.Errorf("%v: %s", err, plan.Why)
	}
}

// authority writes a certificate that signs itself.
func authority(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
