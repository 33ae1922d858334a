package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// TaskStore keeps tasks. Errors are those of tenancy.Store.
type TaskStore interface {
	// CreateTask stores a task with its sealed request and wakes a worker. *tasks.Full: its owner has most unfinished ones.
	CreateTask(ctx context.Context, by tenancy.Actor, t *tasks.Task, request string, most int) error
	Task(ctx context.Context, org, id tenancy.ID) (tasks.Task, error)
	// TaskContents gives the sealed request and answer; empty: there is none.
	TaskContents(ctx context.Context, org, id tenancy.ID) (request, answer string, err error)
	Tasks(ctx context.Context, q tasks.Query) ([]tasks.Task, error)
	// StopTask asks a task to end, and gives it as it is then.
	StopTask(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (tasks.Task, error)
	// Progress gives the history after a number, with or without tokens.
	Progress(ctx context.Context, org, id tenancy.ID, after int64, tokens bool, most int) ([]tasks.Progress, error)
}

// TaskWork is what the room needs of those who run tasks.
type TaskWork struct {
	Store     TaskStore
	Batches   BatchStore
	Webhooks  tenancy.Store[tasks.Webhook]
	Agents    tenancy.Store[tasks.Agent]
	Agented   AgentHistory
	Executor  tasks.Executor // makes calls; nil: none are served here
	Hooks     HookStore
	Courier   Courier             // nil: nothing is sent from here
	PlainHTTP bool                // webhooks may be plain HTTP
	Feed      *tasks.Feed         // tells of progress
	Stop      func(id tenancy.ID) // ends a task that runs in this process

	// Estimate is what a call may cost; nil: no calls are served here.
	Estimate func(r *tasks.Request) (cost money.Nano, priced bool, err error)

	// Affords tells whether the budgets of a batch have room for what is to begin of it; *accounting.Denied says which has not. nil: nobody
	// counts here.
	Affords func(ctx context.Context, b *tasks.Batch, cost money.Nano) error

	PerUser func() int           // the most unfinished tasks of one user
	Streams func() int           // the most event streams of one user at the same time
	Hearts  func() time.Duration // how often a stream says that it lives
}

// NewTaskBody asks for a task.
type NewTaskBody struct {
	NewIn
	Endpoint string            `json:"endpoint,omitempty" default:"chat/completions" enum:"chat/completions,responses,completions,embeddings,moderations" doc:"The path below /v1."`
	Agent    Ref               `json:"agent,omitempty" nullable:"true" doc:"An agent, whose configuration makes the request; then input or messages stand in the place of body."`
	Input    string            `json:"input,omitempty" maxLength:"524288" doc:"What a user says to the agent."`
	Messages json.RawMessage   `json:"messages,omitempty" doc:"A whole conversation with the agent, as in a chat."`
	Body     json.RawMessage   `json:"body,omitempty" doc:"The whole request, as a client would send it there. stream and stream_options mean nothing: the answer of a task is kept as a whole, and can be followed token by token."`
	Priority string            `json:"priority,omitempty" default:"normal" enum:"high,normal,low" doc:"Which of the tasks that wait for a worker is begun first."`
	StartAt  *time.Time        `json:"start_at,omitempty" nullable:"true" doc:"Not before this time; left out: at once."`
	Deadline *time.Time        `json:"deadline,omitempty" nullable:"true" doc:"If it has not ended by then, it fails; left out: there is none."`
	Retry    *TaskRetry        `json:"retry,omitempty" doc:"What happens when it fails; left out: 3 attempts, 1 s before the second."`
	Tags     map[string]string `json:"tags,omitempty" doc:"As in x-vel-tags: they stand in the record of its call, and budgets can be for them."`
}

// TaskRetry says whether and when a task that failed is tried again.
type TaskRetry struct {
	Attempts int      `json:"attempts,omitempty" minimum:"1" maximum:"10" default:"3" doc:"How often it is tried in all. Other targets are tried within each."`
	Backoff  float64  `json:"backoff_s,omitempty" minimum:"0.1" maximum:"3600" default:"1" doc:"Seconds before the second try; they double with each. A provider's or a limit's Retry-After counts if it is longer."`
	On       []string `json:"on,omitempty" maxItems:"8" enum:"rate_limit,timeout,overloaded,server,connect,reset,garbage,truncated" doc:"The classes of failure after which it is tried again; empty: all of them."`
}

const (
	longestWait = 366 * 24 * time.Hour // from now to start_at or deadline
	mostTags    = 16
)

// Resolve is called by huma when the body has been read.
func (b *NewTaskBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		now := time.Now()
		for field, t := range map[string]*time.Time{"start_at": b.StartAt, "deadline": b.Deadline} {
			if t != nil && t.After(now.Add(longestWait)) {
				fault(field, "is more than a year ahead")
			}
		}
		switch {
		case b.Deadline == nil:
		case !b.Deadline.After(now):
			fault("deadline", "is over")
		case b.StartAt != nil && !b.Deadline.After(*b.StartAt):
			fault("deadline", "is not after start_at")
		}
		if problem := tagsProblem(b.Tags); problem != "" {
			fault("tags", problem)
		}
		switch said := b.Input != "" || len(b.Messages) > 0; {
		case b.Agent == "" && said:
			fault("agent", "must be named where there is input or messages")
		case b.Agent == "" && len(b.Body) == 0:
			fault("body", "is needed: the whole request, or an agent and input")
		case b.Agent != "" && (len(b.Body) > 0 || (b.Input != "") == (len(b.Messages) > 0)):
			fault("agent", "goes with either input or messages, and without body")
		case b.Agent != "" && b.Endpoint != "" && b.Endpoint != "chat/completions":
			fault("endpoint", "is chat/completions for an agent")
		}
	})
}

// tagsProblem is what is wrong with tags that a call shall have; empty: nothing.
func tagsProblem(tags map[string]string) string {
	if len(tags) > mostTags {
		return "has more than " + strconv.Itoa(mostTags) + " of them"
	}
	for name, value := range tags {
		if !tagName.MatchString(name) || !tagValue.MatchString(value) {
			return "a name has 1 to 64 of letters, digits, '_', '.' and '-', a value up to 128 characters without ',' and control characters"
		}
	}
	return ""
}

type (
	createTaskInput struct {
		Asked
		InOrganization
		Idempotent
		Body NewTaskBody
	}
	tasksInput struct {
		Asked
		InOrganization
		State    string    `query:"state" enum:"pending,running,succeeded,failed,cancelled" doc:"Only those in this state."`
		User     Ref       `query:"user" doc:"Only those of this user, or of this key without one. Who may not view analytics sees only their own."`
		Agent    Ref       `query:"agent" doc:"Only those of this agent."`
		Batch    Ref       `query:"batch" doc:"Only the items of this batch."`
		Model    string    `query:"model" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that asked for this model."`
		Provider string    `query:"provider" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that this provider answered."`
		From     time.Time `query:"from" doc:"Only those made at this time or after it."`
		To       time.Time `query:"to" doc:"Only those made before this time."`
		Limit    int       `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most tasks on the page."`
		After    Ref       `query:"after" doc:"The value of next on the page before."`
	}
	tasksOutput struct {
		Body struct {
			Data []TaskLine `json:"data" nullable:"false" doc:"The newest first."`
			Next *string    `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
		}
	}
	taskInput struct {
		Asked
		Item
		Content bool `query:"content" doc:"Show request and answer of somebody else's task. It needs the permission view_content, and is written into the audit log."`
	}
	taskOutput     struct{ Body Task }
	taskLineOutput struct{ Body TaskLine }
	itemInput      struct {
		Asked
		Item
	}
)

func (s *Server) serveTasks() {
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Tasks"}, Summary: summary, Description: description}
	}
	create := op("create-task", http.MethodPost, "/api/tasks", "Create task",
		"A call that is made later, on any node, with the limits and budgets of whoever asks for it: it is tried again when it fails, survives restarts, and its answer is kept. "+
			"The answer comes at once; Location says where the task can be watched.")
	create.DefaultStatus = http.StatusCreated
	add(s, create, s.createTask, withBody(http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests)...)
	add(s, op("list-tasks", http.MethodGet, "/api/tasks", "List tasks", "Your own, or with the permission view_analytics all of the organization."), s.listTasks, http.StatusNotFound)
	add(s, op("get-task", http.MethodGet, "/api/tasks/{id}", "Get task", "With its history, and with request and answer if it is yours."), s.getTask, http.StatusNotFound)
	add(s, op("cancel-task", http.MethodPost, "/api/tasks/{id}/cancel", "Cancel task",
		"One that waits is cancelled at once. One that runs is ended within a second, its provider is told, and what had come of its answer is kept. One that has ended stays as it is."), s.cancelTask, http.StatusNotFound)
	s.serveTaskStreams(op)
}

// asker is who tasks are made for when somebody asks.
func (s *Server) asker(a *asking) (tenancy.Identity, error) {
	switch {
	case a.by.Org == tenancy.Platform:
		return tenancy.Identity{}, notAllowed.new("You need the permission " + tenancy.ExecuteTask.String() + ", or " + tenancy.CreateAgent.String() + " for agents, in an organization: use one of its keys, or sign in as one of its people.")
	case a.by.Key != "":
		return a.keyed, nil
	}
	who := tenancy.Identity{Org: a.by.Org, User: a.by.User}
	if len(a.user.Teams) == 1 {
		who.Team = a.user.Teams[0]
	}
	return who, nil
}

// owns is by whom the tasks of somebody are counted and seen: the user, or the key of none.
func owns(who tenancy.Identity) tenancy.ID {
	if who.User != "" {
		return who.User
	}
	return who.Key
}

func (s *Server) createTask(ctx context.Context, in *createTaskInput) (*createOutput[TaskLine], error) {
	if _, err := s.scope(ctx, in.ask, in.Organization, in.Body.Organization); err != nil {
		return nil, err
	}
	who, err := s.asker(in.ask)
	if err != nil {
		return nil, err
	}
	t, body, err := s.newTask(ctx, in.ask, who, &in.Body)
	if err != nil {
		return nil, err
	}
	if in.IdempotencyKey != "" { // also for a node that is gone before it has kept its answer
		t.Once = requestID(in.ask, in.IdempotencyKey)
	}
	return once(ctx, s, in.ask, in.IdempotencyKey, []any{"task", who.Org, in.Body}, func() (*createOutput[TaskLine], error) {
		sealed := tasks.SealContent(s.Keyring, t.Org, t.ID, body)
		err := s.Work.Store.CreateTask(ctx, in.ask.by, t, sealed, s.Work.PerUser())
		if _, both := errors.AsType[*tenancy.Taken](err); both && t.Once != "" { // the same request, on two nodes
			err = s.Work.Store.CreateTask(ctx, in.ask.by, t, sealed, s.Work.PerUser())
		}
		if full, ok := errors.AsType[*tasks.Full](err); ok {
			return nil, tooManyTasks.new("You have " + strconv.Itoa(full.Most) + " tasks that have not ended, which is the most that you may have at once. Wait until one of them ends, or cancel one.").after(time.Second)
		}
		if err != nil {
			return nil, err
		}
		names := s.namer(ctx)
		out := &createOutput[TaskLine]{ETag: etag(t.Rev), Location: taskPath(t.ID), Body: viewTaskLine(t, names)}
		return out, names.err
	})
}

func taskPath(id tenancy.ID) string { return "/api/tasks/" + url.PathEscape(string(id)) }

// newTask makes a task of what was asked for, with the body of its call.
func (s *Server) newTask(ctx context.Context, a *asking, who tenancy.Identity, b *NewTaskBody) (*tasks.Task, []byte, error) {
	now := a.now.UTC().Truncate(time.Microsecond)
	t := &tasks.Task{
		ID: tenancy.NewID("task"), Org: who.Org, As: who, Endpoint: endpointOf(b.Endpoint), Priority: priorities[b.Priority], Labels: b.Tags,
		Retry: b.Retry.policy(), Created: now, Due: now,
	}
	if b.Agent != "" {
		if err := s.taskOfAgent(ctx, who.Org, b, t); err != nil {
			return nil, nil, err
		}
	}
	body, model, err := tasks.Prepare(t.Endpoint, b.Body, true)
	if wrong, ok := errors.AsType[*tasks.Fault](err); ok {
		return nil, nil, faulty(Fault{"body." + wrong.Path, wrong.Text})
	}
	if err != nil {
		return nil, nil, err
	}
	t.Model = model
	if b.StartAt != nil && b.StartAt.After(now) {
		t.Due = b.StartAt.UTC().Truncate(time.Microsecond)
	}
	if b.Deadline != nil {
		t.Deadline = b.Deadline.UTC().Truncate(time.Microsecond)
	}
	return t, body, nil
}

var priorities = map[string]int{"high": 1, "normal": 2, "low": 3}

// endpointOf finds an endpoint that tasks can call by its name.
func endpointOf(name string) adapters.Endpoint {
	for _, e := range tasks.Endpoints() {
		if e.String() == name {
			return e
		}
	}
	return adapters.ChatCompletions
}

// policy is the retry policy that was asked for.
func (r *TaskRetry) policy() tasks.Retry {
	p := tasks.DefaultRetry()
	if r == nil {
		return p
	}
	if r.Attempts > 0 {
		p.Attempts = r.Attempts
	}
	if r.Backoff > 0 {
		p.Backoff = time.Duration(r.Backoff * float64(time.Second))
	}
	for _, c := range tasks.Retryable() {
		for _, name := range r.On {
			if c.String() == name {
				p.On = append(p.On, c)
			}
		}
	}
	return p
}

func (s *Server) listTasks(ctx context.Context, in *tasksInput) (*tasksOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	q := tasks.Query{
		Org: org, Owner: tenancy.ID(in.User), Agent: tenancy.ID(in.Agent), Batch: tenancy.ID(in.Batch), State: tasks.State(in.State), Model: in.Model,
		Provider: in.Provider, From: in.From, Until: in.To, Before: tenancy.ID(in.After), Limit: in.Limit + 1,
	}
	out := &tasksOutput{}
	out.Body.Data = []TaskLine{}
	if mine, none, err := s.onlyOwn(in.ask, q.Owner); err != nil || none {
		return out, err
	} else if mine != "" {
		q.Owner = mine
	}
	found, err := s.Work.Store.Tasks(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		next := string(found[in.Limit-1].ID)
		out.Body.Next = &next
	}
	names := s.namer(ctx)
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewTaskLine(&found[i], names))
	}
	return out, names.err
}

// seenTask finds a task that somebody may see. Of somebody else's, who may not is told what a stranger is.
func (s *Server) seenTask(ctx context.Context, a *asking, in *Item) (t tasks.Task, own bool, err error) {
	org, err := s.scope(ctx, a, in.Organization)
	if err != nil {
		return t, false, err
	}
	if t, err = s.Work.Store.Task(ctx, org, tenancy.ID(in.ID)); err != nil {
		return t, false, err
	}
	who, err := s.asker(a)
	own = err == nil && owns(who) == owns(t.As) && who.Org == t.Org
	if !own && !a.by.May.Has(tenancy.ViewAnalytics) {
		return t, false, tenancy.ErrNotFound
	}
	return t, own, nil
}

func (s *Server) getTask(ctx context.Context, in *taskInput) (*taskOutput, error) {
	t, own, err := s.seenTask(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	history, err := s.Work.Store.Progress(ctx, t.Org, t.ID, 0, false, mostHistory)
	if err != nil {
		return nil, err
	}
	names := s.namer(ctx)
	out := &taskOutput{Task{TaskLine: viewTaskLine(&t, names), History: viewHistory(history)}}
	if names.err != nil {
		return nil, names.err
	}
	if own || in.Content {
		out.Body.Content, err = s.taskContent(ctx, in.ask, &t, own)
	}
	return out, err
}

// taskContent opens what a task asked and was answered, for its owner or somebody who may read what others said.
func (s *Server) taskContent(ctx context.Context, a *asking, t *tasks.Task, own bool) (*TaskContent, error) {
	if !own && !a.by.May.Has(tenancy.ViewContent) {
		return nil, notAllowed.new("You need the permission " + tenancy.ViewContent.String() + ".")
	}
	request, answer, err := s.Work.Store.TaskContents(ctx, t.Org, t.ID)
	if err != nil {
		return nil, err
	}
	if !own {
		event := tenancy.NewAuditEvent(a.by, t.Org, tenancy.ActionReadContent, tenancy.AuditObject{Kind: "task", ID: t.ID}, a.now)
		if err := s.Audit.Record(ctx, []tenancy.AuditEvent{event}); err != nil {
			return nil, err
		}
	}
	return s.openTask(t, request, answer), nil
}

func (s *Server) cancelTask(ctx context.Context, in *itemInput) (*taskLineOutput, error) {
	t, own, err := s.seenTask(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	if !own && !in.ask.by.May.Has(tenancy.ManageOrganization) {
		return nil, notAllowed.new("It is somebody else's task: you need the permission " + tenancy.ManageOrganization.String() + ".")
	}
	if t, err = s.Work.Store.StopTask(ctx, in.ask.by, t.Org, t.ID); err != nil {
		return nil, err
	}
	s.Work.Stop(t.ID)
	s.Work.Feed.Publish(t.ID, t.Seq)
	names := s.namer(ctx)
	return &taskLineOutput{viewTaskLine(&t, names)}, names.err
}
