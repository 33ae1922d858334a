package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/tenancy"
)

// SubjectStore knows for which users an issuer vouches.
type SubjectStore interface {
	// FindSubject finds a user by what their issuer calls them. They are Disabled also if their organization is.
	FindSubject(ctx context.Context, org tenancy.ID, issuer, subject string) (tenancy.User, error)
}

// signOn turns people for whom the issuer vouches into users with the roles that their claims give.
type signOn struct {
	*Server
	cfg     OIDC
	client  *issuer.Client // nil: nobody signs on
	signOns *throttle      // those that failed
}

// user is who has signed on: known by the issuer's name for them, or else known by their address, or new. Whoever has no
// role is nobody. What somebody else changes meanwhile is looked at again. Of who is not let in the organization is given, if
// it is known.
func (s *signOn) user(ctx context.Context, by tenancy.Actor, id *issuer.Identity) (u tenancy.User, err error) {
	org, err := s.organization(ctx, id)
	if err != nil {
		return u, err
	}
	roles, err := s.rolesFor(ctx, org, id)
	if err != nil {
		return tenancy.User{Meta: tenancy.Meta{Org: org}}, err
	}
	for try := 1; ; try++ {
		u, err = s.known(ctx, by, org, roles, id)
		u.Org = org // also of somebody who is not let in
		if !errors.Is(err, tenancy.ErrStale) && !errors.As(err, new(*tenancy.Taken)) || try == tries {
			return u, err
		}
	}
}

func (s *signOn) known(ctx context.Context, by tenancy.Actor, org tenancy.ID, roles []tenancy.ID, id *issuer.Identity) (tenancy.User, error) {
	u, err := s.Subjects.FindSubject(ctx, org, id.Issuer, id.Subject)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return s.first(ctx, by, org, roles, id)
	case err != nil:
		return u, err
	case u.Disabled:
		return u, signOnRefused.new("Your user is disabled.")
	case slices.Equal(slices.Sorted(slices.Values(u.Roles)), roles):
		return u, nil
	}
	u.Roles = roles
	return s.Users.Update(ctx, by, u)
}

// first makes a user of somebody who has not signed on before.
func (s *signOn) first(ctx context.Context, by tenancy.Actor, org tenancy.ID, roles []tenancy.ID, id *issuer.Identity) (tenancy.User, error) {
	u := tenancy.User{
		Meta: tenancy.Meta{Org: org, Name: nameOf(id)}, Email: tenancy.NormalEmail(id.Email), Roles: roles, Issuer: id.Issuer, Subject: id.Subject,
	}
	if id.Email == "" {
		return tenancy.User{}, signOnRefused.new("The issuer does not say that an e-mail address is yours: it must give the claims email and email_verified.")
	}
	found, err := s.Users.List(ctx, org, tenancy.Page{Email: u.Email, Limit: 1})
	switch {
	case err != nil:
		return tenancy.User{}, err
	case len(found) > 0:
		return s.link(ctx, by, found[0], u)
	case !s.cfg.CreateUsers:
		return tenancy.User{}, signOnRefused.new("You are not a user here, and users are not made by signing on.")
	}
	var faults []string
	u.Validate(func(field, problem string) { faults = append(faults, field+" "+problem) })
	if len(faults) > 0 {
		return tenancy.User{}, signOnRefused.new("The issuer says what no user can have: " + sentence(faults) + ".")
	}
	return s.Users.Create(ctx, by, u)
}

// link lets a user be known by the issuer from now on. Who made the user may know the password, and be signed in as
// them: both end first, because the claims may give more than that one ever had.
func (s *signOn) link(ctx context.Context, by tenancy.Actor, u, now tenancy.User) (tenancy.User, error) {
	switch {
	case !s.cfg.LinkByEmail:
		return u, signOnRefused.new("A user with your address exists who signs in with a password.")
	case u.Issuer == now.Issuer: // the address has become another person's
		return u, signOnRefused.new("The user with your address is known to the issuer as somebody else.")
	case u.Disabled:
		return u, signOnRefused.new("Your user is disabled.")
	}
	if err := s.Passwords.SetPassword(ctx, by, u.Org, u.ID, ""); err != nil {
		return u, err
	}
	fresh, err := s.Users.Get(ctx, u.Org, u.ID)
	if err != nil || fresh.Disabled || fresh.Email != u.Email {
		return u, errors.Join(err, tenancy.ErrStale)
	}
	fresh.Issuer, fresh.Subject, fresh.Roles = now.Issuer, now.Subject, now.Roles
	return s.Users.Update(ctx, by, fresh)
}

// longestName is in characters, as tenancy has it.
const longestName = 64

// nameOf is what people call them.
func nameOf(id *issuer.Identity) string {
	name := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.TrimSpace(id.Name)))
	if len(name) == 0 {
		name = []rune(id.Email)
	}
	return strings.TrimSpace(string(name[:min(len(name), longestName)]))
}

// organization is whose user somebody is. A claim never leads to the platform: only the file does.
func (s *signOn) organization(ctx context.Context, id *issuer.Identity) (tenancy.ID, error) {
	named := s.cfg.Organization
	if claimed := id.Words(s.cfg.OrganizationClaim); s.cfg.OrganizationClaim != "" && len(claimed) > 0 {
		if len(claimed) > 1 || claimed[0] == string(tenancy.Platform) {
			return "", signOnRefused.new("The claim " + s.cfg.OrganizationClaim + " does not name one organization.")
		}
		named = claimed[0]
	}
	if named == string(tenancy.Platform) {
		return tenancy.Platform, nil
	}
	o, err := called(ctx, s.Orgs, tenancy.ID(named), "", named, func(o *tenancy.Org) *tenancy.Meta { return &o.Meta })
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return "", signOnRefused.new("Your organization is not one of this house.").because(fmt.Errorf("sign-on names the organization %q, which does not exist", named))
	case err != nil:
		return "", err
	case o.Disabled:
		return "", signOnRefused.new("Your organization is disabled.")
	}
	return o.ID, nil
}

// rolesFor are the roles that somebody's claims give, each once and in a fixed order.
func (s *signOn) rolesFor(ctx context.Context, org tenancy.ID, id *issuer.Identity) ([]tenancy.ID, error) {
	var names []string
	for _, word := range id.Words(s.cfg.Roles.Claim) {
		if role, ok := s.cfg.Roles.Map[word]; ok {
			names = append(names, role)
		}
	}
	if len(names) == 0 && s.cfg.DefaultRole != "" {
		names = []string{s.cfg.DefaultRole}
	}
	if len(names) == 0 {
		return nil, signOnRefused.new("None of your groups has a role here. Ask whoever runs this house.")
	}
	slices.Sort(names)
	var roles []tenancy.ID
	for _, name := range slices.Compact(names) {
		role, err := called(ctx, s.roles, org, org, name, func(r *tenancy.Role) *tenancy.Meta { return &r.Meta })
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil, signOnRefused.new("Your groups lead to a role that your organization does not have.").because(fmt.Errorf("sign-on gives the role %q, which %s does not have", name, org))
		}
		if err != nil {
			return nil, err
		}
		roles = append(roles, role.ID)
	}
	slices.Sort(roles)
	return slices.Compact(roles), nil
}

// called finds an object by its id or, if there is none, by its name. in is whose object it is by its id, among whose
// names are looked through.
func called[T any](ctx context.Context, store tenancy.Store[T], in, among tenancy.ID, name string, meta func(*T) *tenancy.Meta) (v T, err error) {
	if name == "" { // a list would take it for any
		return v, tenancy.ErrNotFound
	}
	v, err = store.Get(ctx, in, tenancy.ID(name))
	if !errors.Is(err, tenancy.ErrNotFound) {
		return v, err
	}
	found, err := store.List(ctx, among, tenancy.Page{Name: name, Limit: 2})
	if err != nil {
		return v, err
	}
	for i := range found {
		if !meta(&found[i]).Shadowed {
			return found[i], nil
		}
	}
	return v, tenancy.ErrNotFound
}
