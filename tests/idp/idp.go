// Package idp is an OpenID Connect issuer as a test of the binary needs it: it asks nobody, lets whoever is at the door
// in, gives a code once and to whom it belongs, and remembers every secret that it gave out.
package idp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the issuer knows Vel by.
const (
	ClientID = "vel"
	Secret   = "canary-client-secret-0123456789abcdef"
)

// Issuer is one issuer.
type Issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu     sync.Mutex // guards what follows
	person map[string]any
	codes  map[string]url.Values // what was asked for, by the code that it got
	told   []string
}

// Start starts one for the length of a test.
func Start(tb testing.TB) *Issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	i := &Issuer{key: key, codes: map[string]url.Values{}, told: []string{Secret}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.metadata)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewServer(mux)
	tb.Cleanup(i.Close)
	return i
}

// Admit says who is at the door: the claims of their tokens.
func (i *Issuer) Admit(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.person = claims
}

// Told are all secrets so far: the client's, codes and tokens.
func (i *Issuer) Told() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.told)
}

func (i *Issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	point, err := i.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err) // the key is on the curve
	}
	write(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": encode(point[1:33]), "y": encode(point[33:])}}})
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q, code := r.URL.Query(), "canary-code-"+rand.Text()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "not a request for a code with PKCE", http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	i.codes[code], i.told = q, append(i.told, code)
	i.mu.Unlock()
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	code := r.FormValue("code")
	q, ok := i.codes[code]
	delete(i.codes, code)
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || id != ClientID || secret != Secret || encode(challenge[:]) != q.Get("code_challenge") || r.FormValue("redirect_uri") != q.Get("redirect_uri") {
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "no " + code + " for " + id + " with " + secret})
		return
	}
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "nonce": q.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(claims, i.person)
	token, access := i.sign(claims), "canary-access-"+rand.Text()
	i.told = append(i.told, token, access)
	write(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "id_token": token})
}

// sign makes a JWS with ES256.
func (i *Issuer) sign(claims map[string]any) string {
	text := encodeJSON(map[string]any{"alg": "ES256", "kid": "1"}) + "." + encodeJSON(claims)
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, hash[:])
	if err != nil {
		panic(err) // the key is one
	}
	return text + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// Pass goes to the issuer as a browser does that Vel has sent there, and gives the path and query that the issuer sends
// it back to.
func (i *Issuer) Pass(tb testing.TB, address string) string {
	tb.Helper()
	if !strings.HasPrefix(address, i.URL+"/authorize?") {
		tb.Fatalf("Vel sends people to %s", address)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(httptest.NewRequestWithContext(tb.Context(), "GET", address, nil))
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	back, err := res.Location()
	if err != nil {
		tb.Fatalf("the issuer answers %s", res.Status)
	}
	return back.RequestURI()
}

func encodeJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a test's own making
	}
	return encode(text)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}
