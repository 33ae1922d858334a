package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
)

// agentsOf is how the command line sees agents.
func agentsOf() *kind {
	return &kind{
		path: "/api/agents", columns: []string{"id", "name", "model", "active", "version", "description"},
		sent: []string{
			"name", "description", "model", "fallbacks", "system_prompt", "temperature", "top_p", "max_tokens", "response_format", "tools", "task_types", "attempts", "backoff_s",
			"retry_on", "timeout_s", "active",
		},
	}
}

// agentsCmd manages agents.
type agentsCmd struct {
	List       agentsListCmd       `cmd:"" help:"List agents."`
	Get        agentsGetCmd        `cmd:"" help:"Show one."`
	Create     agentsCreateCmd     `cmd:"" help:"Make one of a file, or of flags."`
	Update     agentsUpdateCmd     `cmd:"" help:"Change one: that is a new version."`
	Delete     agentsDeleteCmd     `cmd:"" help:"Delete one; its versions stay."`
	Activate   agentsActivateCmd   `cmd:"" help:"Let tasks be made for one."`
	Deactivate agentsDeactivateCmd `cmd:"" help:"Let no tasks be made for one."`
	Versions   agentsVersionsCmd   `cmd:"" help:"List what one was."`
	Diff       agentsDiffCmd       `cmd:"" help:"Compare two versions."`
	Restore    agentsRestoreCmd    `cmd:"" help:"Make an old version the newest."`
	Test       agentsTestCmd       `cmd:"" help:"Try one."`
}

// Help shows how it is used.
func (agentsCmd) Help() string {
	return `An agent is a configuration of chats that has a name: a model, a system prompt, tools, and what happens on failure.

Example:
  vel agents create writer --model gpt-4o --system-prompt "Be brief."
  vel agents create writer --file writer.json
  vel agents test agent_… --dry-run
  vel agents diff agent_… --from 1 --to 3
  vel tasks run --agent agent_… "Write a haiku."`
}

// agentFlags are what can be said of an agent.
type agentFlags struct {
	File         string   `placeholder:"FILE" help:"A file of JSON with everything that an agent says; flags win over it."`
	Description  string   `help:"For people."`
	Model        string   `help:"The model."`
	Fallback     []string `help:"A model for the second try of a task; more than once for the third and so on."`
	SystemPrompt string   `help:"The first message of each chat."`
	Temperature  *float64 `help:"0 to 2."`
	MaxTokens    int64    `placeholder:"N" help:"How long an answer may be."`
	TaskType     []string `help:"What it is for: code, reasoning, research or simple."`
	Attempts     int      `placeholder:"N" help:"How often a task is tried in all."`
	Timeout      float64  `name:"timeout-s" placeholder:"SECONDS" help:"From the creation of a task to its deadline."`
}

func (f *agentFlags) members() (map[string]any, error) {
	all := map[string]any{}
	if f.File != "" {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("%s is no JSON object: %w", f.File, err)
		}
	}
	for name, value := range given(
		text("description", f.Description), text("model", f.Model), member{"fallbacks", f.Fallback, len(f.Fallback) > 0}, text("system_prompt", f.SystemPrompt),
		member{"temperature", f.Temperature, f.Temperature != nil}, member{"max_tokens", f.MaxTokens, f.MaxTokens > 0}, member{"task_types", f.TaskType, len(f.TaskType) > 0},
		member{"attempts", f.Attempts, f.Attempts > 0}, member{"timeout_s", f.Timeout, f.Timeout > 0},
	) {
		all[name] = value
	}
	return all, nil
}

// oneAgentCmd names an agent.
type oneAgentCmd struct {
	manage
	within
	ID string `arg:"" help:"Its id."`
}

type agentsListCmd struct {
	manage
	within
	Name string `help:"Only the one of this name."`
}

// Run lists agents.
func (c *agentsListCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).list(ctx, o, &c.manage, text("name", c.Name))
}

type agentsGetCmd struct{ oneAgentCmd }

// Run shows an agent.
func (c *agentsGetCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type agentsCreateCmd struct {
	manage
	within
	agentFlags
	Name string `arg:"" help:"For people."`
}

// Run makes an agent.
func (c *agentsCreateCmd) Run(ctx context.Context, o *output) error {
	body, err := c.members()
	if err != nil {
		return err
	}
	body["name"] = c.Name
	return agentsOf().in(c.Org).create(ctx, o, &c.manage, body)
}

type agentsUpdateCmd struct {
	oneAgentCmd
	agentFlags
	Name string `help:"Another name."`
}

// Run changes an agent.
func (c *agentsUpdateCmd) Run(ctx context.Context, o *output) error {
	body, err := c.members()
	if err != nil {
		return err
	}
	if c.Name != "" {
		body["name"] = c.Name
	}
	if len(body) == 0 {
		return errors.New("say what to change")
	}
	return agentsOf().in(c.Org).change(ctx, o, &c.manage, c.ID, body)
}

type agentsDeleteCmd struct{ oneAgentCmd }

// Run deletes an agent.
func (c *agentsDeleteCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}

type agentsActivateCmd struct{ oneAgentCmd }

// Run lets tasks be made for an agent.
func (c *agentsActivateCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/activate", nil)
}

type agentsDeactivateCmd struct{ oneAgentCmd }

// Run lets no tasks be made for an agent.
func (c *agentsDeactivateCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/deactivate", nil)
}

type agentsVersionsCmd struct{ oneAgentCmd }

// Run lists versions.
func (c *agentsVersionsCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var v struct {
			Data []map[string]any `json:"data"`
		}
		if err := r.call(ctx, http.MethodGet, agentsOf().at(c.ID)+"/versions", agentsOf().in(c.Org).scope(), "", nil, &v); err != nil {
			return err
		}
		lines := kind{columns: []string{"version", "at", "by_name", "by"}}
		return o.print(orEmpty(v.Data), lines.table(v.Data))
	})
}

type agentsDiffCmd struct {
	oneAgentCmd
	From int64 `placeholder:"N" help:"A version; the one before --to if it is left out."`
	To   int64 `placeholder:"N" help:"A version; the newest if it is left out."`
}

// Run compares versions.
func (c *agentsDiffCmd) Run(ctx context.Context, o *output) error {
	query := url.Values{}
	if c.Org != "" {
		query.Set("organization", c.Org)
	}
	for name, n := range map[string]int64{"from": c.From, "to": c.To} {
		if n > 0 {
			query.Set(name, strconv.FormatInt(n, 10))
		}
	}
	return c.with(ctx, o, func(r *remote) error {
		var v struct {
			From    int64            `json:"from"`
			To      int64            `json:"to"`
			Changes []map[string]any `json:"changes"`
		}
		if err := r.call(ctx, http.MethodGet, agentsOf().at(c.ID)+"/diff", query, "", nil, &v); err != nil {
			return err
		}
		lines := kind{columns: []string{"field", "from", "to"}}
		return o.print(v, fmt.Sprintf("version %d to %d\n%s", v.From, v.To, lines.table(v.Changes)))
	})
}

type agentsRestoreCmd struct {
	oneAgentCmd
	Version int64 `arg:"" help:"The version."`
}

// Run restores a version.
func (c *agentsRestoreCmd) Run(ctx context.Context, o *output) error {
	return agentsOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/restore", map[string]any{"version": c.Version})
}

type agentsTestCmd struct {
	oneAgentCmd
	DryRun bool   `help:"Only look: nothing is sent."`
	Input  string `help:"What a user says to it."`
}

// Run tries an agent.
func (c *agentsTestCmd) Run(ctx context.Context, o *output) error {
	body := given(member{"dry_run", true, c.DryRun}, text("input", c.Input))
	return (&kind{path: "/api/agents", columns: []string{"ok", "checks", "estimate_usd", "sample", "suggestions"}, org: c.Org}).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/test", body)
}
