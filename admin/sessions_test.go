package admin

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// withPassword gives a user of the world the password of the tests.
func (w *world) withPassword(names ...string) {
	hash := tenancy.HashPassword(password)
	for _, name := range names {
		u := w.db.users.rows[tenancy.ID("user_"+name)]
		u.Password = hash
		w.db.users.rows[u.ID] = u
	}
}

func (w *world) login(email, password string) *answer {
	w.t.Helper()
	return w.do("", "POST", "/api/auth/login", map[string]any{"email": email, "password": password}, "User-Agent", "test\x01 agent")
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer")
	var token Token
	w.login(" Viewer@Example.com ", password).want(200).into(&token)
	if !strings.HasPrefix(token.Token, "vs-") || len(token.Token) != 46 || token.Type != "Bearer" || token.User.ID != "user_viewer" ||
		!token.Expires.Equal(start.Add(24*time.Hour)) || !token.Renewable.Equal(start.Add(30*24*time.Hour)) {
		t.Errorf("token %+v", token)
	}
	w.tokens["viewer"] = token.Token
	me := w.do("viewer", "GET", "/api/users/me", nil).want(200).object()
	if me["id"] != "user_viewer" || !slices.Equal(me["permissions"].([]any), []any{"view_organization", "view_analytics"}) {
		t.Errorf("me %v", me)
	}
	var list struct{ Data []Session }
	w.do("viewer", "GET", "/api/auth/sessions", nil).want(200).into(&list)
	if len(list.Data) != 2 {
		t.Fatalf("sessions %v", list)
	}
	i := slices.IndexFunc(list.Data, func(s Session) bool { return s.Current })
	if s := list.Data[i]; s.Address != "192.0.2.1" || s.Agent != "test agent" {
		t.Errorf("session %+v", s)
	}
	w.do("viewer", "DELETE", "/api/auth/sessions/"+string(list.Data[1-i].ID), nil).want(204)
	w.do("viewer", "DELETE", "/api/auth/sessions/session_user_admin", nil).problem(notFound)
	w.do("viewer", "POST", "/api/auth/logout", nil).want(204)
	w.do("viewer", "GET", "/api/users/me", nil).problem(unauthenticated)
	if w.do("admin", "GET", "/api/users/me", nil).want(200); strings.Contains(w.log.String(), token.Token) || strings.Contains(w.log.String(), password) {
		t.Error("a secret is in the log")
	}
}

func TestSignInFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer", "clerk", "outsider")
	clerk := w.db.users.rows["user_clerk"]
	clerk.Disabled = true
	w.db.users.rows["user_clerk"] = clerk
	o := w.db.orgs.rows[other]
	o.Disabled = true
	w.db.orgs.rows[other] = o
	bodies := map[string]bool{}
	for i, c := range [][2]string{
		{"viewer@example.com", "Wrong-Horse-1"},
		{"nobody@example.com", password},
		{"clerk@example.com", password},
		{"outsider@example.com", password},
		{"admin@example.com", password}, // without a password
	} {
		w.db.pass(time.Duration(i) * time.Hour)
		a := w.login(c[0], c[1])
		p := a.problem(unauthenticated)
		bodies[p.Detail] = true
		if a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", c[0])
		}
	}
	if len(bodies) != 1 {
		t.Errorf("they can be told apart: %v", bodies)
	}
	w.db.pass(time.Hour)
	w.db.goAway()
	w.login("viewer@example.com", password).problem(unavailable)
}

// Whoever is named, a password is computed: an address that is not known answers no faster. And when too many are
// computed already, the answer is when to try again.
func TestEverySignInCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer", "clerk")
	clerk := w.db.users.rows["user_clerk"]
	clerk.Disabled = true
	w.db.users.rows["user_clerk"] = clerk
	w.hashing = tenancy.NewPasswords(0, 0)
	for _, name := range []string{"viewer", "clerk", "admin", "unknown"} {
		if a := w.login(name+"@example.com", password); a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %v", name, a.header)
		} else {
			a.problem(unavailable)
		}
	}
}

// One address in several organizations: the password decides, and where it fits twice the person.
func TestSignInWithoutOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer", "outsider")
	twin := w.db.users.rows["user_outsider"]
	twin.Email = "viewer@example.com"
	w.db.users.rows["user_outsider"] = twin
	p := w.login("viewer@example.com", password).problem(ambiguous)
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.organization" || !strings.Contains(p.Errors[0].Message, "org_acme") || !strings.Contains(p.Errors[0].Message, "org_other") {
		t.Errorf("faults %v", p.Errors)
	}
	body := map[string]any{"email": "viewer@example.com", "password": password, "organization": other}
	if a := w.do("", "POST", "/api/auth/login", body).want(200); !strings.Contains(string(a.body), "user_outsider") {
		t.Errorf("signed in %s", a.body)
	}
	twin.Password = tenancy.HashPassword("Other-Horse-2")
	w.db.users.rows["user_outsider"] = twin
	if a := w.login("viewer@example.com", "Other-Horse-2").want(200); !strings.Contains(string(a.body), "user_outsider") {
		t.Errorf("signed in %s", a.body)
	}
}

// A session lives a day, a refreshed one at most 30 days after the password was given.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.tokens["viewer"]
	for day := range 29 {
		w.db.pass(24*time.Hour - time.Second)
		var token Token
		w.do("viewer", "POST", "/api/auth/refresh", nil).want(200).into(&token)
		if !token.Renewable.Equal(start.Add(30 * 24 * time.Hour)) {
			t.Fatalf("day %d: renewable until %s", day, token.Renewable)
		}
		w.tokens["viewer"], w.tokens["before"] = token.Token, w.tokens["viewer"]
		w.do("before", "GET", "/api/users/me", nil).problem(unauthenticated)
	}
	var last Token
	w.db.pass(12 * time.Hour)
	w.do("viewer", "POST", "/api/auth/refresh", nil).want(200).into(&last)
	if w.tokens["viewer"] = last.Token; !last.Expires.Equal(last.Renewable) || last.Token == first {
		t.Errorf("the last token ends at %s, not at %s", last.Expires, last.Renewable)
	}
	w.db.pass(last.Expires.Sub(w.db.clock()))
	w.do("viewer", "POST", "/api/auth/refresh", nil).problem(unauthenticated)
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPassword("viewer")
	body := func(old, new string) map[string]any { return map[string]any{"old": old, "new": new} }
	p := w.do("viewer", "PUT", "/api/users/me/password", body("Wrong-Horse-1", "Other-Horse-2")).problem(invalid)
	if !slices.Equal(p.Errors, []Fault{{"body.old", "is not your password"}}) {
		t.Errorf("faults %v", p.Errors)
	}
	w.do("viewer", "PUT", "/api/users/me/password", body(password, "other-horse-2")).problem(invalid)
	w.do("viewer", "PUT", "/api/users/me/password", body(password, "Other-Horse-2")).want(204)
	w.do("viewer", "GET", "/api/users/me", nil).problem(unauthenticated)
	w.login("viewer@example.com", "Other-Horse-2").want(200)

	w.do("admin", "PUT", "/api/users/user_clerk/password", map[string]any{"password": password}).want(204)
	w.do("clerk", "GET", "/api/users/me", nil).problem(unauthenticated)
	w.login("clerk@example.com", password).want(200)
}

func TestFiveTriesAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	try := func(address string) *answer {
		r := httptest.NewRequest("POST", "/api/auth/login", strings.NewReader(`{"email":"x@example.com","password":"x"}`))
		r.RemoteAddr = address
		return w.send(r)
	}
	for range 5 {
		try("198.51.100.7:1").problem(unauthenticated)
		w.db.pass(time.Second)
	}
	a := try("198.51.100.7:2")
	if a.problem(tooMany); a.header.Get("Retry-After") != "55" {
		t.Errorf("retry after %s", a.header.Get("Retry-After"))
	}
	try("198.51.100.8:1").problem(unauthenticated)
	w.db.pass(55 * time.Second)
	try("198.51.100.7:3").problem(unauthenticated)
	try("198.51.100.7:3").problem(tooMany)
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "@": "@",
	} {
		if got := network(name); got != want {
			t.Errorf("%s counts as %s, want %s", name, got, want)
		}
	}
	th := newThrottle()
	for i := range mostAddresses {
		th.try(fmt.Sprint(i), start)
	}
	th.try("one more", start)
	if len(th.seen) != mostAddresses {
		t.Errorf("%d addresses are remembered", len(th.seen))
	}
	th.try("later", start.Add(time.Hour))
	if len(th.seen) != 1 {
		t.Errorf("%d addresses are remembered after an hour", len(th.seen))
	}
}
