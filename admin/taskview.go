package admin

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

var (
	tagName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	tagValue = regexp.MustCompile(`^[^,\x00-\x1f\x7f]{0,128}$`)
)

// mostHistory is how many lines of a task's history are shown at once. Few tasks have more than ten.
const mostHistory = 1000

// TaskLine is what a list shows of a task.
type TaskLine struct {
	ID           tenancy.ID        `json:"id"`
	Organization tenancy.ID        `json:"organization"`
	State        string            `json:"state" enum:"pending,running,succeeded,failed,cancelled"`
	Team         *Named            `json:"team"`
	User         *Named            `json:"user" doc:"Whose it is."`
	Key          *Named            `json:"key" doc:"The key that it was made with, and that its calls are made with; null: a person made it."`
	Agent        *tenancy.ID       `json:"agent"`
	Batch        *tenancy.ID       `json:"batch"`
	Endpoint     string            `json:"endpoint"`
	Model        string            `json:"model" doc:"As it was asked for."`
	Priority     string            `json:"priority" enum:"high,normal,low,batch"`
	Tags         map[string]string `json:"tags" nullable:"false"`
	Tries        int               `json:"tries" doc:"How often it was begun."`
	Created      time.Time         `json:"created"`
	Due          time.Time         `json:"due" doc:"Not before this; of one that is tried again, when."`
	Deadline     *time.Time        `json:"deadline"`
	Began        *time.Time        `json:"began" doc:"The first time."`
	Ended        *time.Time        `json:"ended"`
	Stopping     bool              `json:"stopping" doc:"It was asked to end."`
	Result       TaskResult        `json:"result" doc:"What has come of it so far."`
	Error        *TaskError        `json:"error" doc:"Why it failed, or failed the last time; null: it did not."`
	URLs         TaskURLs          `json:"urls"`
}

// TaskResult is what came of a task.
type TaskResult struct {
	Call       *tenancy.ID `json:"call" doc:"The record of the last try: GET /api/calls/{id}."`
	Provider   *string     `json:"provider"`
	Model      *string     `json:"model" doc:"The provider's name of it."`
	TokensIn   int64       `json:"tokens_in" doc:"Of all tries."`
	TokensOut  int64       `json:"tokens_out"`
	Usage      Units       `json:"usage"`
	Estimated  bool        `json:"estimated"`
	Cost       string      `json:"cost_usd" doc:"Of all tries; if unpriced is set, at least so many."`
	Unpriced   *string     `json:"unpriced"`
	Queued     float64     `json:"queued_ms" doc:"From its creation to its first try."`
	Waiting    float64     `json:"waiting_ms" doc:"Of the last try, between attempts at providers."`
	FirstToken *float64    `json:"first_token_ms" doc:"Of the last try, from its beginning."`
	Total      float64     `json:"total_ms" doc:"Of the last try."`
	Partial    bool        `json:"partial" doc:"The answer is what had come when it ended."`
}

// TaskError is why a task failed.
type TaskError struct {
	Class   string  `json:"class"`
	Code    *string `json:"code"`
	Message string  `json:"message"`
}

// TaskURLs are where a task can be watched.
type TaskURLs struct {
	Self     string `json:"self"`
	Stream   string `json:"stream" doc:"Its progress as server-sent events."`
	Response string `json:"stream_response" doc:"The tokens of its answer as server-sent events."`
}

// Task is all that is shown of one.
type Task struct {
	TaskLine
	History []TaskStep   `json:"history" nullable:"false" doc:"All that happened to it, in order, without its tokens."`
	Content *TaskContent `json:"content" doc:"What it asked and was answered; null: it is not yours, and was not asked for."`
}

// TaskStep is one line of the history of a task.
type TaskStep struct {
	ID     int64     `json:"id" doc:"Its number; those of tokens are left out."`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind" enum:"created,begun,interrupted,retry,succeeded,failed,cancelled"`
	Detail any       `json:"detail" doc:"What else is known: try, node, call, provider, model, class, code, message, due, first_token_ms, total_ms, tokens_in, tokens_out, cost_usd."`
}

// TaskContent is what a task asked and was answered.
type TaskContent struct {
	Request    any     `json:"request" doc:"The body of its call."`
	Answer     any     `json:"answer" doc:"What the call answered, as without streaming; null: nothing yet."`
	Unreadable *string `json:"unreadable" doc:"Why something that is kept can not be read: the node that answers does not have the key that has sealed it."`
}

var priorityNames = map[int]string{1: "high", 2: "normal", 3: "low", 4: "batch"}

func viewTaskLine(t *tasks.Task, names *namer) TaskLine {
	v := TaskLine{
		ID: t.ID, Organization: t.Org, State: string(t.State),
		Team: names.team(t.Org, t.As.Team), User: names.user(t.Org, t.As.User), Key: names.key(t.Org, t.As.Key), Agent: idOf(t.Agent), Batch: idOf(t.Batch),
		Endpoint: t.Endpoint.String(), Model: t.Model, Priority: priorityNames[t.Priority], Tags: map[string]string{}, Tries: t.Tries,
		Created: t.Created.UTC(), Due: t.Due.UTC(), Deadline: timeOf(t.Deadline), Began: timeOf(t.Began), Ended: timeOf(t.Ended), Stopping: !t.Stopping.IsZero(),
		Result: viewTaskResult(t), URLs: TaskURLs{taskPath(t.ID), taskPath(t.ID) + "/stream", taskPath(t.ID) + "/stream-response"},
	}
	for name, value := range t.Labels {
		v.Tags[name] = value
	}
	if o := &t.Outcome; o.Message != "" {
		v.Error = &TaskError{o.Class.String(), textOf(o.Code), o.Message}
	}
	return v
}

func viewTaskResult(t *tasks.Task) TaskResult {
	o := &t.Outcome
	in, out := o.Usage.Tokens()
	return TaskResult{
		Call: idOf(o.Call), Provider: textOf(o.Provider), Model: textOf(o.Model), TokensIn: in, TokensOut: out, Usage: viewUnits(&o.Usage), Estimated: o.Estimated,
		Cost: o.Cost.String(), Unpriced: textOf(o.Unpriced), Queued: millis(t.Queued()), Waiting: millis(o.Waiting), FirstToken: orNone(o.FirstToken),
		Total: millis(o.Total), Partial: o.Partial,
	}
}

func viewHistory(history []tasks.Progress) []TaskStep {
	steps := make([]TaskStep, 0, len(history))
	for i := range history {
		p := &history[i]
		steps = append(steps, TaskStep{p.Seq, p.At, string(p.Kind), json.RawMessage(p.Detail)})
	}
	return steps
}

// openTask opens request and answer of a task.
func (s *Server) openTask(t *tasks.Task, request, answer string) *TaskContent {
	c := &TaskContent{}
	open := func(sealed string) any {
		if sealed == "" {
			return nil
		}
		text, err := tasks.Content(s.Keyring, t.Org, t.ID, sealed)
		if err != nil {
			why := "it was sealed with the key " + secrets.SealedBy(sealed)
			c.Unreadable = &why
			return nil
		}
		if json.Valid(text) {
			return json.RawMessage(text)
		}
		return string(text)
	}
	c.Request, c.Answer = open(request), open(answer)
	return c
}

// TransformSchema says what may be null.
func (TaskLine) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "team", "user", "key", "error")
}

// TransformSchema says what may be null.
func (Task) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "team", "user", "key", "error", "content")
}
