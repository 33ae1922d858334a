package main

import (
	"errors"
	"maps"
	"slices"

	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// propose makes the routes that a proposal would give, as a reload would, and publishes nothing.
func (a *App) propose(with string, part bool, org tenancy.ID) (now, then *routing.Table, faults []admin.Fault, err error) {
	p, err := config.ReadProposal([]byte(with))
	if unread, is := errors.AsType[config.Faults](err); is {
		for _, f := range unread {
			faults = append(faults, admin.Fault{Location: inProposal(f.Path), Message: f.String()})
		}
		return nil, nil, faults, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	fault := func(path, problem, hint string) {
		if p.Wrote(path) {
			faults = append(faults, admin.Fault{Location: inProposal(path), Message: problem + "; " + hint})
		}
	}
	if org != "" && !p.ModelsAlone() {
		faults = append(faults, admin.Fault{Location: inProposal("providers"), Message: "only the platform proposes providers and defaults; leave them out"})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	j := joiner{a.keyring, kinds(), a.directory.exists}
	all := j.join(p.Over(a.config, part), a.catalog)
	seen := all.Config
	if org != "" {
		seen = openTo(org, all.Config)
		maps.Copy(seen.Models, p.Models)
	}
	seen.Validate(fault)
	a.organizationsIn(p, fault)
	if len(faults) > 0 {
		return nil, nil, faults, nil
	}
	if then, err = routing.Build(all.Config, j.kinds, a.began.Unix()); err != nil {
		return nil, nil, nil, err
	}
	if _, err = a.price(then, &all.Config); err != nil {
		return nil, nil, nil, err
	}
	if only, is := a.directory.only(); is {
		then.OfOne(only)
	}
	return a.pipeline.Snapshot().Routes, then, nil, nil
}

// inProposal is where a part of a proposal stands in the request.
func inProposal(path string) string {
	if path == "" {
		return "body.with"
	}
	return "body.with." + path
}

// openTo is the part of a configuration that an organization may know of: the providers that it may use, and the models that
// have a target there.
func openTo(org tenancy.ID, c routing.Config) routing.Config {
	closed := func(p routing.ProviderConfig) bool {
		return len(p.Organizations) > 0 && !slices.Contains(p.Organizations, org)
	}
	open := routing.Config{Defaults: c.Defaults, Providers: maps.Clone(c.Providers), Models: maps.Clone(c.Models)}
	maps.DeleteFunc(open.Providers, func(_ string, p routing.ProviderConfig) bool { return closed(p) })
	maps.DeleteFunc(open.Models, func(_ string, m routing.ModelConfig) bool {
		return !slices.ContainsFunc(m.Targets, func(t routing.TargetConfig) bool { return !closed(c.Providers[t.Provider]) })
	})
	return open
}

// organizationsIn finds those that a proposal names and that are not there.
func (a *App) organizationsIn(p *config.Proposal, fault func(path, problem, hint string)) {
	for _, name := range slices.Sorted(maps.Keys(p.Providers)) {
		if !slices.ContainsFunc(p.Providers[name].Organizations, a.directory.exists) && len(p.Providers[name].Organizations) > 0 {
			fault("providers."+name+".organizations", "none of them exists", "name those of the file")
		}
	}
}
