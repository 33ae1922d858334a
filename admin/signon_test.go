package admin

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// TestWhoSignsOn is the table of who becomes whom.
func TestWhoSignsOn(t *testing.T) {
	t.Parallel()
	existing := func(w *world) {
		u := w.db.users.rows["user_viewer"]
		u.Password = tenancy.HashPassword(password)
		w.db.users.rows[u.ID] = u
	}
	viewer := ada("admins")
	viewer["email"] = "viewer@example.com"
	for name, c := range map[string]struct {
		file    func(*OIDC)
		before  func(w *world)
		claims  func(claims map[string]any)
		becomes string // the address of the user, or
		refused string // a word of the reason
		check   func(t *testing.T, w *world)
	}{
		"a new user":                 {becomes: "ada@example.com"},
		"no new users":               {file: func(o *OIDC) { o.CreateUsers = false }, refused: "not made"},
		"an address nobody verified": {claims: func(m map[string]any) { m["email_verified"] = false }, refused: "e-mail address is yours"},
		"no address":                 {claims: func(m map[string]any) { delete(m, "email") }, refused: "e-mail address is yours"},
		"an address that is none":    {claims: func(m map[string]any) { m["email"] = "ada" }, refused: "email is not an e-mail address"},
		"no name":                    {claims: func(m map[string]any) { delete(m, "name") }, becomes: "ada@example.com"},
		"a strange name":             {claims: func(m map[string]any) { m["name"] = strings.Repeat("Å\x00", 200) }, becomes: "ada@example.com"},
		"a group as text":            {claims: func(m map[string]any) { m["groups"] = "staff" }, becomes: "ada@example.com"},
		"no group":                   {claims: func(m map[string]any) { delete(m, "groups") }, refused: "None of your groups"},
		"a role for everybody": {
			file: func(o *OIDC) { o.DefaultRole = "task_executor" }, claims: func(m map[string]any) { delete(m, "groups") }, becomes: "ada@example.com",
			check: func(t *testing.T, w *world) {
				if u := w.who("ada@example.com", acme); !slices.Equal(u.Roles, []tenancy.ID{"task_executor"}) {
					t.Errorf("roles %v", u.Roles)
				}
			},
		},
		"a role that does not exist": {file: func(o *OIDC) { o.Roles.Map = map[string]string{"staff": "captain"} }, refused: "role that your organization does not have"},
		"the role of the house":      {file: func(o *OIDC) { o.Roles.Map = map[string]string{"staff": "platform_admin"} }, refused: "role that your organization does not have"},
		"a role of another organization": {
			before: func(w *world) {
				w.db.roles.rows["role_far"] = tenancy.Role{Meta: meta("role_far", other, "far")}
			},
			file: func(o *OIDC) { o.Roles.Map = map[string]string{"staff": "role_far"} }, refused: "role that your organization does not have",
		},
		"an organization that does not exist": {file: func(o *OIDC) { o.Organization = "nowhere" }, refused: "not one of this house"},
		"an organization by its id":           {file: func(o *OIDC) { o.Organization = "org_acme" }, becomes: "ada@example.com"},
		"an organization of the file":         {file: func(o *OIDC) { o.Organization, o.Roles.Map = "filed", map[string]string{"staff": "viewer"} }, becomes: "ada@example.com"},
		"a disabled organization": {before: func(w *world) {
			w.db.orgs.rows[acme] = tenancy.Org{Meta: meta(acme, acme, "acme"), Disabled: true}
		}, refused: "disabled"},
		"the platform": {
			file:    func(o *OIDC) { o.Organization, o.Roles.Map = "platform", map[string]string{"staff": "platform_admin"} },
			becomes: "ada@example.com",
			check: func(t *testing.T, w *world) {
				if u := w.who("ada@example.com", tenancy.Platform); u == nil || !slices.Equal(u.Roles, []tenancy.ID{tenancy.PlatformAdmin}) {
					t.Errorf("user %+v", u)
				}
			},
		},
		"an organization of the claims": {
			file: func(o *OIDC) { o.Organization, o.OrganizationClaim = "", "org" }, claims: func(m map[string]any) { m["org"] = "other" }, becomes: "ada@example.com",
			check: func(t *testing.T, w *world) {
				if w.who("ada@example.com", other) == nil || w.who("ada@example.com", acme) != nil {
					t.Error("in the wrong organization")
				}
			},
		},
		"the platform by a claim": {
			file:   func(o *OIDC) { o.Organization, o.OrganizationClaim = "platform", "org" },
			claims: func(m map[string]any) { m["org"] = "platform" }, refused: "does not name one organization",
		},
		"two organizations by a claim": {
			file: func(o *OIDC) { o.OrganizationClaim = "org" }, claims: func(m map[string]any) { m["org"] = []string{"acme", "other"} }, refused: "does not name one organization",
		},
		"no organization in the claims": {file: func(o *OIDC) { o.Organization, o.OrganizationClaim = "", "org" }, refused: "not one of this house"},
		"the address of a user":         {before: existing, claims: func(m map[string]any) { m["email"] = "viewer@example.com" }, refused: "signs in with a password"},
		"the address of a user, linked": {
			before: existing, file: func(o *OIDC) { o.LinkByEmail = true }, claims: func(m map[string]any) { m["email"] = "viewer@example.com" }, becomes: "viewer@example.com",
			check: func(t *testing.T, w *world) {
				u := w.db.users.rows["user_viewer"]
				if u.Subject != "ada" || u.Password != "" {
					t.Errorf("linked to %+v", u)
				}
				w.do("viewer", "GET", "/api/users/me", nil).problem(unauthenticated) // who was signed in as them is no longer
				w.login("viewer@example.com", password).problem(unauthenticated)
			},
		},
		"the address of a user, not verified": {
			before: existing, file: func(o *OIDC) { o.LinkByEmail = true },
			claims: func(m map[string]any) { m["email"], m["email_verified"] = "viewer@example.com", "no" }, refused: "e-mail address is yours",
		},
		"the address of somebody else at the issuer": {
			before: func(w *world) {
				u := w.db.users.rows["user_viewer"]
				u.Issuer, u.Subject = w.SignOn.Issuer, "another"
				w.db.users.rows[u.ID] = u
			},
			file: func(o *OIDC) { o.LinkByEmail = true }, claims: func(m map[string]any) { m["email"] = "viewer@example.com" }, refused: "somebody else",
		},
		"the address of a user of another issuer": {
			before: func(w *world) {
				u := w.db.users.rows["user_viewer"]
				u.Issuer, u.Subject = "https://old.example.com", "ada"
				w.db.users.rows[u.ID] = u
			},
			file: func(o *OIDC) { o.LinkByEmail = true }, claims: func(m map[string]any) { m["email"] = "viewer@example.com" }, becomes: "viewer@example.com",
		},
		"the address of a disabled user": {
			before: func(w *world) {
				u := w.db.users.rows["user_viewer"]
				u.Disabled = true
				w.db.users.rows[u.ID] = u
			},
			file: func(o *OIDC) { o.LinkByEmail = true }, claims: func(m map[string]any) { m["email"] = "viewer@example.com" }, refused: "disabled",
		},
		"a disabled user": {
			before: func(w *world) {
				u := w.db.users.rows["user_viewer"]
				u.Disabled, u.Issuer, u.Subject = true, w.SignOn.Issuer, "ada"
				w.db.users.rows[u.ID] = u
			}, refused: "disabled",
		},
		"a user of another organization with the subject": {
			before: func(w *world) {
				u := w.db.users.rows["user_outsider"]
				u.Issuer, u.Subject = w.SignOn.Issuer, "ada"
				w.db.users.rows[u.ID] = u
			}, becomes: "ada@example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, at := signOnWorld(t, c.file)
			if c.before != nil {
				c.before(w)
			}
			claims := ada("staff")
			if c.claims != nil {
				c.claims(claims)
			}
			at.Person(claims)
			before := w.db.shape()
			b := w.browser()
			a := b.signOn(at, "")
			if c.refused != "" {
				if p := a.problem(signOnRefused); !strings.Contains(p.Detail, c.refused) || b.cookies["__Host-vel"] != "" {
					t.Errorf("refused because %s, want %q; cookies %v", p.Detail, c.refused, b.cookies)
				}
				if after := w.db.shape(); after != before {
					t.Errorf("a refusal changed\n%s\n%s", before, after)
				}
				return
			}
			a.want(http.StatusSeeOther)
			if me := b.do("GET", "/api/users/me", nil).want(200).object(); me["email"] != c.becomes {
				t.Errorf("signed on as %v", me)
			}
			if c.check != nil {
				c.check(t, w)
			}
		})
	}
}
