package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// targetsCmd is about where calls may go.
type targetsCmd struct {
	List  targetsListCmd  `cmd:"" help:"Show how targets do."`
	Reset targetsResetCmd `cmd:"" help:"Let calls go to a target again at once."`
}

// Help shows how it is used.
func (targetsCmd) Help() string {
	return `A target that fails too often is left alone for a while: its breaker is open. Each node judges by its own calls, and tells
of itself.

Example:
  vel targets list
  vel targets list --away
  vel targets reset openai/gpt-4o`
}

type targetsListCmd struct {
	manage
	Provider string `help:"Only those of this provider."`
	Route    string `placeholder:"MODEL" help:"Only those of this public model name."`
	Away     bool   `help:"Only those that are left alone now."`
}

func (c *targetsListCmd) Run(ctx context.Context, o *output) error {
	query := url.Values{}
	for _, m := range []member{text("provider", c.Provider), text("route", c.Route), {"away", true, c.Away}} {
		if m.said {
			query.Set(m.name, fmt.Sprint(m.value))
		}
	}
	return c.with(ctx, o, func(r *remote) error {
		var v struct {
			Data []map[string]any `json:"data"`
		}
		if err := r.call(ctx, http.MethodGet, "/api/targets", query, "", nil, &v); err != nil {
			return err
		}
		columns := []string{"id", "breaker", "until", "failures", "attempts", "in_flight", "first_byte_ms", "token_ms", "last"}
		return o.print(v.Data, table([]string{"TARGET", "BREAKER", "UNTIL", "FAILURES", "OF", "UNDER WAY", "FIRST BYTE MS", "TOKEN MS", "LAST"}, len(v.Data), func(i int) (row []string) {
			for _, name := range columns {
				row = append(row, cell(v.Data[i][name]))
			}
			return row
		}))
	})
}

type targetsResetCmd struct {
	manage
	Target string `arg:"" help:"The target's id: provider and model with a slash between."`
}

func (c *targetsResetCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		if err := r.call(ctx, http.MethodPost, "/api/targets/reset", nil, "", given(text("target", c.Target)), nil); err != nil {
			return err
		}
		return o.print(map[string]string{"reset": c.Target}, "reset on the node that was asked\n")
	})
}
