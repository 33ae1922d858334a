package routing

import (
	"crypto/x509"
	"net/url"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Timeouts of one attempt and of the call. FirstByte runs from the request sent to the first data event;
// Idle between two reads after it; Total over the whole call with all its attempts.
type Timeouts struct{ Connect, FirstByte, Idle, Total time.Duration }

// Breaker is when a target is left alone: after Failures in Window that are also at least half of at least ten
// calls, for Cooldown.
type Breaker struct {
	Failures         int
	Window, Cooldown time.Duration
}

// Provider is one account at one endpoint. It is immutable; what changes with traffic lives in State and in
// the upstream pool under its id.
type Provider struct {
	ID            string // equal on every node and over reloads
	Name          string
	Kind          string
	Base          *url.URL // scheme, host and path prefix, without a trailing slash
	Key           secrets.Secret
	Timeouts      Timeouts          // what holds where a route says nothing else; Total is not of a provider and zero
	AllowPrivate  bool              // loopback and private addresses may be dialled
	Organizations []tenancy.ID      // who may use it; empty: all
	alone         tenancy.ID        // of OfOne
	RootCAs       *x509.CertPool    // nil: the system's
	Proxy         *url.URL          // nil: from the environment
	Probe         time.Duration     // how often a target that is left alone is tried; 0: calls alone find out
	Adapter       *adapters.Adapter // what it speaks

	Limits []*ratelimit.Limit // that it sets to the account; empty: none are known
}

// Account is under which name its limits are counted, on every node the same.
func (p *Provider) Account() string { return p.ID }

// OpenTo tells whether callers of the organization may use the provider.
func (p *Provider) OpenTo(org tenancy.ID) bool {
	return len(p.Organizations) == 0 || slices.Contains(p.Organizations, org)
}

// Target is a provider and the model asked of it, as one route uses it.
type Target struct {
	ID       string // provider/model: unique in a route, equal in all routes that share its health
	Provider *Provider
	Model    string   // the provider's name
	Weight   int      // its share with strategy weighted
	Quality  float64  // how good its answers are, as the operator says; 0: nothing is said
	Timeouts Timeouts // the route's, else the provider's, else the default; Total is the route's
	Breaker  Breaker
	Price    Pricer                // for whoever has no other; nil: nobody knows
	agreed   map[tenancy.ID]Pricer // for some organizations
}

// Route is a public model name and where its calls may go, in order.
type Route struct {
	Name           string
	Targets        []*Target
	Strategy       Strategy
	Weights        Weights // of Optimize
	StickBy        Sticky
	StickFor       time.Duration // how long after the last call
	rules          []rule
	judge          *task.Model   // tells rules what kind of work is asked for; nil: none asks
	Skipped        []Skip        // targets that the file names but that can not be used, with the reason
	KeepFor        time.Duration // how long answers are kept for equal calls; 0: not at all
	Recipe         string        // of KeepFor: what answers depend on beside the request; another one, and nothing kept is given
	Hedge          Hedge
	Mirror         *Mirror // nil: no call is copied
	Total          time.Duration
	Attempts       int             // every try counts, the first included
	Backoff        []time.Duration // Backoff[i] precedes retry i+1 on the same target; the last one holds for all further
	RepeatExecuted bool            // a call that may have been executed may be repeated on the same target
	Strict         bool            // a call of which a field would be dropped is refused
	Created        int64           // unix seconds, for /v1/models
	OwnedBy        string          // for /v1/models: the first target's provider
}

// Skip is a target that is left out, and why.
type Skip struct {
	Provider, Model string
	Reason          Reason
}

// OpenTo tells whether the principal sees the route in /v1/models: its key may use the name, and at least one
// target is there for its organization.
func (r *Route) OpenTo(p *tenancy.Principal) bool {
	return p.MayUse(r.Name) && slices.ContainsFunc(r.Targets, func(t *Target) bool { return t.Provider.OpenTo(p.Org) })
}
