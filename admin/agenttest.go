package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// AgentTestBody says how an agent is tried.
type AgentTestBody struct {
	DryRun bool   `json:"dry_run,omitempty" nullable:"true" doc:"Only look: nothing is sent, and nothing costs anything."`
	Input  string `json:"input,omitempty" nullable:"true" maxLength:"65536" default:"Say hello in one sentence." doc:"What a user says to it."`
}

// AgentTest is what came of it.
type AgentTest struct {
	OK          bool              `json:"ok"`
	Checks      []AgentCheck      `json:"checks" nullable:"false"`
	Where       *Decision         `json:"decision" doc:"Where a call would go now, and why; null: no calls are served here."`
	Estimate    *string           `json:"estimate_usd" doc:"What one call may cost at most there; null: there is no price."`
	Sample      *AgentSample      `json:"sample" doc:"A call that was made; null: it is a dry run, or a check failed."`
	Suggestions []AgentSuggestion `json:"suggestions" nullable:"false" doc:"What the calls of the last seven days speak for. None rests on fewer than twenty."`
}

// AgentCheck is one thing that was looked at.
type AgentCheck struct {
	Name   string  `json:"name" enum:"active,model,price,sample"`
	OK     bool    `json:"ok"`
	Detail *string `json:"detail"`
}

// AgentSample is a call that was made.
type AgentSample struct {
	Call       tenancy.ID `json:"call" doc:"Its record."`
	Answer     string     `json:"answer" doc:"Its text, perhaps cut."`
	Provider   string     `json:"provider"`
	Model      string     `json:"model"`
	TokensIn   int64      `json:"tokens_in"`
	TokensOut  int64      `json:"tokens_out"`
	Cost       string     `json:"cost_usd"`
	FirstToken *float64   `json:"first_token_ms"`
	Total      float64    `json:"total_ms"`
}

// AgentSuggestion is a change that figures speak for.
type AgentSuggestion struct {
	Field string `json:"field" doc:"What to change."`
	Text  string `json:"text"`
	Calls int64  `json:"calls" doc:"How many calls it rests on."`
}

// TransformSchema says what may be null.
func (AgentTest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "decision", "sample")
}

type (
	testAgentInput struct {
		Asked
		Item
		Body AgentTestBody
	}
	testAgentOutput struct{ Body AgentTest }
)

// How a sample is bounded, what is kept of its answer, and how much suggestions rest on.
const (
	sampleLimit  = 25 * time.Second
	sampleAnswer = 4 << 10
	lookedBack   = 7 * 24 * time.Hour
	restsOn      = 20
	badShare     = 0.1
)

func (s *Server) serveAgentTest(op func(id, method, path, summary, description string) huma.Operation) {
	add(s, op("test-agent", http.MethodPost, "/api/agents/{id}/test", "Test agent",
		"Whether its model can be called by you now, where that would go and what it may cost; with a call that is made, unless it is a dry run; and what the calls of the last days speak for."),
		s.testAgent, withBody(http.StatusNotFound)...)
}

func (s *Server) testAgent(ctx context.Context, in *testAgentInput) (*testAgentOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	who, err := s.asker(in.ask)
	if err != nil {
		return nil, err
	}
	v, err := s.Work.Agents.Get(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	body, err := v.Config.Body(tasks.UserSays(in.Body.Input))
	if err != nil {
		return nil, err
	}
	t := &AgentTest{OK: true, Suggestions: []AgentSuggestion{}}
	t.check("active", v.Active, "it is not active: no tasks can be made for it")
	request := &tasks.Request{As: who, Endpoint: adapters.ChatCompletions, Body: body, Tags: []string{"agent=" + string(v.ID)}}
	reachable := s.look(in.ask, request, v.Config.Model, t)
	if reachable && !in.Body.DryRun {
		s.sample(ctx, request, t)
	}
	if t.Suggestions, err = s.suggestions(ctx, org, &v.Config, in.ask.now); err != nil {
		return nil, err
	}
	return &testAgentOutput{*t}, nil
}

// check notes what was looked at.
func (t *AgentTest) check(name string, ok bool, otherwise string) {
	c := AgentCheck{Name: name, OK: ok}
	if !ok {
		c.Detail = textOf(otherwise)
		t.OK = false
	}
	t.Checks = append(t.Checks, c)
}

// look finds out where a call would go and what it may cost; false: it can not be made.
func (s *Server) look(a *asking, r *tasks.Request, model string, t *AgentTest) bool {
	if s.Work.Estimate == nil || s.Planner == nil {
		t.check("model", false, "no calls are served here; ask a running server")
		return false
	}
	t.Where = viewDecision(s.Planner(&routing.Ask{Model: model, Who: &tenancy.Principal{Identity: r.As}, Endpoint: r.Endpoint, Body: r.Body}, a.now), a)
	cost, priced, err := s.Work.Estimate(r)
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		t.check("model", false, e.Message)
		return false
	}
	t.check("model", err == nil, "it can not be called")
	t.check("price", priced, "nobody knows what a call costs: budgets can not hold it")
	if priced {
		text := cost.String()
		t.Estimate = &text
	}
	return err == nil
}

// sample makes a call.
func (s *Server) sample(ctx context.Context, r *tasks.Request, t *AgentTest) {
	if s.Work.Executor == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	var answer []byte
	made, err := s.Work.Executor.Execute(ctx, r, func(piece []byte) error {
		if len(answer)+len(piece) > mostOfSample {
			return errors.New("the answer is too long to be shown")
		}
		answer = append(answer, piece...)
		return nil
	})
	in, out := made.Usage.Tokens()
	t.Sample = &AgentSample{
		Call: made.Call, Answer: tasks.Said(r.Endpoint, answer), Provider: made.Provider, Model: made.Model, TokensIn: in, TokensOut: out, Cost: made.Cost.String(),
		FirstToken: orNone(made.FirstByte), Total: millis(made.Total),
	}
	if len(t.Sample.Answer) > sampleAnswer {
		t.Sample.Answer = string([]rune(t.Sample.Answer)[:sampleAnswer/4]) + "…"
	}
	why := ""
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		why = e.Message
	}
	t.check("sample", err == nil, why)
}

const mostOfSample = 1 << 20

// suggestions are what the calls of an organization in the last days speak for.
func (s *Server) suggestions(ctx context.Context, org tenancy.ID, c *tasks.AgentConfig, now time.Time) ([]AgentSuggestion, error) {
	rows, err := s.Calls.Usage(ctx, accounting.UsageQuery{Org: org, From: now.Add(-lookedBack), To: now, By: []accounting.Dimension{accounting.ByRoute}, Limit: 50})
	if err != nil {
		return nil, err
	}
	list := []AgentSuggestion{}
	at := slices.IndexFunc(rows, func(r accounting.UsageRow) bool { return len(r.Group) == 1 && r.Group[0] == c.Model })
	if at < 0 || rows[at].Calls < restsOn {
		return list, nil
	}
	own := &rows[at]
	if share := float64(own.Failed) / float64(own.Calls); share > badShare {
		list = append(list, AgentSuggestion{"fallbacks", fmt.Sprintf("%.0f %% of the calls of %s failed: name another model as a fallback", share*100, c.Model), own.Calls})
	}
	_, out := own.Usage.Tokens()
	if mean := out / own.Calls; c.MaxTokens > 4*max(mean, 1) && mean > 0 {
		list = append(list, AgentSuggestion{"max_tokens", fmt.Sprintf("answers of %s have %d tokens on average, and budgets hold %d for each: a lower limit lets more calls run at a time", c.Model, mean, c.MaxTokens), own.Calls})
	}
	return append(list, better(own, rows)...), nil
}

// better are other models that were cheaper or faster for the same organization.
func better(own *accounting.UsageRow, rows []accounting.UsageRow) (list []AgentSuggestion) {
	perCall := func(r *accounting.UsageRow) float64 { return float64(r.Cost) / float64(r.Calls) }
	for i := range rows {
		r := &rows[i]
		if len(r.Group) != 1 || r.Group[0] == "" || r.Group[0] == own.Group[0] || r.Calls < restsOn || float64(r.Failed)/float64(r.Calls) > badShare {
			continue
		}
		if own.Cost > 0 && r.Cost > 0 && perCall(r) < perCall(own)/2 {
			list = append(list, AgentSuggestion{"model", fmt.Sprintf("a call of %s cost %.0f %% of one of %s: see whether its answers are good enough", r.Group[0], perCall(r)/perCall(own)*100, own.Group[0]), r.Calls})
		}
		if own.P50 > 0 && r.P50 > 0 && r.P50 < own.P50/2 {
			list = append(list, AgentSuggestion{"model", fmt.Sprintf("%s answered in %d ms in the middle, %s in %d ms", r.Group[0], r.P50.Milliseconds(), own.Group[0], own.P50.Milliseconds()), r.Calls})
		}
	}
	return list
}
