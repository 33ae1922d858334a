package admin

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// OIDC is the room's part of the file: single sign-on by OpenID Connect.
type OIDC struct {
	Issuer       string          `yaml:"issuer" jsonschema:"description=The issuer's https URL."`
	ClientID     string          `yaml:"client_id" jsonschema:"description=How the issuer calls us."`
	ClientSecret *secrets.Secret `yaml:"client_secret" jsonschema:"description=env:NAME or file:PATH; none for a public client."`
	RedirectURL  string          `yaml:"redirect_url" jsonschema:"description=Where the issuer sends people back to: the public address of Vel with the path /api/auth/oidc/callback."`
	Scopes       []string        `yaml:"scopes" jsonschema:"description=What the issuer is asked to say."`

	Organization      string `yaml:"organization" jsonschema:"description=Whose users sign on: a name or an id; platform for those who run the house."`
	OrganizationClaim string `yaml:"organization_claim" jsonschema:"description=The claim that says it for each person; organization is then for those who do not have it."`

	Roles       RolesOfClaims `yaml:"roles" jsonschema:"description=What people may do."`
	DefaultRole string        `yaml:"default_role" jsonschema:"description=The role of who has no other; empty: they can not sign on."`
	CreateUsers bool          `yaml:"create_users" jsonschema:"description=Who signs on for the first time becomes a user."`
	LinkByEmail bool          `yaml:"link_by_email" jsonschema:"description=Who signs on for the first time with the address of a user is that user."`
}

// RolesOfClaims says which roles the words of a claim give.
type RolesOfClaims struct {
	Claim string            `yaml:"claim" jsonschema:"description=The claim with a person's groups or roles; a path with dots leads into objects."`
	Map   map[string]string `yaml:"map" jsonschema:"description=Words of the claim and the role that each gives."`
}

// CallbackPath is where the issuer sends people back to.
const CallbackPath = "/api/auth/oidc/callback"

// DefaultOIDC is what holds without a file: there is no single sign-on.
func DefaultOIDC() OIDC {
	return OIDC{Scopes: []string{"openid", "email", "profile"}, Roles: RolesOfClaims{Claim: "groups"}, CreateUsers: true}
}

// On tells whether people can sign on. A secret that is referred to and not there is no leave to go without.
func (o *OIDC) On() bool {
	return o.Issuer != "" && (o.ClientSecret == nil || !o.ClientSecret.IsZero())
}

// client is what the issuer knows us by.
func (o *OIDC) client() issuer.Config {
	c := issuer.Config{URL: o.Issuer, ClientID: o.ClientID, Redirect: o.RedirectURL, Scopes: o.Scopes}
	if o.ClientSecret != nil {
		c.Secret = *o.ClientSecret
	}
	return c
}

// Validate reports every fault through fault, with its dotted path in the file and what to do about it. Whether an
// organization or a role of the database exists is known only when somebody signs on.
func (o *OIDC) Validate(fault func(path, problem, hint string)) {
	if o.Issuer == "" {
		if !reflect.DeepEqual(*o, DefaultOIDC()) {
			fault("admin.oidc", "has no issuer", "add issuer, or remove the other settings")
		}
		return
	}
	o.validateClient(func(name, problem, hint string) { fault("admin.oidc"+name, problem, hint) })
	o.validatePeople(func(name, problem, hint string) { fault("admin.oidc"+name, problem, hint) })
}

func (o *OIDC) validateClient(fault func(name, problem, hint string)) {
	if u, err := url.Parse(o.Issuer); err != nil || !issuer.Private(o.Issuer) || u.RawQuery != "" {
		fault(".issuer", fmt.Sprintf("%q is not an https:// URL", o.Issuer), "write the issuer as its discovery document does; http:// is for issuers on this machine only")
	}
	if o.ClientID == "" {
		fault("", "has no client_id", "add the id that the issuer knows us by")
	}
	switch u, err := url.Parse(o.RedirectURL); {
	case o.RedirectURL == "":
		fault("", "has no redirect_url", "add the public address of Vel with the path "+CallbackPath+", and register the same at the issuer")
	case err != nil || !issuer.Private(o.RedirectURL) || u.RawQuery != "" || u.Path != CallbackPath:
		fault(".redirect_url", fmt.Sprintf("%q is not an https:// URL with the path %s", o.RedirectURL, CallbackPath), "write it as https://vel.example.com"+CallbackPath)
	}
	if !slices.Contains(o.Scopes, "openid") {
		fault(".scopes", "does not have openid", "write it as [openid, email, profile]")
	}
	for i, scope := range o.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			fault(fmt.Sprintf(".scopes[%d]", i), fmt.Sprintf("%q is not a scope", scope), "write one word an entry")
		}
	}
}

func (o *OIDC) validatePeople(fault func(name, problem, hint string)) {
	if o.Organization == "" && o.OrganizationClaim == "" {
		fault("", "does not say whose users sign on", "add organization, or organization_claim if a claim says it")
	}
	if len(o.Roles.Map) > 0 && o.Roles.Claim == "" {
		fault(".roles.claim", "is empty", "name the claim whose words the map has, such as groups")
	}
	if len(o.Roles.Map) == 0 && o.DefaultRole == "" {
		fault("", "gives nobody a role, so nobody could sign on", "add roles.map, or default_role for everybody")
	}
	for _, word := range slices.Sorted(maps.Keys(o.Roles.Map)) {
		switch role := o.Roles.Map[word]; {
		case role == "":
			fault(".roles.map."+word, "is empty", "name a role such as viewer")
		case role == string(tenancy.PlatformAdmin) && o.Organization != string(tenancy.Platform):
			fault(".roles.map."+word, "gives platform_admin outside the platform", "write organization: platform, or another role")
		}
	}
	if o.DefaultRole == string(tenancy.PlatformAdmin) {
		fault(".default_role", "gives everybody the whole house", "give platform_admin by roles.map, to a group")
	}
}
