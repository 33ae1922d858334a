package tests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/idp"
	"github.com/vel-gateway/vel/tests/vel"
)

// signOnFile is the part of a file by which people of the platform sign on; more goes into its block.
func signOnFile(issuer, more string) string {
	return `
admin:
  oidc:
    issuer: ` + issuer + `
    client_id: ` + idp.ClientID + `
    client_secret: env:OIDC_SECRET
    redirect_url: http://127.0.0.1:1/api/auth/oidc/callback
    organization: platform
    roles: {map: {root: platform_admin, staff: viewer}}
    ` + more + "\n"
}

// visitor is a browser: it keeps cookies and follows nothing.
type visitor struct {
	url     string
	host    string      // that the browser knows; empty: that of url
	header  http.Header // of every request
	cookies map[string]string
	seen    []string // bodies and addresses that it was shown
}

func visit(p *vel.Process, headers ...string) *visitor {
	v := &visitor{url: p.URL, header: http.Header{}, cookies: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		v.header.Set(headers[i], headers[i+1])
	}
	return v
}

func (v *visitor) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, v.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Host = v.header.Clone(), v.host
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range v.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	v.seen = append(v.seen, string(text), res.Header.Get("Location"))
	return answer{status: res.StatusCode, header: res.Header, body: text}
}

// signOn walks a whole sign-on and gives Vel's last answer.
func (v *visitor) signOn(t *testing.T, at *idp.Issuer, query string) answer {
	t.Helper()
	away := v.do(t, "GET", "/api/auth/oidc/login"+query, "").want(t, http.StatusSeeOther)
	return v.do(t, "GET", at.Pass(t, away.header.Get("Location")), "")
}

func staff(groups ...string) map[string]any {
	return map[string]any{"sub": "ada", "name": "Ada", "email": "ada@example.com", "email_verified": true, "groups": groups}
}

// TestSignOn walks a person's day: they sign on, work in a page, are attacked from another one, and sign out. No secret
// of it is told where it does not belong: not in the log, an answer, the metrics or the files of the database.
func TestSignOn(t *testing.T) {
	t.Parallel()
	at := idp.Start(t)
	o := openOffice(t, signOnFile(at.URL, ""), "OIDC_SECRET="+idp.Secret)
	at.Admit(staff("root"))
	v := visit(o.Process)
	if to := v.signOn(t, at, "?return=/api/docs%3Fx=1").want(t, http.StatusSeeOther).header.Get("Location"); to != "/api/docs?x=1" {
		t.Errorf("sent on to %s", to)
	}
	session := v.cookies["vel"]
	if len(v.cookies) != 1 || !strings.HasPrefix(session, "vs-") {
		t.Fatalf("cookies %v", v.cookies)
	}
	me := v.do(t, "GET", "/api/users/me", "").want(t, http.StatusOK)
	if me.member(t, "email") != "ada@example.com" || me.member(t, "issuer") != at.URL || me.member(t, "organization") != "platform" {
		t.Errorf("signed on as %s", me.body)
	}

	// Another site's page can not use the cookie; the own one can, and who sends a token is not asked.
	v.do(t, "POST", "/api/organizations", `{"name":"forged"}`, "Sec-Fetch-Site", "cross-site").problem(t, http.StatusForbidden, "cross-origin")
	v.do(t, "POST", "/api/organizations", `{"name":"forged"}`, "Origin", "https://evil.example").problem(t, http.StatusForbidden, "cross-origin")
	v.do(t, "POST", "/api/organizations", `{"name":"own"}`, "Sec-Fetch-Site", "same-origin", "Origin", o.URL).want(t, http.StatusCreated)
	o.root.do(t, "POST", "/api/organizations", members{"name": "by token"}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }).want(t, http.StatusCreated)

	// A second sign-on is another session; an answer of the issuer's is good once, and only in its own browser.
	away := v.do(t, "GET", "/api/auth/oidc/login", "").want(t, http.StatusSeeOther)
	flow, back := v.cookies["vel-sign-on"], at.Pass(t, away.header.Get("Location"))
	visit(o.Process).do(t, "GET", back, "").problem(t, http.StatusForbidden, "sign-on-refused")
	v.do(t, "GET", back, "").want(t, http.StatusSeeOther)
	if v.cookies["vel"] == session {
		t.Error("a sign-on goes on with the session of before")
	}
	thief := visit(o.Process)
	thief.cookies["vel-sign-on"] = flow
	thief.do(t, "GET", back, "").problem(t, http.StatusForbidden, "sign-on-refused")

	v.do(t, "POST", "/api/auth/logout", "", "Sec-Fetch-Site", "same-origin").want(t, http.StatusNoContent)
	if v.cookies["vel"] != "" {
		t.Error("the cookie stays after signing out")
	}

	// The roles are those of the groups now; and without one, nobody is signed on.
	at.Admit(staff("staff"))
	v.signOn(t, at, "").want(t, http.StatusSeeOther)
	v.do(t, "POST", "/api/organizations", `{"name":"no more"}`).problem(t, http.StatusForbidden, "not-allowed")
	at.Admit(staff("elsewhere"))
	v.signOn(t, at, "").problem(t, http.StatusForbidden, "sign-on-refused")

	canaries := append(at.Told(), session, v.cookies["vel"], flow)
	o.Guard(session)
	o.untold(t, canaries, v.seen, thief.seen)
}

// untold looks for secrets in all that Vel has written, printed and shown.
func (o *office) untold(t *testing.T, canaries []string, shown ...[]string) {
	t.Helper()
	places := map[string]string{}
	places["the metrics"] = string(ask(t, request(t, "GET", o.URL+"/metrics", "", "")).body)
	for _, list := range append(lists(), "/api/auth/sessions") {
		places[list] = string(o.root.do(t, "GET", list+"?organization=platform", nil).body)
	}
	last := o.root.do(t, "GET", "/api/health", nil).header.Get("X-Request-Id")
	if _, err := o.Log.Wait(deadline(t), "the last request", func(line string) bool { return strings.Contains(line, last) }); err != nil {
		t.Fatal(err) // lines come a little later than answers
	}
	places["the log"], places["what is printed"] = o.Log.Tail(1<<20), o.Out.Tail(1<<20)
	for _, texts := range shown {
		for _, text := range texts {
			if !strings.Contains(text, "/authorize?") && !strings.HasPrefix(text, "http://127.0.0.1:") { // what a browser carries
				places["what a browser was shown: "+text] = text
			}
		}
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(o.Dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		places[path], files = string(text), files+1
		return err
	})
	if err != nil || files < 2 || len(places["the log"]) < 1000 {
		t.Fatalf("%d files and %d bytes of log were looked through: %v", files, len(places["the log"]), err)
	}
	for _, canary := range canaries {
		for place, text := range places {
			if canary != "" && strings.Contains(text, canary) {
				t.Errorf("%.20s… stands in %.80s", canary, place)
			}
		}
	}
}

// TestSignOnBehindAProxy: by TLS the cookie is one of this host alone; who is not trusted can not claim TLS, and without
// it there are no cookies for other machines.
func TestSignOnBehindAProxy(t *testing.T) {
	t.Parallel()
	at := idp.Start(t)
	at.Admit(staff("staff"))
	trusting := openOffice(t, "server: {trusted_proxies: [127.0.0.0/8]}\n"+signOnFile(at.URL, ""), "OIDC_SECRET="+idp.Secret)
	v := visit(trusting.Process, "X-Forwarded-Proto", "https")
	a := v.signOn(t, at, "").want(t, http.StatusSeeOther)
	if v.cookies["__Host-vel"] == "" || len(v.cookies) != 1 || a.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("cookies %v, headers %v", v.cookies, a.header)
	}
	for _, line := range a.header.Values("Set-Cookie") {
		for _, want := range []string{"__Host-vel", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s has no %s", line[:20], want)
			}
		}
	}
	v.do(t, "GET", "/api/users/me", "").want(t, http.StatusOK)

	distrusting := openOffice(t, signOnFile(at.URL, ""), "OIDC_SECRET="+idp.Secret)
	v = visit(distrusting.Process, "X-Forwarded-Proto", "https")
	if v.signOn(t, at, "").want(t, http.StatusSeeOther); v.cookies["vel"] == "" {
		t.Errorf("cookies %v", v.cookies)
	}
	v.host = "vel.example"
	v.do(t, "GET", "/api/auth/oidc/login", "").problem(t, http.StatusForbidden, "not-encrypted")
	v.do(t, "GET", "/api/users/me", "").problem(t, http.StatusUnauthorized, "unauthenticated")
	a = visit(distrusting.Process).do(t, "GET", "/api/auth/oidc/callback", "", "Accept", "text/html").want(t, http.StatusForbidden)
	if !bytes.Contains(a.body, []byte("<!doctype html>")) || !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%v\n%s", a.header, a.body)
	}
}

// TestSignOnWithoutItsIssuer: a start does not wait for the issuer, and passwords and keys do not need it.
func TestSignOnWithoutItsIssuer(t *testing.T) {
	t.Parallel()
	at := idp.Start(t)
	address := at.URL
	at.Close()
	o := openOffice(t, signOnFile(address, ""), "OIDC_SECRET="+idp.Secret)
	n := o.tenant(t, "acme") // signs people in by password
	n.admin.in(t)
	a := visit(o.Process).do(t, "GET", "/api/auth/oidc/login", "")
	if p := a.problem(t, http.StatusServiceUnavailable, "unavailable"); a.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "issuer") {
		t.Errorf("%v %s", a.header, a.body)
	}
	o.untold(t, []string{idp.Secret})

	// A secret that is referred to and not there switches it off; that is said, and nothing else is.
	off := openOffice(t, signOnFile(address, ""))
	visit(off.Process).do(t, "GET", "/api/auth/oidc/login", "").problem(t, http.StatusNotFound, "not-found")
	if _, err := off.Log.Wait(deadline(t), "a word about the secret", func(line string) bool { return strings.Contains(line, "admin.oidc.client_secret") }); err != nil {
		t.Error(err)
	}
}

var loginLine = regexp.MustCompile(`^http://\S+/api/auth/oidc/login\?\S+$`)

// TestLoginCommand signs a person on by the command line, with a browser of our own.
func TestLoginCommand(t *testing.T) {
	t.Parallel()
	at := idp.Start(t)
	at.Admit(staff("root"))
	o := openOffice(t, signOnFile(at.URL, ""), "OIDC_SECRET="+idp.Secret)
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--json", "login", "--server", o.URL)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	var out bytes.Buffer
	cmd.Stdout = &out
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	var address *url.URL
	for address == nil && lines.Scan() {
		if loginLine.MatchString(lines.Text()) {
			if address, err = url.Parse(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if address == nil {
		t.Fatal("the command names no address")
	}
	v := visit(o.Process)
	to := v.signOn(t, at, "?"+address.RawQuery).want(t, http.StatusSeeOther).header.Get("Location")
	if !strings.HasPrefix(to, "http://127.0.0.1:"+address.Query().Get("port")+"/?code=") || v.cookies["vel"] != "" {
		t.Fatalf("sent on to %s with %v", to, v.cookies)
	}
	res, err := http.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if err := cmd.Wait(); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the command ends with %v, the browser is shown %s", err, res.Status)
	}
	var token struct{ Token string }
	if err := json.Unmarshal(out.Bytes(), &token); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	o.caller(token.Token).do(t, "GET", "/api/organizations", nil).want(t, http.StatusOK)
	code, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	o.caller("").do(t, "POST", "/api/auth/oidc/token", members{"code": code.Query().Get("code"), "verifier": strings.Repeat("v", 43)}).
		problem(t, http.StatusUnauthorized, "unauthenticated")
	o.untold(t, append(at.Told(), token.Token, code.Query().Get("code")))
}
