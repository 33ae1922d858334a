package tests

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// TestFileOwns: what the file declares is shown and can not be changed, and hides what the database has under its name.
func TestFileOwns(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	without, _, _ := strings.Cut(sim.config(""), "organizations:")
	o := openOffice(t, without)
	hidden, near := o.organization(t, "acme"), o.tenant(t, "near")
	if org := read[members](t, o.root.do(t, "GET", "/api/organizations/"+hidden, nil)); org["shadowed"] != false || org["managed_by"] != "api" {
		t.Errorf("%v", org)
	}
	o.reload(t, sim.config(""))
	waitModel(t, o.Process, "sim-echo", true) // the file's key is known

	t.Run("organizations", func(t *testing.T) {
		list := read[page](t, o.root.do(t, "GET", "/api/organizations", nil)).Data
		i := slices.IndexFunc(list, func(v members) bool { return v["id"] == "org:acme" })
		j := slices.IndexFunc(list, func(v members) bool { return v["id"] == hidden })
		if i < 0 || j < 0 || list[i]["managed_by"] != "file" || list[i]["shadowed"] != false || list[j]["shadowed"] != true {
			t.Errorf("%v", list)
		}
		o.root.do(t, "PUT", "/api/organizations/org:acme", members{"name": "other"}).problem(t, http.StatusConflict, "read-only")
		o.root.do(t, "DELETE", "/api/organizations/org:acme", nil).problem(t, http.StatusConflict, "read-only")
		o.root.do(t, "POST", "/api/organizations", members{"name": "acme"}).problem(t, http.StatusConflict, "taken")
		o.root.do(t, "PUT", "/api/organizations/"+near.org, members{"name": "acme"}).problem(t, http.StatusConflict, "taken")
	})
	t.Run("keys", func(t *testing.T) {
		in := within("org:acme")
		list := read[page](t, o.root.do(t, "GET", "/api/keys"+in, nil)).Data
		if len(list) != 2 || list[0]["id"] != "key:acme/full" || list[0]["managed_by"] != "file" || list[0]["secret"] != nil {
			t.Errorf("%v", list)
		}
		path := "/api/keys/key:acme%2Ffull"
		if got := o.root.do(t, "GET", path+in, nil); got.id(t) != "key:acme/full" {
			t.Errorf("%s", got.body)
		}
		o.root.do(t, "PUT", path+in, members{"name": "full", "disabled": true}).problem(t, http.StatusConflict, "read-only")
		o.root.do(t, "POST", path+"/rotate"+in, nil).problem(t, http.StatusConflict, "read-only")
		o.root.do(t, "DELETE", path+in, nil).problem(t, http.StatusConflict, "read-only")
		o.root.do(t, "POST", "/api/keys", members{"organization": "org:acme", "name": "full"}).problem(t, http.StatusConflict, "taken")
		if !o.secret(t, o.root.create(t, "/api/keys", members{"organization": "org:acme", "name": "more"})).calls(t) {
			t.Error("a key of an organization of the file opens nothing")
		}
	})
	t.Run("built-in roles", func(t *testing.T) {
		list := read[page](t, near.admin.do(t, "GET", "/api/roles", nil)).Data
		var names []string
		for _, v := range list {
			if v["managed_by"] == "vel" {
				names = append(names, v["id"].(string))
			}
		}
		if !slices.Equal(names, []string{"agent_manager", "org_admin", "task_executor", "viewer"}) {
			t.Errorf("%v", names)
		}
		near.admin.do(t, "PUT", "/api/roles/viewer", members{"name": "viewer", "permissions": []string{}}).problem(t, http.StatusConflict, "read-only")
		near.admin.do(t, "DELETE", "/api/roles/viewer", nil).problem(t, http.StatusConflict, "read-only")
		near.admin.do(t, "POST", "/api/roles", members{"name": "viewer", "permissions": []string{}}).problem(t, http.StatusConflict, "taken")
	})
	t.Run("people", func(t *testing.T) { // of an organization that the file declares
		user := o.root.create(t, "/api/users", members{"organization": "org:acme", "name": "Ada", "email": "ada@example.com", "password": goodPassword, "roles": []string{"org_admin"}})
		ada := o.login(t, "ada@example.com", goodPassword, "org:acme")
		if org := ada.do(t, "GET", "/api/organizations", nil).want(t, http.StatusOK); !strings.Contains(string(org.body), `"org:acme"`) || strings.Contains(string(org.body), hidden) {
			t.Errorf("%s", org.body)
		}
		ada.do(t, "PUT", "/api/organizations/org:acme", members{"name": "other"}).problem(t, http.StatusConflict, "read-only")
		ada.do(t, "GET", "/api/users/"+user["id"].(string), nil).want(t, http.StatusOK)
	})
	t.Run("the file lets go", func(t *testing.T) {
		o.reload(t, without)
		(&caller{office: o, token: fullKey}).becomesUnknown(t)
		if org := read[members](t, o.root.do(t, "GET", "/api/organizations/"+hidden, nil)); org["shadowed"] != false {
			t.Errorf("%v", org)
		}
		o.root.do(t, "GET", "/api/organizations/org:acme", nil).problem(t, http.StatusNotFound, "not-found")
	})
}

// reload gives Vel another file.
func (o *office) reload(t *testing.T, yaml string) {
	t.Helper()
	write(t, o.Process, yaml)
	if err := o.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// becomesUnknown waits until a key opens nothing.
func (c *caller) becomesUnknown(t *testing.T) {
	t.Helper()
	err := vel.Poll(deadline(t), "the key to go", func() (bool, error) {
		return ask(t, request(t, "GET", c.office.URL+"/v1/models", c.token, "")).status == http.StatusUnauthorized, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAdminKey: the key of the environment does everything in the API, and calls no models.
func TestAdminKey(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	o.root.do(t, "GET", "/api/organizations", nil).want(t, http.StatusOK)
	o.root.do(t, "GET", "/api/users/me", nil).problem(t, http.StatusForbidden, "not-allowed") // it is nobody
	(&caller{office: o, token: rootKey + "x"}).out(t)
	ask(t, request(t, "GET", o.URL+"/v1/models", rootKey, "")).wantError(t, http.StatusUnauthorized, "")
	if keys := read[page](t, o.root.do(t, "GET", "/api/keys"+within("platform"), nil)).Data; len(keys) > 0 {
		t.Errorf("another key was made: %v", keys)
	}
	for _, line := range o.Out.Lines() {
		if strings.Contains(line, "admin key") {
			t.Errorf("an admin key is printed although there is one: %s", line)
		}
	}
}

// TestFirstAdminKey: without one in the environment the first start makes a key and prints it, once.
func TestFirstAdminKey(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), ""
	for start := range 2 {
		func() {
			p, err := vel.Launch(dir, vel.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			}()
			if _, err := p.Out.Wait(deadline(t), "the curl line", curlLine.MatchString); err != nil {
				t.Fatal(err)
			}
			o := enter(t, p)
			if start == 0 {
				said, err := p.Out.Wait(deadline(t), "the admin key", func(line string) bool { return keyLine.MatchString(line) && !strings.Contains(line, firstKey(t, p)) })
				if err != nil {
					t.Fatal(err)
				}
				key = keyLine.FindStringSubmatch(said)[1]
			}
			root := &caller{office: o, token: key}
			org := root.create(t, "/api/organizations", members{"name": "acme-" + itoa(start)})["id"].(string)
			root.create(t, "/api/teams", members{"organization": org, "name": "red"})
			ask(t, request(t, "GET", o.URL+"/v1/models", key, "")).want(t, http.StatusOK)
			if start == 1 && strings.Contains(strings.Join(p.Out.Lines(), "\n"), key) {
				t.Error("the second start prints the admin key again")
			}
		}()
	}
}

// firstKey is the first API key, which the first line with a key shows.
func firstKey(t *testing.T, p *vel.Process) string {
	t.Helper()
	line, err := p.Out.Wait(deadline(t), "the first key", keyLine.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	return keyLine.FindStringSubmatch(line)[1]
}
