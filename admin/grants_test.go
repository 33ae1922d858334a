package admin

import (
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// Nobody gives more than they have, and nobody touches what has more power than they do. The clerk may view, see
// analytics, and manage users, roles and keys.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	user := func(roles ...string) map[string]any {
		return map[string]any{"name": "n", "email": "n@example.com", "roles": roles}
	}
	role := func(permissions ...string) map[string]any {
		return map[string]any{"name": "n", "permissions": permissions}
	}
	key := func(role string) map[string]any { return map[string]any{"name": "n", "role": role} }
	for _, c := range []struct {
		as, method, path string
		body             any
		want             kind // without a status: it is done
	}{
		{"clerk", "POST", "/api/users", user("viewer", "role_clerk"), kind{}},
		{"clerk", "POST", "/api/users", user("viewer", "org_admin"), tooMuch},
		{"clerk", "PUT", "/api/users/user_viewer/roles", map[string]any{"roles": []string{"task_executor"}}, tooMuch},
		{"clerk", "PUT", "/api/users/user_viewer/roles", map[string]any{"roles": []string{}}, kind{}},
		{"clerk", "PUT", "/api/users/user_viewer", user("org_admin"), tooMuch},
		{"clerk", "PUT", "/api/users/user_clerk", user("role_clerk"), kind{}},
		{"clerk", "PUT", "/api/users/user_admin", user(), tooMuch},
		{"clerk", "PUT", "/api/users/user_admin/roles", map[string]any{"roles": []string{"viewer"}}, tooMuch},
		{"clerk", "PUT", "/api/users/user_admin/password", map[string]any{"password": password}, tooMuch},
		{"clerk", "PUT", "/api/users/user_viewer/password", map[string]any{"password": password}, kind{}},
		{"clerk", "DELETE", "/api/users/user_admin", nil, tooMuch},
		{"clerk", "DELETE", "/api/users/user_viewer", nil, kind{}},
		{"admin", "POST", "/api/users", user("platform_admin"), invalid}, // it is a role of the platform only
		{"root", "POST", "/api/users?organization=org_acme", user("platform_admin"), invalid},
		{"root", "POST", "/api/users", user("platform_admin"), kind{}},
		{"admin", "POST", "/api/users", user("role_none"), invalid},

		{"clerk", "POST", "/api/keys", key("viewer"), kind{}},
		{"clerk", "POST", "/api/keys", key("org_admin"), tooMuch},
		{"clerk", "PUT", "/api/keys/key_caller", key("org_admin"), tooMuch},
		{"clerk", "PUT", "/api/keys/key_caller", key("viewer"), kind{}},
		{"clerk", "PUT", "/api/keys/key_robot", key(""), invalid}, // the empty id is none
		{"clerk", "PUT", "/api/keys/key_robot", map[string]any{"name": "n"}, tooMuch},
		{"clerk", "POST", "/api/keys/key_robot/rotate", nil, tooMuch}, // its secret would be theirs
		{"clerk", "POST", "/api/keys/key_caller/rotate", nil, kind{}},
		{"clerk", "DELETE", "/api/keys/key_robot", nil, tooMuch},
		{"robot", "POST", "/api/keys", key("org_admin"), kind{}},
		{"robot", "POST", "/api/keys", key("platform_admin"), invalid},

		{"clerk", "POST", "/api/roles", role("manage_users"), kind{}},
		{"clerk", "POST", "/api/roles", role("manage_users", "manage_teams"), tooMuch},
		{"clerk", "PUT", "/api/roles/role_clerk", role("manage_users", "manage_budgets"), tooMuch},
		{"clerk", "PUT", "/api/roles/role_clerk", role("manage_users"), kind{}},
		{"clerk", "PUT", "/api/roles/role_strong", role("manage_users"), tooMuch},
		{"clerk", "DELETE", "/api/roles/role_strong", nil, tooMuch},
		{"admin", "POST", "/api/roles", role("manage_platform"), invalid},
		{"root", "POST", "/api/roles", role("manage_platform"), invalid},
		{"vel", "PUT", "/api/roles/role_clerk?organization=org_acme", role("manage_platform"), invalid},
		{"admin", "POST", "/api/roles", role("fly"), invalid},

		{"admin", "PUT", "/api/organizations/org_acme", map[string]any{"name": "renamed"}, kind{}},
		{"admin", "PUT", "/api/organizations/org_acme", map[string]any{"name": "acme", "disabled": true}, notAllowed},
		{"root", "PUT", "/api/organizations/org_acme", map[string]any{"name": "acme", "disabled": true}, kind{}},
		{"admin", "PUT", "/api/organizations/org_other", map[string]any{"name": "mine"}, notFound},
	} {
		t.Run(c.as+" "+c.method+" "+strings.TrimPrefix(c.path, "/api/"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.db.roles.rows["role_strong"] = tenancy.Role{Meta: meta("role_strong", acme, "strong"), Permissions: tenancy.Allow(tenancy.ManageTeams)}
			before := w.db.shape()
			a := w.do(c.as, c.method, c.path, c.body)
			if c.want.status == 0 {
				if a.status > 299 {
					t.Errorf("%d: %s", a.status, a.body)
				}
				return
			}
			a.problem(c.want)
			if w.db.shape() != before {
				t.Error("something changed all the same")
			}
		})
	}
}

// A custom role with manage_platform would have to be written by somebody else; it counts for nothing outside the
// platform's own organization.
func TestManagePlatformIsOfThePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.roles.rows["role_forged"] = tenancy.Role{Meta: meta("role_forged", acme, "forged"), Permissions: tenancy.AllPermissions}
	w.user("forger", acme, "role_forged")
	w.do("forger", "POST", "/api/organizations", map[string]any{"name": "x"}).problem(notAllowed)
	w.do("forger", "GET", "/api/teams?organization=org_other", nil).problem(notFound)
	w.user("helper", tenancy.Platform, tenancy.OrgAdmin) // of the platform, and no administrator of it
	w.do("helper", "GET", "/api/teams?organization=org_acme", nil).problem(notFound)
	w.do("helper", "PUT", "/api/users/user_root/password", map[string]any{"password": password}).problem(tooMuch)
}
