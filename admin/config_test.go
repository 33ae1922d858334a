package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/secrets"
)

func TestOIDCValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*OIDC)
		want []string // the paths of the faults
	}{
		"whole":       {},
		"for a group": {edit: func(o *OIDC) { o.Roles.Map, o.DefaultRole = map[string]string{"a": "viewer"}, "" }},
		"on this machine": {edit: func(o *OIDC) {
			o.Issuer, o.RedirectURL = "http://127.0.0.1:8090/x", "http://localhost:8080"+CallbackPath
		}},
		"off":                 {edit: func(o *OIDC) { *o = DefaultOIDC() }},
		"no issuer":           {edit: func(o *OIDC) { o.Issuer = "" }, want: []string{""}},
		"one setting alone":   {edit: func(o *OIDC) { *o = DefaultOIDC(); o.CreateUsers = false }, want: []string{""}},
		"plain":               {edit: func(o *OIDC) { o.Issuer = "http://id.example" }, want: []string{".issuer"}},
		"a user in it":        {edit: func(o *OIDC) { o.Issuer = "https://a@id.example" }, want: []string{".issuer"}},
		"a query":             {edit: func(o *OIDC) { o.Issuer = "https://id.example?x" }, want: []string{".issuer"}},
		"no URL":              {edit: func(o *OIDC) { o.Issuer = "id.example" }, want: []string{".issuer"}},
		"no client":           {edit: func(o *OIDC) { o.ClientID = "" }, want: []string{""}},
		"nowhere to return":   {edit: func(o *OIDC) { o.RedirectURL = "" }, want: []string{""}},
		"plain return":        {edit: func(o *OIDC) { o.RedirectURL = "http://vel.example" + CallbackPath }, want: []string{".redirect_url"}},
		"another path":        {edit: func(o *OIDC) { o.RedirectURL = "https://vel.example/callback" }, want: []string{".redirect_url"}},
		"a path too long":     {edit: func(o *OIDC) { o.RedirectURL = "https://vel.example/x" + CallbackPath }, want: []string{".redirect_url"}},
		"no openid":           {edit: func(o *OIDC) { o.Scopes = []string{"email"} }, want: []string{".scopes"}},
		"two scopes in one":   {edit: func(o *OIDC) { o.Scopes = []string{"openid", "email profile", ""} }, want: []string{".scopes[1]", ".scopes[2]"}},
		"nobody's":            {edit: func(o *OIDC) { o.Organization = "" }, want: []string{""}},
		"a claim's":           {edit: func(o *OIDC) { o.Organization, o.OrganizationClaim = "", "org" }},
		"a map of no claim":   {edit: func(o *OIDC) { o.Roles.Claim, o.Roles.Map = "", map[string]string{"a": "viewer"} }, want: []string{".roles.claim"}},
		"a role for nobody":   {edit: func(o *OIDC) { o.DefaultRole = "" }, want: []string{""}},
		"no role":             {edit: func(o *OIDC) { o.Roles.Map = map[string]string{"a": ""} }, want: []string{".roles.map.a"}},
		"a tenant's house":    {edit: func(o *OIDC) { o.Roles.Map = map[string]string{"a": "platform_admin"} }, want: []string{".roles.map.a"}},
		"the house":           {edit: func(o *OIDC) { o.Organization, o.Roles.Map = "platform", map[string]string{"a": "platform_admin"} }},
		"everybody's house":   {edit: func(o *OIDC) { o.Organization, o.DefaultRole = "platform", "platform_admin" }, want: []string{".default_role"}},
		"many faults at once": {edit: func(o *OIDC) { o.ClientID, o.Scopes, o.Organization = "", nil, "" }, want: []string{"", "", ".scopes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := DefaultOIDC()
			o.Issuer, o.ClientID, o.RedirectURL, o.Organization, o.DefaultRole = "https://id.example", "vel", "https://vel.example"+CallbackPath, "acme", "viewer"
			if c.edit != nil {
				c.edit(&o)
			}
			var got []string
			o.Validate(func(path, problem, hint string) {
				if problem == "" || hint == "" {
					t.Errorf("%s: %q, %q", path, problem, hint)
				}
				got = append(got, strings.TrimPrefix(path, "admin.oidc"))
			})
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("faults at %q, want %q", got, c.want)
			}
		})
	}
}

func TestOIDCOn(t *testing.T) {
	t.Parallel()
	secret := secrets.New("s")
	for _, c := range []struct {
		o    OIDC
		want bool
	}{
		{OIDC{}, false}, {OIDC{Issuer: "x"}, true}, {OIDC{Issuer: "x", ClientSecret: &secret}, true}, {OIDC{Issuer: "x", ClientSecret: &secrets.Secret{}}, false},
	} {
		if got := c.o.On(); got != c.want {
			t.Errorf("%+v: %v", c.o, got)
		}
	}
}
