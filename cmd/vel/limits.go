package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// limits is how the command line sees limits.
func limits() *kind {
	return &kind{
		path: "/api/limits", columns: []string{"id", "name", "organization", "rpm", "tpm", "in_flight", "managed_by", "shadowed"},
		sent: []string{"rpm", "burst", "rph", "rpd", "tpm", "tph", "tpd", "in_flight", "on_store_failure"},
	}
}

// limitsCmd manages limits.
type limitsCmd struct {
	List   limitsListCmd   `cmd:"" help:"List the limits of an organization, those of the file too."`
	Get    limitsGetCmd    `cmd:"" help:"Show one."`
	Create limitsCreateCmd `cmd:"" help:"Make one: it holds on every node within two seconds."`
	Update limitsUpdateCmd `cmd:"" help:"Change one, without losing what is used."`
	Delete limitsDeleteCmd `cmd:"" help:"Delete one."`
	Usage  limitsUsageCmd  `cmd:"" help:"Show what is used of one."`
	Reset  limitsResetCmd  `cmd:"" help:"Forget what is used of one."`
}

// Help shows how it is used.
func (limitsCmd) Help() string {
	return `Limits say how fast calls may come: those of an organization, or of one team, user, key or model of it.

Example:
  vel limits create --org org_… --rpm 600 --tpm 200000
  vel limits create --org org_… --key key_… --in-flight 8
  vel limits usage limit_… --org org_…`
}

// scopeFlags say which calls are meant.
type scopeFlags struct {
	Team string `help:"Only the calls of a team."`
	User string `help:"Only the calls of a user."`
	Key  string `help:"Only the calls of a key."`
}

func (f *scopeFlags) members() []member {
	return []member{text("team", f.Team), text("user", f.User), text("key", f.Key)}
}

// amount is a whole number, or the word none.
type amount string

// UnmarshalText refuses what is neither.
func (a *amount) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); (err != nil || n < 1) && string(text) != "none" {
		return errors.New("write a whole number from 1 on, or none")
	}
	*a = amount(text)
	return nil
}

// member is the number in a body; the word none takes it away.
func (a amount) member(name string) member {
	n, _ := strconv.ParseInt(string(a), 10, 64) // it was read before
	switch a {
	case "":
		return member{name, nil, false}
	case "none":
		return member{name, nil, true}
	}
	return member{name, n, true}
}

// limitFlags are what can be said of limits.
type limitFlags struct {
	RPM            amount `placeholder:"N" name:"rpm" help:"Requests a minute; the word none takes it away, as for all of these."`
	Burst          amount `placeholder:"N" help:"Requests that may come at once; a tenth of them, if it is not said."`
	RPH            amount `placeholder:"N" name:"rph" help:"Requests an hour."`
	RPD            amount `placeholder:"N" name:"rpd" help:"Requests a day."`
	TPM            amount `placeholder:"N" name:"tpm" help:"Tokens a minute."`
	TPH            amount `placeholder:"N" name:"tph" help:"Tokens an hour."`
	TPD            amount `placeholder:"N" name:"tpd" help:"Tokens a day."`
	InFlight       amount `placeholder:"N" help:"Calls at the same time."`
	OnStoreFailure string `enum:",local,closed,open" default:"" help:"What holds while the counters can not be reached: local, closed or open."`
}

func (f *limitFlags) members() []member {
	return []member{
		f.RPM.member("rpm"), f.Burst.member("burst"), f.RPH.member("rph"), f.RPD.member("rpd"), f.TPM.member("tpm"), f.TPH.member("tph"), f.TPD.member("tpd"),
		f.InFlight.member("in_flight"), text("on_store_failure", f.OnStoreFailure),
	}
}

type limitsListCmd struct {
	manage
	within
	scopeFlags
}

func (c *limitsListCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).list(ctx, o, &c.manage, c.members()...)
}

type limitsGetCmd struct {
	manage
	within
	ID string `arg:"" help:"Their id."`
}

func (c *limitsGetCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type limitsCreateCmd struct {
	manage
	within
	scopeFlags
	limitFlags
	Route string `help:"Only the calls that ask for a model."`
}

func (c *limitsCreateCmd) Run(ctx context.Context, o *output) error {
	members := append(c.scopeFlags.members(), c.limitFlags.members()...)
	return limits().in(c.Org).create(ctx, o, &c.manage, given(append(members, text("route", c.Route))...))
}

type limitsUpdateCmd struct {
	manage
	within
	limitFlags
	ID string `arg:"" help:"Their id."`
}

func (c *limitsUpdateCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).change(ctx, o, &c.manage, c.ID, given(c.members()...))
}

type limitsDeleteCmd struct {
	manage
	within
	ID string `arg:"" help:"Their id."`
}

func (c *limitsDeleteCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}

type limitsUsageCmd struct {
	manage
	within
	ID string `arg:"" help:"Their id."`
}

func (c *limitsUsageCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).usage(ctx, o, &c.manage, c.ID)
}

type limitsResetCmd struct {
	manage
	within
	ID string `arg:"" help:"Their id."`
}

func (c *limitsResetCmd) Run(ctx context.Context, o *output) error {
	return limits().in(c.Org).do(ctx, o, &c.manage, http.MethodPost, c.ID, "/reset", nil)
}

// usage prints what is used of each number of an object.
func (k *kind) usage(ctx context.Context, o *output, m *manage, id string) error {
	return m.with(ctx, o, func(r *remote) error {
		var v struct {
			ID     string           `json:"id"`
			Limits []map[string]any `json:"limits"`
		}
		if err := r.call(ctx, http.MethodGet, k.at(id)+"/usage", k.scope(), "", nil, &v); err != nil {
			return err
		}
		lines := kind{columns: []string{"limit", "used", "max", "remaining", "reset_seconds"}}
		return o.print(map[string]any{"id": v.ID, "limits": orEmpty(v.Limits)}, lines.table(v.Limits))
	})
}
