package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// users is how the command line sees users.
func users() *kind {
	return &kind{
		path: "/api/users", columns: []string{"id", "email", "name", "organization", "roles", "disabled", "last_login"},
		sent: []string{"name", "email", "roles", "teams", "disabled"},
	}
}

// usersCmd manages users.
type usersCmd struct {
	List     usersListCmd     `cmd:"" help:"List an organization's users."`
	Get      usersGetCmd      `cmd:"" help:"Show one."`
	Create   usersCreateCmd   `cmd:"" help:"Make one."`
	Update   usersUpdateCmd   `cmd:"" help:"Change one."`
	Roles    usersRolesCmd    `cmd:"" help:"Set the roles of one."`
	Password usersPasswordCmd `cmd:"" help:"Set the password of one and end their sessions."`
	Delete   usersDeleteCmd   `cmd:"" help:"Delete one with their keys and sessions."`
}

// Help shows how it is used.
func (usersCmd) Help() string {
	return `A user is a person who signs in with an address and a password. Without --org they are of the platform.

Example:
  vel users create ada@example.com --name Ada --roles org_admin --org org_… --password-file secret.txt
  vel users roles user_… viewer --org org_…`
}

type usersListCmd struct {
	manage
	within
	Email string `help:"Only the one with this address."`
	Name  string `help:"Only those with this name."`
}

func (c *usersListCmd) Run(ctx context.Context, o *output) error {
	return users().in(c.Org).list(ctx, o, &c.manage, text("email", c.Email), text("name", c.Name))
}

type usersGetCmd struct {
	manage
	within
	ID string `arg:"" help:"The user's id."`
}

func (c *usersGetCmd) Run(ctx context.Context, o *output) error {
	return users().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

// passwordFlag says where a password stands. A flag that held it would be in the list of processes.
type passwordFlag struct {
	PasswordFile string `placeholder:"FILE" help:"A file with the password, or - for standard input."`
}

func (p *passwordFlag) member() (member, error) {
	if p.PasswordFile == "" {
		return member{}, nil
	}
	password, err := readSecret(p.PasswordFile)
	if err != nil {
		return member{}, fmt.Errorf("read the password: %w", err)
	}
	return text("password", password), nil
}

type usersCreateCmd struct {
	manage
	within
	passwordFlag
	Email string   `arg:"" help:"The address to sign in with."`
	Name  string   `required:"" help:"What they are called."`
	Roles []string `help:"What they may do."`
	Teams []string `help:"The ids of their teams."`
}

func (c *usersCreateCmd) Run(ctx context.Context, o *output) error {
	password, err := c.member()
	if err != nil {
		return err
	}
	return users().in(c.Org).create(ctx, o, &c.manage,
		given(text("email", c.Email), text("name", c.Name), words("roles", c.Roles), words("teams", c.Teams), password))
}

type usersUpdateCmd struct {
	manage
	within
	ID       string   `arg:"" help:"The user's id."`
	Email    string   `help:"Their new address."`
	Name     string   `help:"Their new name."`
	Teams    []string `help:"The ids of all their teams; the word none takes them out of all."`
	Disabled *bool    `negatable:"" help:"Whether they are shut out."`
}

func (c *usersUpdateCmd) Run(ctx context.Context, o *output) error {
	return users().in(c.Org).change(ctx, o, &c.manage, c.ID,
		given(text("email", c.Email), text("name", c.Name), words("teams", c.Teams), flag("disabled", c.Disabled)))
}

type usersRolesCmd struct {
	manage
	within
	ID    string   `arg:"" help:"The user's id."`
	Roles []string `arg:"" help:"All their roles from now on; the word none takes all away."`
}

func (c *usersRolesCmd) Run(ctx context.Context, o *output) error {
	return users().in(c.Org).act(ctx, o, &c.manage, http.MethodPut, c.ID, "/roles", given(words("roles", c.Roles)))
}

type usersPasswordCmd struct {
	manage
	within
	passwordFlag
	ID string `arg:"" help:"The user's id."`
}

func (c *usersPasswordCmd) Run(ctx context.Context, o *output) error {
	password, err := c.member()
	if err != nil {
		return err
	}
	if !password.said {
		return errors.New("say where the new password stands: --password-file FILE, or - for standard input")
	}
	return users().in(c.Org).do(ctx, o, &c.manage, http.MethodPut, c.ID, "/password", given(password))
}

type usersDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"The user's id."`
}

func (c *usersDeleteCmd) Run(ctx context.Context, o *output) error {
	return users().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}
