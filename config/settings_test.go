package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// settingsFile has one of everything that has a name, so that each setting can be set by its variable.
const settingsFile = `
providers:
  x: {kind: perplexity, api: chat, base_url: https://x.example/v1, api_key: none, prices: {p: {input: 1, output: 1, tiers: [{above: 9000, input: 2}], from: {2027-01-31: {input: 3, tiers: [{above: 9000, input: 4}]}},
    organizations: {o: {input: 5, tiers: [{above: 9000, input: 6}], from: {2027-01-31: {input: 8, tiers: [{above: 9000, input: 9}]}}}}}}}
  y: {kind: openai, api_key: none}
models:
  m:
    sticky: {by: key, ttl: 1m}
    hedge: {after: p95, max_extra_cost: 5%, tools: false}
    mirror: {percent: 1, to: {provider: x, model: mm}, budget: {usd: 1, per: day}}
    cache: {ttl: 1m}
    rules: [{when: stream, targets: [{provider: x, model: m1}]}, {when: tools, use: other}, {when: images, refuse: No.}]
    targets: [{provider: x, model: m1}]
  other: {strategy: weighted, targets: [{provider: x, model: m2, weight: 1}]}
  best: {optimize: {cost: 1, speed: 1, quality: 1}, targets: [{provider: x, model: m3, quality: 5}]}
organizations:
  o:
    budget: {usd: 1, per: day, hard: false}
    budgets: {b: {usd: 1, per: day, hard: false}}
    limits: {rpm: 1}
    keys: {k: {key: a-key-that-is-long-enough, limits: {rpm: 1}, budget: {usd: 1, per: day, hard: false}, budgets: {b: {usd: 1, per: day, hard: false}}}}
admin: {oidc: {issuer: https://id.example, client_id: a, redirect_url: https://vel.example/api/auth/oidc/callback, organization: o, roles: {map: {g: viewer}}}}
server: {tls: {cert: a, key: b}}
database: postgres://here/vel
`

// settings has, for every value of the file, another one than settingsFile or the defaults say. {pem} is a file
// with a certificate.
var settings = map[string]string{
	"listen": "127.0.0.1:1", "server.max_body": "1MiB", "server.max_upload": "1MiB", "server.max_body_in_flight": "2GiB", "server.drain": "1s",
	"server.tls.cert": "c", "server.tls.key": "c", "server.trusted_proxies": "[10.0.0.0/8]", "server.cors.origins": "['*']",
	"database": "postgres://there/vel", "snapshot_max_age": "1m", "database_direct": "postgres://h/d", "redis": "redis://h:1",
	"cache.max_bytes": "100MiB", "cache.max_answer": "2MiB", "cache.redis": "redis://h:2",
	"spool.dir": "s", "spool.sync": "1s", "spool.strict": "true", "spool.max_bytes": "1GiB", "spool.on_full": "drop",
	"admin.listen": "127.0.0.1:2", "admin.oidc.issuer": "https://other.example", "admin.oidc.client_id": "b", "admin.oidc.client_secret": "env:SECRET",
	"admin.oidc.redirect_url": "https://other.example/api/auth/oidc/callback", "admin.oidc.scopes": "[openid]", "admin.oidc.organization": "platform",
	"admin.oidc.organization_claim": "org", "admin.oidc.roles.claim": "roles", "admin.oidc.roles.map.*": "org_admin", "admin.oidc.default_role": "viewer",
	"admin.oidc.create_users": "false", "admin.oidc.link_by_email": "true",
	"log.level": "debug", "log.format": "text", "otel.endpoint": "http://h:1", "otel.sample": "0.5",
	"retention.calls": "1d", "retention.rollups": "1d", "retention.audit": "1d", "retention.content": "1d", "retention.tasks": "1d",
	"tasks.per_user": "7", "tasks.streams_per_user": "7", "tasks.workers": "7",
	"webhooks.allow_private": "[10.0.0.0/8]", "webhooks.allow_http": "true", "webhooks.timeout": "7s",

	"defaults.timeouts.connect": "1s", "defaults.timeouts.first_byte": "1s", "defaults.timeouts.idle": "1s", "defaults.timeouts.total": "1s",
	"defaults.attempts": "7", "defaults.unpriced": "refuse", "defaults.unpriced_hold": "7", "defaults.backoff": "[7ms]",
	"defaults.breaker.failures": "7", "defaults.breaker.window": "7s", "defaults.breaker.cooldown": "7s",

	"providers.*.kind": "groq", "providers.*.base_url": "https://z.example", "providers.*.api_key": "env:SECRET", "providers.*.api": "responses",
	"providers.*.allow_private": "true", "providers.*.organizations": "[o]", "providers.*.tls.ca": "{pem}", "providers.*.proxy": "http://proxy:1", "providers.*.probe": "7s",
	"providers.*.timeouts.connect": "1s", "providers.*.timeouts.first_byte": "1s", "providers.*.timeouts.idle": "1s",
	"providers.*.breaker.failures": "7", "providers.*.breaker.window": "7s", "providers.*.breaker.cooldown": "7s",
	"providers.*.limits.rpm": "7", "providers.*.limits.in_flight": "7",

	"models.*.strategy": "fastest", "models.*.sticky.by": "user", "models.*.sticky.ttl": "7m",
	"models.*.hedge.after": "p50", "models.*.hedge.max_extra_cost": "7%", "models.*.hedge.tools": "true", "models.*.cache.ttl": "7m",
	"models.*.mirror.percent": "7", "models.*.mirror.to.provider": "y", "models.*.mirror.to.model": "m7", "models.*.mirror.budget.usd": "7", "models.*.mirror.budget.per": "hour",
	"models.*.rules[].when": "images", "models.*.rules[].refuse": "Not now.", "models.*.rules[].use": "best",
	"models.*.rules[].targets[].provider": "y", "models.*.rules[].targets[].model": "m7",
	"models.*.targets[].provider": "y", "models.*.targets[].model": "m7", "models.*.targets[].weight": "7", "models.*.targets[].quality": "7",
	"models.*.optimize.cost": "7", "models.*.optimize.speed": "7", "models.*.optimize.quality": "7",
	"models.*.timeouts.connect": "1s", "models.*.timeouts.first_byte": "1s", "models.*.timeouts.idle": "1s", "models.*.timeouts.total": "1s",
	"models.*.attempts": "7", "models.*.backoff": "[7ms]", "models.*.repeat_executed": "true", "models.*.strict": "true",

	"organizations.*.keep_content": "true",
	"organizations.*.keys.*.key":   "env:SECRET", "organizations.*.keys.*.models": "[m]",
	"organizations.*.keys.*.expires": "2027-01-01T00:00:00Z", "organizations.*.keys.*.disabled": "true",
}

// rates are what a price is made of, wherever one stands.
var rates = []string{
	"input", "cached_input", "cache_write", "output", "reasoning", "audio_input", "audio_output", "image_input", "image_output", "audio_hour", "image", "search", "request",
}

// ofPrices are the settings of prices.
func ofPrices() map[string]string {
	all := map[string]string{}
	for _, of := range []string{"", ".organizations.*"} {
		for _, at := range []string{"", ".from.*"} {
			price := "providers.*.prices.*" + of + at
			all[price+".tiers[].above"] = "7"
			for _, name := range rates {
				all[price+"."+name], all[price+".tiers[]."+name] = "7", "7"
			}
		}
	}
	return all
}

// ofLimits stand under an organization and under a key.
var ofLimits = map[string]string{
	"limits.rpm": "7", "limits.tpm": "7", "limits.rph": "7", "limits.tph": "7", "limits.rpd": "7", "limits.tpd": "7", "limits.in_flight": "7", "limits.burst": "7",
	"limits.on_store_failure": "open",
}

// ofABudget are the settings of every budget.
var ofABudget = map[string]string{
	"usd": "7", "per": "week", "timezone": "Europe/Berlin", "warn_at": "0.7", "hard": "true", "on_store_failure": "open",
}

// elsewhere are values that settingsFile has room for only at another place than x, m, o, k and the first entry.
var elsewhere = map[string]string{
	"providers.*.kind":           "providers.y.kind",
	"models.*.targets[].weight":  "models.other.targets[0].weight",
	"models.*.targets[].quality": "models.best.targets[0].quality", "models.*.optimize.cost": "models.best.optimize.cost",
	"models.*.optimize.speed": "models.best.optimize.speed", "models.*.optimize.quality": "models.best.optimize.quality",
	"models.*.rules[].use": "models.m.rules[1].use", "models.*.rules[].refuse": "models.m.rules[2].refuse",
}

// refused are known only to be refused with a better reason than that they are unknown.
var refused = map[string]string{
	"providers.*.timeouts.total": "1s", "models.*.mirror.to.weight": "7", "models.*.rules[].targets[].weight": "7",
	"models.*.mirror.to.quality": "7", "models.*.rules[].targets[].quality": "7",
}

// TestEverySettingHasAnEffect sets every value of the file by its variable. Each must change what the rooms
// build from the configuration, or be named as not enforced or as accepted: none is ever taken and ignored.
func TestEverySettingHasAnEffect(t *testing.T) {
	t.Parallel()
	samples := map[string]string{}
	for path, value := range settings {
		samples[path] = strings.ReplaceAll(value, "{pem}", certificate(t))
	}
	for path, value := range ofLimits {
		samples["organizations.*."+path], samples["organizations.*.keys.*."+path] = value, value
	}
	for path, value := range ofABudget {
		for _, of := range []string{"budget.", "budgets.*."} {
			samples["organizations.*."+of+path], samples["organizations.*.keys.*."+of+path] = value, value
		}
	}
	maps.Copy(samples, ofPrices())
	base := observe(t, nil)
	if again := observe(t, nil); !reflect.DeepEqual(base, again) {
		t.Fatal("the same configuration gives different results, so no difference would mean anything")
	}
	for _, pattern := range leaves(reflect.TypeFor[file](), "") {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			if value, ok := refused[pattern]; ok {
				if _, err := parse("vel.yaml", []byte(settingsFile), newEnvironment([]string{variable(at(pattern)) + "=" + value})); err == nil {
					t.Error("is taken")
				}
				return
			}
			value, ok := samples[pattern]
			if !ok {
				t.Fatal("a new setting: give it a value here, and a line in treatments")
			}
			path := at(pattern)
			got := observe(t, []string{variable(path) + "=" + value, "SECRET=a-secret-from-the-environment"})
			named := func(p Part) bool {
				return p.Path == path || strings.HasPrefix(path, p.Path+".") || strings.HasPrefix(path, p.Path+"[")
			}
			switch {
			case slices.ContainsFunc(got.notEnforced, named), slices.ContainsFunc(got.accepted, named):
			case reflect.DeepEqual(got.built, base.built):
				t.Errorf("%s=%s has no effect and is not named", path, value)
			}
		})
	}
}

// observed is all that anybody sees of a configuration.
type observed struct {
	built                 any
	notEnforced, accepted []Part
}

func observe(t *testing.T, env []string) observed {
	t.Helper()
	c, err := parse("vel.yaml", []byte(settingsFile), newEnvironment(env))
	if err != nil {
		t.Fatal(err)
	}
	o := observed{notEnforced: c.NotEnforced, accepted: c.Accepted}
	kinds := map[string]*adapters.Adapter{
		"openai": {Kind: "openai", BaseURL: "https://openai.example"}, "groq": {Kind: "groq", BaseURL: "https://groq.example"},
		"perplexity": {Kind: "perplexity", BaseURL: "https://perplexity.example/v1"}, "perplexity/chat": {Kind: "perplexity", BaseURL: "https://perplexity.example"},
	}
	table, err := routing.Build(c.Routing, kinds, 0)
	if err != nil {
		t.Fatal(err)
	}
	o.built = struct {
		Gateway  gateway.Config
		Log      Log
		OTel     OTel
		Table    *routing.Table
		Orgs     []tenancy.Org
		Keys     []tenancy.APIKey
		Database Database
		Redis    secrets.Secret
		Direct   secrets.Secret
		MaxAge   time.Duration
		Kept     Retention
		Tasks    tasks.Config
		Webhooks tasks.WebhookConfig
		Spool    Spool
		Cache    Cache
		SignOn   admin.OIDC
		Costs    map[string]money.Nano
		Limits   []accounting.Limits
		Budgets  []accounting.Budget
		Unpriced [2]string
	}{
		c.Gateway, c.Log, c.OTel, table, c.Tenancy.Orgs(), c.Tenancy.Keys(), c.Database, c.Redis, c.Direct, c.MaxAge, c.Retention, c.Tasks, c.Webhooks, c.Spool, c.Cache, c.SignOn, costs(t, &c.Routing),
		accounting.DeclaredLimits(&c.Tenancy), accounting.DeclaredBudgets(&c.Tenancy),
		[2]string{c.Routing.Defaults.Unpriced, c.Routing.Defaults.UnpricedHold},
	}
	return o
}

// costs is what a small and a large call that use some of everything cost at the operator's prices, by provider, model and
// organization, before and after prices change.
func costs(t *testing.T, c *routing.Config) map[string]money.Nano {
	t.Helper()
	all := map[string]money.Nano{}
	note := func(name string, written *routing.PeriodConfig) {
		tariff := accounting.Tariff{Dollars: written.Dollars()}
		for i := range written.Tiers {
			tariff.Tiers = append(tariff.Tiers, accounting.Tier{Above: written.Tiers[i].Above, Dollars: written.Tiers[i].Dollars()})
		}
		price, err := accounting.NewPriceOver(tariff)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int64{1000, 2000} { // of five classes of input
			var usage adapters.Usage
			for i := range usage {
				usage[i] = n
			}
			all[fmt.Sprint(name, n)], _ = price.Cost(&usage, time.Now())
		}
	}
	for provider, p := range c.Providers {
		for model, price := range p.Prices {
			price.Organizations[""] = price.TermsConfig
			for org, terms := range price.Organizations {
				name := fmt.Sprint(provider, model, org)
				note(name, &terms.PeriodConfig)
				for day, period := range terms.From {
					note(name+day, &period)
				}
			}
		}
	}
	return all
}

// leaves are the patterns of all values of a type.
func leaves(t reflect.Type, pattern string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	_, isText := shapes[t]
	switch {
	case isText:
	case t.Kind() == reflect.Map:
		return leaves(t.Elem(), join(pattern, "*"))
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && shapes[t.Elem()].noun == "":
		return leaves(t.Elem(), pattern+"[]")
	case t.Kind() == reflect.Struct:
		var all []string
		fields(reflect.New(t).Elem(), func(name string, field reflect.Value, _ reflect.StructField) {
			all = append(all, leaves(field.Type(), join(pattern, name))...)
		})
		return all
	}
	return []string{pattern}
}

// at is the path in settingsFile that stands for a pattern.
func at(pattern string) string {
	if path, ok := elsewhere[pattern]; ok {
		return path
	}
	for _, name := range []struct{ in, is string }{
		{"providers.*", "providers.x"}, {"prices.*", "prices.p"}, {"from.*", "from.2027-01-31"}, {"models.*", "models.m"}, {"organizations.*", "organizations.o"}, {"keys.*", "keys.k"}, {"budgets.*", "budgets.b"}, {"map.*", "map.g"}, {"[]", "[0]"},
	} {
		pattern = strings.ReplaceAll(pattern, name.in, name.is)
	}
	return pattern
}

// variable is the name of the variable that sets the value at a path.
func variable(path string) string {
	return prefix + strings.ToUpper(strings.NewReplacer("[", "__", "]", "", ".", "__", "-", "_").Replace(path))
}

// TestTreatmentsAreOfSettings finds lines of the table that speak of nothing.
func TestTreatmentsAreOfSettings(t *testing.T) {
	t.Parallel()
	all := leaves(reflect.TypeFor[file](), "")
	for _, tr := range treatments {
		if !slices.ContainsFunc(all, func(leaf string) bool {
			return leaf == tr.path || strings.HasPrefix(leaf, tr.path+".") || strings.HasPrefix(leaf, tr.path+"[")
		}) {
			t.Errorf("%s is no setting", tr.path)
		}
		if (tr.why == "") != (tr.effect == enforced) {
			t.Errorf("%s: what is enforced needs no reason, everything else one", tr.path)
		}
	}
}

// certificate is a PEM file.
func certificate(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
