package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// catalog is what the database keeps of where calls go. App.mu guards it.
type catalog struct {
	providers map[tenancy.ID]routing.ManagedProvider
	routes    map[tenancy.ID]routing.ManagedRoute
}

func newCatalog() *catalog {
	return &catalog{map[tenancy.ID]routing.ManagedProvider{}, map[tenancy.ID]routing.ManagedRoute{}}
}

// learn takes what changed in the database, and tells whether any of it is the catalog's.
func (c *catalog) learn(news storage.Changes) bool {
	if news.Whole {
		clear(c.providers)
		clear(c.routes)
	}
	take(c.providers, news.Providers)
	take(c.routes, news.Routes)
	return news.Whole || len(news.Providers)+len(news.Routes) > 0
}

// joined is the file's configuration with what the catalog adds to it.
type joined struct {
	routing.Config
	keys     []secrets.Secret    // of the catalog's providers
	problems map[tenancy.ID]flaw // by object
}

// joiner adds a catalog to a file's configuration. One bad object does not keep the others out.
type joiner struct {
	keyring *secrets.Keyring
	kinds   map[string]*adapters.Adapter
	exists  func(org tenancy.ID) bool
}

// join leaves out what the file shadows and what nothing can be made of.
func (j *joiner) join(file routing.Config, c *catalog) joined {
	all := joined{Config: file, problems: map[tenancy.ID]flaw{}}
	all.Providers, all.Models = map[string]routing.ProviderConfig{}, map[string]routing.ModelConfig{}
	maps.Copy(all.Providers, file.Providers)
	maps.Copy(all.Models, file.Models)
	admit("provider", func(of *tenancy.Meta) bool { _, is := file.Providers[of.Name]; return is }, c.providers, all.problems, func(p *routing.ManagedProvider) error {
		settings, err := j.provider(p, file.Defaults)
		if err == nil {
			all.Providers[p.Name] = settings
			all.keys = append(all.keys, *settings.APIKey)
		}
		return err
	})
	admit("route", func(of *tenancy.Meta) bool { _, is := file.Models[of.Name]; return is }, c.routes, all.problems, func(r *routing.ManagedRoute) error {
		if err := j.route(r); err != nil {
			return err
		}
		all.Models[r.Name] = r.Settings
		if missing := without(&r.Settings, all.Providers); missing != "" {
			all.problems[r.ID] = flaw{"route", r.Name, false, missing}
		}
		return nil
	})
	all.untie(c)
	return all
}

// untie leaves out routes of the catalog whose rules lead back to them, which two changes at once can make, and says of the
// others which models their rules miss.
func (all *joined) untie(c *catalog) {
	circular := all.Circular()
	for _, name := range circular {
		delete(all.Models, name)
	}
	for id, r := range c.routes {
		if slices.Contains(circular, r.Name) {
			all.problems[id] = flaw{"route", r.Name, false, "its rules lead back to itself"}
			continue
		}
		for i, rule := range r.Settings.Rules {
			if _, there := all.Models[rule.Use]; rule.Use != "" && !there && all.problems[id] == (flaw{}) {
				all.problems[id] = flaw{"route", r.Name, false, fmt.Sprintf("rules[%d].use: there is no model %q", i, rule.Use)}
			}
		}
	}
}

// provider makes settings of a stored provider that can be built, with its key.
func (j *joiner) provider(p *routing.ManagedProvider, defaults routing.DefaultsConfig) (settings routing.ProviderConfig, err error) {
	if p.Problem != "" {
		return settings, errors.New(p.Problem)
	}
	if err := firstFault(p.Validate); err != nil {
		return settings, err
	}
	settings = p.Settings
	if len(settings.Organizations) > 0 && !slices.ContainsFunc(settings.Organizations, j.exists) {
		return settings, errors.New("none of its organizations exists")
	}
	key, err := p.Key(j.keyring)
	if err != nil {
		return settings, err
	}
	settings.APIKey = &key
	_, err = build(p.Name, settings, defaults, j.kinds)
	return settings, err
}

// build makes a provider alone.
func build(name string, settings routing.ProviderConfig, defaults routing.DefaultsConfig, kinds map[string]*adapters.Adapter) (*routing.Provider, error) {
	table, err := routing.Build(routing.Config{Defaults: defaults, Providers: map[string]routing.ProviderConfig{name: settings}}, kinds, 0)
	if err != nil {
		return nil, err
	}
	return table.Providers()[0], nil
}

// route checks a stored route. That its providers are there is another matter: it goes without those that are not; and so are
// the models that its rules lead to.
func (j *joiner) route(r *routing.ManagedRoute) error {
	if r.Problem != "" {
		return errors.New(r.Problem)
	}
	var named []string
	for i := range r.Settings.Targets {
		named = append(named, r.Settings.Targets[i].Provider)
	}
	others := map[string]routing.ModelConfig{}
	for _, rule := range r.Settings.Rules {
		others[rule.Use] = routing.ModelConfig{}
		for i := range rule.Targets {
			named = append(named, rule.Targets[i].Provider)
		}
	}
	return firstFault(func(fault func(field, problem, hint string)) { r.Validate(named, others, fault) })
}

// without says which of a route's providers are not there.
func without(m *routing.ModelConfig, providers map[string]routing.ProviderConfig) string {
	missing := func(at string, targets []routing.TargetConfig) string {
		for i := range targets {
			if _, ok := providers[targets[i].Provider]; !ok {
				return fmt.Sprintf("%stargets[%d].provider: %q is not there, or nothing can be made of it", at, i, targets[i].Provider)
			}
		}
		return ""
	}
	said := missing("", m.Targets)
	for i := range m.Rules {
		said = cmp.Or(said, missing(fmt.Sprintf("rules[%d].", i), m.Rules[i].Targets))
	}
	return said
}
