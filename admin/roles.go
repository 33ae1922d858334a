package admin

import (
	"context"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// Role is what the API shows of one.
type Role struct {
	Object
	Permissions []PermissionName `json:"permissions" nullable:"false" doc:"What it allows."`
}

// PermissionName is one permission.
type PermissionName string

// Schema lists the permissions that there are.
func (PermissionName) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, name := range tenancy.AllPermissions.Names() {
		s.Enum = append(s.Enum, name)
	}
	return s
}

func namesOf(may tenancy.Permissions) []PermissionName {
	names := []PermissionName{}
	for p := range may.All() {
		names = append(names, PermissionName(p.String()))
	}
	return names
}

// RoleBody makes or changes a role.
type RoleBody struct {
	Name        string           `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
	Permissions []PermissionName `json:"permissions" nullable:"false" maxItems:"64" doc:"What it allows: at most what you may, and never manage_platform."`
}

// NewRole makes a role.
type NewRole struct {
	NewIn
	RoleBody
}

func (b *RoleBody) to(r *tenancy.Role) {
	r.Name, r.Permissions = strings.TrimSpace(b.Name), 0
	for _, name := range b.Permissions {
		p, _ := tenancy.PermissionsOf([]string{string(name)}) // the schema refuses what is none
		r.Permissions |= p
	}
}

// Resolve is called by huma when the body has been read.
func (b *RoleBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var r tenancy.Role
	b.to(&r)
	return faultsAt(at, r.Validate)
}

func (s *Server) serveRoles() {
	within := func(a *asking, r *tenancy.Role) error {
		if a.by.May.Covers(r.Permissions) {
			return nil
		}
		return beyond(a, "body.permissions", r.Permissions)
	}
	r := resource[tenancy.Role, NewRole, RoleBody, Role]{
		s: s, one: "role", many: "roles", tag: "Roles", filters: []string{"organization", "name"},
		store: s.roles, meta: func(r *tenancy.Role) *tenancy.Meta { return &r.Meta },
		view:  func(r *tenancy.Role) Role { return Role{objectOf(&r.Meta), namesOf(r.Permissions)} },
		guard: func(_ context.Context, a *asking, r *tenancy.Role) error { return outranked(a, r.Permissions) },
		fill: func(_ context.Context, a *asking, r *tenancy.Role, b *NewRole) error {
			b.to(r)
			return within(a, r)
		},
		edit: func(_ context.Context, a *asking, r *tenancy.Role, b *RoleBody) error {
			b.to(r)
			return within(a, r)
		},
		inBody: func(b *NewRole) Ref { return b.Organization },
	}
	r.register()
}
