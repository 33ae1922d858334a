package main

import "context"

// orgs is how the command line sees organizations.
func orgs() *kind {
	return &kind{path: "/api/organizations", columns: []string{"id", "name", "disabled", "keep_content", "managed_by", "created"}, sent: []string{"name", "disabled", "keep_content"}}
}

// orgsCmd manages organizations.
type orgsCmd struct {
	List   orgsListCmd   `cmd:"" help:"List the organizations."`
	Get    orgsGetCmd    `cmd:"" help:"Show one."`
	Create orgsCreateCmd `cmd:"" help:"Make one."`
	Update orgsUpdateCmd `cmd:"" help:"Rename one, close it or open it again, keep what its calls say or not."`
	Delete orgsDeleteCmd `cmd:"" help:"Delete one with everything that belongs to it."`
}

// Help shows how it is used.
func (orgsCmd) Help() string {
	return `An organization is a tenant: it has teams, users, roles and keys, and sees nothing of any other.

Example:
  vel orgs create acme
  vel orgs list --json | jq -r '.[].id'`
}

type orgsListCmd struct {
	manage
	Name string `help:"Only the one with this name."`
}

func (c *orgsListCmd) Run(ctx context.Context, o *output) error {
	return orgs().list(ctx, o, &c.manage, text("name", c.Name))
}

type orgsGetCmd struct {
	manage
	ID string `arg:"" help:"The organization's id."`
}

func (c *orgsGetCmd) Run(ctx context.Context, o *output) error {
	return orgs().get(ctx, o, &c.manage, c.ID)
}

type orgsCreateCmd struct {
	manage
	Name string `arg:"" help:"How it is called."`
}

func (c *orgsCreateCmd) Run(ctx context.Context, o *output) error {
	return orgs().create(ctx, o, &c.manage, given(text("name", c.Name)))
}

type orgsUpdateCmd struct {
	manage
	ID       string `arg:"" help:"The organization's id."`
	Name     string `help:"Its new name."`
	Disabled *bool  `negatable:"" help:"Whether its keys and users are shut out."`
	Keep     *bool  `name:"keep-content" negatable:"" help:"Whether the prompts and answers of its calls are kept, sealed."`
}

func (c *orgsUpdateCmd) Run(ctx context.Context, o *output) error {
	return orgs().change(ctx, o, &c.manage, c.ID, given(text("name", c.Name), flag("disabled", c.Disabled), flag("keep_content", c.Keep)))
}

type orgsDeleteCmd struct {
	manage
	ID string `arg:"" help:"The organization's id."`
}

func (c *orgsDeleteCmd) Run(ctx context.Context, o *output) error {
	return orgs().remove(ctx, o, &c.manage, c.ID)
}
