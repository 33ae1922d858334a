package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// keys is how the command line sees virtual keys.
func keys() *kind {
	return &kind{
		path: "/api/keys", columns: []string{"id", "name", "organization", "role", "disabled", "expires", "last_used", "managed_by"},
		sent: []string{"name", "team", "user", "models", "role", "expires", "disabled"},
	}
}

// keysCmd manages virtual keys.
type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List an organization's keys."`
	Get    keysGetCmd    `cmd:"" help:"Show one, without its secret."`
	Create keysCreateCmd `cmd:"" help:"Make one and show its secret, once."`
	Update keysUpdateCmd `cmd:"" help:"Change what one may do."`
	Rotate keysRotateCmd `cmd:"" help:"Give one a new secret and show it, once."`
	Delete keysDeleteCmd `cmd:"" help:"Delete one: it opens nothing any more, everywhere within two seconds."`
}

// Help shows how it is used.
func (keysCmd) Help() string {
	return `A key is what an application sends as its API key.

Example:
  vel keys create web --org org_… --models gpt-4o,fast
  vel keys rotate key_… --org org_… --overlap 48h
  vel keys update key_… --org org_… --disabled`
}

// keyFlags are what can be said of a key.
type keyFlags struct {
	Team    string   `help:"The id of its team; the word none takes it away."`
	User    string   `help:"The id of the user it is for; the word none takes it away."`
	Models  []string `help:"The public model names that it may use; all, if none are said. The word none empties the list."`
	Role    string   `help:"What it may do at /api; nothing, if it has none."`
	Expires expiry   `placeholder:"TIME" help:"When it stops working, as 2027-01-31T00:00:00Z; the word none takes it away."`
}

func (f *keyFlags) members() []member {
	return []member{
		orNone("team", f.Team), orNone("user", f.User), words("models", f.Models), orNone("role", f.Role), orNone("expires", string(f.Expires)),
	}
}

// expiry is a time, or the word none.
type expiry string

// UnmarshalText refuses what is neither.
func (e *expiry) UnmarshalText(text []byte) error {
	if _, err := time.Parse(time.RFC3339, string(text)); err != nil && string(text) != "none" {
		return errors.New("write a time as 2027-01-31T00:00:00Z, or none")
	}
	*e = expiry(text)
	return nil
}

type keysListCmd struct {
	manage
	within
	Name string `help:"Only the one with this name."`
	Team string `help:"Only those of a team."`
	User string `help:"Only those of a user."`
}

func (c *keysListCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).list(ctx, o, &c.manage, text("name", c.Name), text("team", c.Team), text("user", c.User))
}

type keysGetCmd struct {
	manage
	within
	ID string `arg:"" help:"The key's id."`
}

func (c *keysGetCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type keysCreateCmd struct {
	manage
	within
	keyFlags
	Name string `arg:"" help:"How it is called."`
}

func (c *keysCreateCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).create(ctx, o, &c.manage, given(append(c.members(), text("name", c.Name))...))
}

type keysUpdateCmd struct {
	manage
	within
	keyFlags
	ID       string `arg:"" help:"The key's id."`
	Name     string `help:"Its new name."`
	Disabled *bool  `negatable:"" help:"Whether it opens nothing."`
}

func (c *keysUpdateCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).change(ctx, o, &c.manage, c.ID, given(append(c.members(), text("name", c.Name), flag("disabled", c.Disabled))...))
}

type keysRotateCmd struct {
	manage
	within
	ID      string        `arg:"" help:"The key's id."`
	Overlap time.Duration `default:"24h" help:"How long the old secret works beside the new one."`
}

func (c *keysRotateCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/rotate", map[string]any{"overlap_seconds": int64(c.Overlap.Seconds())})
}

type keysDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"The key's id."`
}

func (c *keysDeleteCmd) Run(ctx context.Context, o *output) error {
	return keys().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}
