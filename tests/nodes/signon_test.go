package nodes

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/idp"
)

// step makes a request of a browser, with the cookies that it has, and takes those that it gets.
func (n *node) step(t *testing.T, jar map[string]string, path string) (to string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", n.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range jar {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s answers %s", path, res.Status)
	}
	for _, c := range res.Cookies() {
		jar[c.Name] = c.Value
	}
	return res.Header.Get("Location")
}

// A person begins to sign on at one node, comes back to another, and works at a third; a program's code is good at any
// of them, once.
func TestSignOnAcrossNodes(t *testing.T) {
	t.Parallel()
	at, db, sim := idp.Start(t), server.Database(t), simulate(t)
	at.Admit(map[string]any{"sub": "ada", "email": "ada@example.com", "email_verified": true, "groups": "root"})
	file := `
admin:
  oidc: {issuer: ` + at.URL + `, client_id: vel, client_secret: env:OIDC_SECRET, redirect_url: "http://localhost/api/auth/oidc/callback",
    organization: platform, roles: {map: {root: platform_admin}}}
`
	var nodes []*node
	for range 3 {
		nodes = append(nodes, start(t, options(sim, file, append(ways[1].env(db), "OIDC_SECRET="+idp.Secret)...)))
	}
	jar := map[string]string{}
	back := at.Pass(t, nodes[0].step(t, jar, "/api/auth/oidc/login"))
	nodes[1].step(t, jar, back)
	a, err := nodes[2].do(t.Context(), jar["vel"], "GET", "/api/users/me", nil)
	if err != nil || a.field("email") != "ada@example.com" {
		t.Fatalf("%s, %v", a, err)
	}

	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	jar = map[string]string{}
	back = at.Pass(t, nodes[2].step(t, jar, "/api/auth/oidc/login?port=50000&challenge="+challenge))
	to, err := url.Parse(nodes[0].step(t, jar, back))
	if err != nil || !strings.HasPrefix(to.String(), "http://127.0.0.1:50000/?code=") {
		t.Fatalf("sent on to %s, %v", to, err)
	}
	body := object{"code": to.Query().Get("code"), "verifier": verifier}
	good := 0
	for i := range 6 {
		if a := nodes[i%3].ask(t, "POST", "/api/auth/oidc/token", body); a.status == http.StatusOK {
			good++
		} else if a.status != http.StatusUnauthorized {
			t.Errorf("a code that was swapped: %s", a)
		}
	}
	if good != 1 {
		t.Errorf("the code was swapped %d times", good)
	}
}
