package tests

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// token is what a sign-in gives.
type token struct {
	Token     string
	Type      string `json:"token_type"`
	Expires   time.Time
	Renewable time.Time `json:"renewable_until"`
	User      struct{ ID, Email string }
}

// sign tries to sign in, from an address that has never tried.
func (o *office) sign(t *testing.T, email, password, org string) answer {
	t.Helper()
	body := members{"email": email, "password": password}
	if org != "" {
		body["organization"] = org
	}
	return o.caller("").do(t, "POST", "/api/auth/login", body)
}

// out checks that somebody is not known, or not any more.
func (c *caller) out(t *testing.T) {
	t.Helper()
	c.do(t, "GET", "/api/users/me", nil).problem(t, http.StatusUnauthorized, "unauthenticated")
}

// in checks that somebody is signed in.
func (c *caller) in(t *testing.T) {
	t.Helper()
	c.do(t, "GET", "/api/users/me", nil).want(t, http.StatusOK)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	t.Run("a token", func(t *testing.T) {
		first := read[token](t, o.sign(t, "  "+strings.ToUpper(n.email), n.password, "").want(t, http.StatusOK))
		if !strings.HasPrefix(first.Token, "vs-") || len(first.Token) != 46 || first.Type != "Bearer" || first.User.ID != n.user {
			t.Errorf("%+v", first)
		}
		if life := time.Until(first.Expires); life < 23*time.Hour || life > 24*time.Hour {
			t.Errorf("it lives for %s", life)
		}
		if most := time.Until(first.Renewable); most < 719*time.Hour || most > 720*time.Hour {
			t.Errorf("it can be renewed for %s", most)
		}
		c := o.caller(first.Token)
		me := read[struct {
			ID          string
			Permissions []string
		}](t, c.do(t, "GET", "/api/users/me", nil))
		if me.ID != n.user || !slices.Contains(me.Permissions, "manage_keys") || slices.Contains(me.Permissions, "manage_platform") {
			t.Errorf("%+v", me)
		}
		second := read[token](t, c.do(t, "POST", "/api/auth/refresh", nil).want(t, http.StatusOK))
		c.out(t)
		c.do(t, "POST", "/api/auth/refresh", nil).problem(t, http.StatusUnauthorized, "unauthenticated")
		if second.Renewable.Sub(first.Renewable).Abs() > time.Millisecond || second.Token == first.Token {
			t.Errorf("a refresh has moved the end of all: %+v, then %+v", first, second)
		}
		c = o.caller(second.Token)
		c.in(t)
		c.do(t, "POST", "/api/auth/logout", nil).want(t, http.StatusNoContent)
		c.out(t)
	})
	t.Run("a token that is none", func(t *testing.T) {
		for _, wrong := range []string{"vs-" + strings.Repeat("A", 43), "vs-", strings.Repeat("x", 5000)} {
			(&caller{office: o, token: wrong}).out(t)
		}
	})
	t.Run("the list", func(t *testing.T) {
		user := n.person(t, "task_executor")
		a, b := n.signedIn(t, user), n.signedIn(t, user)
		sessions := read[page](t, a.do(t, "GET", "/api/auth/sessions", nil)).Data
		if len(sessions) != 2 || sessions[0]["current"] != false || sessions[1]["current"] != true || !strings.HasPrefix(sessions[0]["address"].(string), "127.") {
			t.Fatalf("%v", sessions)
		}
		a.do(t, "DELETE", "/api/auth/sessions/"+sessions[0]["id"].(string), nil).want(t, http.StatusNoContent)
		b.out(t)
		a.in(t)
	})
	// What ends all sessions of a person, or shuts them out.
	for what, end := range map[string]func(t *testing.T, user string, by *caller){
		"their new password": func(t *testing.T, _ string, by *caller) {
			wrong := members{"old": "Not-" + n.password, "new": "Other-Canary-2"}
			if p := by.do(t, "PUT", "/api/users/me/password", wrong).problem(t, http.StatusUnprocessableEntity, "invalid"); !slices.Contains(p.places(), "body.old") {
				t.Errorf("%+v", p)
			}
			by.do(t, "PUT", "/api/users/me/password", members{"old": n.password, "new": "Other-Canary-2"}).want(t, http.StatusNoContent)
		},
		"a password from the administrator": func(t *testing.T, user string, _ *caller) {
			n.admin.do(t, "PUT", "/api/users/"+user+"/password", members{"password": "Other-Canary-2"}).want(t, http.StatusNoContent)
		},
		"being disabled": func(t *testing.T, user string, _ *caller) {
			body := members{"name": "x", "email": n.emailOf(t, user), "disabled": true}
			n.admin.do(t, "PUT", "/api/users/"+user, body).want(t, http.StatusOK)
		},
		"being deleted": func(t *testing.T, user string, _ *caller) {
			n.admin.do(t, "DELETE", "/api/users/"+user, nil).want(t, http.StatusNoContent)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			user := n.person(t, "task_executor")
			email := n.emailOf(t, user)
			a, b := n.signedIn(t, user), n.signedIn(t, user)
			end(t, user, a)
			a.out(t)
			b.out(t)
			o.sign(t, email, n.password, n.org).problem(t, http.StatusUnauthorized, "unauthenticated")
			if strings.Contains(what, "password") {
				o.login(t, email, "Other-Canary-2", "").in(t)
			}
		})
	}
	t.Run("roles hold at once", func(t *testing.T) {
		user := n.person(t)
		c := n.signedIn(t, user)
		c.do(t, "GET", "/api/teams", nil).problem(t, http.StatusForbidden, "not-allowed")
		n.admin.do(t, "PUT", "/api/users/"+user+"/roles", members{"roles": []string{"viewer"}}).want(t, http.StatusOK)
		c.do(t, "GET", "/api/teams", nil).want(t, http.StatusOK)
		n.admin.do(t, "PUT", "/api/users/"+user+"/roles", members{"roles": []string{}}).want(t, http.StatusOK)
		c.do(t, "GET", "/api/teams", nil).problem(t, http.StatusForbidden, "not-allowed")
	})
}

// TestSignInTellsNothing: who guesses does not learn whether there is such a person.
func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n, closed := o.tenant(t, "acme"), o.tenant(t, "closed")
	disabled, without := n.person(t, "viewer"), n.fresh(t, "user")
	o.root.do(t, "PUT", "/api/users/"+disabled+within(n.org), members{"name": "x", "email": "disabled@example.com", "disabled": true}).want(t, http.StatusOK)
	o.root.do(t, "PUT", "/api/organizations/"+closed.org, members{"name": closed.name, "disabled": true}).want(t, http.StatusOK)
	var first string
	for what, c := range map[string]struct{ email, password, org string }{
		"unknown address":       {"nobody@example.com", n.password, ""},
		"wrong password":        {n.email, "Wrong-Password-1", ""},
		"no address at all":     {"nobody", n.password, ""},
		"disabled":              {"disabled@example.com", n.password, ""},
		"without a password":    {n.emailOf(t, without), n.password, ""},
		"disabled organization": {closed.email, closed.password, ""},
		"other organization":    {n.email, n.password, closed.org},
		"unknown organization":  {n.email, n.password, madeUp(n.org)},
	} {
		a := o.sign(t, c.email, c.password, c.org)
		a.problem(t, http.StatusUnauthorized, "unauthenticated")
		text := strings.ReplaceAll(string(a.body), a.header.Get("X-Request-Id"), "ID") + a.header.Get("WWW-Authenticate")
		if first == "" {
			first = text
		}
		if text != first {
			t.Errorf("%s: another answer than others have\n%s\n%s", what, text, first)
		}
	}
}

// TestFiveTries: from one address passwords can be tried five times a minute.
func TestFiveTries(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	right := members{"email": n.email, "password": n.password}
	guesser := &caller{office: o, from: address()}
	for range 4 {
		guesser.do(t, "POST", "/api/auth/login", members{"email": n.email, "password": "Wrong-Password-1"}).problem(t, http.StatusUnauthorized, "unauthenticated")
	}
	own := &caller{office: o, from: guesser.from, token: n.admin.token} // changing one's own password is a try too
	change := members{"old": "Wrong-Password-1", "new": "Other-Canary-2"}
	own.do(t, "PUT", "/api/users/me/password", change).problem(t, http.StatusUnprocessableEntity, "invalid")
	for path, a := range map[string]answer{
		"sign in":  guesser.do(t, "POST", "/api/auth/login", right),
		"password": own.do(t, "PUT", "/api/users/me/password", change),
	} {
		a.problem(t, http.StatusTooManyRequests, "too-many")
		if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
			t.Errorf("%s: retry-after %q", path, a.header.Get("Retry-After"))
		}
	}
	own.in(t) // what is no try goes on
	o.sign(t, n.email, n.password, "").want(t, http.StatusOK)
}

// TestSeveralOrganizations: one address and password in several of them.
func TestSeveralOrganizations(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	const email = "ada@example.com"
	var orgs, users []string
	for name, password := range map[string]string{"one": goodPassword, "two": goodPassword, "three": "Other-Canary-2"} {
		org := o.organization(t, name)
		user := o.root.create(t, "/api/users", members{"organization": org, "name": "Ada", "email": email, "password": password})["id"].(string)
		if password == goodPassword {
			orgs, users = append(orgs, org), append(users, user)
		} else if got := read[token](t, o.sign(t, email, password, "").want(t, http.StatusOK)); got.User.ID != user {
			t.Errorf("the password of one organization opens another: %+v", got)
		}
	}
	p := o.sign(t, email, goodPassword, "").problem(t, http.StatusConflict, "ambiguous")
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.organization" || !strings.Contains(p.Errors[0].Message, orgs[0]) || !strings.Contains(p.Errors[0].Message, orgs[1]) {
		t.Errorf("%+v", p)
	}
	o.sign(t, email, "Wrong-Password-1", "").problem(t, http.StatusUnauthorized, "unauthenticated")
	for i, org := range orgs {
		if got := read[token](t, o.sign(t, email, goodPassword, org).want(t, http.StatusOK)); got.User.ID != users[i] {
			t.Errorf("%+v", got)
		}
	}
	o.root.do(t, "PUT", "/api/organizations/"+orgs[0], members{"name": "closed", "disabled": true}).want(t, http.StatusOK)
	if got := read[token](t, o.sign(t, email, goodPassword, "").want(t, http.StatusOK)); got.User.ID != users[1] {
		t.Errorf("%+v", got)
	}
}
