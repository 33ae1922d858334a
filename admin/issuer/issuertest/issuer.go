// Package issuertest is a small OpenID Connect provider for tests: discovery, an authorization endpoint that asks
// nobody, a token endpoint that checks client, code and PKCE, and keys that rotate. What it says can be bent.
package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the issuer knows the client by.
const (
	ClientID = "vel"
	Secret   = "canary-client-secret-0123456789"
)

// Issuer is one provider. Its exported fields may be set before it is asked.
type Issuer struct {
	URL string
	Now func() time.Time

	mu       sync.Mutex                  // guards what follows
	person   map[string]any              // the claims of who is at the door
	edit     func(claims map[string]any) // bends a token's claims
	forge    func(token string) string   // bends a signed token
	metadata func(map[string]any)        // bends the discovery document
	down     map[string]int              // paths that answer this status instead
	asked    map[string]int              // how often a path was asked
	key      *ecdsa.PrivateKey
	keyID    int
	codes    map[string]grant
	server   *httptest.Server
}

// moved is the query of where a path that answers a redirect leads: there it works.
const moved = "moved"

// grant is what a code stands for.
type grant struct {
	challenge, nonce, redirect string
	claims                     map[string]any
}

// Start starts an issuer for the length of a test.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{Now: time.Now, down: map[string]int{}, asked: map[string]int{}, codes: map[string]grant{}}
	i.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.asked[r.URL.Path]++
		status := i.down[r.URL.Path]
		i.mu.Unlock()
		if status != 0 && r.URL.RawQuery != moved {
			w.Header().Set("Location", i.URL+r.URL.Path+"?"+moved) // of a redirect
			http.Error(w, "out of order", status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

func (i *Issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// Person says who is at the door: the claims of their tokens, sub among them.
func (i *Issuer) Person(claims map[string]any) { i.set(func() { i.person = claims }) }

// Edit bends the claims of tokens before they are signed; nil: no more.
func (i *Issuer) Edit(f func(claims map[string]any)) { i.set(func() { i.edit = f }) }

// Forge bends tokens after they were signed; nil: no more.
func (i *Issuer) Forge(f func(token string) string) { i.set(func() { i.forge = f }) }

// Metadata bends the discovery document; nil: no more.
func (i *Issuer) Metadata(f func(map[string]any)) { i.set(func() { i.metadata = f }) }

// Break makes a path answer a status; 0: it works again.
func (i *Issuer) Break(path string, status int) { i.set(func() { i.down[path] = status }) }

// Asked is how often a path was asked.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Rotate makes another key; what was signed before is no longer believed.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no entropy
	}
	i.set(func() { i.key, i.keyID = key, i.keyID+1 })
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	says := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.metadata != nil {
		i.metadata(says)
	}
	answer(w, http.StatusOK, says)
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	point, err := i.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err) // the key is on the curve
	}
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": fmt.Sprint(i.keyID), "x": encode(point[1:33]), "y": encode(point[33:]),
	}}})
}

// authorize lets whoever is at the door in, and sends them back with a code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" ||
		q.Get("nonce") == "" || !strings.Contains(" "+q.Get("scope")+" ", " openid ") {
		http.Error(w, "not an authorization request with PKCE: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "no redirect_uri", http.StatusBadRequest)
		return
	}
	code := "canary-code-" + rand.Text()
	i.set(func() {
		i.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri"), maps.Clone(i.person)}
	})
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {i.URL}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token swaps a code for tokens, once.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if id != ClientID || secret != Secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "not " + id + " with " + secret})
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	code := r.FormValue("code")
	g, ok := i.codes[code]
	delete(i.codes, code)
	proof := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || encode(proof[:]) != g.challenge || r.FormValue("redirect_uri") != g.redirect || r.FormValue("grant_type") != "authorization_code" {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "no code " + code})
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "canary-access-" + rand.Text(), "token_type": "Bearer", "id_token": i.idToken(g)})
}

func (i *Issuer) idToken(g grant) string {
	now := i.Now()
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "nonce": g.nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(claims, g.claims)
	if i.edit != nil {
		i.edit(claims)
	}
	token := i.sign(claims)
	if i.forge != nil {
		token = i.forge(token)
	}
	return token
}

// sign makes a JWS of claims: RFC 7515, with ES256 of RFC 7518.
func (i *Issuer) sign(claims map[string]any) string {
	text := encodeJSON(map[string]any{"alg": "ES256", "typ": "JWT", "kid": fmt.Sprint(i.keyID)}) + "." + encodeJSON(claims)
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, hash[:])
	if err != nil {
		panic(err) // the key is one
	}
	return text + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// Unsigned is a token with other claims and no signature, as one with the algorithm none is.
func Unsigned(token string) string {
	return encodeJSON(map[string]any{"alg": "none", "typ": "JWT"}) + "." + strings.Split(token, ".")[1] + "."
}

func encodeJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a test's own making
	}
	return encode(text)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}

// SignOn goes where a browser goes: to the address of the authorization, and back with what the issuer says. It gives
// the address that the browser is sent to.
func (i *Issuer) SignOn(t testing.TB, address string) *url.URL {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	back, err := res.Location()
	if err != nil {
		t.Fatalf("the issuer answers %s and sends nobody back", res.Status)
	}
	return back
}
