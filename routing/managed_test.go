package routing

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

func ring(t *testing.T, seeds ...string) *secrets.Keyring {
	t.Helper()
	var all []secrets.Secret
	for _, s := range seeds {
		all = append(all, secrets.New(strings.Repeat(s, 32)))
	}
	k, err := secrets.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wholeProvider and wholeRoute have every setting, each with a value that is not its zero.
func wholeProvider() ProviderConfig {
	return ProviderConfig{
		Kind: "perplexity", BaseURL: "https://a.example/v1", API: "chat", AllowPrivate: true, Organizations: []tenancy.ID{"org_1"},
		Timeouts: TimeoutsConfig{Connect: new(time.Second), FirstByte: new(2 * time.Minute), Idle: new(1500 * time.Millisecond)},
		Breaker:  BreakerConfig{Failures: new(5), Window: new(time.Minute), Cooldown: new(time.Second)},
		Limits:   &AccountLimits{RPM: new(int64(1)), InFlight: new(int64(1 << 40))}, TLS: ProviderTLS{CA: `C:\odd "path" ü☃`}, Proxy: "http://p:1", Probe: new(time.Minute),
		Prices: map[string]PriceConfig{"a/b: c": PriceOf(RatesConfig{Input: "0.10", Output: "1"}), "<<": {
			Organizations: map[tenancy.ID]TermsConfig{"org:acme": {
				PeriodConfig: PeriodConfig{RatesConfig{Input: "1", Search: "2"}, []TierConfig{{200_000, RatesConfig{Input: "2"}}}},
				From:         map[string]PeriodConfig{"2027-01-31": {RatesConfig: RatesConfig{Output: "3"}}},
			}},
		}},
	}
}

func wholeRoute() ModelConfig {
	return ModelConfig{
		Strategy: "weighted", Optimize: &OptimizeConfig{1, 0.5, 2}, Sticky: &StickyConfig{"key", time.Hour}, Hedge: &HedgeConfig{"p95", "5%", true}, Cache: &CacheConfig{time.Second},
		Mirror: &MirrorConfig{0.5, TargetConfig{Provider: "p", Model: "m"}, &MirrorBudgetConfig{"1", "day"}}, Rules: []RuleConfig{{When: `task == "x"`, Use: "b"}, {When: "a", Targets: []TargetConfig{{Provider: "p"}}}},
		Targets:  []TargetConfig{{"p", "true", new(0), new(1)}, {"q", "1.0", new(3), nil}},
		Timeouts: TimeoutsConfig{Total: new(time.Minute)}, Attempts: new(1), Backoff: []time.Duration{time.Second}, Strict: true, RepeatExecuted: true,
	}
}

// TestSettingsComeBack: what is written as JSON is read as it was, in the names of the file, without the key.
func TestSettingsComeBack(t *testing.T) {
	t.Parallel()
	p := wholeProvider()
	for _, whole := range []any{p, wholeRoute()} {
		for i, v := range reflect.ValueOf(whole).Fields() {
			if v.IsZero() && i.Name != "APIKey" {
				t.Errorf("%T: nothing is tested of %s", whole, i.Name)
			}
		}
	}
	p.APIKey = new(secrets.New("sk-canary"))
	text, err := EncodeSettings(&p)
	if err != nil || strings.Contains(string(text), "canary") || strings.Contains(string(text), "api_key") || !strings.Contains(string(text), `"idle":"1.5s"`) {
		t.Fatalf("%s, %v", text, err)
	}
	var q ProviderConfig
	if err := DecodeSettings(text, &q); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wholeProvider(), q); diff != "" {
		t.Errorf("a provider (-want +got):\n%s", diff)
	}
	m := wholeRoute()
	if text, err = EncodeSettings(&m); err != nil {
		t.Fatal(err)
	}
	var n ModelConfig
	if err := DecodeSettings(text, &n); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, n); diff != "" {
		t.Errorf("a route (-want +got):\n%s\n%s", diff, text)
	}
	text, err = EncodeSettings(&ModelConfig{})
	if err != nil || string(text) != "{}" {
		t.Errorf("nothing is %s, %v", text, err)
	}
	for _, text := range []string{`{"kindle":"openai"}`, `{"kind":`, `[]`, `{"timeouts":{"connect":1}}`, `{"breaker":{"failures":"x"}}`, `""`} {
		if err := DecodeSettings([]byte(text), &ProviderConfig{}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestSealedKey(t *testing.T) {
	t.Parallel()
	const key = "sk-canary-0123456789abcdef"
	old, new := ring(t, "o"), ring(t, "n", "o")
	p := ManagedProvider{Meta: tenancy.Meta{ID: "provider_1", Org: tenancy.Platform, Name: "p"}}
	if k, err := p.Key(old); err != nil || !k.IsZero() || p.HasKey() {
		t.Errorf("without one: %v, %v", k, err)
	}
	p.SetKey(old, secrets.New(key))
	if p.Hint != "cdef" || !p.HasKey() || strings.Contains(p.Sealed.Reveal(), key) {
		t.Errorf("%+v", p)
	}
	for _, with := range []*secrets.Keyring{old, new} {
		if k, err := p.Key(with); err != nil || k.Reveal() != key {
			t.Errorf("%v, %v", k, err)
		}
	}
	_, err := p.Key(ring(t, "x"))
	if !errors.Is(err, secrets.ErrSealed) || !strings.Contains(err.Error(), old.IDs()[0]) || !strings.Contains(err.Error(), ring(t, "x").IDs()[0]) {
		t.Errorf("with another key: %v", err)
	}
	moved := p
	moved.ID = "provider_2"
	if _, err := moved.Key(old); !errors.Is(err, secrets.ErrSealed) {
		t.Errorf("in another row: %v", err)
	}
	p.SetKey(new, secrets.New("short-enough-to-guess"[:20]))
	if p.Hint != "" {
		t.Errorf("the hint of a short key is %q", p.Hint)
	}
	p.SetKey(new, secrets.Secret{})
	if p.HasKey() {
		t.Errorf("%+v", p)
	}
}

func TestManagedOfAFile(t *testing.T) {
	t.Parallel()
	c := Config{
		Providers: map[string]ProviderConfig{"b": {APIKey: new(secrets.New("sk-0123456789abcdefghij"))}, "a": {APIKey: &secrets.Secret{}}},
		Models:    map[string]ModelConfig{"openai/gpt": {}, "a b": {}, strings.Repeat("x", 200): {}},
	}
	ps := c.ManagedProviders(tenancy.ByFile)
	if len(ps) != 2 || ps[0].ID != "provider:a" || ps[0].HasKey() || ps[1].ID != "provider:b" || !ps[1].HasKey() || ps[1].Hint != "ghij" ||
		ps[1].ManagedBy != tenancy.ByFile || ps[1].Org != tenancy.Platform || ps[1].Name != "b" {
		t.Errorf("%+v", ps)
	}
	rs := c.ManagedRoutes(tenancy.ByVel)
	var ids []string
	for _, r := range rs {
		ids = append(ids, string(r.ID))
		if !idForm.MatchString(string(r.ID)) || r.ManagedBy != tenancy.ByVel {
			t.Errorf("%+v", r.Meta)
		}
	}
	if !slices.IsSorted(ids) || !slices.Contains(ids, "route:openai/gpt") || len(slices.Compact(ids)) != 3 {
		t.Errorf("%q", ids)
	}
}

// TestManagedFaults: what is wrong is said as the file's would be, by its place within the object.
func TestManagedFaults(t *testing.T) {
	t.Parallel()
	var got []string
	fault := func(field, problem, hint string) { got = append(got, field+": "+problem) }
	want := func(what string, faults ...string) {
		t.Helper()
		if diff := cmp.Diff(faults, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		got = nil
	}
	provider := func(name string, c ProviderConfig) {
		p := ManagedProvider{Meta: tenancy.Meta{Name: name}, Settings: c}
		p.Validate(fault)
	}
	provider("ok", ProviderConfig{Kind: "openai"})
	want("a good provider")
	provider("no good", ProviderConfig{BaseURL: "http://127.0.0.1", Limits: &AccountLimits{RPM: new(int64(0))}, Timeouts: TimeoutsConfig{Total: new(time.Second)}})
	want("a bad one",
		`name: "no good" is not understood`, "kind: is missing", "base_url: 127.0.0.1 is a loopback or private address",
		"timeouts.total: is the limit of a call, not of a provider", "limits.rpm: must be at least 1")
	route := func(name string, c ModelConfig) {
		r := ManagedRoute{Meta: tenancy.Meta{Name: name}, Settings: c}
		others := map[string]ModelConfig{"other": {Rules: []RuleConfig{{Use: "there"}}}, "there": {Mirror: &MirrorConfig{}}, name: {Rules: []RuleConfig{{Use: "gone"}}}}
		r.Validate([]string{"p"}, others, fault)
	}
	route("gpt-4.1", ModelConfig{Strategy: "fallback", Targets: []TargetConfig{{Provider: "p"}}})
	want("a good route")
	route("gpt-4.1", ModelConfig{Strategy: "weighted", Rules: []RuleConfig{{Use: "x"}}, Targets: []TargetConfig{{Provider: "p", Weight: new(2)}, {Provider: "q"}}})
	want("a bad one", "rules[0].when: is missing", `rules[0].use: there is no model "x"`, `targets[1].provider: there is no provider "q"`)
	good := []TargetConfig{{Provider: "p"}}
	route("mine", ModelConfig{Rules: []RuleConfig{{When: "stream", Use: "other"}}, Targets: good})
	want("a rule that leads to another model")
	route("there", ModelConfig{Rules: []RuleConfig{{When: "stream", Use: "other"}}, Targets: good})
	want("one that comes back", "rules[0].use: leads back to the model itself")
	route("", ModelConfig{})
	want("nothing", "name: the name is empty", "targets: there is no target")
}
