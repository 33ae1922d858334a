package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// User is what the API shows of one. Passwords leave in no form.
type User struct {
	Object
	Email       string       `json:"email" doc:"In lower case; unique within the organization."`
	Roles       []tenancy.ID `json:"roles" nullable:"false" doc:"The ids of what they are allowed by."`
	Teams       []tenancy.ID `json:"teams" nullable:"false" doc:"The ids of their teams."`
	Disabled    bool         `json:"disabled" doc:"They can not sign in, and their tokens do not work."`
	HasPassword bool         `json:"has_password" doc:"They can sign in with one."`
	Issuer      *string      `json:"issuer" doc:"Who vouches for them at single sign-on; null: nobody."`
	LastLogin   *time.Time   `json:"last_login" doc:"Null: never."`
}

// UserBody changes a user. The password has an operation of its own.
type UserBody struct {
	Name     string `json:"name" minLength:"1" maxLength:"64" doc:"For people."`
	Email    string `json:"email" minLength:"3" maxLength:"254" doc:"Unique within the organization; kept in lower case."`
	Roles    []Ref  `json:"roles,omitempty" nullable:"true" maxItems:"100" doc:"The ids of what they are allowed by: at most what you may. Left out of a change, they stay."`
	Teams    []Ref  `json:"teams,omitempty" nullable:"true" maxItems:"100" doc:"The ids of their teams."`
	Disabled bool   `json:"disabled,omitempty" nullable:"true" doc:"They can not sign in, and their tokens do not work."`
}

// NewUser makes a user.
type NewUser struct {
	NewIn
	UserBody
	Password string `json:"password,omitempty" nullable:"true" writeOnly:"true" format:"password" maxLength:"256" doc:"At least 8 characters with upper case, lower case and a digit. Without one they can not sign in until it is set."`
}

func (b *UserBody) to(u *tenancy.User) {
	u.Name, u.Email, u.Teams, u.Disabled = strings.TrimSpace(b.Name), tenancy.NormalEmail(b.Email), ids(b.Teams), b.Disabled
	if b.Roles != nil {
		u.Roles = ids(b.Roles)
	}
}

// Resolve is called by huma when the body has been read.
func (b *UserBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var u tenancy.User
	b.to(&u)
	return faultsAt(at, u.Validate)
}

// Resolve is called by huma when the body has been read.
func (b *NewUser) Resolve(ctx huma.Context, at *huma.PathBuffer) []error {
	faults := b.UserBody.Resolve(ctx, at)
	if b.Password != "" {
		faults = append(faults, passwordFaults(at, "password", b.Password)...)
	}
	return faults
}

func passwordFaults(at *huma.PathBuffer, field, password string) []error {
	return faultsAt(at, func(fault func(string, string)) {
		if problem := tenancy.PasswordProblem(password); problem != "" {
			fault(field, problem)
		}
	})
}

func viewUser(u *tenancy.User) User {
	var issuer *string
	if u.Issuer != "" {
		issuer = &u.Issuer
	}
	return User{
		Object: objectOf(&u.Meta), Email: u.Email, Issuer: issuer, Roles: append([]tenancy.ID{}, u.Roles...), Teams: append([]tenancy.ID{}, u.Teams...),
		Disabled: u.Disabled, HasPassword: u.Password != "", LastLogin: timeOf(u.LastLogin),
	}
}

type userResource = resource[tenancy.User, NewUser, UserBody, User]

func (s *Server) serveUsers() {
	r := userResource{
		s: s, one: "user", many: "users", tag: "Users", filters: []string{"organization", "name", "email"},
		store: s.Users, meta: func(u *tenancy.User) *tenancy.Meta { return &u.Meta }, view: viewUser,
		guard: func(ctx context.Context, a *asking, u *tenancy.User) error {
			may, err := s.allowed(ctx, u.Org, u.Roles...)
			if err != nil {
				return err
			}
			return outranked(a, may)
		},
		fill: func(ctx context.Context, a *asking, u *tenancy.User, b *NewUser) (err error) {
			b.to(u)
			if err := s.grants(ctx, a, u.Org, "roles", u.Roles...); err != nil || b.Password == "" {
				return err
			}
			u.Password, err = s.hashing.Hash(ctx, b.Password)
			return err
		},
		edit: func(ctx context.Context, a *asking, u *tenancy.User, b *UserBody) error {
			b.to(u)
			return s.grants(ctx, a, u.Org, "roles", ids(b.Roles)...)
		},
		inBody: func(b *NewUser) Ref { return b.Organization },
	}
	r.register()
	add(s, huma.Operation{
		OperationID: "set-user-roles", Method: http.MethodPut, Path: "/api/users/{id}/roles", Tags: []string{"Users"},
		Summary: "Set a user's roles", Description: "Replaces all of them.",
	}, func(ctx context.Context, in *rolesInput) (*itemOutput[User], error) { return setRoles(ctx, &r, in) },
		withBody(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
	add(s, huma.Operation{
		OperationID: "change-password", Method: http.MethodPut, Path: "/api/users/{id}/password", Tags: []string{"Users"},
		Summary: "Set a user's password", Description: "Ends all sessions of the user.",
	}, func(ctx context.Context, in *passwordInput) (*emptyOutput, error) { return setPassword(ctx, &r, in) },
		withBody(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
}

type rolesInput struct {
	Asked
	Item
	Conditional
	Body struct {
		Roles []Ref `json:"roles" nullable:"false" maxItems:"100" doc:"The ids of what they are allowed by: at most what you may."`
	}
}

func setRoles(ctx context.Context, r *userResource, in *rolesInput) (*itemOutput[User], error) {
	var changed tenancy.User
	err := r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(u *tenancy.User) (err error) {
		u.Roles = ids(in.Body.Roles)
		if err := r.s.grants(ctx, in.ask, u.Org, "roles", u.Roles...); err != nil {
			return err
		}
		changed, err = r.store.Update(ctx, in.ask.by, *u)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.item(&changed), nil
}

// PasswordBody sets a password.
type PasswordBody struct {
	Password string `json:"password" writeOnly:"true" format:"password" minLength:"8" maxLength:"256" doc:"At least 8 characters with upper case, lower case and a digit."`
}

// Resolve is called by huma when the body has been read.
func (b *PasswordBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return passwordFaults(at, "password", b.Password)
}

type passwordInput struct {
	Asked
	Item
	Conditional
	Body PasswordBody
}

func setPassword(ctx context.Context, r *userResource, in *passwordInput) (*emptyOutput, error) {
	return nil, r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(u *tenancy.User) error {
		hash, err := r.s.hashing.Hash(ctx, in.Body.Password)
		if err != nil {
			return err
		}
		return r.s.Passwords.SetPassword(ctx, in.ask.by, u.Org, u.ID, hash)
	})
}
