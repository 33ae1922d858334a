package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

func keyringOf(t *testing.T, letter string) *secrets.Keyring {
	t.Helper()
	k, err := secrets.NewKeyring(secrets.New(strings.Repeat(letter, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// storedProvider is one of the database, with a key that a keyring has sealed; nil: without one.
func storedProvider(name string, with *secrets.Keyring, change func(*routing.ManagedProvider)) routing.ManagedProvider {
	p := routing.ManagedProvider{
		Meta:     tenancy.Meta{ID: tenancy.ID("provider_" + name), Org: tenancy.Platform, Name: name},
		Settings: routing.ProviderConfig{Kind: "openai", BaseURL: "http://127.0.0.1:9/v1", AllowPrivate: true},
	}
	if with != nil {
		p.SetKey(with, secrets.New("sk-canary-of-"+name))
	}
	if change != nil {
		change(&p)
	}
	return p
}

func storedRoute(name string, providers ...string) routing.ManagedRoute {
	r := routing.ManagedRoute{Meta: tenancy.Meta{ID: tenancy.ID("route_" + name), Org: tenancy.Platform, Name: name}}
	for _, p := range providers {
		r.Settings.Targets = append(r.Settings.Targets, routing.TargetConfig{Provider: p})
	}
	return r
}

func ruledRoute(name, provider string, rules ...routing.RuleConfig) routing.ManagedRoute {
	r := storedRoute(name, provider)
	r.Settings.Rules = rules
	return r
}

// TestJoin: what is good is in force whatever else is wrong, and what is wrong is said.
func TestJoin(t *testing.T) {
	t.Parallel()
	mine, foreign := keyringOf(t, "m"), keyringOf(t, "f")
	c := newCatalog()
	file := routing.Defaults()
	file.Providers = map[string]routing.ProviderConfig{"filed": {Kind: "openai", APIKey: new(secrets.New("none"))}}
	file.Models = map[string]routing.ModelConfig{"of the file": {Targets: []routing.TargetConfig{{Provider: "filed"}}}}
	news := storage.Changes{
		Whole: true,
		Providers: []routing.ManagedProvider{
			storedProvider("good", mine, nil),
			storedProvider("keyless", nil, nil),
			storedProvider("filed", mine, nil),
			storedProvider("foreign", foreign, nil),
			storedProvider("newer", mine, func(p *routing.ManagedProvider) { p.Problem = "it is newer" }),
			storedProvider("nobodys", mine, func(p *routing.ManagedProvider) { p.Settings.Organizations = []tenancy.ID{"org_gone"} }),
			storedProvider("somebodys", mine, func(p *routing.ManagedProvider) { p.Settings.Organizations = []tenancy.ID{"org_gone", "org_1"} }),
			storedProvider("faulty", mine, func(p *routing.ManagedProvider) { p.Settings.Kind = "opnai" }),
			storedProvider("without-ca", mine, func(p *routing.ManagedProvider) { p.Settings.TLS.CA = "/nowhere/ca.pem" }),
			storedProvider("moved", mine, func(p *routing.ManagedProvider) { p.ID = "provider_elsewhere" }),
		},
		Routes: []routing.ManagedRoute{
			storedRoute("both", "good", "filed"),
			storedRoute("of the file", "good"),
			storedRoute("half", "foreign", "good"),
			storedRoute("lost", "foreign"),
			storedRoute("faulty"),
			ruledRoute("leads", "good", routing.RuleConfig{When: "stream", Use: "both"}, routing.RuleConfig{When: "tools", Use: "of the file"}),
			ruledRoute("astray", "good", routing.RuleConfig{When: "stream", Use: "nowhere"}),
			ruledRoute("there", "good", routing.RuleConfig{When: "stream", Use: "back"}),
			ruledRoute("back", "good", routing.RuleConfig{When: "stream", Use: "there"}),
			ruledRoute("between", "good", routing.RuleConfig{When: "stream", Use: "there"}),
			ruledRoute("apart", "good", routing.RuleConfig{When: "stream", Targets: []routing.TargetConfig{{Provider: "foreign"}}}),
		},
	}
	if !c.learn(news) {
		t.Error("it is no news")
	}
	j := joiner{mine, kinds(), func(org tenancy.ID) bool { return org == "org_1" }}
	all := j.join(file, c)
	if diff := cmp.Diff([]string{"filed", "good", "keyless", "somebodys"}, slices.Sorted(maps.Keys(all.Providers))); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"apart", "astray", "between", "both", "half", "leads", "lost", "of the file"}, slices.Sorted(maps.Keys(all.Models))); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	if !cmp.Equal(all.Providers["filed"], file.Providers["filed"]) || !cmp.Equal(all.Models["of the file"], file.Models["of the file"]) {
		t.Error("the file does not win")
	}
	if orgs := all.Providers["somebodys"].Organizations; len(orgs) != 2 { // the account is not one organization's alone: it has kept things of another
		t.Errorf("for %q", orgs)
	}
	if key := all.Providers["good"].APIKey; key.Reveal() != "sk-canary-of-good" || len(all.keys) != 3 {
		t.Errorf("key %q, %d keys", key.Reveal(), len(all.keys))
	}
	want := map[tenancy.ID]string{
		"provider_filed": "the configuration file declares", "provider_foreign": "its key was sealed with " + foreign.IDs()[0], "provider_newer": "it is newer",
		"provider_nobodys": "none of its organizations exists", "provider_faulty": `kind: "opnai" is not known`, "provider_without-ca": "build provider without-ca: read the authorities",
		"provider_elsewhere": "its key was sealed with", "route_of the file": "the configuration file declares", "route_half": `targets[0].provider: "foreign" is not there`,
		"route_lost": `targets[0].provider: "foreign" is not there`, "route_faulty": "targets: there is no target",
		"route_astray": `rules[0].use: there is no model "nowhere"`, "route_between": `rules[0].use: there is no model "there"`, "route_there": "its rules lead back to itself",
		"route_back": "its rules lead back to itself", "route_apart": `rules[0].targets[0].provider: "foreign" is not there`,
	}
	for id, f := range all.problems {
		if !strings.HasPrefix(f.reason, want[id]) || want[id] == "" || f.shadowed != strings.HasPrefix(f.reason, "the configuration file") || strings.Contains(f.reason, "canary") {
			t.Errorf("%s: %+v", id, f)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("nothing is wrong with %v", want)
	}
	if _, err := routing.Build(all.Config, kinds(), 0); err != nil {
		t.Errorf("what was joined can not be built: %v", err)
	}
	gone := storedProvider("good", mine, nil)
	gone.Deleted = true
	if !c.learn(storage.Changes{Providers: []routing.ManagedProvider{gone}}) || c.learn(storage.Changes{Keys: make([]tenancy.APIKey, 1)}) || len(c.providers) != 9 {
		t.Errorf("%d providers", len(c.providers))
	}
	if !c.learn(storage.Changes{Whole: true}) || len(c.providers)+len(c.routes) != 0 {
		t.Error("everything new is nothing, and something is left")
	}
}

// TestCatalogIsLive: what is stored is served at once, and the file takes a name over with an alarm, once.
func TestCatalogIsLive(t *testing.T) {
	t.Parallel()
	app, _, out, path := testApp(t, fmt.Sprintf(oneModel, "of-the-file"))
	ctx := t.Context()
	if _, err := app.db.Providers().Create(ctx, tenancy.Vel(), storedProvider("mine", app.keyring, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := app.db.Routes().Create(ctx, tenancy.Vel(), storedRoute("of-the-database", "mine")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route is served", func() bool { return strings.Contains(app.models(t), `"of-the-database"`) })
	provider := func() *routing.Provider {
		r, _ := app.pipeline.Snapshot().Routes.Route("of-the-database")
		return r.Targets[0].Provider
	}
	if p := provider(); p.Key.Reveal() != "sk-canary-of-mine" || app.pipeline.Snapshot().Redactor.Scrub("sk-canary-of-mine") != "***" {
		t.Errorf("%+v", p)
	}
	shadowed := func(kind string) float64 {
		var m dto.Metric
		if err := app.shadowed.WithLabelValues(kind).Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetGauge().GetValue()
	}
	if shadowed("provider") != 0 || app.problem("provider_mine") != "" {
		t.Errorf("shadowed: %s", app.problem("provider_mine"))
	}
	taking := `
providers: {mine: {kind: openai, base_url: "http://127.0.0.1:10/v1", api_key: none, allow_private: true}}
models: {%s: {targets: [{provider: mine}]}}
`
	for range 2 {
		writeConfig(t, path, fmt.Sprintf(taking, "of-the-file"))
		app.Reload(path)
	}
	const alarm = "is shadowed by the configuration file"
	if p := provider(); p.Key.Reveal() != "none" || shadowed("provider") != 1 || shadowed("route") != 0 || strings.Count(out.String(), alarm) != 1 || app.problem("provider_mine") != shadow {
		t.Errorf("%+v, %v shadowed, log %s", p, shadowed("provider"), out)
	}
	writeConfig(t, path, fmt.Sprintf(taking, "of-the-database"))
	app.Reload(path)
	if shadowed("route") != 1 || strings.Count(out.String(), alarm) != 2 {
		t.Errorf("%v routes, log %s", shadowed("route"), out)
	}
	writeConfig(t, path, fmt.Sprintf(oneModel, "of-the-file"))
	app.Reload(path)
	if p := provider(); p.Key.Reveal() != "sk-canary-of-mine" || shadowed("provider")+shadowed("route") != 0 || strings.Count(out.String(), "in force again") != 2 {
		t.Errorf("%+v, log %s", p, out)
	}
	if strings.Contains(out.String(), "canary") {
		t.Errorf("the log has a key: %s", out)
	}
}

// TestSimulatorGivesWay: it stays until the next start, and then the database's providers are all there are.
func TestSimulatorGivesWay(t *testing.T) {
	t.Parallel()
	app, cfg, _, path := testApp(t, "")
	ctx := t.Context()
	if _, err := app.db.Providers().Create(ctx, tenancy.Vel(), storedProvider("mine", app.keyring, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := app.db.Routes().Create(ctx, tenancy.Vel(), storedRoute("real", "mine")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route is served", func() bool { return strings.Contains(app.models(t), `"real"`) })
	app.Reload(path)
	if got := app.models(t); !strings.Contains(got, "sim-fast") || !strings.Contains(got, `"real"`) {
		t.Errorf("%s", got)
	}
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	next := NewApp(app.log)
	if err := next.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := next.Stop(); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		if got := next.models(t); strings.Contains(got, "sim-fast") || !strings.Contains(got, `"real"`) || next.sim != nil {
			t.Errorf("%s", got)
		}
		next.Reload(path)
	}
}
