package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// explainCmd says where a call would go.
type explainCmd struct {
	manage
	Model      string            `help:"The public model name; left out if --body has it."`
	Body       string            `placeholder:"FILE" help:"The whole request as JSON; - is the standard input."`
	Endpoint   string            `help:"The path below /v1; chat/completions if it is not said."`
	Org        string            `env:"VEL_ORG" placeholder:"ID" help:"Whose call it would be: this organization's,"`
	Team       string            `placeholder:"ID" help:"this team's,"`
	User       string            `placeholder:"ID" help:"this user's,"`
	Key        string            `placeholder:"ID" help:"or one made with this key."`
	Task       string            `help:"What the client would say in x-vel-task: code, reasoning, research or simple."`
	Tokens     int64             `help:"How many are sent."`
	MaxTokens  int64             `help:"How long the answer may be."`
	Stream     bool              `help:"The answer is to be streamed."`
	Tools      bool              `help:"Tools are offered."`
	Images     bool              `help:"Pictures are sent."`
	JSONSchema bool              `name:"json-schema" help:"The answer has to follow a schema."`
	Tag        map[string]string `placeholder:"KEY=VALUE" help:"A pair of x-vel-tags; it may be there more than once."`
	Header     map[string]string `placeholder:"NAME=VALUE" help:"A header field that rules may ask about; likewise."`
	Session    string            `help:"What the client would say in x-vel-session."`
	ID         string            `name:"id" help:"The call's id, by which lots are drawn."`
}

// Help shows how it is used.
func (explainCmd) Help() string {
	return `Where a call would go now, and why: nothing is sent, and nothing changes.

Example:
  vel explain --model auto --task code --tokens 2000 --tools
  vel explain --body request.json --key key_… --json
  vel calls route req_…                              # where one went that was made`
}

// Run asks the server.
func (c *explainCmd) Run(ctx context.Context, o *output) error {
	body := given(text("model", c.Model), text("endpoint", c.Endpoint), text("team", c.Team), text("user", c.User), text("key", c.Key), text("task", c.Task),
		member{"tokens", c.Tokens, c.Tokens != 0}, member{"max_tokens", c.MaxTokens, c.MaxTokens != 0}, member{"stream", true, c.Stream}, member{"tools", true, c.Tools},
		member{"images", true, c.Images}, member{"json_schema", true, c.JSONSchema}, member{"tags", c.Tag, len(c.Tag) > 0}, member{"headers", c.Header, len(c.Header) > 0},
		text("session", c.Session), text("id", c.ID))
	if c.Body != "" {
		request, err := readText(c.Body)
		if err != nil {
			return err
		}
		if !json.Valid(request) {
			return fmt.Errorf("--body %s is no JSON", c.Body)
		}
		body["body"] = json.RawMessage(request)
	}
	query := url.Values{}
	if c.Org != "" {
		query.Set("organization", c.Org)
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, "/api/routes/dry-run", query, "", body, &v); err != nil {
			return err
		}
		return o.print(v, decisionSheet(v))
	})
}

// decisionSheet shows a decision to people: how it came to the targets, and what became of each.
func decisionSheet(v map[string]any) string {
	var b strings.Builder
	line := func(name string, value any) {
		if text := cell(value); text != "-" {
			_, _ = fmt.Fprintf(&b, "%-10s %s\n", name, text)
		}
	}
	line("asked", v["asked"])
	for _, rule := range objects(v["rules"]) {
		line("rule", fmt.Sprintf("%s of %s", cell(rule["rule"]), cell(rule["route"])))
	}
	line("route", v["route"])
	line("strategy", v["strategy"])
	line("tokens", v["tokens"])
	if task := cell(v["task"]); task != "-" {
		line("task", task+" ("+cell(v["task_from"])+")")
	}
	for _, f := range objects(v["features"]) {
		line("", fmt.Sprintf("%s %s", cell(f["weight"]), cell(f["name"])))
	}
	line("refused", v["refused"])
	if all := objects(v["candidates"]); len(all) > 0 {
		b.WriteString("\n" + table([]string{"TARGET", "ASKED", "WHY", "UNTIL", "SCORE"}, len(all), func(i int) []string {
			asked := "-"
			if all[i]["chosen"] == true {
				asked = fmt.Sprint(i + 1)
			}
			return []string{wentTo(all[i]), asked, cell(all[i]["reason"]), cell(all[i]["until"]), cell(all[i]["measure"])}
		}))
	}
	return b.String()
}

// objects are the members of a list of objects.
func objects(v any) (list []map[string]any) {
	all, _ := v.([]any)
	for _, of := range all {
		if object, ok := of.(map[string]any); ok {
			list = append(list, object)
		}
	}
	return list
}

type callsRouteCmd struct {
	manage
	Org string `env:"VEL_ORG" placeholder:"ID" help:"The organization's id; a key of the platform need not say it."`
	ID  string `arg:"" help:"The call's id, as in x-request-id or x-vel-decision of its answer."`
}

func (c *callsRouteCmd) Run(ctx context.Context, o *output) error {
	query := url.Values{}
	if c.Org != "" {
		query.Set("organization", c.Org)
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, "/api/calls/"+url.PathEscape(c.ID)+"/route", query, "", nil, &v); err != nil {
			return err
		}
		sheet := "no decision is kept of this call\n"
		if decision, ok := v["decision"].(map[string]any); ok {
			sheet = decisionSheet(decision)
		}
		return o.print(v, sheet+attemptsTable(objects(v["attempts"])))
	})
}

// attemptsTable shows the tries of a call to people; empty: there were none.
func attemptsTable(all []map[string]any) string {
	if len(all) == 0 {
		return ""
	}
	return "\n" + table([]string{"ATTEMPT", "BEGAN MS", "FIRST BYTE MS", "TOTAL MS", "STATUS", "ENDED", "USD", "PRICE"}, len(all), func(i int) []string {
		a := all[i]
		return []string{wentTo(a), cell(a["began_ms"]), cell(a["first_byte_ms"]), cell(a["total_ms"]), cell(a["status"]), cell(a["class"]), cost(a), cell(a["price"])}
	})
}
