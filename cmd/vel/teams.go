package main

import "context"

// teams is how the command line sees teams.
func teams() *kind {
	return &kind{path: "/api/teams", columns: []string{"id", "name", "organization", "created"}, sent: []string{"name"}}
}

// teamsCmd manages teams.
type teamsCmd struct {
	List   teamsListCmd   `cmd:"" help:"List an organization's teams."`
	Get    teamsGetCmd    `cmd:"" help:"Show one."`
	Create teamsCreateCmd `cmd:"" help:"Make one."`
	Update teamsUpdateCmd `cmd:"" help:"Rename one."`
	Delete teamsDeleteCmd `cmd:"" help:"Delete one that no key and no user belongs to."`
}

// Help shows how it is used.
func (teamsCmd) Help() string {
	return `A team is a group within an organization; users and keys may belong to one.

Example:
  vel teams create search --org org_…
  vel teams list --org org_…`
}

// within is the organization that a command is about.
type within struct {
	Org string `env:"VEL_ORG" placeholder:"ID" help:"The organization's id; a key of the platform has to name one."`
}

type teamsListCmd struct {
	manage
	within
	Name string `help:"Only the one with this name."`
}

func (c *teamsListCmd) Run(ctx context.Context, o *output) error {
	return teams().in(c.Org).list(ctx, o, &c.manage, text("name", c.Name))
}

type teamsGetCmd struct {
	manage
	within
	ID string `arg:"" help:"The team's id."`
}

func (c *teamsGetCmd) Run(ctx context.Context, o *output) error {
	return teams().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type teamsCreateCmd struct {
	manage
	within
	Name string `arg:"" help:"How it is called."`
}

func (c *teamsCreateCmd) Run(ctx context.Context, o *output) error {
	return teams().in(c.Org).create(ctx, o, &c.manage, given(text("name", c.Name)))
}

type teamsUpdateCmd struct {
	manage
	within
	ID   string `arg:"" help:"The team's id."`
	Name string `required:"" help:"Its new name."`
}

func (c *teamsUpdateCmd) Run(ctx context.Context, o *output) error {
	return teams().in(c.Org).change(ctx, o, &c.manage, c.ID, given(text("name", c.Name)))
}

type teamsDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"The team's id."`
}

func (c *teamsDeleteCmd) Run(ctx context.Context, o *output) error {
	return teams().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}
