package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// tasksOf is how the command line sees tasks.
func tasksOf() *kind { return &kind{path: "/api/tasks"} }

// tasksCmd is about what is done later.
type tasksCmd struct {
	Run    tasksRunCmd    `cmd:"" help:"Make a task, and follow its answer."`
	List   tasksListCmd   `cmd:"" help:"List tasks, the newest first."`
	Show   tasksShowCmd   `cmd:"" help:"Show one with its history."`
	Watch  tasksWatchCmd  `cmd:"" help:"Follow one until it ends."`
	Cancel tasksCancelCmd `cmd:"" help:"End one; what had come of its answer is kept."`
}

// Help shows how it is used.
func (tasksCmd) Help() string {
	return `A task is a call that is made later, by any node, and kept with its answer. They belong to an organization:
VEL_ADMIN_KEY must hold one of its keys, with a role that may execute tasks.

Example:
  vel tasks run --model gpt-4o "Write a haiku about queues."
  vel tasks run --body request.json --no-watch --priority low --attempts 5
  vel tasks list --state running
  vel tasks watch task_…
  vel tasks cancel task_…`
}

type tasksRunCmd struct {
	manage
	within
	Prompt   string            `arg:"" optional:"" help:"What to ask, as one message of a user; or --body."`
	Model    string            `help:"The model to ask."`
	Agent    string            `placeholder:"ID" help:"The agent to ask, instead of a model."`
	Body     string            `placeholder:"FILE" help:"A file with the whole body of the call; - reads it from standard input."`
	Endpoint string            `default:"chat/completions" help:"The path below /v1."`
	Priority string            `enum:"high,normal,low" default:"normal" help:"high, normal or low."`
	StartAt  *time.Time        `placeholder:"TIME" help:"Not before this time, as 2027-01-31T00:00:00Z."`
	Deadline *time.Time        `placeholder:"TIME" help:"If it has not ended by then, it fails."`
	Attempts int               `placeholder:"N" help:"How often it is tried in all; 3 if it is not said."`
	Backoff  float64           `placeholder:"SECONDS" help:"Before the second try; 1 if it is not said."`
	Tag      map[string]string `mapsep:"," placeholder:"KEY=VALUE" help:"As in x-vel-tags."`
	Watch    bool              `negatable:"" default:"true" help:"Follow it until it ends."`
}

// request is the body of the call.
func (c *tasksRunCmd) request() (body json.RawMessage, err error) {
	switch {
	case (c.Body == "") == (c.Prompt == ""):
		return nil, errors.New("say what to ask, or name a file with --body")
	case c.Body == "-":
		return io.ReadAll(io.LimitReader(os.Stdin, answerLimit))
	case c.Body != "":
		return os.ReadFile(c.Body)
	case c.Agent != "":
		return nil, nil // the agent makes the request
	case c.Model == "":
		return nil, errors.New("name a model with --model, or an agent with --agent")
	}
	return json.Marshal(map[string]any{"model": c.Model, "messages": []map[string]string{{"role": "user", "content": c.Prompt}}})
}

func (c *tasksRunCmd) members(request json.RawMessage) map[string]any {
	retry := given(member{"attempts", c.Attempts, c.Attempts > 0}, member{"backoff_s", c.Backoff, c.Backoff > 0})
	return given(
		member{"body", request, c.Agent == ""}, text("agent", c.Agent), member{"input", c.Prompt, c.Agent != ""}, text("endpoint", c.Endpoint), text("priority", c.Priority), member{"start_at", c.StartAt, c.StartAt != nil},
		member{"deadline", c.Deadline, c.Deadline != nil}, member{"tags", c.Tag, len(c.Tag) > 0}, member{"retry", retry, len(retry) > 0},
	)
}

// Run makes the task.
func (c *tasksRunCmd) Run(ctx context.Context, o *output) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	if c.Agent == "" && !json.Valid(request) {
		return fmt.Errorf("%s is not JSON", c.Body)
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, "/api/tasks", tasksOf().in(c.Org).scope(), "", c.members(request), &v); err != nil {
			return err
		}
		id, _ := v["id"].(string)
		if !c.Watch || c.Local {
			return o.print(v, taskSheet(v))
		}
		_, _ = fmt.Fprintln(o.Err, "task", id)
		return watchTask(ctx, o, r, id, c.Org)
	})
}

type tasksListCmd struct {
	manage
	within
	State    string `enum:",pending,running,succeeded,failed,cancelled" default:"" help:"Only those in this state."`
	User     string `help:"Only those of this user."`
	Agent    string `help:"Only those of this agent."`
	Batch    string `help:"Only the items of this batch."`
	Model    string `help:"Only those that asked for this model."`
	Provider string `help:"Only those that this provider answered."`
	Limit    int    `default:"20" help:"The most tasks; 0: all."`
}

// Run lists tasks.
func (c *tasksListCmd) Run(ctx context.Context, o *output) error {
	query := tasksOf().in(c.Org).scope()
	for name, value := range map[string]string{"state": c.State, "user": c.User, "agent": c.Agent, "batch": c.Batch, "model": c.Model, "provider": c.Provider} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return c.with(ctx, o, func(r *remote) error {
		all, err := r.atMost(ctx, "/api/tasks", query, c.Limit)
		if err != nil {
			return err
		}
		return o.print(orEmpty(all), tasksTable(all))
	})
}

// tasksTable shows tasks to people, one a line.
func tasksTable(all []map[string]any) string {
	return table([]string{"CREATED", "TASK", "STATE", "MODEL", "TRIES", "WENT TO", "MS", "TOKENS", "USD", "ERROR"}, len(all), func(i int) []string {
		t := all[i]
		result, _ := t["result"].(map[string]any)
		failed, _ := t["error"].(map[string]any)
		return []string{
			cell(t["created"]), cell(t["id"]), cell(t["state"]), cell(t["model"]), cell(t["tries"]), wentTo(result), cell(result["total_ms"]),
			cell(result["tokens_in"]) + " → " + cell(result["tokens_out"]), cost(result), firstOf(failed, "code", "class"),
		}
	})
}

type tasksShowCmd struct {
	manage
	within
	ID      string `arg:"" help:"Its id."`
	Content bool   `help:"Show what somebody else's task asked and was answered. It needs view_content and is written into the audit log."`
}

// Run shows a task.
func (c *tasksShowCmd) Run(ctx context.Context, o *output) error {
	query := tasksOf().in(c.Org).scope()
	if c.Content {
		query.Set("content", "true")
	}
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, "/api/tasks/"+url.PathEscape(c.ID), query, "", nil, &v); err != nil {
			return err
		}
		return o.print(v, taskSheet(v))
	})
}

type tasksWatchCmd struct {
	manage
	within
	ID string `arg:"" help:"Its id."`
}

// Run follows a task.
func (c *tasksWatchCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error { return watchTask(ctx, o, r, c.ID, c.Org) })
}

type tasksCancelCmd struct {
	manage
	within
	ID string `arg:"" help:"Its id."`
}

// Run asks a task to end.
func (c *tasksCancelCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, tasksOf().at(c.ID)+"/cancel", tasksOf().in(c.Org).scope(), "", nil, &v); err != nil {
			return err
		}
		return o.print(v, taskSheet(v))
	})
}
