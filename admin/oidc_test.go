package admin

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/admin/issuer/issuertest"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// signOnWorld is a world whose people sign on at an issuer. edit may change what the file says of it.
func signOnWorld(t *testing.T, edit func(*OIDC)) (*world, *issuertest.Issuer) {
	t.Helper()
	w, at := newWorld(t), issuertest.Start(t)
	at.Now = w.db.clock
	secret := secrets.New(issuertest.Secret)
	cfg := DefaultOIDC()
	cfg.Issuer, cfg.ClientID, cfg.ClientSecret, cfg.RedirectURL = at.URL, issuertest.ClientID, &secret, "https://vel.example"+CallbackPath
	cfg.Organization, cfg.Roles.Map = "acme", map[string]string{"admins": "org_admin", "staff": "viewer", "clerks": "clerk"}
	if edit != nil {
		edit(&cfg)
	}
	d := w.Deps
	d.SignOn, d.Registerer = cfg, prometheus.NewRegistry()
	w.Server = NewServer(d)
	return w, at
}

func ada(groups ...string) map[string]any {
	return map[string]any{"sub": "ada", "name": "Ada", "email": "Ada@example.com", "email_verified": true, "groups": groups}
}

// browser keeps the cookies of one host, as a browser does. It came by TLS unless it is plain.
type browser struct {
	w       *world
	plain   string // the host of plain HTTP; empty: TLS
	cookies map[string]string
}

func (w *world) browser() *browser { return &browser{w: w, cookies: map[string]string{}} }

func (b *browser) do(method, path string, body any, headers ...string) *answer {
	b.w.t.Helper()
	var reader *strings.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			b.w.t.Fatal(err)
		}
		reader = strings.NewReader(string(text))
	} else {
		reader = strings.NewReader("")
	}
	r := httptest.NewRequest(method, path, reader)
	r.Host = "vel.example"
	r.TLS = &tls.ConnectionState{}
	if b.plain != "" {
		r.Host, r.TLS = b.plain, nil
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a := b.w.send(r)
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.w.t.Fatal(err)
		}
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return a
}

// leave begins a sign-on and gives the address at the issuer.
func (b *browser) leave(query string) string {
	b.w.t.Helper()
	return b.do("GET", "/api/auth/oidc/login"+query, nil).want(http.StatusSeeOther).header.Get("Location")
}

// signOn walks a whole sign-on, and gives the answer to the callback.
func (b *browser) signOn(at *issuertest.Issuer, query string) *answer {
	b.w.t.Helper()
	return b.do("GET", at.SignOn(b.w.t, b.leave(query)).RequestURI(), nil)
}

// who is the user of an organization with an address.
func (w *world) who(email string, org tenancy.ID) *tenancy.User {
	for _, u := range w.db.users.rows {
		if u.Email == email && u.Org == org {
			return &u
		}
	}
	return nil
}

func TestSignOn(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff", "others"))
	b := w.browser()
	a := b.signOn(at, "?return=/api/docs%23users").want(http.StatusSeeOther)
	if to := a.header.Get("Location"); to != "/api/docs#users" {
		t.Errorf("sent on to %s", to)
	}
	if len(b.cookies) != 1 || !tenancy.IsSessionToken(b.cookies["__Host-vel"]) {
		t.Fatalf("cookies %v", b.cookies)
	}
	me := b.do("GET", "/api/users/me", nil).want(200).object()
	if me["email"] != "ada@example.com" || me["name"] != "Ada" || me["issuer"] != at.URL || me["organization"] != "org_acme" || me["has_password"] != false ||
		!slices.Equal(me["roles"].([]any), []any{"viewer"}) {
		t.Errorf("signed on as %v", me)
	}

	// The second time it is the same user, with the roles of now, in another session.
	before := b.cookies["__Host-vel"]
	at.Person(ada("admins", "staff", "clerks"))
	b.signOn(at, "").want(http.StatusSeeOther)
	if b.cookies["__Host-vel"] == before {
		t.Error("the session is the one of before")
	}
	again := b.do("GET", "/api/users/me", nil).want(200).object()
	if again["id"] != me["id"] || !slices.Equal(again["roles"].([]any), []any{"org_admin", "role_clerk", "viewer"}) {
		t.Errorf("signed on again as %v", again)
	}

	// The address may change: the subject is who they are. Without a role nobody signs on.
	changed := ada("staff")
	changed["email"] = "viewer@example.com"
	at.Person(changed)
	b.signOn(at, "").want(http.StatusSeeOther)
	if u := w.who("ada@example.com", acme); u == nil || !slices.Equal(u.Roles, []tenancy.ID{"viewer"}) {
		t.Errorf("after another address: %+v", u)
	}
	at.Person(ada("others"))
	if p := b.signOn(at, "").problem(signOnRefused); !strings.Contains(p.Detail, "groups") {
		t.Errorf("refused because: %s", p.Detail)
	}
	if u := w.who("ada@example.com", acme); !slices.Equal(u.Roles, []tenancy.ID{"viewer"}) {
		t.Errorf("a refusal changed them: %+v", u)
	}
}

// A sign-on ends in the browser where it began, once, with the answer to its own question.
func TestSignOnIsBound(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	swap := func(back *url.URL, name, value string) string {
		q := back.Query()
		q.Set(name, value)
		return back.Path + "?" + q.Encode()
	}
	for name, try := range map[string]func(b *browser) *answer{
		"another state": func(b *browser) *answer { return b.do("GET", swap(at.SignOn(t, b.leave("")), "state", "x"), nil) },
		"another issuer": func(b *browser) *answer {
			return b.do("GET", swap(at.SignOn(t, b.leave("")), "iss", "https://evil.example"), nil)
		},
		"another code": func(b *browser) *answer { return b.do("GET", swap(at.SignOn(t, b.leave("")), "code", "x"), nil) },
		"no code":      func(b *browser) *answer { return b.do("GET", swap(at.SignOn(t, b.leave("")), "code", ""), nil) },
		"a long code": func(b *browser) *answer {
			return b.do("GET", swap(at.SignOn(t, b.leave("")), "code", strings.Repeat("x", 5000)), nil)
		},
		"an error": func(b *browser) *answer {
			return b.do("GET", swap(at.SignOn(t, b.leave("")), "error", "access_denied"), nil)
		},
		"an odd error": func(b *browser) *answer {
			return b.do("GET", swap(at.SignOn(t, b.leave("")), "error", "<script>canary"), nil)
		},
		"another browser": func(b *browser) *answer { return w.browser().do("GET", at.SignOn(t, b.leave("")).RequestURI(), nil) },
		"a cookie of another sign-on": func(b *browser) *answer {
			first := at.SignOn(t, b.leave(""))
			b.leave("")
			return b.do("GET", first.RequestURI(), nil)
		},
		"a cookie that was changed": func(b *browser) *answer {
			back := at.SignOn(t, b.leave(""))
			c := []byte(b.cookies["__Host-vel-sign-on"])
			c[len(c)/2] ^= 1
			b.cookies["__Host-vel-sign-on"] = string(c)
			return b.do("GET", back.RequestURI(), nil)
		},
		"a code of a program in its place": func(b *browser) *answer {
			back := at.SignOn(t, b.leave("?port=5000&challenge="+issuer.Challenge("x")))
			to, err := url.Parse(b.do("GET", back.RequestURI(), nil).header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			back = at.SignOn(t, b.leave(""))
			b.cookies["__Host-vel-sign-on"] = to.Query().Get("code")
			return b.do("GET", back.RequestURI(), nil)
		},
		"a replay": func(b *browser) *answer {
			back, kept := at.SignOn(t, b.leave("")), b.cookies["__Host-vel-sign-on"]
			b.do("GET", back.RequestURI(), nil).want(http.StatusSeeOther)
			b.cookies = map[string]string{"__Host-vel-sign-on": kept}
			return b.do("GET", back.RequestURI(), nil)
		},
		"too late": func(b *browser) *answer {
			back := at.SignOn(t, b.leave(""))
			w.db.pass(flowLife)
			return b.do("GET", back.RequestURI(), nil)
		},
	} {
		w.db.pass(triesWithin) // five failures a minute and address
		b := w.browser()
		a := try(b)
		if p := a.problem(signOnRefused); strings.Contains(p.Detail, "canary") || b.cookies["__Host-vel"] != "" && name != "a replay" {
			t.Errorf("%s: %s, cookies %v", name, a.body, b.cookies)
		}
		if c := a.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-vel-sign-on=;") || !strings.Contains(c, "Max-Age=0") {
			t.Errorf("%s: the cookie of the sign-on stays: %q", name, c)
		}
	}
	// What is wrong in a token is tested in package issuer; here, that it signs nobody on.
	at.Edit(func(claims map[string]any) { claims["nonce"] = "another" })
	w.db.pass(triesWithin)
	w.browser().signOn(at, "").problem(signOnRefused)
	at.Edit(nil)
	at.Rotate()
	w.browser().signOn(at, "").want(http.StatusSeeOther)
}

// Failed sign-ons slow an address down; those that succeed do not.
func TestSignOnThrottle(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	for range 2 * mostTries {
		w.browser().signOn(at, "").want(http.StatusSeeOther)
	}
	b := w.browser()
	for range mostTries {
		b.do("GET", CallbackPath+"?code=x&state=x", nil).problem(signOnRefused)
	}
	back := at.SignOn(t, b.leave(""))
	if a := b.do("GET", back.RequestURI(), nil); a.problem(tooMany) == nil || a.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	w.db.pass(triesWithin)
	b.do("GET", back.RequestURI(), nil).want(http.StatusSeeOther)
}

// Only paths of this host are gone to.
func TestReturnPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/": true, "/dashboard": true, "/dashboard/costs?from=1&to=2#top": true, "/a//b": true, "/%2F%2Fevil.example": true, "/@evil.example": true,
		"": false, "dashboard": false, "//evil.example": false, "///evil.example": false, "/\\evil.example": false, "\\\\evil.example": false, "https://evil.example": false,
		"https:/evil.example": false, "javascript:alert(1)": false, " /x": false, "/x\n": false, "/\t/evil.example": false, "http:evil.example": false,
		"/" + strings.Repeat("x", longestReturn): false, "/ü": false, "/%": false, "?x": false, "#x": false,
	} {
		if got := local(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	for _, query := range []string{
		"?return=//evil.example", "?return=", "?return=https://evil.example", "?return=%5C%5Cevil.example", "?port=80&challenge=" + issuer.Challenge("x"), "?port=x",
		"?port=5000", "?port=5000&challenge=short", "?port=65536&challenge=" + issuer.Challenge("x"), "?port=5000%40evil.example&challenge=" + issuer.Challenge("x"),
	} {
		w.browser().do("GET", "/api/auth/oidc/login"+query, nil).problem(invalid)
	}
	if to := w.browser().signOn(at, "").header.Get("Location"); to != landing {
		t.Errorf("without a wish sent on to %s", to)
	}
}

// A program gets a token for a code once, soon, and if it is the one that asked.
func TestSignOnOfAProgram(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	verifier := issuer.NewFlow().Verifier
	code := func() string {
		b := w.browser()
		to, err := url.Parse(b.signOn(at, "?port=51234&challenge="+issuer.Challenge(verifier)).want(http.StatusSeeOther).header.Get("Location"))
		if err != nil || to.Scheme != "http" || to.Host != "127.0.0.1:51234" || to.Path != "/" || b.cookies["__Host-vel"] != "" {
			t.Fatalf("sent on to %s, %v, %v", to, err, b.cookies)
		}
		return to.Query().Get("code")
	}
	swap := func(code, verifier string) *answer {
		return w.do("", "POST", "/api/auth/oidc/token", map[string]any{"code": code, "verifier": verifier})
	}
	once := code()
	swap(once, issuer.NewFlow().Verifier).problem(unauthenticated)
	var token Token
	swap(once, verifier).want(200).into(&token)
	w.tokens["ada"] = token.Token
	w.do("ada", "GET", "/api/users/me", nil).want(200)
	if !token.Renewable.Equal(start.Add(tenancy.SessionLife)) {
		t.Errorf("renewable until %s: the issuer is not asked again", token.Renewable)
	}
	swap(once, verifier).problem(unauthenticated)
	swap("x"+once, verifier).problem(unauthenticated)
	late := code()
	w.db.pass(codeLife)
	swap(late, verifier).problem(unauthenticated)
	b := w.browser()
	b.leave("")
	swap(b.cookies["__Host-vel-sign-on"], verifier).problem(unauthenticated)
	gone := code()
	for id := range w.db.users.rows {
		if w.db.users.rows[id].Subject == "ada" {
			delete(w.db.users.rows, id)
		}
	}
	swap(gone, verifier).problem(unauthenticated)
}

// The issuer may be away: nobody signs on, everybody signs in, and no start waits for it.
func TestSignOnWithoutIssuer(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	w.withPassword("viewer")
	at.Person(ada("staff"))
	at.Break("/.well-known/openid-configuration", http.StatusBadGateway)
	a := w.browser().do("GET", "/api/auth/oidc/login", nil)
	if a.problem(unavailable); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	w.login("viewer@example.com", password).want(200)
	at.Break("/.well-known/openid-configuration", 0)
	w.browser().do("GET", "/api/auth/oidc/login", nil).problem(unavailable) // it was asked just now
	w.db.pass(time.Second)
	w.browser().signOn(at, "").want(http.StatusSeeOther)

	w.db.goAway()
	b := w.browser()
	back := at.SignOn(t, b.leave(""))
	b.do("GET", back.RequestURI(), nil).problem(unavailable)

	for name, file := range map[string]func(*OIDC){
		"no issuer":                           func(o *OIDC) { *o = DefaultOIDC() },
		"a secret that was never to be found": func(o *OIDC) { o.ClientSecret = &secrets.Secret{} },
	} {
		w, _ := signOnWorld(t, file)
		for _, path := range []string{"/api/auth/oidc/login", CallbackPath} {
			if p := w.browser().do("GET", path, nil).problem(notFound); !strings.Contains(p.Detail, "not configured") {
				t.Errorf("%s: %s", name, p.Detail)
			}
		}
		w.do("", "POST", "/api/auth/oidc/token", map[string]any{"code": "x", "verifier": issuer.NewFlow().Verifier}).problem(notFound)
	}
}

// A person sees a page, and what the issuer or the address say can not write on it.
func TestSignOnPage(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, func(o *OIDC) { o.OrganizationClaim = "<b>org</b>" })
	claims := ada("staff")
	claims["<b>org</b>"] = "platform"
	at.Person(claims)
	b := w.browser()
	a := b.do("GET", at.SignOn(t, b.leave("")).RequestURI(), nil, "Accept", "text/html,*/*").want(http.StatusForbidden)
	page := string(a.body)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || a.header.Get("Content-Security-Policy") != pagePolicy ||
		!strings.Contains(page, "&lt;b&gt;org&lt;/b&gt;") || strings.Contains(page, "<b>org") || !strings.Contains(page, a.header.Get("X-Request-Id")) {
		t.Errorf("%v\n%s", a.header, page)
	}
}

// TestSignOnTellsNoSecret: what a sign-on knows is in no log, metric or answer where it does not belong.
func TestSignOnTellsNoSecret(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	b := w.browser()
	var told []string
	see := func(a *answer) *answer {
		told = append(told, string(a.body), a.header.Get("Location"))
		return a
	}
	address := b.leave("")
	flow, back := b.cookies["__Host-vel-sign-on"], at.SignOn(t, address)
	see(b.do("GET", back.RequestURI(), nil).want(http.StatusSeeOther))
	session := b.cookies["__Host-vel"]
	b.cookies["__Host-vel-sign-on"] = flow
	see(b.do("GET", back.RequestURI(), nil)) // a replay
	wrong := secrets.New("canary-wrong-secret")
	d := w.Deps
	d.SignOn.ClientSecret, d.Registerer = &wrong, prometheus.NewRegistry()
	w.Server = NewServer(d)
	see(b.do("GET", at.SignOn(t, b.leave("")).RequestURI(), nil)) // the issuer repeats the secret
	see(b.do("GET", "/api/users/me", nil).want(200))
	see(b.do("POST", "/api/auth/logout", nil).want(204))
	told = append(told, w.log.String(), w.db.shape())
	for _, canary := range []string{"canary-", issuertest.Secret, session, flow, back.Query().Get("code"), back.Query().Get("state"), "eyJ"} {
		for _, text := range told {
			if canary == "" || strings.Contains(text, canary) {
				t.Errorf("%q is told in %.300s", canary, text)
			}
		}
	}
}
