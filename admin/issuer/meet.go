package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// How long what an issuer says of itself holds, and the pauses between tries while it does not answer.
const (
	knownFor   = time.Hour
	firstPause = time.Second
	longestOff = time.Minute
)

// known is what an issuer has said of itself.
type known struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	keys     *noting
}

// meeting is how far we know the issuer.
type meeting struct {
	known *known // nil: not at all yet
	again time.Time
	pause time.Duration // 0: it answered
	cause error
}

// meet asks the issuer about itself, unless it is known. An old answer is better than none.
func (c *Client) meet(ctx context.Context) (*known, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	now := c.now()
	if !now.Before(c.met.again) {
		c.ask(ctx, now)
	}
	if c.met.known == nil {
		return nil, &Away{Retry: max(firstPause, c.met.again.Sub(now)), Cause: c.met.cause}
	}
	return c.met.known, nil
}

// ask asks at last: whoever leaves meanwhile does not make it a failure for the others.
func (c *Client) ask(ctx context.Context, now time.Time) {
	k, err := c.discover(context.WithoutCancel(ctx))
	if err == nil {
		c.met = meeting{known: k, again: now.Add(knownFor)}
		return
	}
	c.met.pause = min(max(firstPause, 2*c.met.pause), longestOff)
	c.met.again, c.met.cause = now.Add(c.met.pause), err
}

// discover reads the issuer's metadata: OpenID Connect Discovery 1.0, section 4.
func (c *Client) discover(ctx context.Context) (*known, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	p, err := oidc.NewProvider(ctx, c.cfg.URL)
	if err != nil {
		return nil, undiscovered(err)
	}
	var says struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&says); err != nil {
		return nil, errors.New("its metadata has a wrong form")
	}
	endpoint := p.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, says.Keys} {
		if !Private(address) {
			return nil, fmt.Errorf("its metadata names %q, which is no https:// address", address)
		}
	}
	if endpoint.AuthStyle, err = c.style(says.Methods); err != nil {
		return nil, err
	}
	keys := &noting{next: c.http.Transport}
	reader := *c.http
	reader.Transport = keys
	return &known{
		oauth:    oauth2.Config{ClientID: c.cfg.ClientID, ClientSecret: c.cfg.Secret.Reveal(), Endpoint: endpoint, RedirectURL: c.cfg.Redirect, Scopes: c.cfg.Scopes},
		verifier: p.VerifierContext(oidc.ClientContext(ctx, &reader), &oidc.Config{ClientID: c.cfg.ClientID, Now: c.now}),
		keys:     keys,
	}, nil
}

// undiscovered is why discovery failed, without the body of an answer.
func undiscovered(err error) error {
	if other, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return fmt.Errorf("it calls itself %q, and admin.oidc.issuer is %q", other.Discovered, other.Provided)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed
	}
	return errors.New("its discovery document can not be read")
}

// style is how the client shows who it is. Guessing it by a second try would send a code twice.
func (c *Client) style(methods []string) (oauth2.AuthStyle, error) {
	switch {
	case c.cfg.Secret.IsZero():
		return oauth2.AuthStyleInParams, nil
	case len(methods) == 0, slices.Contains(methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	}
	return 0, errors.New("it takes no client secret, neither as client_secret_basic nor as client_secret_post")
}

// Private tells whether what goes to an address can be read by nobody on the way: it is https, or on this machine.
func Private(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname())
}

// Loopback tells whether a host's name can only be this machine.
func Loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
