package admin

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// Every kind goes through its life: made, found, listed, changed, deleted.
func TestLifeOfAnObject(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]struct {
		make, change map[string]any
	}{
		"/api/organizations": {map[string]any{"name": " new "}, map[string]any{"name": "newer", "disabled": true}},
		"/api/teams":         {map[string]any{"name": " new "}, map[string]any{"name": "newer"}},
		"/api/roles":         {map[string]any{"name": " new ", "permissions": []string{"manage_teams"}}, map[string]any{"name": "newer", "permissions": []string{}}},
		"/api/users": {
			map[string]any{"name": " new ", "email": "New@Example.com", "roles": []string{"viewer", "viewer"}, "teams": []string{"team_red"}, "password": password},
			map[string]any{"name": "newer", "email": "newer@example.com", "disabled": true},
		},
		"/api/keys": {
			map[string]any{"name": " new ", "models": []string{"a", "b"}, "role": "viewer", "team": "team_red", "expires": "2028-01-01T01:00:00+01:00"},
			map[string]any{"name": "newer", "user": "user_viewer", "disabled": true},
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			made := w.do("vel", "POST", path+within(path), c.make).want(201)
			first := made.object()
			if first["name"] != "new" || first["managed_by"] != "api" || made.header.Get("ETag") != `"1"` || first["revision"] != 1.0 {
				t.Errorf("made %s", made.body)
			}
			at := made.header.Get("Location")
			if at != path+"/"+first["id"].(string) {
				t.Errorf("it is at %s", at)
			}
			got := w.do("vel", "GET", at+within(path), nil).want(200)
			delete(first, "secret")
			if !same(got.object(), first) || got.header.Get("ETag") != `"1"` {
				t.Errorf("made %v, found %s", first, got.body)
			}
			var list ListOf[map[string]any]
			w.do("vel", "GET", path+"?name=new&"+strings.TrimPrefix(within(path), "?"), nil).want(200).into(&list)
			if len(list.Data) != 1 || list.Next != nil || !same(list.Data[0], first) {
				t.Errorf("listed %v", list)
			}
			w.do("vel", "PUT", at+within(path), c.change, "If-Match", `"7"`).problem(stale)
			changed := w.do("vel", "PUT", at+within(path), c.change, "If-Match", `"1"`).want(200)
			if o := changed.object(); o["name"] != "newer" || changed.header.Get("ETag") != `"2"` || o["id"] != first["id"] {
				t.Errorf("changed %s", changed.body)
			}
			w.do("vel", "DELETE", at+within(path), nil, "If-Match", `"1"`).problem(stale)
			if gone := w.do("vel", "DELETE", at+within(path), nil, "If-Match", `W/"2"`).want(204); len(gone.body) > 0 {
				t.Errorf("deleted with a body: %s", gone.body)
			}
			w.do("vel", "GET", at+within(path), nil).problem(notFound)
			w.do("vel", "DELETE", at+within(path), nil).problem(notFound)
		})
	}
}

// within names the organization, where that is possible.
func within(path string) string {
	if path == "/api/organizations" {
		return ""
	}
	return "?organization=" + string(acme)
}

func same(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		other := b[k]
		if list, ok := v.([]any); ok {
			o, ok := other.([]any)
			if !ok || !slices.Equal(list, o) {
				return false
			}
			continue
		}
		if v != other {
			return false
		}
	}
	return true
}

func TestWhatIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := w.do("admin", "POST", "/api/users", map[string]any{"name": "n", "email": " New@Example.COM ", "roles": []string{"viewer", "org_admin", "viewer"}, "password": password}).want(201).object()
	if user["email"] != "new@example.com" || len(user["roles"].([]any)) != 2 || user["has_password"] != true || user["last_login"] != nil {
		t.Errorf("user %v", user)
	}
	stored := w.db.users.rows[tenancy.ID(user["id"].(string))]
	if ok, err := tenancy.CheckPassword(stored.Password, password); !ok || err != nil || stored.Org != acme {
		t.Errorf("stored %+v", stored)
	}
	key := w.do("admin", "POST", "/api/keys", map[string]any{"name": "k", "expires": "2028-01-01T01:00:00+01:00"}).want(201).object()
	secret := key["secret"].(string)
	if !strings.HasPrefix(secret, "sk-vel-") || len(secret) != 50 || key["expires"] != "2028-01-01T00:00:00Z" || len(key["models"].([]any)) != 0 || key["team"] != nil {
		t.Errorf("key %v", key)
	}
	if k := w.db.keys.rows[tenancy.ID(key["id"].(string))]; k.Hash != tenancy.HashKey([]byte(secret)) {
		t.Error("the stored hash is not that of the secret")
	}
	role := w.do("admin", "GET", "/api/roles/org_admin", nil).want(200).object()
	if role["managed_by"] != "vel" || len(role["permissions"].([]any)) != len(tenancy.AllPermissions.Names())-1 {
		t.Errorf("role %v", role)
	}
	w.do("admin", "GET", "/api/roles/platform_admin", nil).problem(notFound)
	w.do("root", "GET", "/api/roles/platform_admin", nil).want(200)
}

// A change without roles leaves them: who changes a name takes no power away.
func TestRolesStayUnlessNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := map[string]any{"name": "v", "email": "v@example.com"}
	if u := w.do("admin", "PUT", "/api/users/user_viewer", body).want(200).object(); !slices.Equal(u["roles"].([]any), []any{"viewer"}) {
		t.Errorf("roles %v", u["roles"])
	}
	body["roles"] = []string{}
	if u := w.do("admin", "PUT", "/api/users/user_viewer", body).want(200).object(); len(u["roles"].([]any)) != 0 {
		t.Errorf("roles %v", u["roles"])
	}
	if u := w.do("admin", "PUT", "/api/users/user_viewer/roles", map[string]any{"roles": []string{"task_executor"}}).want(200).object(); !slices.Equal(u["roles"].([]any), []any{"task_executor"}) {
		t.Errorf("roles %v", u["roles"])
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 45 {
		w.do("admin", "POST", "/api/teams", map[string]any{"name": string(tenancy.NewID("t"))}).want(201)
	}
	var ids []string
	var sizes []int
	for after := ""; ; {
		var page ListOf[Team]
		path := "/api/teams"
		if after != "" {
			path += "?after=" + url.QueryEscape(after)
		}
		w.do("viewer", "GET", path, nil).want(200).into(&page)
		sizes = append(sizes, len(page.Data))
		for _, team := range page.Data {
			ids = append(ids, string(team.ID))
		}
		if page.Next == nil {
			break
		}
		after = string(*page.Next)
	}
	if !slices.Equal(sizes, []int{20, 20, 6}) || !slices.IsSorted(ids) || len(slices.Compact(ids)) != 46 {
		t.Errorf("pages of %v, %d ids", sizes, len(ids))
	}
	for _, limit := range []string{"0", "101", "-1", "x", "1e2"} {
		w.do("viewer", "GET", "/api/teams?limit="+limit, nil).problem(invalid)
	}
	var page ListOf[Team]
	w.do("viewer", "GET", "/api/teams?limit=46", nil).want(200).into(&page)
	if len(page.Data) != 46 || page.Next != nil {
		t.Errorf("%d on a page that holds them all, next %v", len(page.Data), page.Next)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("admin", "POST", "/api/keys", map[string]any{"name": "k", "team": "team_red", "user": "user_viewer"}).want(201)
	for path, want := range map[string]int{
		"/api/users?email=VIEWER@example.com": 1, "/api/users?name=viewer": 1, "/api/users?email=none@example.com": 0,
		"/api/keys?team=team_red": 1, "/api/keys?user=user_viewer": 1, "/api/keys?name=ci": 1, "/api/keys?team=team_blue": 0,
		"/api/organizations?name=acme": 1, "/api/roles?name=viewer": 1, "/api/teams?name=red": 1,
	} {
		var page ListOf[Object]
		w.do("admin", "GET", path, nil).want(200).into(&page)
		if len(page.Data) != want {
			t.Errorf("%s: %d, want %d", path, len(page.Data), want)
		}
	}
	// What a kind does not have is refused, and does not find everything.
	for _, path := range []string{"/api/teams?email=x", "/api/roles?team=t", "/api/organizations?organization=x", "/api/users?team=t", "/api/keys?nonsense=1", "/api/keys?limit=1&limit=2", "/api/keys?organization=", "/api/keys?after", "/api/keys?name="} {
		w.do("admin", "GET", path, nil).problem(invalid)
	}
}

// What the file declares, and what is built in, is read like everything else and changed by nobody.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const key = "/api/keys/key:acme%2Fci"
	if k := w.do("admin", "GET", key, nil).want(200).object(); k["id"] != "key:acme/ci" || k["managed_by"] != "file" || k["created"] != nil {
		t.Errorf("key %v", k)
	}
	for _, c := range []struct {
		as, method, path, says string
		body                   any
	}{
		{"admin", "PUT", key, "configuration file", map[string]any{"name": "x"}},
		{"admin", "DELETE", key, "configuration file", nil},
		{"admin", "POST", key + "/rotate", "configuration file", nil},
		{"root", "PUT", "/api/organizations/org:filed", "configuration file", map[string]any{"name": "x"}},
		{"root", "DELETE", "/api/organizations/org:filed", "configuration file", nil},
		{"admin", "PUT", "/api/roles/viewer", "built in", map[string]any{"name": "x", "permissions": []string{}}},
		{"admin", "DELETE", "/api/roles/viewer", "built in", nil},
	} {
		if p := w.do(c.as, c.method, c.path, c.body).problem(readOnly); !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s %s does not say who owns it: %s", c.method, c.path, p.Detail)
		}
	}
	for path, name := range map[string]string{"/api/keys": "ci", "/api/roles": "viewer"} {
		body := map[string]any{"name": name}
		if path == "/api/roles" {
			body["permissions"] = []string{}
		}
		if p := w.do("admin", "POST", path, body).problem(taken); !slices.Equal(p.Errors, []Fault{{"body.name", "is taken"}}) {
			t.Errorf("%s: %v", path, p.Errors)
		}
	}
}

// What a store says has its status, and what nobody expects only the log tells.
func TestErrorsOfStores(t *testing.T) {
	t.Parallel()
	const secret = "host db-7.internal refused user vel"
	for name, c := range map[string]struct {
		err   error
		kind  kind
		fault Fault
	}{
		"taken":       {&tenancy.Taken{Field: "email"}, taken, Fault{"body.email", "is taken"}},
		"missing":     {&tenancy.Missing{Field: "teams", ID: "team_x"}, invalid, Fault{"body.teams", "team_x does not exist"}},
		"in use":      {&tenancy.InUse{By: "a key"}, inUse, Fault{}},
		"stale":       {tenancy.ErrStale, stale, Fault{}},
		"read-only":   {tenancy.ErrReadOnly, readOnly, Fault{}},
		"not found":   {tenancy.ErrNotFound, notFound, Fault{}},
		"unavailable": {&tenancy.Unavailable{Cause: errors.New(secret)}, unavailable, Fault{}},
		"unknown":     {errors.New(secret), internal, Fault{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.db.users.fail = func(verb string, _ *tenancy.User) error {
				if verb == "update" {
					return c.err
				}
				return nil
			}
			a := w.do("admin", "PUT", "/api/users/user_viewer", map[string]any{"name": "n", "email": "n@example.com"})
			p := a.problem(c.kind)
			if c.fault != (Fault{}) && !slices.Equal(p.Errors, []Fault{c.fault}) {
				t.Errorf("faults %v", p.Errors)
			}
			if strings.Contains(string(a.body), "db-7") {
				t.Errorf("the cause is shown: %s", a.body)
			}
			if hidden := c.kind.status >= 500; hidden != strings.Contains(w.log.String(), "db-7") {
				t.Errorf("in the log: %s", w.log)
			}
			if c.kind == unavailable && (a.header.Get("Retry-After") != "2" || !strings.Contains(p.Detail, "database")) {
				t.Errorf("no reason and no time: %s %v", a.body, a.header)
			}
		})
	}
}

// Two changes at once: without If-Match the second is made again on what the first left, and checked again.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	meanwhile := 0
	w.db.users.fail = func(verb string, u *tenancy.User) error {
		if verb == "update" && meanwhile > 0 {
			meanwhile--
			now := w.db.users.rows[u.ID]
			now.Rev++
			now.Roles = []tenancy.ID{tenancy.OrgAdmin}
			w.db.users.rows[u.ID] = now
		}
		return nil
	}
	body := map[string]any{"name": "n", "email": "n@example.com"}
	meanwhile = 1
	if u := w.do("admin", "PUT", "/api/users/user_viewer", body).want(200).object(); u["revision"] != 3.0 || !slices.Equal(u["roles"].([]any), []any{"org_admin"}) {
		t.Errorf("a change is lost: %v", u)
	}
	meanwhile = 1
	w.do("admin", "PUT", "/api/users/user_viewer", body, "If-Match", `"3"`).problem(stale)
	meanwhile = 1000
	w.do("admin", "PUT", "/api/users/user_viewer", body).problem(stale)
	// The clerk may change an executor, and not whom somebody makes an administrator meanwhile.
	meanwhile = 1
	w.do("clerk", "PUT", "/api/users/user_clerk", body).problem(tooMuch)
}

// The platform names the organization, in the query or in the body.
func TestNamedOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inBody := w.do("root", "POST", "/api/teams", map[string]any{"name": "a", "organization": other}).want(201).object()
	inQuery := w.do("vel", "POST", "/api/teams?organization=org:filed", map[string]any{"name": "b"}).want(201).object()
	own := w.do("root", "POST", "/api/teams", map[string]any{"name": "c"}).want(201).object()
	if inBody["organization"] != string(other) || inQuery["organization"] != "org:filed" || own["organization"] != string(tenancy.Platform) {
		t.Errorf("made in %v, %v and %v", inBody["organization"], inQuery["organization"], own["organization"])
	}
	w.do("root", "POST", "/api/teams?organization=org_acme", map[string]any{"name": "a", "organization": other}).problem(invalid)
	w.do("root", "POST", "/api/teams?organization=org_none", map[string]any{"name": "a"}).problem(notFound)
	w.do("root", "GET", "/api/teams?organization=org_none", nil).problem(notFound)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a", "organization": acme}).want(201)
}

// Whoever manages the organization says whether its calls are kept; what is not said is not kept.
func TestKeepContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/organizations/" + string(acme)
	w.do("clerk", "PUT", path, map[string]any{"name": "acme", "keep_content": true}).problem(notAllowed)
	for _, c := range []struct {
		body map[string]any
		want bool
	}{
		{map[string]any{"name": "acme", "keep_content": true}, true},
		{map[string]any{"name": "acme", "keep_content": nil}, false},
	} {
		if v := w.do("admin", "PUT", path, c.body).want(200).object(); v["keep_content"] != c.want || w.db.orgs.rows[acme].KeepContent != c.want {
			t.Errorf("%v: %v", c.body, v)
		}
	}
	if v := w.do("root", "POST", "/api/organizations", map[string]any{"name": "new", "keep_content": true}).want(201).object(); v["keep_content"] != true {
		t.Errorf("a new one: %v", v)
	}
}
