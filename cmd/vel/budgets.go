package main

import (
	"context"
	"net/http"
)

// budgets is how the command line sees budgets.
func budgets() *kind {
	return &kind{
		path: "/api/budgets", columns: []string{"id", "name", "organization", "usd", "per", "hard", "managed_by", "shadowed"},
		sent: []string{"name", "usd", "warn_at_percent", "hard", "on_store_failure"},
	}
}

// spent is how the command line sees what is used of one.
func spent() *kind {
	return &kind{path: "/api/budgets", columns: []string{"id", "usd", "spent_usd", "held_usd", "remaining_usd", "overrun_usd", "booked_usd", "from", "resets", "cold"}}
}

// budgetsCmd manages budgets.
type budgetsCmd struct {
	List   budgetsListCmd   `cmd:"" help:"List the budgets of an organization, those of the file too."`
	Get    budgetsGetCmd    `cmd:"" help:"Show one."`
	Create budgetsCreateCmd `cmd:"" help:"Make one: it holds on every node within two seconds."`
	Update budgetsUpdateCmd `cmd:"" help:"Change one, without losing what is spent."`
	Delete budgetsDeleteCmd `cmd:"" help:"Delete one."`
	Usage  budgetsUsageCmd  `cmd:"" help:"Show what is spent of one."`
	Reset  budgetsResetCmd  `cmd:"" help:"Forgive what is spent of one in the window of now."`
}

// Help shows how it is used.
func (budgetsCmd) Help() string {
	return `A budget says what the calls of an organization, or of one team, user, key or tag of it, may cost in a window of the calendar.
There may be several; all of them hold.

Example:
  vel budgets create monthly 500 --per month --timezone Europe/Berlin --org org_…
  vel budgets create ci 20 --per day --key key_… --org org_…
  vel budgets usage budget_… --org org_…`
}

// budgetFlags are what can be said of a budget.
type budgetFlags struct {
	WarnAt         *int   `name:"warn-at" placeholder:"PERCENT" help:"At which percent an event is written; 80 if it is not said, 0 for none."`
	Hard           *bool  `negatable:"" help:"Whether calls beyond it are refused; so it is if it is not said."`
	OnStoreFailure string `enum:",local,closed,open" default:"" help:"What holds while nobody knows what was spent: local, closed or open."`
}

func (f *budgetFlags) members() []member {
	return []member{{"warn_at_percent", f.WarnAt, f.WarnAt != nil}, flag("hard", f.Hard), text("on_store_failure", f.OnStoreFailure)}
}

type budgetsListCmd struct {
	manage
	within
	scopeFlags
	Name string `help:"Only the one with this name."`
}

func (c *budgetsListCmd) Run(ctx context.Context, o *output) error {
	return budgets().in(c.Org).list(ctx, o, &c.manage, append(c.members(), text("name", c.Name))...)
}

type budgetsGetCmd struct {
	manage
	within
	ID string `arg:"" help:"The budget's id."`
}

func (c *budgetsGetCmd) Run(ctx context.Context, o *output) error {
	return budgets().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type budgetsCreateCmd struct {
	manage
	within
	scopeFlags
	budgetFlags
	Tag      string `placeholder:"KEY=VALUE" help:"Only the calls with a tag."`
	Per      string `required:"" enum:"hour,day,week,month,total" help:"In which window it is spent: hour, day, week, month or total."`
	Timezone string `placeholder:"ZONE" help:"Where days, weeks and months begin, as Europe/Berlin; UTC if it is not said."`
	Name     string `arg:"" help:"How it is called."`
	USD      string `arg:"" name:"usd" help:"Dollars as a decimal."`
}

func (c *budgetsCreateCmd) Run(ctx context.Context, o *output) error {
	members := append(c.scopeFlags.members(), c.budgetFlags.members()...)
	return budgets().in(c.Org).create(ctx, o, &c.manage, given(append(members,
		text("tag", c.Tag), text("per", c.Per), text("timezone", c.Timezone), text("name", c.Name), text("usd", c.USD))...))
}

type budgetsUpdateCmd struct {
	manage
	within
	budgetFlags
	ID   string `arg:"" help:"The budget's id."`
	Name string `help:"Its new name."`
	USD  string `name:"usd" placeholder:"DOLLARS" help:"Dollars as a decimal."`
}

func (c *budgetsUpdateCmd) Run(ctx context.Context, o *output) error {
	return budgets().in(c.Org).change(ctx, o, &c.manage, c.ID, given(append(c.members(), text("name", c.Name), text("usd", c.USD))...))
}

type budgetsDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"The budget's id."`
}

func (c *budgetsDeleteCmd) Run(ctx context.Context, o *output) error {
	return budgets().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}

type budgetsUsageCmd struct {
	manage
	within
	ID string `arg:"" help:"The budget's id."`
}

func (c *budgetsUsageCmd) Run(ctx context.Context, o *output) error {
	return spent().in(c.Org).act(ctx, o, &c.manage, http.MethodGet, c.ID, "/usage", nil)
}

type budgetsResetCmd struct {
	manage
	within
	ID string `arg:"" help:"The budget's id."`
}

func (c *budgetsResetCmd) Run(ctx context.Context, o *output) error {
	return spent().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/reset", nil)
}
