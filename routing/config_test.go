package routing

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// exampleConfig is the room's part of the contract's example file.
func exampleConfig() Config {
	c := Defaults()
	c.Providers = map[string]ProviderConfig{
		"openai":     {Kind: "openai", APIKey: key()},
		"groq":       {Kind: "groq", APIKey: key()},
		"perplexity": {Kind: "perplexity", APIKey: noKey()},
		"local": {
			Kind: "openai", BaseURL: "http://127.0.0.1:8000/v1", APIKey: new(secrets.New("none")), AllowPrivate: true,
			Organizations: []tenancy.ID{"acme"},
			Timeouts:      TimeoutsConfig{FirstByte: new(10 * time.Minute)},
			Limits:        &AccountLimits{RPM: new(int64(300)), InFlight: new(int64(16))},
			Prices:        map[string]PriceConfig{"llama-3.3-70b": PriceOf(RatesConfig{Input: "0.10", Output: "0.30"})},
		},
	}
	c.Models = map[string]ModelConfig{
		"gpt-4o": {Targets: []TargetConfig{{Provider: "openai"}, {Provider: "groq", Model: "llama-3.3-70b-versatile"}}},
		"fast": {
			Strategy: "weighted", Sticky: &StickyConfig{"user", 10 * time.Minute},
			Targets: []TargetConfig{
				{Provider: "groq", Model: "llama-3.1-8b-instant", Weight: new(9)},
				{Provider: "openai", Model: "gpt-4o-mini", Weight: new(1)},
			},
		},
		"careful": {
			Hedge: &HedgeConfig{"p95", "5%", true}, Cache: &CacheConfig{24 * time.Hour},
			Mirror:  &MirrorConfig{1, TargetConfig{Provider: "local", Model: "llama-3.3-70b"}, &MirrorBudgetConfig{"2.50", "day"}},
			Targets: []TargetConfig{{Provider: "openai", Model: "gpt-4o"}},
		},
		"auto": {
			Rules: []RuleConfig{
				{When: `task == "code" && tokens < 8000`, Use: "fast"},
				{When: `task == "research"`, Targets: []TargetConfig{{Provider: "perplexity", Model: "sonar"}}},
			},
			Targets: []TargetConfig{{Provider: "openai", Model: "gpt-4o"}},
		},
	}
	return c
}

func faults(c Config) (list []string) {
	c.Validate(func(path, problem, hint string) {
		if problem == "" || hint == "" {
			list = append(list, path+" has no problem or no hint")
		}
		list = append(list, path+": "+problem)
	})
	return list
}

func TestExampleIsValid(t *testing.T) {
	t.Parallel()
	c := exampleConfig()
	if list := faults(c); list != nil {
		t.Errorf("%q", list)
	}
	if list := faults(Defaults()); list != nil {
		t.Errorf("the defaults: %q", list)
	}
}

// TestFaults has one alteration of the example each, and the path where it must be found.
func TestFaults(t *testing.T) {
	t.Parallel()
	provider := func(f func(*ProviderConfig)) func(*Config) {
		return func(c *Config) { change(c.Providers, "local", f) }
	}
	terms := func(price string) func(*Config) {
		return provider(func(p *ProviderConfig) {
			var written ProviderConfig
			if err := DecodeSettings([]byte("prices: {x: "+price+"}"), &written); err != nil {
				t.Error(err)
			}
			p.Prices = written.Prices
		})
	}
	base := func(u string) func(*Config) { return provider(func(p *ProviderConfig) { p.BaseURL = u }) }
	public := func(u string) func(*Config) {
		return provider(func(p *ProviderConfig) { p.BaseURL, p.AllowPrivate = u, false })
	}
	model := func(name string, f func(*ModelConfig)) func(*Config) {
		return func(c *Config) { change(c.Models, name, f) }
	}
	targets := func(list ...TargetConfig) func(*Config) {
		return model("gpt-4o", func(m *ModelConfig) { m.Targets = list })
	}
	rule := func(r RuleConfig) func(*Config) {
		return model("auto", func(m *ModelConfig) { m.Rules = []RuleConfig{r} })
	}
	const ms = time.Millisecond
	for i, c := range []struct {
		alter func(*Config)
		paths string // in the order in which they are found
	}{
		{func(c *Config) { c.Defaults.Attempts = 0 }, "defaults.attempts"},
		{func(c *Config) { c.Defaults.Attempts = 11 }, "defaults.attempts"},
		{func(c *Config) { c.Defaults.Backoff = nil }, "defaults.backoff"},
		{func(c *Config) { c.Defaults.Backoff = []time.Duration{} }, "defaults.backoff"},
		{func(c *Config) { c.Defaults.Backoff = []time.Duration{2 * ms, ms, 0} }, "defaults.backoff[1] defaults.backoff[2]"},
		{func(c *Config) { c.Defaults.Backoff = []time.Duration{time.Hour} }, "defaults.backoff[0]"},
		{func(c *Config) { c.Defaults.Timeouts = TimeoutsConfig{} }, "defaults.timeouts.connect defaults.timeouts.first_byte defaults.timeouts.idle defaults.timeouts.total"},
		{func(c *Config) { c.Defaults.Timeouts.Total = new(-ms) }, "defaults.timeouts.total"},
		{func(c *Config) { c.Defaults.Breaker = BreakerConfig{new(0), new(ms), new(ms)} }, "defaults.breaker.failures defaults.breaker.window defaults.breaker.cooldown"},
		{func(c *Config) { c.Defaults.Breaker = BreakerConfig{} }, "defaults.breaker.failures defaults.breaker.window defaults.breaker.cooldown"},

		{func(c *Config) { c.Providers["a/b"] = c.Providers["groq"] }, "providers.a/b"},
		{func(c *Config) { c.Providers["a\r\nb"] = c.Providers["groq"] }, "providers.a\r\nb"},
		{provider(func(p *ProviderConfig) { p.Kind = "" }), "providers.local.kind"},
		{provider(func(p *ProviderConfig) { p.Kind = "OpenAI" }), "providers.local.kind"},
		{provider(func(p *ProviderConfig) { p.API = "chat" }), ""},
		{func(c *Config) { change(c.Providers, "groq", func(p *ProviderConfig) { p.API = "chat" }) }, "providers.groq.api"},
		{func(c *Config) { change(c.Providers, "perplexity", func(p *ProviderConfig) { p.API = "x" }) }, "providers.perplexity.api"},
		{func(c *Config) { change(c.Providers, "perplexity", func(p *ProviderConfig) { p.API = "chat" }) }, ""},
		{provider(func(p *ProviderConfig) { p.APIKey = nil }), "providers.local.api_key"},
		{provider(func(p *ProviderConfig) { p.APIKey = new(secrets.New("canary\r\nx: y")) }), "providers.local.api_key"},
		{provider(func(p *ProviderConfig) { p.Timeouts.Total = new(time.Hour) }), "providers.local.timeouts.total"},
		{provider(func(p *ProviderConfig) { p.Timeouts.Idle = new(0 * ms) }), "providers.local.timeouts.idle"},
		{provider(func(p *ProviderConfig) { p.Breaker.Cooldown = new(ms) }), "providers.local.breaker.cooldown"},
		{provider(func(p *ProviderConfig) { p.Limits = &AccountLimits{new(int64(0)), new(int64(-1))} }), "providers.local.limits.rpm providers.local.limits.in_flight"},
		{provider(func(p *ProviderConfig) { p.Organizations = []tenancy.ID{} }), "providers.local.organizations"},
		{provider(func(p *ProviderConfig) { p.Organizations = []tenancy.ID{"a", "", "a"} }), "providers.local.organizations[1] providers.local.organizations[2]"},
		{provider(func(p *ProviderConfig) { p.TLS.CA = "ca\n.pem" }), "providers.local.tls.ca"},
		{provider(func(p *ProviderConfig) { p.Prices["x"] = PriceOf(RatesConfig{Input: "-1", Output: "1e3"}) }), "providers.local.prices.x.input providers.local.prices.x.output"},
		{provider(func(p *ProviderConfig) { p.Prices["x"] = PriceOf(RatesConfig{Input: "0.1234567", Request: "1000000"}) }), "providers.local.prices.x.input providers.local.prices.x.request"},
		{provider(func(p *ProviderConfig) { p.Prices["x"] = PriceOf(RatesConfig{}) }), "providers.local.prices.x"},
		{terms(`{input: "1", tiers: [{above: 10, input: "2"}, {above: 20, output: "3"}], from: {2027-01-31: {output: "1", tiers: [{above: 1, output: "2"}]}}}`), ""},
		{terms(`{tiers: [{above: 1, input: "2"}], from: {2027-02-30: {input: "1"}, soon: {}}}`), "providers.local.prices.x providers.local.prices.x.from.2027-02-30 providers.local.prices.x.from.soon providers.local.prices.x.from.soon"},
		{terms(`{input: "1", tiers: [{above: 0, input: "2"}, {above: 5}, {above: 5, input: x}]}`), "providers.local.prices.x.tiers[0].above providers.local.prices.x.tiers[1] providers.local.prices.x.tiers[2].above providers.local.prices.x.tiers[2].input"},
		{terms(`{organizations: {acme: {input: "1"}}}`), ""},
		{terms(`{input: "1", organizations: {acme: {}, other: {input: "1", from: {2027-01-31: {output: x}}}}}`), "providers.local.prices.x.organizations.acme providers.local.prices.x.organizations.other providers.local.prices.x.organizations.other.from.2027-01-31.output"},
		{provider(func(p *ProviderConfig) { p.Proxy = "http://proxy:3128" }), ""},
		{provider(func(p *ProviderConfig) { p.Proxy = "ftp://proxy:3128" }), "providers.local.proxy"},
		{provider(func(p *ProviderConfig) { p.Proxy = "http://canary@proxy:3128" }), "providers.local.proxy"},
		{provider(func(p *ProviderConfig) { p.Proxy = "http://proxy:3128/x" }), "providers.local.proxy"},

		{base("https://api.example.com/v1"), ""},
		{base("ftp://127.0.0.1"), "providers.local.base_url"},
		{base("127.0.0.1:8000"), "providers.local.base_url"},
		{base("http:///v1"), "providers.local.base_url"},
		{base("http://%zz"), "providers.local.base_url"},
		{base("http://h/v1\r\n"), "providers.local.base_url"},
		{base("http://h/v1?key=canary"), "providers.local.base_url"},
		{base("http://h/v1#x"), "providers.local.base_url"},
		{base("http://me:canary@h/v1"), "providers.local.base_url"},
		{public("http://8.8.8.8/v1"), ""},
		{public("http://127.0.0.1:8000/v1"), "providers.local.base_url"},
		{public("http://LocalHost./v1"), "providers.local.base_url"},
		{public("http://[::1]/v1"), "providers.local.base_url"},
		{public("http://[fe80::1%25eth0]/v1"), "providers.local.base_url"},

		{func(c *Config) { c.Models[""] = c.Models["gpt-4o"] }, "models."},
		{func(c *Config) { c.Models["a\n"] = c.Models["gpt-4o"] }, "models.a\n"},
		{func(c *Config) { c.Models[" a"] = c.Models["gpt-4o"] }, "models. a"},
		{func(c *Config) { c.Models["meta/llama 3"] = c.Models["gpt-4o"] }, ""},
		{targets(), "models.gpt-4o.targets"},
		{targets(TargetConfig{}), "models.gpt-4o.targets[0].provider"},
		{targets(TargetConfig{Provider: "nobody"}), "models.gpt-4o.targets[0].provider"},
		{targets(TargetConfig{Provider: "groq", Model: "a\rb"}), "models.gpt-4o.targets[0].model"},
		{targets(TargetConfig{Provider: "groq", Model: strings.Repeat("a", 257)}), "models.gpt-4o.targets[0].model"},
		{targets(TargetConfig{Provider: "groq", Model: "\xff"}), "models.gpt-4o.targets[0].model"},
		{targets(TargetConfig{Provider: "groq"}, TargetConfig{Provider: "groq", Model: "gpt-4o"}), "models.gpt-4o.targets[1]"},
		{targets(TargetConfig{Provider: "groq", Weight: new(1)}), "models.gpt-4o.targets[0].weight"},
		{model("gpt-4o", func(m *ModelConfig) { m.Strategy = "best" }), "models.gpt-4o.strategy"},
		{model("gpt-4o", func(m *ModelConfig) { m.Optimize = &OptimizeConfig{} }), "models.gpt-4o.optimize"},
		{model("gpt-4o", func(m *ModelConfig) { m.Optimize = &OptimizeConfig{Cost: -1, Speed: 2} }), "models.gpt-4o.optimize.cost"},
		{model("gpt-4o", func(m *ModelConfig) { m.Optimize = &OptimizeConfig{Cost: math.NaN()} }), "models.gpt-4o.optimize.cost"},
		{model("fast", func(m *ModelConfig) { m.Optimize = &OptimizeConfig{Cost: 1} }), "models.fast.optimize"},
		{model("gpt-4o", func(m *ModelConfig) { m.Optimize = &OptimizeConfig{Quality: 1}; m.Targets[0].Quality = new(5) }), "models.gpt-4o.optimize.quality"},
		{targets(TargetConfig{Provider: "groq", Quality: new(5)}), "models.gpt-4o.targets[0].quality"},
		{targets(TargetConfig{Provider: "groq", Quality: new(101)}), "models.gpt-4o.targets[0].quality"},
		{model("gpt-4o", func(m *ModelConfig) { m.Attempts = new(0) }), "models.gpt-4o.attempts"},
		{model("gpt-4o", func(m *ModelConfig) { m.Backoff = []time.Duration{} }), "models.gpt-4o.backoff"},
		{model("gpt-4o", func(m *ModelConfig) { m.Timeouts.FirstByte = new(-ms) }), "models.gpt-4o.timeouts.first_byte"},
		{model("fast", func(m *ModelConfig) { m.Targets[0].Weight = new(-1) }), "models.fast.targets[0].weight models.fast.targets"},
		{model("fast", func(m *ModelConfig) { m.Sticky = &StickyConfig{} }), "models.fast.sticky.by models.fast.sticky.ttl"},
		{model("fast", func(m *ModelConfig) { m.Sticky.By = "colour" }), "models.fast.sticky.by"},
		{model("careful", func(m *ModelConfig) { m.Hedge = &HedgeConfig{"p100", "5", false} }), "models.careful.hedge.after models.careful.hedge.max_extra_cost"},
		{model("careful", func(m *ModelConfig) { m.Hedge.After = "11m" }), "models.careful.hedge.after"},
		{model("careful", func(m *ModelConfig) { m.Hedge.After = "0s" }), "models.careful.hedge.after"},
		{model("careful", func(m *ModelConfig) { m.Hedge.After = "" }), "models.careful.hedge.after"},
		{model("careful", func(m *ModelConfig) { m.Cache.TTL = 745 * time.Hour }), "models.careful.cache.ttl"},
		{model("careful", func(m *ModelConfig) { m.Mirror = &MirrorConfig{Percent: math.NaN()} }), "models.careful.mirror.percent models.careful.mirror.to.provider"},
		{model("careful", func(m *ModelConfig) { m.Mirror.Budget = &MirrorBudgetConfig{"much", "minute"} }), "models.careful.mirror.budget.usd models.careful.mirror.budget.per"},
		{model("careful", func(m *ModelConfig) { m.Mirror.Budget = &MirrorBudgetConfig{USD: "1"} }), "models.careful.mirror.budget.per"},
		{rule(RuleConfig{When: "stream", Use: "nobody"}), "models.auto.rules[0].use"},
		{rule(RuleConfig{When: "stream", Use: "auto"}), "models.auto.rules[0].use"},
		{rule(RuleConfig{Use: "fast"}), "models.auto.rules[0].when"},
		{rule(RuleConfig{When: "x", Use: "fast"}), "models.auto.rules[0].when"},
		{rule(RuleConfig{When: "stream", Use: "fast", Refuse: "no"}), "models.auto.rules[0]"},
		{rule(RuleConfig{When: "stream", Refuse: "a\nb"}), "models.auto.rules[0].refuse"},
		{rule(RuleConfig{When: "stream"}), "models.auto.rules[0]"},
		{rule(RuleConfig{When: "stream", Use: "fast", Targets: []TargetConfig{{Provider: "x"}}}), "models.auto.rules[0] models.auto.rules[0].targets[0].provider"},
	} {
		cfg := exampleConfig()
		c.alter(&cfg)
		var paths []string
		cfg.Validate(func(path, problem, hint string) {
			paths = append(paths, path)
			if problem == "" || hint == "" || strings.Contains(problem+hint, "canary") {
				t.Errorf("case %d: %s: %q, %q", i, path, problem, hint)
			}
		})
		if got := strings.Join(paths, " "); got != c.paths {
			t.Errorf("case %d: faults at %q, want %q", i, got, c.paths)
		}
	}
}

// TestEveryFieldIsDescribed keeps the file's schema readable, and every field reachable from the file.
func TestEveryFieldIsDescribed(t *testing.T) {
	t.Parallel()
	var walk func(of reflect.Type, at string)
	walk = func(of reflect.Type, at string) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[secrets.Secret]() {
			return
		}
		for f := range fields(of) {
			tag := f.Tag.Get("yaml")
			if tag == ",inline" { // its fields stand where it does
				walk(f.Type, at)
				continue
			}
			description, found := strings.CutPrefix(f.Tag.Get("jsonschema"), "description=")
			if tag == "" || !found {
				t.Errorf("%s.%s has no tag or no description", at, f.Name)
			}
			// A comma ends a description in the tag: what follows must be a key.
			for _, part := range strings.Split(description, ",")[1:] {
				if key, _, ok := strings.Cut(part, "="); !ok || !slices.Contains([]string{"enum", "minimum", "maximum", "pattern", "oneof_type"}, key) {
					t.Errorf("%s.%s: %q is cut at a comma", at, tag, description)
				}
			}
			walk(f.Type, at+"."+tag)
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

// TestWordsAgree: an editor that reads the schema offers the words that Validate accepts.
func TestWordsAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of    reflect.Type
		field string
		want  []string
	}{
		{reflect.TypeFor[ProviderConfig](), "Kind", kinds},
		{reflect.TypeFor[ProviderConfig](), "API", apis},
		{reflect.TypeFor[ModelConfig](), "Strategy", chosenBy},
		{reflect.TypeFor[StickyConfig](), "By", stickies},
	} {
		f, _ := c.of.FieldByName(c.field)
		var words []string
		for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if word, ok := strings.CutPrefix(part, "enum="); ok {
				words = append(words, word)
			}
		}
		if diff := cmp.Diff(c.want, words); diff != "" {
			t.Errorf("%s: %s", c.field, diff)
		}
	}
}

func fields(of reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range of.NumField() {
			if !yield(of.Field(i)) {
				return
			}
		}
	}
}

func TestHintNamesAFew(t *testing.T) {
	t.Parallel()
	c := configForTest(30, func(c *Config) {
		change(c.Models, "m", func(m *ModelConfig) { m.Targets[0].Provider = "nobody" })
	})
	c.Validate(func(path, problem, hint string) {
		if got := fmt.Sprintln(path, problem, hint); strings.Count(got, "p") > 40 || !strings.HasSuffix(hint, "…") {
			t.Error(got)
		}
	})
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "169.254.169.254": true,
		"100.64.0.1": true, "0.0.0.0": true, "0.1.2.3": true, "224.0.0.1": true, "255.255.255.255": true,
		"::1": true, "::": true, "fe80::1%eth0": true, "fd00::1": true, "ff02::1": true,
		"::ffff:10.0.0.1": true, "64:ff9b::a00:1": true,
		"8.8.8.8": false, "172.32.0.1": false, "100.128.0.1": false, "2606:4700::1111": false, "::ffff:8.8.8.8": false, "64:ff9b::808:808": false,
	} {
		if got := Private(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if !Private(netip.Addr{}) {
		t.Error("no address is taken for a public one")
	}
}
