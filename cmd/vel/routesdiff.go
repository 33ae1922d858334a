package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// routesDiffCmd says where recorded calls would go by another file.
type routesDiffCmd struct {
	manage
	whose
	With     string `required:"" placeholder:"FILE" help:"The other file, or its models and providers alone, as YAML or JSON; - is the standard input. Its references to secrets are not followed."`
	Part     bool   `help:"Models that it does not name stay, instead of being gone."`
	Team     string `help:"Only calls of this team."`
	User     string `help:"Only those of this user."`
	Key      string `help:"Only those made with this key."`
	Route    string `help:"Only those that went by the targets of this model."`
	Provider string `help:"Only those that this provider answered, or was asked last."`
	Model    string `help:"Only those that went to the model of this name, which is the provider's."`
	Endpoint string `help:"Only those to this path below /v1, as chat/completions."`
	Tag      string `placeholder:"KEY[=VALUE]" help:"Only those with this tag."`
	Limit    int64  `help:"The most calls that are looked at, evenly chosen; 200000 at most, and if it is not said."`
	Examples int    `help:"The most examples; 10 if it is not said."`
}

// Help shows how it is used.
func (routesDiffCmd) Help() string {
	return `Recorded calls are planned again by the models and providers of another file: where they would go, what the same usage would
cost there, and how long the answers of those targets took. Nothing is sent. Breakers are taken to be closed. Of the last 24
hours if no time is said.

Example:
  vel routes diff --since 24h --with new.yaml
  vel routes diff --since 7d --with models.yaml --part --route gpt-4o --json`
}

// replayLimit is how long the command waits: for its turn, and while very many calls are planned.
const replayLimit = 15 * time.Minute

// Run asks the server.
func (c *routesDiffCmd) Run(ctx context.Context, o *output) error {
	with, err := readText(c.With)
	if err != nil {
		return err
	}
	query, err := c.query(time.Now())
	if err != nil {
		return err
	}
	body := given(text("with", string(with)), member{"part", true, c.Part}, text("since", query.Get("from")), text("until", query.Get("to")), text("team", c.Team),
		text("user", c.User), text("key", c.Key), text("route", c.Route), text("provider", c.Provider), text("model", c.Model), text("endpoint", c.Endpoint),
		text("tag", c.Tag), member{"limit", c.Limit, c.Limit != 0}, member{"examples", c.Examples, c.Examples != 0})
	query.Del("from")
	query.Del("to")
	return c.with(ctx, o, func(r *remote) error {
		r.client.Timeout = replayLimit
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, "/api/routes/diff", query, "", body, &v); err != nil {
			return err
		}
		return o.print(v, diffSheet(v))
	})
}

// diffSheet shows a comparison to people.
func diffSheet(v map[string]any) string {
	var b strings.Builder
	line := func(name string, words ...string) {
		_, _ = fmt.Fprintf(&b, "%-12s %s\n", name, strings.Join(words, " "))
	}
	every := ""
	if cell(v["every"]) != "1" {
		every = ", one of every " + cell(v["every"])
	}
	line("calls", cell(v["looked_at"]), "of", cell(v["found"]), "from", cell(v["since"]), "to", cell(v["until"])+every)
	line("stay", cell(v["stay"]), "("+cell(v["still_refused"]), "refused as before)")
	line("move", cell(v["move"]))
	line("refused", cell(v["refuse"]))
	for _, of := range objects(v["not_planned"]) {
		line("not planned", cell(of["calls"])+":", cell(of["reason"]))
	}
	line("cost", costChange(v["cost"]))
	line("latency", timeChange(v["latency"]))
	if all := objects(v["shifts"]); len(all) > 0 {
		b.WriteString("\n" + table([]string{"ASKED", "FROM", "TO", "CALLS", "BY FILE", "USD", "MEDIAN MS", "P95 MS", "NO FIGURE"}, len(all), func(i int) []string {
			s := all[i]
			cost, _ := s["cost"].(map[string]any)
			took, _ := s["latency"].(map[string]any)
			return []string{
				cell(s["asked"]), cell(s["from"]), firstOf(s, "to", "refused"), cell(s["calls"]), cell(s["by_configuration"]), change(cost, "before_usd", "after_usd"),
				change(took, "median_before_ms", "median_after_ms"), change(took, "p95_before_ms", "p95_after_ms"), cell(cost["unknown"]) + " USD, " + cell(took["unknown"]) + " ms",
			}
		}))
	}
	if all := objects(v["examples"]); len(all) > 0 {
		b.WriteString("\n" + table([]string{"EXAMPLE", "BEGUN", "ASKED", "FROM", "TO", "USD"}, len(all), func(i int) []string {
			e := all[i]
			return []string{cell(e["id"]), cell(e["begun"]), cell(e["asked"]), cell(e["from"]), firstOf(e, "to", "refused"), change(e, "before_usd", "after_usd")}
		}))
	}
	return b.String()
}

// change is a number before and after.
func change(of map[string]any, before, after string) string {
	return cell(of[before]) + " → " + cell(of[after])
}

func costChange(v any) string {
	c, _ := v.(map[string]any)
	return fmt.Sprintf("%s USD (%s) of %s calls; no figure of %s", change(c, "before_usd", "after_usd"), cell(c["change_usd"]), cell(c["known"]), cell(c["unknown"]))
}

func timeChange(v any) string {
	t, _ := v.(map[string]any)
	return fmt.Sprintf("median %s ms, P95 %s ms, of %s calls; no figure of %s", change(t, "median_before_ms", "median_after_ms"), change(t, "p95_before_ms", "p95_after_ms"),
		cell(t["known"]), cell(t["unknown"]))
}
