package admin

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// UsageRow is what one group used in one span of time.
type UsageRow struct {
	From         *time.Time `json:"from" doc:"When the span begins; null: it is the whole time that was asked for."`
	Organization *Named     `json:"organization,omitempty" doc:"If it was asked by organization."`
	Team         *Named     `json:"team,omitempty" doc:"If it was asked by team, and there is one."`
	User         *Named     `json:"user,omitempty" doc:"If it was asked by user, and there is one."`
	Key          *Named     `json:"key,omitempty" doc:"If it was asked by key."`
	Route        *string    `json:"route,omitempty" doc:"If it was asked by route: the model that was asked for."`
	Provider     *string    `json:"provider,omitempty" doc:"If it was asked by provider; empty: nobody was asked."`
	Model        *string    `json:"model,omitempty" doc:"If it was asked by model: the provider and its name of the model, with a slash between."`
	Tag          *string    `json:"tag,omitempty" doc:"If it was asked by a tag: its value; empty: it was not sent."`
	Used
}

// Used is the sums of calls.
type Used struct {
	Calls     int64    `json:"calls"`
	Failed    int64    `json:"failed" doc:"Of the calls, those that the provider or Vel failed."`
	Refused   int64    `json:"refused" doc:"Of the calls, those that no provider was asked for."`
	Estimated int64    `json:"estimated" doc:"Of the calls, those of which part of the usage was counted here, because the provider did not tell it."`
	Unpriced  int64    `json:"unpriced" doc:"Of the calls, those that may have cost more than is known."`
	TokensIn  int64    `json:"tokens_in"`
	TokensOut int64    `json:"tokens_out"`
	Usage     Units    `json:"usage"`
	Cost      string   `json:"cost_usd" doc:"Dollars as a decimal." example:"12.5"`
	Saved     string   `json:"saved_usd" doc:"What the answers had cost that the cache gave again."`
	P50       *float64 `json:"p50_ms" doc:"From the request to the end of the answer, within one percent; null: no call ended well."`
	P95       *float64 `json:"p95_ms"`
	P99       *float64 `json:"p99_ms"`
	FirstP50  *float64 `json:"first_token_p50_ms" doc:"From the request to the first byte of the answer."`
	FirstP95  *float64 `json:"first_token_p95_ms"`
}

func viewUsage(r *accounting.UsageRow, org tenancy.ID, by []accounting.Dimension, names *namer) UsageRow {
	v := UsageRow{From: timeOf(r.From), Used: viewUsed(r)}
	if i := slices.Index(by, accounting.ByOrg); i >= 0 {
		org = tenancy.ID(r.Group[i])
	}
	for i, d := range by {
		value, id := r.Group[i], tenancy.ID(r.Group[i])
		switch d {
		case accounting.ByOrg:
			v.Organization = names.org(id)
		case accounting.ByTeam:
			v.Team = names.team(org, id)
		case accounting.ByUser:
			v.User = names.user(org, id)
		case accounting.ByKey:
			v.Key = names.key(org, id)
		case accounting.ByRoute:
			v.Route = &value
		case accounting.ByProvider:
			v.Provider = &value
		case accounting.ByModel:
			value = modelOf(value)
			v.Model = &value
		default:
			v.Tag = &value
		}
	}
	return v
}

// modelOf is a model with its provider; empty: no provider was asked.
func modelOf(value string) string {
	if value == "/" {
		return ""
	}
	return value
}

func viewUsed(r *accounting.UsageRow) Used {
	in, out := r.Usage.Tokens()
	return Used{
		r.Calls, r.Failed, r.Refused, r.Estimated, r.Unpriced, in, out, viewUnits(&r.Usage), r.Cost.String(), r.Saved.String(),
		orNone(r.P50), orNone(r.P95), orNone(r.P99), orNone(r.FirstP50), orNone(r.FirstP95),
	}
}

// writeUsage writes a CSV. Its columns are those of what was asked by, and the sums.
func writeUsage(in *UsageFilter, rows []UsageRow, w io.Writer) error {
	out := csv.NewWriter(w)
	var head []string
	if in.Per != "none" {
		head = append(head, "from")
	}
	for _, d := range in.by {
		head = append(head, string(d))
		if named := slices.Index(dimensions(), d); named >= 0 && named < 4 {
			head = append(head, string(d)+"_name")
		}
	}
	head = append(head, "calls", "failed", "refused", "estimated", "unpriced", "tokens_in", "tokens_out", "input", "cached_input", "cache_write", "output", "reasoning",
		"audio_input", "audio_output", "image_input", "image_output", "audio_ms", "images", "searches", "cost_usd", "p50_ms", "p95_ms", "p99_ms", "first_token_p50_ms", "first_token_p95_ms", "saved_usd")
	if err := out.Write(head); err != nil {
		return err
	}
	for i := range rows {
		if err := out.Write(noFormulas(rows[i].cells(in))); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (r *UsageRow) cells(in *UsageFilter) (cells []string) {
	if in.Per != "none" {
		cells = append(cells, r.From.Format(time.RFC3339))
	}
	for _, d := range in.by {
		switch d {
		case accounting.ByOrg:
			cells = append(cells, r.Organization.cells()...)
		case accounting.ByTeam:
			cells = append(cells, r.Team.cells()...)
		case accounting.ByUser:
			cells = append(cells, r.User.cells()...)
		case accounting.ByKey:
			cells = append(cells, r.Key.cells()...)
		case accounting.ByRoute:
			cells = append(cells, orEmpty(r.Route))
		case accounting.ByProvider:
			cells = append(cells, orEmpty(r.Provider))
		case accounting.ByModel:
			cells = append(cells, orEmpty(r.Model))
		default:
			cells = append(cells, orEmpty(r.Tag))
		}
	}
	u := &r.Usage
	for _, n := range []int64{
		r.Calls, r.Failed, r.Refused, r.Estimated, r.Unpriced, r.TokensIn, r.TokensOut, u.Input, u.CachedInput, u.CacheWrite, u.Output, u.Reasoning,
		u.AudioInput, u.AudioOutput, u.ImageInput, u.ImageOutput, u.AudioMillis, u.Images, u.Searches,
	} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return append(cells, r.Cost, number(r.P50), number(r.P95), number(r.P99), number(r.FirstP50), number(r.FirstP95), r.Saved)
}
