package routing

import (
	"iter"
	"slices"
	"time"

	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/tenancy"
)

// Refusal is why a call goes nowhere. It is comparable: err == UnknownModel.
type Refusal uint8

// The refusals, with the status that suits each. Records keep their numbers: they never change.
const (
	UnknownModel  Refusal = iota + 1 // no route has this name (404)
	NotAllowed                       // the key may not use the name, or no target is there for its organization (403)
	NoTarget                         // no target can be used: the providers have no keys, or are gone (503)
	NotServed                        // no target speaks the endpoint (501)
	NoAccount                        // no account is there where the organization could keep objects (501)
	NoSuchAccount                    // the account that the caller chose is none of those (400)
	NotHeld                          // no account that the organization may look into holds what the call names (404)
	HeldElsewhere                    // the account that holds what the call names is no target of the route (400)
	Ambiguous                        // several accounts could take the call, and none was chosen (400)
	ByRule                           // a rule of the route refuses the call, in its own words (403)
	refusals
)

var refusalTexts = [refusals]string{
	"", "no route has this name", "the key may not use this route", "no target of the route can be used",
	"no target of the route speaks this endpoint", "no provider keeps objects of the organization",
	"the chosen provider keeps no objects of the organization", "nothing of the organization has this id",
	"no target of the route is where the named object is", "several providers could take the call",
	"a rule of the route refuses the call",
}

// Error is for the log; the gateway has words of its own for clients.
func (r Refusal) Error() string {
	if r < refusals {
		return refusalTexts[r]
	}
	return "unknown refusal"
}

// Table is every route of one configuration. It is immutable and is replaced as a whole with the snapshot.
type Table struct {
	routes    []*Route // by name
	byName    map[string]*Route
	unnamed   []*Route    // with the targets that rules have of their own, and those of copies
	objects   []*Route    // one for each provider with a credential, by name
	providers []*Provider // by name, also those without a credential

	judge    *task.Model // tells what kind of work is asked for; nil: there is no route
	headers  []string    // the fields of a request's header that rules ask about, in order
	byPrefix bool        // a route sticks by the prefix
}

// Route finds a route by its public name, which may alias a request body.
func (t *Table) Route(name string) (*Route, bool) {
	r, ok := t.byName[name]
	return r, ok
}

// All yields every route in the order of names.
func (t *Table) All() iter.Seq[*Route] { return slices.Values(t.routes) }

// every yields every route, and those that no client can name: what rules have of their own, and what copies go to.
func (t *Table) every() iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for _, list := range [][]*Route{t.routes, t.unnamed} {
			for _, r := range list {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Routes yields the routes that the principal may use, in the order of names, for /v1/models.
func (t *Table) Routes(p *tenancy.Principal) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for _, r := range t.routes {
			if r.OpenTo(p) && !yield(r) {
				return
			}
		}
	}
}

// Providers are all providers in the order of names, also those without a credential.
func (t *Table) Providers() []*Provider { return t.providers }

// Plan fills dst with where the call may go. The error is a Refusal; what dst.Why holds then explains it.
// Planning takes nothing and changes nothing: the same table, ask, state and time give the same plan.
func (t *Table) Plan(dst *Plan, a *Ask, s *State, now time.Time) error {
	dst.Reset()
	dst.Asked, dst.Tokens = a.Model, a.Tokens()
	if a.facts == nil {
		dst.noted.note(t, a)
	}
	dst.Refused = t.choose(dst, a, s, now)
	if a.Explain {
		dst.explain(a)
	}
	if dst.Refused != 0 {
		return dst.Refused
	}
	return nil
}

// choose fills an empty plan; 0: it has a target.
func (t *Table) choose(dst *Plan, a *Ask, s *State, now time.Time) Refusal {
	r, ok := t.byName[a.Model]
	if !ok {
		return UnknownModel
	}
	dst.Route = r
	if !a.Who.MayUse(r.Name) {
		return NotAllowed
	}
	r, refused := t.follow(dst, r, a, now)
	if dst.Route = r; refused != 0 {
		return refused
	}
	return r.choose(dst, a, s, now)
}

// choose fills a plan with the targets of the route; 0: there is one.
func (r *Route) choose(dst *Plan, a *Ask, s *State, now time.Time) Refusal {
	dst.Attempts, dst.Deadline = r.Attempts, now.Add(r.Total)

	worst, resort := WrongOrganization, -1 // resort: the target that is back soonest, if all are out
	for i, target := range r.Targets {
		c := Candidate{Provider: target.Provider.Name, Model: target.Model}
		switch {
		case !target.Provider.OpenTo(a.Who.Org):
			c.Reason = WrongOrganization
		case a.Holder != "" && target.Provider.Name != a.Holder:
			c.Reason = Elsewhere
			if worst == WrongOrganization {
				worst = Elsewhere
			}
		case target.Provider.Adapter.Codecs[a.Endpoint] == nil:
			c.Reason, worst = NotSpoken, NotSpoken
		case a.Bound && !target.Provider.OwnedBy(a.Who.Org):
			c.Reason, worst = Shared, Shared
		case r.Strategy == Weighted && target.Weight == 0:
			c.Reason = NoWeight
			if worst == WrongOrganization {
				worst = NoWeight
			}
		default:
			c.Reason, c.Until = s.standing(target, now)
			if c.Reason == Chosen {
				dst.choose(target, false)
			} else if resort < 0 || c.Until.Before(dst.Why[resort].Until) {
				resort = i // Why[i] is of Targets[i]: the skipped ones come after all of them
			}
		}
		dst.Why = append(dst.Why, c)
	}
	for i := range r.Skipped {
		k := &r.Skipped[i]
		dst.Why = append(dst.Why, Candidate{Provider: k.Provider, Model: k.Model, Reason: k.Reason})
		if worst == WrongOrganization {
			worst = k.Reason
		}
	}
	switch {
	case len(dst.Targets) > 0:
		chooser := contest{r, a, s, now, r.stick(a), &dst.usage}
		chooser.arrange(dst)
		return 0
	case resort >= 0:
		dst.choose(r.Targets[resort], true)
		dst.Why[resort].Reason = LastResort
		return 0
	}
	return refusal(worst)
}

// refusal is what a call is told when not one target is left. An endpoint that is not spoken says most: the caller
// could use some of those targets; then a key that is not set, which the operator can mend.
func refusal(worst Reason) Refusal {
	switch worst {
	case NotSpoken:
		return NotServed
	case Shared:
		return NotHeld
	case Elsewhere:
		return HeldElsewhere
	case NoCredential, NoProvider, NoWeight:
		return NoTarget
	}
	return NotAllowed
}
