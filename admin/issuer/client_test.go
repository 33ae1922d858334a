package issuer_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/admin/issuer/issuertest"
	"github.com/vel-gateway/vel/secrets"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

const back = "http://127.0.0.1/api/auth/oidc/callback"

func config(of *issuertest.Issuer) issuer.Config {
	return issuer.Config{URL: of.URL, ClientID: issuertest.ClientID, Secret: secrets.New(issuertest.Secret), Redirect: back, Scopes: []string{"openid", "email"}}
}

// signOn walks a whole sign-on.
func signOn(t *testing.T, at *issuertest.Issuer, c *issuer.Client) (*issuer.Identity, error) {
	t.Helper()
	f := issuer.NewFlow()
	address, err := c.Address(t.Context(), f)
	if err != nil {
		return nil, err
	}
	q := at.SignOn(t, address).Query()
	if q.Get("state") != f.State {
		t.Fatalf("state %q, want %q", q.Get("state"), f.State)
	}
	return c.Identify(t.Context(), f, q.Get("code"))
}

func person() map[string]any {
	return map[string]any{
		"sub": "248289761001", "email": "ada@example.com", "email_verified": true, "name": " Ada ", "groups": []string{"vel-admins", "staff"},
		"realm_access": map[string]any{"roles": []string{"a", "b"}}, "https://vel.example.com/org": "acme", "odd": []any{1, "x", nil},
	}
}

func TestSignOn(t *testing.T) {
	t.Parallel()
	at, time := issuertest.Start(t), newClock()
	at.Person(person())
	id, err := signOn(t, at, issuer.New(config(at), time.now))
	if err != nil {
		t.Fatal(err)
	}
	if id.Issuer != at.URL || id.Subject != "248289761001" || id.Email != "ada@example.com" || id.Name != "Ada" {
		t.Errorf("signed on as %+v", id)
	}
	for claim, want := range map[string][]string{
		"groups": {"vel-admins", "staff"}, "realm_access.roles": {"a", "b"}, "https://vel.example.com/org": {"acme"}, "odd": {"x"},
		"email": {"ada@example.com"}, "realm_access": nil, "realm_access.none.x": nil, "nothing": nil, "email_verified": nil,
	} {
		if got := id.Words(claim); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %q, want %q", claim, got, want)
		}
	}
}

// Only an address that the issuer vouches for is one.
func TestOnlyVerifiedAddresses(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	c := issuer.New(config(at), time.Now)
	for _, x := range []struct {
		claims map[string]any
		want   string
	}{
		{map[string]any{"email_verified": true}, "a@example.com"},
		{map[string]any{"email_verified": "true"}, "a@example.com"},
		{map[string]any{"xms_edov": true}, "a@example.com"},
		{map[string]any{"xms_edov": "1"}, "a@example.com"},
		{map[string]any{}, ""},
		{map[string]any{"email_verified": false}, ""},
		{map[string]any{"email_verified": "1"}, ""},
		{map[string]any{"email_verified": 1}, ""},
	} {
		x.claims["sub"], x.claims["email"], x.claims["preferred_username"] = "1", "a@example.com", "a"
		at.Person(x.claims)
		id, err := signOn(t, at, c)
		if err != nil {
			t.Fatal(err)
		}
		if id.Email != x.want || id.Name != "a" {
			t.Errorf("%v gives %q %q", x.claims, id.Email, id.Name)
		}
	}
}

// TestBadTokens: whatever is wrong with a token, nobody has signed on, and the error says nothing of what was sent.
func TestBadTokens(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	at.Person(person())
	c := issuer.New(config(at), time.Now)
	set := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	now := time.Now()
	edits := map[string]func(map[string]any){
		"another nonce":        set("nonce", "x"),
		"no nonce":             func(m map[string]any) { delete(m, "nonce") },
		"another audience":     set("aud", "somebody-else"),
		"no audience":          func(m map[string]any) { delete(m, "aud") },
		"audiences, no party":  set("aud", []string{issuertest.ClientID, "other"}),
		"another party":        set("azp", "other"),
		"another issuer":       set("iss", "https://evil.example.com"),
		"no issuer":            func(m map[string]any) { delete(m, "iss") },
		"expired":              set("exp", now.Add(-time.Second).Unix()),
		"no expiry":            func(m map[string]any) { delete(m, "exp") },
		"of the future":        set("iat", now.Add(time.Hour).Unix()),
		"not valid yet":        set("nbf", now.Add(time.Hour).Unix()),
		"nobody":               set("sub", ""),
		"a subject too long":   set("sub", strings.Repeat("x", 256)),
		"another access token": set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"claims of odd forms":  set("azp", 7),
	}
	forges := map[string]func(string) string{
		"no signature":    func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] },
		"algorithm none":  issuertest.Unsigned,
		"a bent payload":  func(s string) string { return bend(s, 1) },
		"a bent head":     func(s string) string { return bend(s, 0) },
		"another's":       func(s string) string { return s[:len(s)-4] + "AAAA" },
		"no token at all": func(string) string { return "" },
		"no JWT":          func(string) string { return "canary-no-jwt" },
	}
	check := func(name string) {
		id, err := signOn(t, at, c)
		if refused, ok := errors.AsType[*issuer.Refused](err); !ok || id != nil || refused.Why == "" || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	for name, edit := range edits {
		at.Edit(edit)
		check(name)
	}
	at.Edit(nil)
	for name, forge := range forges {
		at.Forge(forge)
		check(name)
	}
	at.Forge(nil)
	if _, err := signOn(t, at, c); err != nil {
		t.Errorf("a good token after the bad ones: %v", err)
	}
	at.Edit(set("aud", []string{issuertest.ClientID, "other"}))
	at.Person(map[string]any{"sub": "1", "azp": issuertest.ClientID})
	if _, err := signOn(t, at, c); err != nil {
		t.Errorf("one of several audiences that is the party: %v", err)
	}
}

// bend changes one letter in a part of a token.
func bend(token string, part int) string {
	parts := strings.Split(token, ".")
	b := []byte(parts[part])
	b[len(b)/2] ^= 1
	parts[part] = string(b)
	return strings.Join(parts, ".")
}

// A code is worth something once, with the verifier of its flow, and from the client that it was made for.
func TestCodes(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	at.Person(person())
	c := issuer.New(config(at), time.Now)
	f := issuer.NewFlow()
	address, err := c.Address(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	code := func() string { return at.SignOn(t, address).Query().Get("code") }
	once := code()
	if _, err := c.Identify(t.Context(), f, once); err != nil {
		t.Fatal(err)
	}
	cheat := f
	cheat.Verifier = issuer.NewFlow().Verifier
	wrong := config(at)
	wrong.Secret = secrets.New("canary-another-secret")
	for name, try := range map[string]func() error{
		"a replay":         func() error { _, err := c.Identify(t.Context(), f, once); return err },
		"no code":          func() error { _, err := c.Identify(t.Context(), f, "canary-made-up"); return err },
		"another verifier": func() error { _, err := c.Identify(t.Context(), cheat, code()); return err },
		"another secret":   func() error { _, err := issuer.New(wrong, time.Now).Identify(t.Context(), f, code()); return err },
	} {
		err := try()
		if _, ok := errors.AsType[*issuer.Refused](err); !ok || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys may change at any time: the token says which one it needs.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	at.Person(person())
	c := issuer.New(config(at), time.Now)
	for range 3 {
		if _, err := signOn(t, at, c); err != nil {
			t.Fatal(err)
		}
		at.Rotate()
	}
	if n := at.Asked("/keys"); n != 3 {
		t.Errorf("the keys were read %d times, want once for each", n)
	}
	at.Break("/keys", http.StatusInternalServerError)
	at.Rotate()
	_, err := signOn(t, at, c)
	if away, ok := errors.AsType[*issuer.Away](err); !ok || away.Retry <= 0 {
		t.Errorf("while the keys can not be read: %v", err)
	}
	at.Break("/keys", 0)
	if _, err := signOn(t, at, c); err != nil {
		t.Errorf("when they can be read again: %v", err)
	}
}

// An issuer that is away is asked again after pauses that grow; what it has said holds longer than an hour if need be.
func TestIssuerAway(t *testing.T) {
	t.Parallel()
	const document = "/.well-known/openid-configuration"
	at, time := issuertest.Start(t), newClock()
	at.Person(person())
	at.Now = time.now
	at.Break(document, http.StatusServiceUnavailable)
	c := issuer.New(config(at), time.now)
	for tries, pause := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		for range 3 {
			_, err := c.Address(t.Context(), issuer.NewFlow())
			away, ok := errors.AsType[*issuer.Away](err)
			if !ok || away.Retry.Seconds() != pause {
				t.Fatalf("try %d: %+v, want a pause of %gs", tries, err, pause)
			}
		}
		if n := at.Asked(document); n != tries+1 {
			t.Fatalf("asked %d times after %d pauses", n, tries)
		}
		time.pass(seconds(pause))
	}
	at.Break(document, 0)
	if _, err := signOn(t, at, c); err != nil {
		t.Fatalf("when it is back: %v", err)
	}
	at.Break(document, http.StatusServiceUnavailable)
	time.pass(seconds(3 * 3600))
	asked := at.Asked(document)
	for range 3 {
		if _, err := signOn(t, at, c); err != nil {
			t.Fatalf("with what it has said before: %v", err)
		}
	}
	if n := at.Asked(document); n != asked+1 {
		t.Errorf("asked %d times for what is too old", n-asked)
	}
	at.Break("/token", http.StatusBadGateway)
	if _, err := signOn(t, at, c); !errors.As(err, new(*issuer.Away)) {
		t.Errorf("with a broken token endpoint: %v", err)
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// What an issuer says of itself must be about itself, and must not send secrets where others can read them.
func TestMetadata(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(map[string]any){
		"another issuer":         func(m map[string]any) { m["issuer"] = "https://other.example.com" },
		"plain authorization":    func(m map[string]any) { m["authorization_endpoint"] = "http://id.example.com/authorize" },
		"plain token endpoint":   func(m map[string]any) { m["token_endpoint"] = "http://id.example.com/token" },
		"plain keys":             func(m map[string]any) { m["jwks_uri"] = "http://id.example.com/keys" },
		"no token endpoint":      func(m map[string]any) { delete(m, "token_endpoint") },
		"no keys":                func(m map[string]any) { m["jwks_uri"] = "" },
		"keys alone open it":     func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"} },
		"an odd list of methods": func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := issuertest.Start(t)
			at.Metadata(edit)
			_, err := issuer.New(config(at), time.Now).Address(t.Context(), issuer.NewFlow())
			if !errors.As(err, new(*issuer.Away)) {
				t.Errorf("it is taken: %v", err)
			}
		})
	}
	t.Run("the secret in the form", func(t *testing.T) {
		t.Parallel()
		at := issuertest.Start(t)
		at.Person(person())
		at.Metadata(func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} })
		if _, err := signOn(t, at, issuer.New(config(at), time.Now)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a redirect", func(t *testing.T) {
		t.Parallel()
		at := issuertest.Start(t)
		at.Break("/.well-known/openid-configuration", http.StatusFound)
		if _, err := issuer.New(config(at), time.Now).Address(t.Context(), issuer.NewFlow()); !errors.As(err, new(*issuer.Away)) {
			t.Errorf("it is followed: %v", err)
		}
	})
}

// Who leaves while the issuer is asked makes it no failure for the others.
func TestLeaving(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	c := issuer.New(config(at), time.Now)
	left, leave := context.WithCancel(t.Context())
	leave()
	_, _ = c.Address(left, issuer.NewFlow())
	if _, err := c.Address(t.Context(), issuer.NewFlow()); err != nil {
		t.Error(err)
	}
	at.Person(person())
	f := issuer.NewFlow()
	address, err := c.Address(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Identify(left, f, at.SignOn(t, address).Query().Get("code")); !errors.Is(err, context.Canceled) {
		t.Errorf("after leaving: %v", err)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	at := issuertest.Start(t)
	c := issuer.New(config(at), time.Now)
	seen := map[string]bool{}
	for range 20 {
		f := issuer.NewFlow()
		address, err := c.Address(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"client_id": {issuertest.ClientID}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {"openid email"}, "state": {f.State},
			"nonce": {f.Nonce}, "code_challenge": {issuer.Challenge(f.Verifier)}, "code_challenge_method": {"S256"},
		}
		if got := u.Query(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		for _, text := range []string{f.State, f.Nonce, f.Verifier} {
			if len(text) < 26 || seen[text] { // 128 bits in base32
				t.Errorf("%q can be guessed", text)
			}
			seen[text] = true
		}
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://id.example.com": true, "https://id.example.com/realms/a": true, "http://127.0.0.1:1": true, "http://localhost:1/x": true, "http://[::1]:1": true,
		"http://id.example.com": false, "http://127.0.0.1.example.com": false, "http://10.0.0.1": false, "": false, "https://": false, "ftp://a": false,
		"https://user@id.example.com": false, "https://id.example.com#x": false, "javascript:alert(1)": false, "%": false,
	} {
		if got := issuer.Private(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
