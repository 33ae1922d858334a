package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// directory is who may call: what the file declares and what the database keeps. It makes the index of keys that the
// data plane reads. App.mu guards it.
type directory struct {
	declared declared
	orgs     map[tenancy.ID]tenancy.Org // of the database
	keys     map[tenancy.ID]tenancy.APIKey
	index    *tenancy.KeyIndex
	stale    bool // the database has been away for too long
}

// declared is what the file says of what the database keeps too, each in the order of ids.
type declared struct {
	orgs      []tenancy.Org
	keys      []tenancy.APIKey
	providers []routing.ManagedProvider
	routes    []routing.ManagedRoute
	limits    []accounting.Limits
	budgets   []accounting.Budget
}

func declaredIn(cfg *config.Config) declared {
	by := tenancy.ByFile
	if cfg.Simulated {
		by = tenancy.ByVel // nobody has said so
	}
	return declared{
		cfg.Tenancy.Orgs(), cfg.Tenancy.Keys(), cfg.Routing.ManagedProviders(by), cfg.Routing.ManagedRoutes(by),
		accounting.DeclaredLimits(&cfg.Tenancy), accounting.DeclaredBudgets(&cfg.Tenancy),
	}
}

func newDirectory() *directory {
	return &directory{orgs: map[tenancy.ID]tenancy.Org{}, keys: map[tenancy.ID]tenancy.APIKey{}}
}

// declare takes what the file says from now on. On an error nothing has changed.
func (d *directory) declare(file declared) error {
	next := *d
	next.declared = file
	if err := next.build(); err != nil {
		return err
	}
	*d = next
	return nil
}

// learn takes what changed in the database, and tells whether organizations came, went or were closed.
func (d *directory) learn(c storage.Changes) (orgs bool, err error) {
	if c.Whole {
		clear(d.orgs)
		clear(d.keys)
	}
	take(d.orgs, c.Orgs)
	take(d.keys, c.Keys)
	if c.Whole || len(c.Orgs) > 0 {
		return true, d.build()
	}
	for i := range c.Keys {
		c.Keys[i].Deleted = c.Keys[i].Deleted || !d.open(c.Keys[i].Org)
		c.Keys[i].KeepContent = d.keeps(c.Keys[i].Org)
	}
	d.index = d.index.With(c.Keys)
	return false, nil
}

// take puts what changed into what is kept: deleted objects go.
func take[T any, P interface {
	*T
	tenancy.Object
}](kept map[tenancy.ID]T, changed []T) {
	for i := range changed {
		m := tenancy.MetaOf(P(&changed[i]))
		if m.Deleted {
			delete(kept, m.ID)
		} else {
			kept[m.ID] = changed[i]
		}
	}
}

// setStale says whether the database has been away for too long, and whether that is news.
func (d *directory) setStale(stale bool) bool {
	if d.stale == stale {
		return false
	}
	d.stale, d.index = stale, d.index.Stale(stale)
	return true
}

// build makes the index anew, of all keys whose organization exists and is open.
func (d *directory) build() error {
	index, err := tenancy.NewKeyIndex(d.declared.keys)
	if err != nil {
		return fmt.Errorf("build keys: %w", err)
	}
	stored := make([]tenancy.APIKey, 0, len(d.keys))
	for _, k := range d.keys {
		if d.open(k.Org) {
			k.KeepContent = d.keeps(k.Org)
			stored = append(stored, k)
		}
	}
	index = index.With(stored)
	if d.index != nil {
		index.UsesOf(d.index)
	}
	d.index = index.Stale(d.stale).Keeping(d.keeping())
	return nil
}

// keeping are the organizations that want what their calls say to be kept.
func (d *directory) keeping() map[tenancy.ID]bool {
	all := map[tenancy.ID]bool{}
	for i := range d.declared.orgs {
		all[d.declared.orgs[i].ID] = d.declared.orgs[i].KeepContent
	}
	for id := range d.orgs {
		all[id] = d.orgs[id].KeepContent
	}
	return all
}

// open tells whether an organization exists and its keys open something.
func (d *directory) open(org tenancy.ID) bool {
	if o, ok := d.orgs[org]; ok {
		return !o.Disabled
	}
	return d.exists(org)
}

// keeps tells whether an organization wants what its calls say to be kept.
func (d *directory) keeps(org tenancy.ID) bool {
	if o, ok := d.orgs[org]; ok {
		return o.KeepContent
	}
	i := slices.IndexFunc(d.declared.orgs, func(o tenancy.Org) bool { return o.ID == org })
	return i >= 0 && d.declared.orgs[i].KeepContent
}

// exists tells whether there is such an organization, open or not.
func (d *directory) exists(org tenancy.ID) bool {
	_, ok := d.orgs[org]
	return ok || org == tenancy.Platform || slices.ContainsFunc(d.declared.orgs, func(o tenancy.Org) bool { return o.ID == org })
}

// only is the organization of a gateway that has no other.
func (d *directory) only() (org tenancy.ID, ok bool) {
	if len(d.orgs)+len(d.declared.orgs) != 1 {
		return "", false
	}
	for _, o := range d.declared.orgs {
		org = o.ID
	}
	for id := range maps.Keys(d.orgs) {
		org = id
	}
	return org, true
}
