package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// AgentHistory keeps what agents were. Errors are those of tenancy.Store.
type AgentHistory interface {
	// AgentVersions are those of an agent, the newest first; also of one that was deleted.
	AgentVersions(ctx context.Context, org, id tenancy.ID) ([]tasks.AgentVersion, error)
}

// AgentConfig is what an agent says of its chats.
type AgentConfig struct {
	Description    string          `json:"description,omitempty" maxLength:"1000" doc:"For people."`
	Model          string          `json:"model" minLength:"1" maxLength:"256" doc:"A public model name."`
	Fallbacks      []string        `json:"fallbacks,omitempty" nullable:"false" maxItems:"8" doc:"Models for the second try of a task, the third and so on; a model has its own targets, too."`
	SystemPrompt   string          `json:"system_prompt,omitempty" maxLength:"65536" doc:"The first message of each chat."`
	Temperature    *float64        `json:"temperature,omitempty" nullable:"true" minimum:"0" maximum:"2"`
	TopP           *float64        `json:"top_p,omitempty" nullable:"true" minimum:"0" maximum:"1"`
	MaxTokens      int64           `json:"max_tokens,omitempty" minimum:"0" maximum:"10000000" doc:"How long an answer may be; 0: the model's own limit."`
	ResponseFormat json.RawMessage `json:"response_format,omitempty" doc:"As in a chat: text, json_object or json_schema."`
	Tools          json.RawMessage `json:"tools,omitempty" doc:"As in a chat: functions."`
	TaskTypes      []string        `json:"task_types,omitempty" nullable:"false" maxItems:"4" enum:"code,reasoning,research,simple" doc:"What it is for."`
	Attempts       int             `json:"attempts,omitempty" minimum:"0" maximum:"10" doc:"How often a task is tried in all; 0: 3."`
	Backoff        float64         `json:"backoff_s,omitempty" minimum:"0" maximum:"3600" doc:"Seconds before the second try; 0: 1."`
	RetryOn        []string        `json:"retry_on,omitempty" nullable:"false" maxItems:"8" enum:"rate_limit,timeout,overloaded,server,connect,reset,garbage,truncated" doc:"The classes of failure after which a task is tried again; empty: all that may pass."`
	Timeout        float64         `json:"timeout_s,omitempty" minimum:"0" maximum:"604800" doc:"Seconds from the creation of a task to its deadline; 0: none."`
}

// Agent is what the API shows of one.
type Agent struct {
	Object
	AgentConfig
	Active    bool   `json:"active" doc:"Tasks can be made for it."`
	Version   int64  `json:"version"`
	BudgetTag string `json:"budget_tag" doc:"The tag that its calls have: a budget for it bounds what the agent may spend." example:"agent=agent_…"`
}

// AgentBody changes an agent.
type AgentBody struct {
	Name string `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
	AgentConfig
	Active *bool `json:"active,omitempty" nullable:"true" doc:"Tasks can be made for it; as it is, if it is left out, and true for a new one."`
}

// NewAgent makes an agent.
type NewAgent struct {
	NewIn
	AgentBody
}

// Resolve is called by huma when the body has been read.
func (b *AgentBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	config := b.config()
	return faultsAt(at, func(fault func(field, problem string)) {
		if strings.TrimSpace(b.Name) == "" {
			fault("name", tenancy.Empty)
		}
		config.Validate(fault)
	})
}

func (c *AgentConfig) config() tasks.AgentConfig { return tasks.AgentConfig(*c) }

func (b *AgentBody) to(a *asking, v *tasks.Agent) {
	v.Name, v.Config, v.By = strings.TrimSpace(b.Name), b.config(), a.by
	if b.Active != nil {
		v.Active = *b.Active
	}
}

func viewAgent(v *tasks.Agent) Agent {
	return Agent{objectOf(&v.Meta), AgentConfig(v.Config), v.Active, v.Version, "agent=" + string(v.ID)}
}

type agentResource = resource[tasks.Agent, NewAgent, AgentBody, Agent]

func (s *Server) serveAgents() {
	r := agentResource{
		s: s, one: "agent", many: "agents", tag: "Agents", filters: []string{"organization", "name"},
		store: s.Work.Agents, meta: func(v *tasks.Agent) *tenancy.Meta { return &v.Meta }, view: viewAgent,
		fill: func(_ context.Context, a *asking, v *tasks.Agent, b *NewAgent) error {
			v.Active = true
			b.to(a, v)
			return nil
		},
		edit: func(_ context.Context, a *asking, v *tasks.Agent, b *AgentBody) error {
			b.to(a, v)
			return nil
		},
		inBody: func(b *NewAgent) Ref { return b.Organization },
	}
	r.register()
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Agents"}, Summary: summary, Description: description}
	}
	set := func(active bool) func(context.Context, *itemInput) (*itemOutput[Agent], error) {
		return func(ctx context.Context, in *itemInput) (*itemOutput[Agent], error) {
			return s.setActive(ctx, &r, in, active)
		}
	}
	add(s, op("activate-agent", http.MethodPost, "/api/agents/{id}/activate", "Activate agent", "Tasks can be made for it."), set(true), http.StatusNotFound)
	add(s, op("deactivate-agent", http.MethodPost, "/api/agents/{id}/deactivate", "Deactivate agent", "No tasks can be made for it; those that there are go on."), set(false), http.StatusNotFound)
	add(s, op("list-agent-versions", http.MethodGet, "/api/agents/{id}/versions", "List versions", "What it was, the newest first; also of one that was deleted."), s.agentVersions, http.StatusNotFound)
	add(s, op("diff-agent", http.MethodGet, "/api/agents/{id}/diff", "Compare versions", "The members in which two versions differ."), s.diffAgent, http.StatusNotFound)
	add(s, op("restore-agent", http.MethodPost, "/api/agents/{id}/restore", "Restore version", "Makes a new version that is equal to an old one; also of an agent that was deleted."), s.restoreAgent,
		withBody(http.StatusNotFound, http.StatusConflict)...)
	s.serveAgentTest(op)
}

func (s *Server) setActive(ctx context.Context, r *agentResource, in *itemInput, active bool) (*itemOutput[Agent], error) {
	var changed tasks.Agent
	err := r.touch(ctx, in.ask, &in.Item, &Conditional{}, func(v *tasks.Agent) (err error) {
		v.Active, v.By = active, in.ask.by
		changed, err = s.Work.Agents.Update(ctx, in.ask.by, *v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.item(&changed), nil
}

// AgentVersion is an agent as it was.
type AgentVersion struct {
	Version int64       `json:"version"`
	At      time.Time   `json:"at"`
	By      *tenancy.ID `json:"by" doc:"The user or the key that made it."`
	Name    *string     `json:"by_name"`
	Config  AgentConfig `json:"config"`
}

type (
	versionsOutput struct {
		Body struct {
			Data []AgentVersion `json:"data" nullable:"false" doc:"The newest first."`
		}
	}
	diffAgentInput struct {
		Asked
		Item
		From int64 `query:"from" minimum:"1" doc:"A version; the one before to, if it is left out."`
		To   int64 `query:"to" minimum:"1" doc:"A version; the newest, if it is left out."`
	}
	diffAgentOutput struct {
		Body struct {
			From    int64         `json:"from"`
			To      int64         `json:"to"`
			Changes []AgentChange `json:"changes" nullable:"false"`
		}
	}
	restoreInput struct {
		Asked
		Item
		Body struct {
			Version int64 `json:"version" minimum:"1"`
		}
	}
)

// AgentChange is one member in which two versions differ.
type AgentChange struct {
	Field string `json:"field"`
	From  any    `json:"from" doc:"null: it was not there."`
	To    any    `json:"to"`
}

// versionsOf are those of an agent that an organization has or had.
func (s *Server) versionsOf(ctx context.Context, a *asking, in *Item) (tenancy.ID, []tasks.AgentVersion, error) {
	org, err := s.scope(ctx, a, in.Organization)
	if err != nil {
		return "", nil, err
	}
	list, err := s.Work.Agented.AgentVersions(ctx, org, tenancy.ID(in.ID))
	if err == nil && len(list) == 0 {
		err = tenancy.ErrNotFound
	}
	return org, list, err
}

func (s *Server) agentVersions(ctx context.Context, in *itemInput) (*versionsOutput, error) {
	_, list, err := s.versionsOf(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	out := &versionsOutput{}
	out.Body.Data = []AgentVersion{}
	for i := range list {
		v := &list[i]
		out.Body.Data = append(out.Body.Data, AgentVersion{v.Number, v.At.UTC(), idOf(v.By), textOf(v.Name), AgentConfig(v.Config)})
	}
	return out, nil
}

// version finds one of a list that is in order, the newest first.
func version(list []tasks.AgentVersion, number int64, field string) (*tasks.AgentVersion, error) {
	for i := range list {
		if list[i].Number == number {
			return &list[i], nil
		}
	}
	return nil, faulty(Fault{field, "there is no such version"})
}

func (s *Server) diffAgent(ctx context.Context, in *diffAgentInput) (*diffAgentOutput, error) {
	_, list, err := s.versionsOf(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	if in.To == 0 {
		in.To = list[0].Number
	}
	if in.From == 0 {
		in.From = max(1, in.To-1)
	}
	to, err := version(list, in.To, "query.to")
	if err != nil {
		return nil, err
	}
	from, err := version(list, in.From, "query.from")
	if err != nil {
		return nil, err
	}
	out := &diffAgentOutput{}
	out.Body.From, out.Body.To, out.Body.Changes = in.From, in.To, []AgentChange{}
	for _, d := range tasks.Diff(&from.Config, &to.Config) {
		out.Body.Changes = append(out.Body.Changes, AgentChange{d.Field, d.From, d.To})
	}
	return out, nil
}

func (s *Server) restoreAgent(ctx context.Context, in *restoreInput) (*itemOutput[Agent], error) {
	org, list, err := s.versionsOf(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	old, err := version(list, in.Body.Version, "body.version")
	if err != nil {
		return nil, err
	}
	v, err := s.Work.Agents.Get(ctx, org, tenancy.ID(in.ID))
	v.Config, v.By = old.Config, in.ask.by
	switch {
	case err == nil:
		v, err = s.Work.Agents.Update(ctx, in.ask.by, v)
	case errors.Is(err, tenancy.ErrNotFound): // it was deleted
		v.ID, v.Org, v.Active, v.Name = tenancy.ID(in.ID), org, true, string(in.ID)
		v, err = s.Work.Agents.Create(ctx, in.ask.by, v)
	}
	if err != nil {
		return nil, err
	}
	return &itemOutput[Agent]{etag(v.Rev), viewAgent(&v)}, nil
}

// taskOfAgent fills in what an agent says of a task that is made for it.
func (s *Server) taskOfAgent(ctx context.Context, org tenancy.ID, b *NewTaskBody, t *tasks.Task) (err error) {
	v, err := s.Work.Agents.Get(ctx, org, tenancy.ID(b.Agent))
	if errors.Is(err, tenancy.ErrNotFound) {
		return &tenancy.Missing{Field: "agent", ID: tenancy.ID(b.Agent)}
	}
	if err != nil {
		return err
	}
	if !v.Active {
		return faulty(Fault{"body.agent", "is not active"})
	}
	messages := b.Messages
	if b.Input != "" {
		messages = tasks.UserSays(b.Input)
	}
	if b.Body, err = v.Config.Body(messages); err != nil {
		return itemFault("body", err)
	}
	t.Agent, t.Version, t.Fallbacks = v.ID, v.Version, v.Config.Fallbacks
	if b.Retry == nil {
		t.Retry = v.Config.Retry()
	}
	if b.Deadline == nil && v.Config.Timeout > 0 {
		t.Deadline = t.Created.Add(time.Duration(v.Config.Timeout * float64(time.Second)))
	}
	return nil
}
