package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// callsCmd is about the record of each call.
type callsCmd struct {
	List   callsListCmd   `cmd:"" help:"List calls, the newest first."`
	Show   callsShowCmd   `cmd:"" help:"Show one call with its attempts."`
	Route  callsRouteCmd  `cmd:"" help:"Show why one went where it went."`
	Export callsExportCmd `cmd:"" help:"Write calls to a file."`
}

// Help shows how it is used.
func (callsCmd) Help() string {
	return `Every call leaves a record: who made it, where it went, what it used and what it cost.

Example:
  vel calls list --since 2h --failed
  vel calls list --tag feature=search --model gpt-4o --limit 100
  vel calls show req_… --content
  vel calls route req_…
  vel calls export --since 30d --format csv -o calls.csv`
}

// whose are the calls of one organization, or of all, in a time.
type whose struct {
	Org   string `env:"VEL_ORG" placeholder:"ID" help:"The organization's id; those of all if a key of the platform does not say it."`
	Since string `placeholder:"TIME" help:"From this time on: 2027-01-31T00:00:00Z, or how long ago, as 36h or 30d."`
	Until string `placeholder:"TIME" help:"Before this time, likewise."`
}

// query is what of it is said, as the API takes it.
func (w *whose) query(now time.Time, more ...member) (url.Values, error) {
	query := url.Values{}
	for _, t := range []struct{ flag, name, text string }{{"since", "from", w.Since}, {"until", "to", w.Until}} {
		if t.text == "" {
			continue
		}
		at, ok := pointInTime(t.text, now)
		if !ok {
			return nil, fmt.Errorf("--%s %s is neither a time such as 2027-01-31T00:00:00Z nor a duration such as 36h or 30d", t.flag, t.text)
		}
		query.Set(t.name, at.UTC().Format(time.RFC3339Nano))
	}
	for _, m := range append(more, text("organization", w.Org)) {
		if m.said {
			query.Set(m.name, fmt.Sprint(m.value))
		}
	}
	return query, nil
}

// pointInTime reads a time, or how long ago it was.
func pointInTime(text string, now time.Time) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return now.AddDate(0, 0, -int(n)), err == nil
	}
	ago, err := time.ParseDuration(text)
	return now.Add(-ago), err == nil && ago >= 0
}

// callFlags are which calls are asked for.
type callFlags struct {
	whose
	Team     string `help:"Only those of this team."`
	User     string `help:"Only those of this user."`
	Key      string `help:"Only those made with this key."`
	Route    string `help:"Only those that asked for this model."`
	Provider string `help:"Only those that this provider answered, or was asked last."`
	Model    string `help:"Only those that went to the model of this name, which is the provider's."`
	Endpoint string `help:"Only those to this path below /v1, as chat/completions."`
	Tag      string `placeholder:"KEY[=VALUE]" help:"Only those with this tag."`
	Class    string `help:"Only those that ended like this, as timeout; none: well."`
	Failed   bool   `help:"Only those that did not end well."`
	Unpriced bool   `help:"Only those of which the cost is not known as a whole."`
	Text     string `short:"q" help:"Only those with this text in a tag or in the error."`
}

func (f *callFlags) query() (url.Values, error) {
	return f.whose.query(time.Now(), text("team", f.Team), text("user", f.User), text("key", f.Key), text("route", f.Route), text("provider", f.Provider),
		text("model", f.Model), text("endpoint", f.Endpoint), text("tag", f.Tag), text("class", f.Class), member{"failed", true, f.Failed},
		member{"unpriced", true, f.Unpriced}, text("q", f.Text))
}

type callsListCmd struct {
	manage
	callFlags
	Limit int `default:"20" help:"The most calls; 0: all."`
}

func (c *callsListCmd) Run(ctx context.Context, o *output) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	return c.with(ctx, o, func(r *remote) error {
		all, err := r.atMost(ctx, "/api/calls", query, c.Limit)
		if err != nil {
			return err
		}
		return o.print(orEmpty(all), callsTable(all))
	})
}

// callsTable shows calls to people, one a line.
func callsTable(all []map[string]any) string {
	return table([]string{"BEGUN", "CALL", "KEY", "ROUTE", "WENT TO", "STATUS", "ENDED", "MS", "TOKENS", "USD"}, len(all), func(i int) []string {
		c := all[i]
		key, _ := c["key"].(map[string]any)
		ended := cell(c["class"])
		if state := cell(c["state"]); state != "ended" {
			ended = state
		}
		return []string{
			cell(c["begun"]), cell(c["id"]), firstOf(key, "name", "id"), cell(c["route"]), wentTo(c), cell(c["status"]), ended, cell(c["total_ms"]),
			cell(c["tokens_in"]) + " → " + cell(c["tokens_out"]), cost(c),
		}
	})
}

// wentTo is the provider and its model.
func wentTo(c map[string]any) string {
	if cell(c["provider"]) == "-" {
		return "-"
	}
	return cell(c["provider"]) + "/" + cell(c["model"])
}

// cost is a cost with what is not known of it.
func cost(c map[string]any) string {
	dollars := cell(c["cost_usd"])
	if why := cell(c["unpriced"]); why != "-" {
		dollars += " (" + why + ")"
	}
	return dollars
}

// table shows rows to people.
func table(head []string, n int, row func(i int) []string) string {
	if n == 0 {
		return "none\n"
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(head, "\t"))
	for i := range n {
		_, _ = fmt.Fprintln(w, strings.Join(row(i), "\t"))
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

type callsShowCmd struct {
	manage
	Org     string `env:"VEL_ORG" placeholder:"ID" help:"The organization's id; a key of the platform need not say it."`
	ID      string `arg:"" help:"The call's id, as in x-request-id of its answer."`
	Content bool   `help:"Show what was said, if it is kept. It needs view_content and is written into the audit log."`
}

func (c *callsShowCmd) Run(ctx context.Context, o *output) error {
	query := url.Values{}
	if c.Org != "" {
		query.Set("organization", c.Org)
	}
	if c.Content {
		query.Set("content", "true")
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, "/api/calls/"+url.PathEscape(c.ID), query, "", nil, &v); err != nil {
			return err
		}
		return o.print(v, callSheet(v))
	})
}

// callSheet shows one call to people: a member a line, then its attempts, then what was said.
func callSheet(v map[string]any) string {
	content, _ := v["content"].(map[string]any)
	head := map[string]any{}
	for name, value := range v {
		if name != "attempts" && name != "content" {
			head[name] = value
		}
	}
	if units, is := head["usage"].(map[string]any); is { // most of them are none
		used := map[string]any{}
		for unit, n := range units {
			if cell(n) != "0" {
				used[unit] = n
			}
		}
		if head["usage"] = used; len(used) == 0 {
			head["usage"] = nil
		}
	}
	k := &kind{columns: []string{"id", "organization", "begun", "state", "key", "team", "user", "route", "provider", "model", "endpoint", "status", "class", "error", "total_ms", "cost_usd"}}
	var b strings.Builder
	b.WriteString(k.sheet(head))
	b.WriteString(attemptsTable(objects(v["attempts"])))
	for _, part := range []string{"prompt", "answer", "unreadable"} {
		if said, ok := content[part].(string); ok {
			b.WriteString("\n" + strings.ToUpper(part) + "\n" + strings.TrimRight(said, "\n") + "\n")
		}
	}
	return b.String()
}

type callsExportCmd struct {
	manage
	callFlags
	Format string `enum:"ndjson,csv" default:"ndjson" help:"A call a line as JSON, or CSV."`
	Output string `short:"o" placeholder:"FILE" help:"Where to; the standard output if it is not said."`
}

func (c *callsExportCmd) Run(ctx context.Context, o *output) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	query.Set("format", c.Format)
	return c.with(ctx, o, func(r *remote) error {
		return r.download(ctx, "/api/calls/export", query, c.Output, o)
	})
}

// download writes an answer to a file, or to the standard output.
func (r *remote) download(ctx context.Context, path string, query url.Values, file string, o *output) error {
	return r.export(ctx, path, query, func(in io.Reader) error {
		if file != "" {
			return toFile(file, in)
		}
		_, err := io.Copy(o.Out, in)
		return err
	})
}
