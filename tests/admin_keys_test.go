package tests

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// calls tells whether a key opens the data plane.
func (c *caller) calls(t *testing.T) bool {
	t.Helper()
	a := ask(t, request(t, "POST", c.office.URL+"/v1/chat/completions", c.token, chat("sim-small", "[[latency=1ms]] hi", "")))
	switch a.status {
	case http.StatusOK:
		return true
	case http.StatusUnauthorized:
		a.wantError(t, http.StatusUnauthorized, "invalid_api_key")
		return false
	}
	t.Fatalf("status %d\n%s", a.status, a.body)
	return false
}

// revoked waits until a key opens nothing, neither calls nor the API: that may take two seconds.
func (c *caller) revoked(t *testing.T) {
	t.Helper()
	c.becomes(t, false)
	c.do(t, "GET", "/api/organizations", nil).problem(t, http.StatusUnauthorized, "unauthenticated")
}

// becomes waits until a key opens calls, or does not.
func (c *caller) becomes(t *testing.T, open bool) {
	t.Helper()
	began := time.Now()
	err := vel.Poll(deadline(t), "the key to change", func() (bool, error) { return c.calls(t) == open, nil })
	if took := time.Since(began); err != nil || took > 2*time.Second {
		t.Errorf("it took %s, %v", took, err)
	}
}

// secret is the caller of a key that was just made or rotated.
func (o *office) secret(t *testing.T, key members) *caller {
	t.Helper()
	secret, _ := key["secret"].(string)
	if len(secret) != len("sk-vel-")+43 {
		t.Fatalf("no secret: %v", key)
	}
	return o.caller(secret)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	make := func(t *testing.T, body members) (path string, key *caller) {
		t.Helper()
		body["name"] = n.word()
		k := n.admin.create(t, "/api/keys", body)
		return "/api/keys/" + k["id"].(string), o.secret(t, k)
	}
	t.Run("its secret is shown once", func(t *testing.T) {
		t.Parallel()
		path, key := make(t, members{})
		if !key.calls(t) { // at once
			t.Error("a new key opens nothing")
		}
		for _, a := range []answer{n.admin.do(t, "GET", path, nil), n.admin.do(t, "PUT", path, members{"name": n.word()})} {
			if _, ok := read[members](t, a.want(t, http.StatusOK))["secret"]; ok {
				t.Errorf("%s", a.body)
			}
		}
	})
	t.Run("models", func(t *testing.T) {
		t.Parallel()
		path, key := make(t, members{"models": []string{"sim-fast"}})
		models := func() (names []string) {
			list := read[struct{ Data []model }](t, ask(t, request(t, "GET", o.URL+"/v1/models", key.token, "")))
			for _, m := range list.Data {
				names = append(names, m.ID)
			}
			return names
		}
		if got := models(); !slices.Equal(got, []string{"sim-fast"}) {
			t.Errorf("it sees %v", got)
		}
		ask(t, request(t, "POST", o.URL+"/v1/chat/completions", key.token, chat("sim-small", "hi", ""))).wantError(t, http.StatusForbidden, "")
		n.admin.do(t, "PUT", path, members{"name": n.word(), "models": []string{"sim-small"}}).want(t, http.StatusOK)
		if err := vel.Poll(deadline(t), "the list to change", func() (bool, error) { return slices.Equal(models(), []string{"sim-small"}), nil }); err != nil {
			t.Error(err)
		}
		if !key.calls(t) {
			t.Error("it may not use what it sees")
		}
	})
	t.Run("expiry", func(t *testing.T) {
		t.Parallel()
		_, key := make(t, members{"expires": time.Now().Add(time.Second), "role": "viewer"})
		if err := vel.Poll(deadline(t), "the key to expire", func() (bool, error) { return !key.calls(t), nil }); err != nil {
			t.Error(err)
		}
		key.revoked(t)
		p := n.admin.do(t, "POST", "/api/keys", members{"name": n.word(), "expires": time.Now().Add(-time.Minute)}).problem(t, http.StatusUnprocessableEntity, "invalid")
		if !slices.Equal(p.places(), []string{"body.expires"}) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("rotation", func(t *testing.T) {
		t.Parallel()
		path, first := make(t, members{"role": "viewer"})
		rotate := func(body any) *caller {
			a := n.admin.do(t, "POST", path+"/rotate", body).want(t, http.StatusOK)
			return o.secret(t, read[members](t, a))
		}
		second := rotate(nil)
		if until, err := time.Parse(time.RFC3339, n.admin.do(t, "GET", path, nil).member(t, "old_secret_until").(string)); err != nil || time.Until(until) < 23*time.Hour {
			t.Errorf("the overlap ends at %s, %v", until, err)
		}
		if !first.calls(t) || !second.calls(t) {
			t.Error("in the overlap both secrets must work")
		}
		first.do(t, "GET", "/api/teams", nil).want(t, http.StatusOK)
		third := rotate(members{"overlap_seconds": 1}) // the first secret ends: a key has two at most
		first.revoked(t)
		if err := vel.Poll(deadline(t), "the overlap to end", func() (bool, error) { return !second.calls(t), nil }); err != nil {
			t.Error(err)
		}
		fourth := rotate(members{"overlap_seconds": 0})
		third.revoked(t)
		if !fourth.calls(t) {
			t.Error("the last secret does not work")
		}
		n.admin.do(t, "POST", path+"/rotate", members{"overlap_seconds": 30*24*3600 + 1}).problem(t, http.StatusUnprocessableEntity, "invalid")
	})
	t.Run("disabled and deleted", func(t *testing.T) {
		t.Parallel()
		path, key := make(t, members{"role": "viewer"})
		name := n.word()
		n.admin.do(t, "PUT", path, members{"name": name, "role": "viewer", "disabled": true}).want(t, http.StatusOK)
		key.revoked(t)
		n.admin.do(t, "PUT", path, members{"name": name, "role": "viewer"}).want(t, http.StatusOK)
		key.becomes(t, true)
		key.do(t, "GET", "/api/teams", nil).want(t, http.StatusOK)
		n.admin.do(t, "DELETE", path, nil).want(t, http.StatusNoContent)
		key.revoked(t)
		n.admin.do(t, "GET", path, nil).problem(t, http.StatusNotFound, "not-found")
		n.admin.create(t, "/api/keys", members{"name": name}) // its name is free again
	})
	t.Run("role", func(t *testing.T) {
		t.Parallel()
		role := n.fresh(t, "role") // view_organization, manage_teams, manage_keys
		path, key := make(t, members{"role": role})
		key.do(t, "POST", "/api/teams", members{"name": n.word()}).want(t, http.StatusCreated)
		n.admin.do(t, "DELETE", "/api/roles/"+role, nil).problem(t, http.StatusConflict, "in-use")
		n.admin.do(t, "PUT", "/api/roles/"+role, members{"name": n.word(), "permissions": []string{"view_organization"}}).want(t, http.StatusOK)
		key.do(t, "POST", "/api/teams", members{"name": n.word()}).problem(t, http.StatusForbidden, "not-allowed")
		key.do(t, "GET", "/api/teams", nil).want(t, http.StatusOK)
		n.admin.do(t, "PUT", path, members{"name": n.word()}).want(t, http.StatusOK)
		err := vel.Poll(deadline(t), "the key to have no role", func() (bool, error) { return key.do(t, "GET", "/api/teams", nil).status == http.StatusForbidden, nil })
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("nobody gives more than they have", func(t *testing.T) {
		t.Parallel()
		clerk := n.robot(t, n.role)
		for what, a := range map[string]answer{
			"a key of a higher role": clerk.do(t, "POST", "/api/keys", members{"name": n.word(), "role": "org_admin"}),
			"a role with more":       n.admin.do(t, "POST", "/api/roles", members{"name": n.word(), "permissions": []string{"manage_platform"}}),
			"platform_admin":         n.admin.do(t, "POST", "/api/keys", members{"name": n.word(), "role": "platform_admin"}),
			"a higher user":          n.admin.do(t, "PUT", "/api/users/"+n.user+"/roles", members{"roles": []string{"platform_admin"}}),
		} {
			if a.status != http.StatusForbidden && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: status %d\n%s", what, a.status, a.body)
			}
		}
		high, _ := make(t, members{"role": "org_admin"})
		for _, a := range []answer{clerk.do(t, "DELETE", high, nil), clerk.do(t, "POST", high+"/rotate", nil), clerk.do(t, "PUT", high, members{"name": n.word()})} {
			a.problem(t, http.StatusForbidden, "too-much")
		}
	})
	t.Run("their user is disabled", func(t *testing.T) {
		t.Parallel()
		user := n.fresh(t, "user")
		body := members{"name": n.word(), "email": n.emailOf(t, user), "disabled": true}
		_, key := make(t, members{"user": user, "role": "viewer"})
		n.admin.do(t, "PUT", "/api/users/"+user, body).want(t, http.StatusOK)
		key.revoked(t)
		body["disabled"] = false
		n.admin.do(t, "PUT", "/api/users/"+user, body).want(t, http.StatusOK)
		key.becomes(t, true)
	})
	t.Run("their user is deleted", func(t *testing.T) {
		t.Parallel()
		user := n.fresh(t, "user")
		_, key := make(t, members{"user": user, "role": "viewer"})
		n.admin.do(t, "DELETE", "/api/users/"+user, nil).want(t, http.StatusNoContent)
		key.revoked(t)
	})
}

// TestOrganizationsEnd: who is disabled is shut out at once and can come back, who is deleted can not.
func TestOrganizationsEnd(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	path, key := "/api/organizations/"+n.org, o.caller(n.secret)
	set := func(disabled bool) {
		o.root.do(t, "PUT", path, members{"name": n.name, "disabled": disabled}).want(t, http.StatusOK)
	}
	n.admin.do(t, "PUT", path, members{"name": n.name, "disabled": true}).problem(t, http.StatusForbidden, "not-allowed")
	set(true)
	n.admin.out(t)
	key.revoked(t)
	o.root.do(t, "GET", "/api/teams"+within(n.org), nil).want(t, http.StatusOK)
	set(false)
	key.becomes(t, true)
	o.login(t, n.email, n.password, "").in(t)

	o.root.do(t, "DELETE", path, nil).want(t, http.StatusNoContent)
	n.admin.out(t)
	key.revoked(t)
	o.sign(t, n.email, n.password, "").problem(t, http.StatusUnauthorized, "unauthenticated")
	for _, gone := range []string{path, "/api/teams" + within(n.org), "/api/users/" + n.user + within(n.org), "/api/keys/" + n.key + within(n.org)} {
		o.root.do(t, "GET", gone, nil).problem(t, http.StatusNotFound, "not-found")
	}
	again := o.organization(t, n.name) // the name is free
	for _, list := range []string{"teams", "users", "keys"} {
		if found := read[page](t, o.root.do(t, "GET", "/api/"+list+within(again), nil)).Data; len(found) > 0 {
			t.Errorf("a new organization has %s: %v", list, found)
		}
	}
}

// TestLastUsed: when a key was used is known after a stop, to the minute.
func TestLastUsed(t *testing.T) {
	t.Parallel()
	var key *caller
	var path string
	restart(t,
		func(o *office) {
			org := o.organization(t, "acme")
			k := o.root.create(t, "/api/keys", members{"organization": org, "name": "web"})
			path, key = "/api/keys/"+k["id"].(string)+within(org), o.secret(t, k)
			begun := time.Now()
			soon(t, "calls with a key that the node has heard of, not only looked up", func() bool {
				return k["last_used"] == nil && key.calls(t) && time.Since(begun) > 1500*time.Millisecond
			})
		},
		func(o *office) {
			used, err := time.Parse(time.RFC3339, o.root.do(t, "GET", path, nil).member(t, "last_used").(string))
			if since := time.Since(used); err != nil || since < 0 || since > 2*time.Minute {
				t.Errorf("last used at %s, %v", used, err)
			}
		})
}

// restart runs Vel in one folder, once for each part.
func restart(t *testing.T, parts ...func(o *office)) {
	t.Helper()
	dir := t.TempDir()
	for _, part := range parts {
		how := options("")
		how.Env = append(how.Env, "VEL_ADMIN_KEY="+rootKey)
		p, err := vel.Launch(dir, how)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { // also if the part ends the test
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			}()
			part(enter(t, p))
		}()
	}
}
