package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestFaultsOfRequests: every fault is named at once, with its place, and no secret is said again.
func TestFaultsOfRequests(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	const weak = "weak-canary"
	o.Guard(weak)
	for name, c := range map[string]struct {
		method, path string
		body         any
		places       []string
	}{
		"an empty user": {"POST", "/api/users", members{}, []string{"body", "body"}}, // name and email are missing
		"a user": {
			"POST", "/api/users",
			members{"name": "", "email": "no address", "password": weak, "disabled": "no", "more": weak, "teams": []any{7}},
			[]string{"body.disabled", "body.email", "body.more", "body.name", "body.password", "body.teams[0]"},
		},
		"a password as a number": {"POST", "/api/users", `{"name":"n","email":"e@example.com","password":123456789}`, []string{"body.password"}},
		"a weak password":        {"PUT", "/api/users/" + n.user + "/password", members{"password": weak}, []string{"body.password"}},
		"a short password":       {"PUT", "/api/users/" + n.user + "/password", members{"password": "Canary1"}, []string{"body.password"}},
		"a key": {
			"POST", "/api/keys?limit=1",
			members{"name": strings.Repeat("n", 65), "expires": "tomorrow", "models": []string{""}, "team": "a b"},
			[]string{"body.expires", "body.models[0]", "body.name", "body.team", "query.limit"},
		},
		"a role":              {"POST", "/api/roles", members{"name": " ", "permissions": []string{"fly", "execute_task"}}, []string{"body.name", "body.permissions[0]"}},
		"a missing reference": {"POST", "/api/keys", members{"name": "n", "team": madeUp(n.team)}, []string{"body.team"}},
		"two organizations": {
			"POST", "/api/teams" + within(n.org),
			members{"name": "n", "organization": madeUp(n.org)},
			[]string{"body.organization"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := n.admin.do(t, c.method, c.path, c.body)
			p := a.problem(t, http.StatusUnprocessableEntity, "invalid")
			places := p.places()
			slices.Sort(places)
			if !slices.Equal(places, c.places) {
				t.Errorf("faults at %v, want %v\n%s", places, c.places, a.body)
			}
			if strings.Contains(string(a.body), weak) || strings.Contains(string(a.body), "123456789") {
				t.Errorf("a secret is said again: %s", a.body)
			}
		})
	}
}

// TestRequestsThatAreNone: what is no request of the API is told so in the same form.
func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const right = `{"name":"n"}`
	for name, c := range map[string]struct {
		method, path, body string
		edit               func(*http.Request)
		status             int
		kind               string
	}{
		"no body":           {"POST", "/api/teams", "", nil, 400, "malformed"},
		"half a body":       {"POST", "/api/teams", `{"name":`, nil, 400, "malformed"},
		"two bodies":        {"POST", "/api/teams", right + right, nil, 400, "malformed"},
		"a member twice":    {"POST", "/api/teams", `{"name":"a","name":"b"}`, nil, 400, "malformed"},
		"a list":            {"POST", "/api/teams", `[]`, nil, 422, "invalid"},
		"null":              {"POST", "/api/teams", `null`, nil, 422, "invalid"},
		"not UTF-8":         {"POST", "/api/teams", "{\"name\":\"\xff\"}", nil, 400, "malformed"},
		"nested":            {"POST", "/api/teams", strings.Repeat("[", 100_000), nil, 400, "malformed"},
		"a form":            {"POST", "/api/teams", "name=n", header("Content-Type", "application/x-www-form-urlencoded"), 415, "not-json"},
		"too large":         {"POST", "/api/teams", `{"name":"` + strings.Repeat("n", 1<<20) + `"}`, nil, 413, "too-large"},
		"nowhere":           {"GET", "/api/nowhere", "", nil, 404, "not-found"},
		"the root":          {"GET", "/api", "", nil, 404, "not-found"},
		"a path with dots":  {"GET", "/api/../api/teams", "", nil, 404, "not-found"},
		"a slash too many":  {"GET", "/api/teams/", "", nil, 404, "not-found"},
		"another method":    {"PATCH", "/api/teams", right, nil, 405, "wrong-method"},
		"no such method":    {"FLY", "/api/teams/" + n.team, "", nil, 405, "wrong-method"},
		"an id that is odd": {"GET", "/api/teams/%00", "", nil, 422, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			a := n.admin.do(t, c.method, c.path, c.body, edit)
			a.problem(t, c.status, c.kind)
			if c.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
				t.Error("no allow")
			}
			if c.status == http.StatusRequestEntityTooLarge { // refused before the API has seen it
				return
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestCredentials: the same key in each header that clients send one in, and none that is half of one.
func TestCredentials(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	key := o.tenant(t, "acme").robot(t, "viewer").token
	for header, ok := range map[string]bool{
		"Authorization: Bearer " + key:       true,
		"Authorization: bearer " + key:       true,
		"X-Api-Key: " + key:                  true,
		"Api-Key: " + key:                    true,
		"Authorization: " + key:              false,
		"Authorization: Basic " + key:        false,
		"Authorization: Bearer " + key + "x": false,
		"Authorization: Bearer":              false,
		"Cookie: session=" + key:             false,
	} {
		name, value, _ := strings.Cut(header, ": ")
		a := o.caller("").do(t, "GET", "/api/teams", nil, func(r *http.Request) { r.Header.Set(name, value) })
		if ok {
			a.want(t, http.StatusOK)
		} else {
			a.problem(t, http.StatusUnauthorized, "unauthenticated")
		}
	}
	if a := o.caller("").do(t, "GET", "/api/teams?key="+key, nil); a.status != http.StatusUnauthorized {
		t.Errorf("a key in the address opens: %d", a.status)
	}
}
