package main

import (
	"context"
	"strings"
)

// routes is how the command line sees routes.
func routes() *kind {
	return &kind{
		path: "/api/routes", columns: []string{"id", "name", "targets", "managed_by", "shadowed", "problem"},
		sent: []string{
			"name", "targets", "strategy", "optimize", "sticky", "hedge", "cache", "mirror", "rules", "timeouts", "attempts", "backoff", "strict", "repeat_executed",
		},
	}
}

// routesCmd manages routes.
type routesCmd struct {
	List   routesListCmd   `cmd:"" help:"List the routes of the file and of the database."`
	Get    routesGetCmd    `cmd:"" help:"Show one."`
	Create routesCreateCmd `cmd:"" help:"Make one: it can be called on every node within two seconds."`
	Update routesUpdateCmd `cmd:"" help:"Change one."`
	Delete routesDeleteCmd `cmd:"" help:"Delete one."`
	Diff   routesDiffCmd   `cmd:"" help:"Show where recorded calls would go by another file."`
}

// Help shows how it is used.
func (routesCmd) Help() string {
	return `A route is a model name that clients ask for, and where its calls go, in order. Those of the configuration file are
read-only here.

Example:
  vel routes create gpt-4o --targets openai,groq=openai/gpt-oss-120b
  vel routes update route_… --targets openai --attempts 1
  vel routes diff --since 24h --with new.yaml`
}

// routeFlags are what can be said of a route.
type routeFlags struct {
	settingsFlag
	Targets        []string `placeholder:"PROVIDER[=MODEL]" help:"Where its calls go, in this order: a provider's name, and its name of the model unless it is the public one."`
	Attempts       *int     `help:"Tries for one call at most."`
	Strict         *bool    `negatable:"" help:"Whether a call of which a field would be dropped is refused."`
	RepeatExecuted *bool    `negatable:"" help:"Whether a call that may have been executed may be sent once more."`
}

func (f *routeFlags) members() ([]member, error) {
	list, err := f.settingsFlag.members()
	var targets []map[string]any
	for _, t := range f.Targets {
		provider, model, named := strings.Cut(t, "=")
		targets = append(targets, given(text("provider", provider), member{"model", model, named}))
	}
	return append(list, member{"targets", targets, len(targets) > 0}, member{"attempts", f.Attempts, f.Attempts != nil},
		flag("strict", f.Strict), flag("repeat_executed", f.RepeatExecuted)), err
}

type routesListCmd struct {
	manage
	Name string `help:"Only the one with this name."`
}

func (c *routesListCmd) Run(ctx context.Context, o *output) error {
	return routes().list(ctx, o, &c.manage, text("name", c.Name))
}

type routesGetCmd struct {
	manage
	ID string `arg:"" help:"The route's id."`
}

func (c *routesGetCmd) Run(ctx context.Context, o *output) error {
	return routes().get(ctx, o, &c.manage, c.ID)
}

type routesCreateCmd struct {
	manage
	routeFlags
	Name string `arg:"" help:"The model name that clients ask for."`
}

func (c *routesCreateCmd) Run(ctx context.Context, o *output) error {
	members, err := c.members()
	if err != nil {
		return err
	}
	return routes().create(ctx, o, &c.manage, given(append(members, text("name", c.Name))...))
}

type routesUpdateCmd struct {
	manage
	routeFlags
	ID   string `arg:"" help:"The route's id."`
	Name string `help:"The model name that clients ask for from now on."`
}

func (c *routesUpdateCmd) Run(ctx context.Context, o *output) error {
	members, err := c.members()
	if err != nil {
		return err
	}
	return routes().change(ctx, o, &c.manage, c.ID, given(append(members, text("name", c.Name))...))
}

type routesDeleteCmd struct {
	manage
	ID string `arg:"" help:"The route's id."`
}

func (c *routesDeleteCmd) Run(ctx context.Context, o *output) error {
	return routes().remove(ctx, o, &c.manage, c.ID)
}
