package routing

import (
	"crypto/x509"
	"net/url"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Timeouts of one attempt and of the call. FirstByte runs from the request sent to the first data event;
// Idle between two reads after it; Total over the whole call with all its attempts.
type Timeouts struct{ Connect, FirstByte, Idle, Total time.Duration }

// Provider is one account at one endpoint. It is immutable; what changes with traffic lives in State and in
// the upstream pool under its id.
type Provider struct {
	ID            string // equal on every node and over reloads
	Name          string
	Kind          string
	Base          *url.URL // scheme, host and path prefix, without a trailing slash
	Key           secrets.Secret
	Timeouts      Timeouts
	AllowPrivate  bool              // loopback and private addresses may be dialled
	Organizations []tenancy.ID      // who may use it; empty: all
	RootCAs       *x509.CertPool    // nil: the system's
	Proxy         *url.URL          // nil: from the environment
	Adapter       *adapters.Adapter // what it speaks
}

// Target is a provider and the model asked of it.
type Target struct {
	ID       string
	Provider *Provider
	Model    string // the provider's name
	Weight   int
}

// Route is a public model name and where its calls may go, in order.
type Route struct {
	Name           string
	Targets        []*Target
	Skipped        []Skip // targets that the file names but that can not be used, with the reason
	Timeouts       Timeouts
	Attempts       int             // every try counts, the first included
	Backoff        []time.Duration // Backoff[i] precedes retry i+1 on the same target
	RepeatExecuted bool            // a call that may have been executed may be repeated on the same target
	Created        int64           // unix seconds, for /v1/models
	OwnedBy        string          // for /v1/models: the first target's provider
}

// Skip is a target that is left out, and why.
type Skip struct{ Provider, Model, Reason string }
