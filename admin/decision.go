package admin

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Decision is why a call goes where it goes, in words.
type Decision struct {
	Asked      string      `json:"asked" doc:"The model that was asked for; empty: the record is of a version that did not keep it, or the call is on an object."`
	Route      *string     `json:"route" doc:"The model whose targets these are, after the rules; null: there is none."`
	Strategy   *string     `json:"strategy" doc:"How its targets are put in order: fallback, weighted, fastest, cheapest, least_request or optimize."`
	Tokens     int64       `json:"tokens" doc:"About how many tokens are sent."`
	Task       *string     `json:"task" doc:"What kind of work is asked for: code, reasoning, research or simple; null: no rule wanted to know."`
	TaskFrom   *string     `json:"task_from" doc:"Who says so: header, the client in x-vel-task, or judged, by Vel, which has looked at the request."`
	Features   []Feature   `json:"features" nullable:"false" doc:"What spoke most for the task, if that was asked for with x-vel-explain: 1."`
	Rules      []RuleTaken `json:"rules" nullable:"false" doc:"The rules that held, in the order in which they led on."`
	Candidates []Candidate `json:"candidates" nullable:"false" doc:"Every target of the route, each once; those that are for other organizations only the platform sees."`
	Refused    *string     `json:"refused" doc:"Why the call goes nowhere; null: it goes."`
	Revision   int64       `json:"revision" doc:"Of the configuration on the node that decided; it counts from the start of its process. 0: not known."`
}

// Feature is something in a request that speaks for a task.
type Feature struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight" doc:"How strongly, beside the other tasks."`
}

// RuleTaken is a rule that held.
type RuleTaken struct {
	Route string `json:"route" doc:"The model whose rule it is."`
	Rule  int    `json:"rule" doc:"Its place there, from 0, as in models.*.rules."`
}

// Candidate is what became of a target.
type Candidate struct {
	Provider string     `json:"provider"`
	Model    string     `json:"model" doc:"The provider's name of it."`
	Chosen   bool       `json:"chosen" doc:"It is part of the plan, and was or would be asked in its turn."`
	Reason   string     `json:"reason" doc:"Why, or why not, in the words of docs/routing.md."`
	Until    *time.Time `json:"until" doc:"When time mends the reason; null: it does not."`
	Score    *float64   `json:"score" doc:"What the strategy gave it: the lowest is asked first. Billionths of a dollar, seconds, attempts under way, or a lot. Null: there was nothing to compare, or nothing is known."`
	Measure  *string    `json:"measure" doc:"The score in words."`
}

// CallRoute is the decision of a call with what followed.
type CallRoute struct {
	ID       tenancy.ID `json:"id"`
	Decision *Decision  `json:"decision" doc:"Null: the call was never planned, or nothing that this version can read is kept."`
	Attempts []Attempt  `json:"attempts" nullable:"false" doc:"Every try that followed, in order."`
	Provider string     `json:"provider" doc:"Who answered, or was asked last; empty: nobody."`
	Model    string     `json:"model"`
	Status   int        `json:"status" doc:"What the client saw."`
	Class    string     `json:"class" doc:"How the call ended."`
	Error    *string    `json:"error" doc:"What the client was told."`
}

type (
	callRouteInput struct {
		Asked
		InEveryOrganization
		ID Ref `path:"id" doc:"The call's id, as in x-request-id and x-vel-decision of its answer."`
	}
	callRouteOutput struct{ Body CallRoute }
)

func (s *Server) serveDecisions() {
	add(s, huma.Operation{
		OperationID: "get-call-route", Method: http.MethodGet, Path: "/api/calls/{id}/route", Tags: []string{"Calls"}, Summary: "Get the route of a call",
		Description: "Why the call went where it went: every target with its reason, and the attempts that followed.",
	}, s.getCallRoute, http.StatusNotFound)
	s.serveDryRun()
	s.serveDiff()
}

func (s *Server) getCallRoute(ctx context.Context, in *callRouteInput) (*callRouteOutput, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	r, err := s.Calls.Call(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return &callRouteOutput{viewCallRoute(&r, in.ask)}, nil
}

func viewCallRoute(r *accounting.Record, by *asking) CallRoute {
	v := CallRoute{
		ID: r.ID, Attempts: make([]Attempt, 0, len(r.Attempts)), Provider: r.Provider, Model: r.Model, Status: r.Status, Class: r.Class.String(), Error: textOf(r.Error),
	}
	for i := range r.Attempts {
		v.Attempts = append(v.Attempts, viewAttempt(&r.Attempts[i]))
	}
	if len(r.Decision) > 0 {
		if d, err := routing.ReadDecision(r.Decision); err == nil { // a newer version may write it in another form
			v.Decision = viewDecision(d, by)
		}
	}
	return v
}

// viewDecision shows a decision to somebody. Which providers are for other organizations is the platform's to know alone.
func viewDecision(d *routing.Decision, by *asking) *Decision {
	v := &Decision{
		Asked: d.Asked, Route: textOf(d.Route), Tokens: d.Tokens, Task: textOf(d.Task.String()), Revision: d.Rev,
		Features: make([]Feature, 0, len(d.Features)), Rules: make([]RuleTaken, 0, len(d.Rules)), Candidates: make([]Candidate, 0, len(d.Candidates)),
	}
	if d.Route != "" {
		v.Strategy = textOf(d.Strategy.String())
	}
	if v.Task != nil {
		v.TaskFrom = textOf("judged")
		if d.Told {
			v.TaskFrom = textOf("header")
		}
	}
	if d.Refusal != 0 {
		v.Refused = textOf(d.Refusal.Error())
	}
	for _, f := range d.Features {
		v.Features = append(v.Features, Feature{f.Name, math.Round(float64(f.Weight)*100) / 100})
	}
	for _, f := range d.Rules {
		v.Rules = append(v.Rules, RuleTaken{f.Route, f.Rule})
	}
	for i := range d.Candidates {
		if d.Candidates[i].Reason == routing.WrongOrganization && !by.by.OfPlatform() {
			continue
		}
		v.Candidates = append(v.Candidates, viewCandidate(&d.Candidates[i], d.Strategy))
	}
	return v
}

func viewCandidate(c *routing.Candidate, by routing.Strategy) Candidate {
	v := Candidate{Provider: c.Provider, Model: c.Model, Chosen: c.Reason.Chosen(), Reason: c.Reason.String(), Until: timeOf(c.Until)}
	if c.Score == 0 {
		return v
	}
	v.Measure = textOf(by.Measure(c.Score))
	if !math.IsInf(c.Score, 0) {
		v.Score = &c.Score
	}
	return v
}
