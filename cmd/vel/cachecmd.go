package main

import (
	"context"
	"net/http"
)

// cacheCmd is about the answers that are kept for equal calls.
type cacheCmd struct {
	Purge cachePurgeCmd `cmd:"" help:"Take kept answers away."`
}

// Help shows how it is used.
func (cacheCmd) Help() string {
	return `Answers are kept on models that have a cache: docs/caching.md says which, and for how long.

Example:
  vel cache purge --route careful
  vel cache purge --org org_… --tag feature=search`
}

type cachePurgeCmd struct {
	manage
	within
	Route string `placeholder:"MODEL" help:"Those of this public model name only."`
	Tag   string `placeholder:"K=V" help:"Those of calls with this tag only."`
}

func (c *cachePurgeCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var v struct {
			Reach string `json:"reach"`
		}
		body := given(text("route", c.Route), text("tag", c.Tag))
		if err := r.call(ctx, http.MethodPost, "/api/cache/purge", (&kind{org: c.Org}).scope(), "", body, &v); err != nil {
			return err
		}
		what := "purged\n"
		if v.Reach == "node" {
			what = "purged on the node that was asked; others keep answers of their own (cache.redis lets nodes share them)\n"
		}
		return o.print(v, what)
	})
}
