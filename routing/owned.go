package routing

import (
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// What a provider keeps under an id (files, batches, stored answers) belongs to the account that made it, and an
// account that several organizations share would show each the others' objects. Until Vel remembers who made what,
// such calls go only to accounts that one organization has for itself.

// OwnedBy tells whether the provider's account is this organization's alone.
func (p *Provider) OwnedBy(org tenancy.ID) bool {
	return len(p.Organizations) == 1 && p.Organizations[0] == org
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

// PlanObject fills dst with the account that a call on an object goes to: the one that the organization has for
// itself, or of several the one with this provider's name. The error is a Refusal.
func (t *Table) PlanObject(dst *Plan, a *Ask, provider string, s *State, now time.Time) error {
	dst.Reset()
	var found *Route
	for _, r := range t.objects {
		p := r.Targets[0].Provider
		switch {
		case !p.OwnedBy(a.Who.Org) || p.Adapter.Codecs[a.Endpoint] == nil || provider != "" && p.Name != provider:
		case found != nil:
			return Ambiguous
		default:
			found = r
		}
	}
	if found == nil {
		return NotOwned
	}
	dst.Route, dst.Attempts, dst.Deadline = found, found.Attempts, now.Add(found.Total)
	reason, until := s.standing(found.Targets[0], now)
	dst.choose(found.Targets[0], reason != Chosen)
	dst.Why = append(dst.Why, Candidate{Provider: found.OwnedBy, Reason: reason, Until: until})
	return nil
}
