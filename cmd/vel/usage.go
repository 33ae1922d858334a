package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usageCmd sums what was used.
type usageCmd struct {
	manage
	whose
	By       []string `placeholder:"WORD" help:"What it is told apart by: organization, team, user, key, route, provider, model, tag:NAME."`
	Per      string   `enum:"none,minute,hour,day,month" default:"none" help:"How long the spans are; hours, days and months are those of UTC."`
	Team     string   `help:"Only what this team used."`
	User     string   `help:"Only what this user used."`
	Key      string   `help:"Only what this key used."`
	Route    string   `help:"Only what asked for this model."`
	Provider string   `help:"Only what this provider was asked for."`
	Model    string   `help:"Only what went to the model of this name, which is the provider's."`
	Tag      string   `placeholder:"KEY=VALUE" help:"Only what has this tag."`
	Limit    int      `default:"1000" help:"The most rows; what cost most comes first in each span."`
	CSV      bool     `name:"csv" help:"Write CSV."`
	Output   string   `short:"o" placeholder:"FILE" help:"With --csv: where to; the standard output if it is not said."`
}

// Help shows how it is used.
func (usageCmd) Help() string {
	return `Calls, tokens, cost and latency, of the last 30 days unless --since says otherwise.

Example:
  vel usage --by model --since 7d
  vel usage --by key,model --per day --since 30d --csv -o usage.csv
  vel usage --by tag:feature --json`
}

func (c *usageCmd) Run(ctx context.Context, o *output) error {
	query, err := c.query(time.Now(), member{"by", strings.Join(c.By, ","), len(c.By) > 0}, text("per", c.Per), text("team", c.Team), text("user", c.User), text("key", c.Key),
		text("route", c.Route), text("provider", c.Provider), text("model", c.Model), text("tag", c.Tag), text("limit", strconv.Itoa(c.Limit)))
	if err != nil {
		return err
	}
	return c.with(ctx, o, func(r *remote) error {
		if c.CSV {
			query.Set("format", "csv")
			return r.download(ctx, "/api/usage", query, c.Output, o)
		}
		var v usageAnswer
		if err := r.call(ctx, http.MethodGet, "/api/usage", query, "", nil, &v); err != nil {
			return err
		}
		return o.print(v, v.table(c.Per != "none", c.By))
	})
}

// usageAnswer is the answer of the API.
type usageAnswer struct {
	From string           `json:"from"`
	To   string           `json:"to"`
	Data []map[string]any `json:"data"`
	More bool             `json:"more"`
}

func (v *usageAnswer) table(spans bool, by []string) string {
	var head []string
	if spans {
		head = append(head, "FROM")
	}
	for _, word := range by {
		head = append(head, strings.ToUpper(word))
	}
	head = append(head, "CALLS", "FAILED", "TOKENS", "USD", "P50 MS", "P95 MS", "P99 MS")
	text := table(head, len(v.Data), func(i int) (cells []string) {
		row := v.Data[i]
		if spans {
			cells = append(cells, cell(row["from"]))
		}
		for _, word := range by {
			if strings.HasPrefix(word, "tag:") {
				word = "tag"
			}
			cells = append(cells, nameOf(row[word]))
		}
		return append(cells, cell(row["calls"]), cell(row["failed"]), cell(row["tokens_in"])+" → "+cell(row["tokens_out"]), cell(row["cost_usd"]),
			cell(row["p50_ms"]), cell(row["p95_ms"]), cell(row["p99_ms"]))
	})
	if v.More {
		text += "There are more: raise --limit.\n"
	}
	return text
}

// nameOf is how something is called, or its id.
func nameOf(v any) string {
	if named, ok := v.(map[string]any); ok {
		return firstOf(named, "name", "id")
	}
	return cell(v)
}

// costsCmd summarizes what was spent.
type costsCmd struct {
	manage
	Org      string `env:"VEL_ORG" placeholder:"ID" help:"The organization's id; those of all if a key of the platform does not say it."`
	Timezone string `default:"UTC" placeholder:"ZONE" help:"Where days, weeks and months begin at midnight, as Europe/Berlin."`
}

// Help shows how it is used.
func (costsCmd) Help() string {
	return `What was spent, beside the same stretch of the period before, how fast, on what, and what the month comes to.

Example:
  vel costs --timezone Europe/Berlin
  vel costs --json | jq -r .projection.month_end_usd`
}

func (c *costsCmd) Run(ctx context.Context, o *output) error {
	query := url.Values{"timezone": {c.Timezone}}
	if c.Org != "" {
		query.Set("organization", c.Org)
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, "/api/costs/summary", query, "", nil, &v); err != nil {
			return err
		}
		return o.print(v, costsSheet(v))
	})
}

// costsSheet shows a summary to people.
func costsSheet(v map[string]any) string {
	at := func(path ...string) string {
		var value any = v
		for _, name := range path {
			within, _ := value.(map[string]any)
			value = within[name]
		}
		return cell(value)
	}
	periods := []string{"today", "week", "month"}
	b := table([]string{"", "USD", "CALLS", "BEFORE", "CHANGE %"}, len(periods), func(i int) []string {
		p := periods[i]
		return []string{p, at(p, "cost_usd"), at(p, "calls"), at(p, "before_usd"), at(p, "change_percent")}
	})
	b += "\n" + table([]string{"", "USD"}, 4, func(i int) []string {
		return [][]string{
			{"last month", at("last_month", "cost_usd")},
			{"an hour, in the last 24", at("burn_rate", "per_hour_usd")},
			{"a day, in the last 7", at("burn_rate", "per_day_usd")},
			{"at the end of the month", at("projection", "month_end_usd")},
		}[i]
	})
	for _, list := range []string{"models", "keys", "providers", "organizations"} {
		rows, _ := v[list].([]any)
		if len(rows) == 0 {
			continue
		}
		b += "\n" + table([]string{strings.ToUpper(list), "USD", "%", "CALLS"}, len(rows), func(i int) []string {
			row, _ := rows[i].(map[string]any)
			return []string{firstOf(row, "name", "id"), cell(row["cost_usd"]), cell(row["percent"]), cell(row["calls"])}
		})
	}
	if unpriced := at("unpriced_percent"); unpriced != "0" {
		b += "\nOf a hundred calls " + unpriced + " may have cost more than is known: vel calls list --unpriced\n"
	}
	return b
}

// pricesCmd shows what a model costs.
type pricesCmd struct {
	manage
	Provider string `arg:"" help:"The provider's name."`
	Model    string `arg:"" help:"The provider's name of the model."`
}

// Help shows how it is used.
func (pricesCmd) Help() string {
	return `What holds now on a server, and where it comes from: the operator's settings, the list that comes with the program, or
what is known better than that. Dollars for a million tokens, an hour of sound, or one.

Example:
  vel prices openai gpt-5.4`
}

func (c *pricesCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, "/api/prices", url.Values{"provider": {c.Provider}, "model": {c.Model}}, "", nil, &v); err != nil {
			return err
		}
		return o.print(v, pricesTable(v))
	})
}

// pricesTable shows prices to people, a class a line.
func pricesTable(v map[string]any) string {
	rows := [][]string{}
	add := func(whose string, tariff map[string]any) {
		put := func(above string, dollars any) {
			prices, _ := dollars.(map[string]any)
			for _, class := range (&kind{columns: []string{"input", "output"}}).members(prices) {
				if prices[class] != nil {
					rows = append(rows, []string{whose, above, class, cell(prices[class]), cell(tariff["source"]), cell(tariff["version"]), cell(tariff["from"])})
				}
			}
		}
		put("-", tariff["usd"])
		tiers, _ := tariff["tiers"].([]any)
		for _, tier := range tiers {
			tier, _ := tier.(map[string]any)
			put(cell(tier["above"]), tier["usd"])
		}
	}
	if general, ok := v["general"].(map[string]any); ok {
		add("everybody", general)
	}
	agreed, _ := v["organizations"].([]any)
	for _, of := range agreed {
		of, _ := of.(map[string]any)
		add(nameOf(of["organization"]), of)
	}
	return table([]string{"FOR", "ABOVE", "CLASS", "USD", "SOURCE", "VERSION", "FROM"}, len(rows), func(i int) []string { return slices.Clone(rows[i]) })
}
