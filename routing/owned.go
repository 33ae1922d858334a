package routing

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// What a provider keeps under an id (files, batches, stored answers) belongs to the account that made it, and who holds
// the account's key sees all of it. So Vel remembers which organization made what in an account that several share. An
// account that is one organization's alone needs no memory: whatever lies there is theirs.

// StoredObject is something that a provider keeps under an id, and the organization that made it.
type StoredObject struct {
	Org      tenancy.ID
	ID       string    // the provider's
	Provider string    // the name of the account that holds it
	Kind     string    // one of adapters' kinds
	Created  time.Time // when Vel saw it first
}

// ObjectPage is a part of the list of an organization's objects of one kind, in the order in which they were made.
type ObjectPage struct {
	Org       tenancy.ID
	Kind      string
	Provider  string // empty: in all accounts
	After     string // the last id of the page before
	Limit     int    // at least 1
	Ascending bool   // oldest first
}

// OwnedBy tells whether the provider's account is this organization's alone.
func (p *Provider) OwnedBy(org tenancy.ID) bool {
	if len(p.Organizations) == 0 {
		return p.alone != "" && p.alone == org
	}
	return len(p.Organizations) == 1 && p.Organizations[0] == org
}

// OfOne makes what lies in the accounts that are open to all the property of org, the only organization of a gateway. The
// accounts stay open: another organization may just have been made elsewhere. It is called before the table is used.
func (t *Table) OfOne(org tenancy.ID) {
	for _, p := range t.providers {
		p.alone = org
	}
}

// objectTarget makes a provider the target of calls on objects: one attempt, no model.
func (b *builder) objectTarget(p *Provider) *Route {
	d, of := b.cfg.Defaults, b.cfg.Providers[p.Name]
	t := &Target{
		ID: p.Name + "/objects", Provider: p, Weight: 1,
		Timeouts: timeouts(d.Timeouts, of.Timeouts), Breaker: breaker(d.Breaker, of.Breaker),
	}
	return &Route{Name: "objects", Targets: []*Target{t}, Attempts: 1, Total: t.Timeouts.Total, OwnedBy: p.Name}
}

// accounts are those where the caller may keep objects, by name: of them, own are the organization's alone.
func (t *Table) accounts(a *Ask) (open, own []*Route) {
	for _, r := range t.objects {
		p := r.Targets[0].Provider
		if !p.OpenTo(a.Who.Org) || p.Adapter.Codecs[adapters.Objects] == nil || a.Account != "" && p.Name != a.Account {
			continue
		}
		open = append(open, r)
		if p.OwnedBy(a.Who.Org) {
			own = append(own, r)
		}
	}
	return open, own
}

// Alone tells whether everything that the call can name lies in one account that is the organization's alone: then
// nobody has to be asked whose an object is, or where.
func (t *Table) Alone(a *Ask) bool {
	if a.Endpoint == adapters.Objects {
		open, own := t.accounts(a)
		return len(open) == 1 && len(own) == 1
	}
	r, ok := t.byName[a.Model]
	if !ok || len(r.rules) > 0 { // where a rule leads is not known yet
		return false
	}
	var only *Provider
	for _, target := range r.Targets {
		p := target.Provider
		if !p.OpenTo(a.Who.Org) || p == only {
			continue
		}
		if only != nil {
			return false
		}
		only = p
	}
	return only != nil && only.OwnedBy(a.Who.Org)
}

// Shares tells whether the organization keeps objects only in accounts that it shares, so that no provider's list of
// them is theirs to see.
func (t *Table) Shares(a *Ask) bool {
	open, own := t.accounts(a)
	return len(open) > 0 && len(own) == 0
}

// PlanObject fills dst with the account that a call on an object goes to: the one that holds what the call names, or
// the one that the caller chose, or the organization's own, or the only one there is. The error is a Refusal; after
// Ambiguous, dst.Why has the accounts to choose from.
func (t *Table) PlanObject(dst *Plan, a *Ask, s *State, now time.Time) error {
	dst.Reset()
	open, own := t.accounts(a)
	if a.Bound || a.Holder == "" && len(own) > 0 {
		open = own
	}
	var found *Route
	for _, r := range open {
		if a.Holder != "" && r.OwnedBy != a.Holder {
			continue
		}
		reason, until := s.standing(r.Targets[0], now)
		dst.Why = append(dst.Why, Candidate{Provider: r.OwnedBy, Reason: reason, Until: until})
		found = r
	}
	switch {
	case len(dst.Why) > 1:
		return Ambiguous
	case found != nil:
		dst.Route, dst.Attempts, dst.Deadline = found, found.Attempts, now.Add(found.Total)
		dst.choose(found.Targets[0], dst.Why[0].Reason != Chosen)
		return nil
	case a.Bound || a.Holder != "":
		return NotHeld
	case a.Account != "":
		return NoSuchAccount
	}
	return NoAccount
}
