package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// cookieIn signs somebody in by password for a page.
func (b *browser) cookieIn(who string, headers ...string) *answer {
	b.w.t.Helper()
	return b.do("POST", "/api/auth/login", map[string]any{"email": who + "@example.com", "password": password, "cookie": true}, headers...)
}

func TestCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer")
	b := w.browser()
	var token Token
	a := b.cookieIn("viewer").want(200)
	a.into(&token)
	c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "__Host-vel" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 24*3600 || !tenancy.IsSessionToken(c.Value) {
		t.Errorf("the cookie is %+v", c)
	}
	if token.Token != "" || token.Type != "Cookie" || strings.Contains(string(a.body), c.Value) {
		t.Errorf("the body is %s", a.body)
	}
	b.do("GET", "/api/users/me", nil).want(200)

	// A refresh swaps it, a sign-in never takes an old session, and signing out takes it away.
	first := b.cookies["__Host-vel"]
	a = b.do("POST", "/api/auth/refresh", nil).want(200)
	second := b.cookies["__Host-vel"]
	if second == first || strings.Contains(string(a.body), second) {
		t.Errorf("refreshed to %s with %s", second, a.body)
	}
	b.cookieIn("viewer").want(200)
	third := b.cookies["__Host-vel"]
	if third == second || !tenancy.IsSessionToken(third) {
		t.Error("the session of before goes on")
	}
	b.do("POST", "/api/auth/logout", nil).want(204)
	if len(b.cookies) > 0 {
		t.Errorf("cookies %v after signing out", b.cookies)
	}
	b.cookies["__Host-vel"] = third
	b.do("GET", "/api/users/me", nil).problem(unauthenticated)
	b.cookies["__Host-vel"] = first
	b.do("GET", "/api/users/me", nil).problem(unauthenticated)
	if a := b.do("POST", "/api/auth/logout", nil, "Authorization", "Bearer "+w.tokens["viewer"]).want(204); a.header.Get("Set-Cookie") != "" {
		t.Error("who comes with a token has no cookie to lose")
	}
}

// A session that somebody put into a browser is not the one that a sign-in begins.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("admin")
	b := w.browser()
	for _, planted := range []string{w.tokens["viewer"], tenancy.NewSessionToken().Reveal(), "vs-attacker"} {
		b.cookies["__Host-vel"] = planted
		b.cookieIn("admin").want(200)
		if b.cookies["__Host-vel"] == planted {
			t.Error("the planted session is used")
		}
		other := w.browser()
		other.cookies["__Host-vel"] = planted
		if a := other.do("GET", "/api/users/me", nil); strings.Contains(string(a.body), "admin@example.com") {
			t.Errorf("the planted session is the administrator's: %s", a.body)
		}
	}
}

// TestCookiesByPlainHTTP: only a browser on the same machine has any, and without the prefix.
func TestCookiesByPlainHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer", "admin", "root")
	for _, host := range []string{"localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"} {
		b := w.browser()
		b.plain = host
		c, err := http.ParseSetCookie(b.cookieIn("viewer").want(200).header.Get("Set-Cookie"))
		if err != nil || c.Name != "vel" || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("%s: %+v, %v", host, c, err)
		}
		b.do("GET", "/api/users/me", nil).want(200)
		b.cookies = map[string]string{"__Host-vel": c.Value} // no browser has it
		b.do("GET", "/api/users/me", nil).problem(unauthenticated)
		b.plain, b.cookies = "", map[string]string{"vel": c.Value} // what another host of the domain may have set
		b.do("GET", "/api/users/me", nil).problem(unauthenticated)
		w.db.pass(triesWithin)
	}
	for _, host := range []string{"vel.example", "10.0.0.1:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]:80"} {
		b := w.browser()
		b.plain = host
		b.cookieIn("viewer").problem(notEncrypted)
		b.cookies["vel"], b.cookies["__Host-vel"] = w.tokens["viewer"], w.tokens["viewer"]
		b.do("GET", "/api/users/me", nil).problem(unauthenticated)
		b.do("GET", "/api/users/me", nil, "Authorization", "Bearer "+w.tokens["viewer"]).want(200)
		b.do("GET", "/api/users/me", nil, "X-Forwarded-Proto", "https").want(200) // the gateway lets only trusted proxies say it
		b.do("GET", "/api/users/me", nil, "X-Forwarded-Proto", "http").problem(unauthenticated)
	}
}

// A cookie holds a session and nothing else, and a credential that is sent on purpose wins.
func TestCookieIsASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	for _, who := range []string{"vel", "robot"} {
		b.cookies["__Host-vel"] = w.tokens[who]
		b.do("GET", "/api/keys", nil).problem(unauthenticated)
	}
	b.cookies["__Host-vel"] = w.tokens["admin"]
	b.do("GET", "/api/keys", nil, "Authorization", "Bearer "+w.tokens["executor"]).problem(notAllowed)
	b.do("GET", "/api/keys", nil, "X-Api-Key", "wrong").problem(unauthenticated)
	b.do("GET", "/api/keys", nil).want(200)
	b.cookies["__Host-vel"] = strings.Repeat("x", 10000)
	b.do("GET", "/api/keys", nil).problem(unauthenticated)
}

// TestCrossOrigin: a page of another site can not use the cookie, on any operation that changes something; whoever sends
// a token is not asked where they come from.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	w, _ := signOnWorld(t, func(o *OIDC) { o.RedirectURL = "https://known.example:8443" + CallbackPath })
	w.withPassword("admin")
	b := w.browser()
	b.cookieIn("admin").want(200)
	own := map[string][]string{
		"same origin": {"Sec-Fetch-Site", "same-origin"}, "typed by the person": {"Sec-Fetch-Site", "none"}, "no browser": nil,
		"an old browser, same origin": {"Origin", "https://vel.example"}, "the address of the redirect": {"Sec-Fetch-Site", "cross-site", "Origin", "https://known.example:8443"},
	}
	foreign := map[string][]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "another host of the site": {"Sec-Fetch-Site", "same-site"},
		"an old browser, another origin": {"Origin", "https://evil.example"}, "an origin that is hidden": {"Origin", "null"},
		"the host of the redirect, another port": {"Sec-Fetch-Site", "cross-site", "Origin", "https://known.example"},
	}
	n := 0
	for id, op := range w.operations() {
		if op.method == "GET" || op.public {
			continue
		}
		for name, headers := range foreign {
			n++
			path := strings.ReplaceAll(op.path, "{id}", "user_viewer")
			if a := b.do(op.method, path, map[string]any{}, headers...); a.status != http.StatusForbidden || !strings.Contains(string(a.body), "cross-origin") {
				t.Errorf("%s, %s: %d %s", id, name, a.status, a.body)
			}
		}
	}
	if n < 50 {
		t.Fatalf("only %d requests were made", n)
	}
	for name, headers := range foreign {
		b.do("GET", "/api/keys", nil, headers...).want(200) // it changes nothing, and no other site may read it
		w.db.pass(triesWithin)
		w.browser().cookieIn("admin", headers...).problem(crossOrigin) // nobody is signed in as somebody else
		a := w.browser().do("POST", "/api/teams", map[string]any{"name": "of " + name}, append([]string{"Authorization", "Bearer " + w.tokens["admin"]}, headers...)...)
		a.want(http.StatusCreated)
	}
	for name, headers := range own {
		b.do("POST", "/api/teams", map[string]any{"name": name}, headers...).want(http.StatusCreated)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	b := w.browser()
	for name, a := range map[string]*answer{
		"an answer":         b.do("GET", "/api/health", nil),
		"a refusal":         b.do("GET", "/api/keys", nil),
		"no path":           b.do("GET", "/api/nowhere", nil),
		"no method":         b.do("PATCH", "/api/keys", nil),
		"a page":            b.do("GET", "/api/docs", nil),
		"a script":          b.do("GET", "/api/docs/docs.js", nil),
		"the document":      b.do("GET", "/api/openapi.json", nil),
		"a redirect":        b.do("GET", "/api/auth/oidc/login", nil),
		"a page that fails": b.do("GET", CallbackPath, nil, "Accept", "text/html"),
	} {
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000", "Content-Security-Policy": "frame-ancestors 'none'",
			"Permissions-Policy": "camera=()",
		} {
			if got := a.header.Get(header); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		if policy := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") ||
			!strings.Contains(policy, "base-uri 'none'") || !strings.Contains(policy, "form-action 'none'") {
			t.Errorf("%s: the policy is %q", name, policy)
		}
		if a.header.Get("Cache-Control") == "" {
			t.Errorf("%s: it may be kept", name)
		}
	}
	b.plain = "localhost"
	if h := b.do("GET", "/api/health", nil).header.Get("Strict-Transport-Security"); h != "" {
		t.Errorf("by plain HTTP: %q", h)
	}
}
