package issuer

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/vel-gateway/vel/secrets"
)

// Config is what the issuer knows us by.
type Config struct {
	URL      string         // of the issuer, as its own documents spell it
	ClientID string         //
	Secret   secrets.Secret // empty: a public client, which PKCE alone protects
	Redirect string         // where the issuer sends people back to
	Scopes   []string       // openid among them
}

// Away says that the issuer does not answer, or not as one does. Nothing is known about the person.
type Away struct {
	Retry time.Duration // when it is worth another try
	Cause error
}

// Error is for the log.
func (e *Away) Error() string { return fmt.Sprintf("the issuer can not be used: %v", e.Cause) }

// Unwrap gives the cause.
func (e *Away) Unwrap() error { return e.Cause }

// Refused says that nobody has signed on: the issuer does not take the code, or its token is not to be believed.
type Refused struct{ Why string }

// Error is for the log. It never has what was sent: codes and tokens are secrets.
func (e *Refused) Error() string { return "not signed on: " + e.Why }

// Client speaks with the issuer. It is safe for concurrent use and runs nothing by itself.
type Client struct {
	cfg  Config
	http *http.Client
	now  func() time.Time
	turn chan struct{} // one asks the issuer about itself, the others wait
	met  meeting       // guarded by turn
}

// New makes a client. It asks nothing yet.
func New(cfg Config, now func() time.Time) *Client {
	return &Client{cfg: cfg, http: newHTTP(), now: now, turn: make(chan struct{}, 1)}
}

// How long the issuer may take for one answer, and how large that may be.
const (
	patience   = 5 * time.Second
	mostAnswer = 1 << 20
)

func newHTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Transport: bounded{t}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // our secret stays with whom it is for
	}
}

// bounded reads no more of an answer than mostAnswer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, mostAnswer), res.Body}
	}
	return res, err
}

// noting notes that a request failed: of the keys the library only says that a token is not valid.
type noting struct {
	next   http.RoundTripper
	failed atomic.Bool
}

func (n *noting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := n.next.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusOK {
		n.failed.Store(true)
	}
	return res, err
}

// Address is where a person signs on.
func (c *Client) Address(ctx context.Context, f Flow) (string, error) {
	k, err := c.meet(ctx)
	if err != nil {
		return "", err
	}
	return k.oauth.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Identify tells who came back with a code. The errors are *Away, *Refused and that of ctx.
func (c *Client) Identify(ctx context.Context, f Flow, code string) (*Identity, error) {
	k, err := c.meet(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, c.http)
	token, err := k.oauth.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, unexchanged(ctx, err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, &Refused{"the issuer gave no ID token; is openid among the scopes?"}
	}
	k.keys.failed.Store(false)
	id, err := k.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, k.unverified(ctx, err)
	}
	if why := c.wrong(id, f, token.AccessToken); why != "" {
		return nil, &Refused{why}
	}
	return identify(c.cfg.URL, id)
}

// unexchanged says why a code was not taken. The issuer's own words may repeat what we sent, so that only the error's
// name is kept.
func unexchanged(ctx context.Context, err error) error {
	var failed *url.Error // it names the address; what was sent stood in the body
	said, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed):
		return &Away{Retry: firstPause, Cause: failed}
	case !ok:
		return &Away{Retry: firstPause, Cause: errors.New("its token endpoint does not answer as one does")}
	case said.Response.StatusCode >= http.StatusInternalServerError || said.Response.StatusCode == http.StatusTooManyRequests:
		return &Away{Retry: firstPause, Cause: fmt.Errorf("its token endpoint answers %d", said.Response.StatusCode)}
	}
	return &Refused{"the issuer does not take the code: " + errorWord(said.ErrorCode, said.Response.StatusCode)}
}

// errorWords are those of RFC 6749, section 5.2.
func errorWords() []string {
	return []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
}

func errorWord(said string, status int) string {
	if slices.Contains(errorWords(), said) {
		return said
	}
	return fmt.Sprintf("status %d", status)
}

// unverified says why a token is not believed.
func (k *known) unverified(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if k.keys.failed.Load() {
		return &Away{Retry: firstPause, Cause: errors.New("its keys can not be read")}
	}
	if expired, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		return &Refused{"the ID token expired at " + expired.Expiry.UTC().Format(time.RFC3339)}
	}
	return &Refused{"the ID token is not valid: its signature, issuer or audience is another one"}
}

// How far clocks may be apart.
const clockSkew = 5 * time.Minute

// longestSubject is that of OpenID Connect Core, section 2.
const longestSubject = 255

// wrong says what the library leaves to us to check, and does not hold; empty: nothing.
func (c *Client) wrong(id *oidc.IDToken, f Flow, access string) string {
	var also struct {
		Party string `json:"azp"`
	}
	if err := id.Claims(&also); err != nil {
		return "the ID token has claims of a wrong form"
	}
	switch {
	case f.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return "the ID token is one of another sign-on: its nonce differs"
	case also.Party != "" && also.Party != c.cfg.ClientID, also.Party == "" && len(id.Audience) > 1:
		return "the ID token was made for another client"
	case id.Subject == "" || len(id.Subject) > longestSubject:
		return "the ID token names nobody"
	case id.IssuedAt.After(c.now().Add(clockSkew)):
		return "the ID token is of the future; compare the clocks"
	case id.AccessTokenHash != "" && id.VerifyAccessToken(access) != nil:
		return "the ID token belongs to another access token"
	}
	return ""
}
