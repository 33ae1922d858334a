package main

import "context"

// roles is how the command line sees roles.
func roles() *kind {
	return &kind{path: "/api/roles", columns: []string{"id", "name", "permissions", "managed_by"}, sent: []string{"name", "permissions"}}
}

// rolesCmd manages roles.
type rolesCmd struct {
	List   rolesListCmd   `cmd:"" help:"List an organization's roles, the built-in ones too."`
	Get    rolesGetCmd    `cmd:"" help:"Show one."`
	Create rolesCreateCmd `cmd:"" help:"Make one."`
	Update rolesUpdateCmd `cmd:"" help:"Rename one or change what it permits."`
	Delete rolesDeleteCmd `cmd:"" help:"Delete one that nobody has."`
}

// Help shows how it is used.
func (rolesCmd) Help() string {
	return `A role is a set of permissions. Nobody can give a permission that they do not have.

Example:
  vel roles list --org org_…
  vel roles create support --permissions view_organization,view_analytics --org org_…`
}

type rolesListCmd struct {
	manage
	within
}

func (c *rolesListCmd) Run(ctx context.Context, o *output) error {
	return roles().in(c.Org).list(ctx, o, &c.manage)
}

type rolesGetCmd struct {
	manage
	within
	ID string `arg:"" help:"The role's id."`
}

func (c *rolesGetCmd) Run(ctx context.Context, o *output) error {
	return roles().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type rolesCreateCmd struct {
	manage
	within
	Name        string   `arg:"" help:"How it is called."`
	Permissions []string `required:"" help:"What it permits."`
}

func (c *rolesCreateCmd) Run(ctx context.Context, o *output) error {
	return roles().in(c.Org).create(ctx, o, &c.manage, given(text("name", c.Name), words("permissions", c.Permissions)))
}

type rolesUpdateCmd struct {
	manage
	within
	ID          string   `arg:"" help:"The role's id."`
	Name        string   `help:"Its new name."`
	Permissions []string `help:"All that it permits from now on."`
}

func (c *rolesUpdateCmd) Run(ctx context.Context, o *output) error {
	return roles().in(c.Org).change(ctx, o, &c.manage, c.ID, given(text("name", c.Name), words("permissions", c.Permissions)))
}

type rolesDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"The role's id."`
}

func (c *rolesDeleteCmd) Run(ctx context.Context, o *output) error {
	return roles().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}
