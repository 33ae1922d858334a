package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Targets is what a node knows of where its calls may go.
type Targets interface {
	Health(now time.Time) []routing.Health
	// Reset forgets what a target did, so that it is asked again, and tells whether anything was known of it.
	Reset(target string) bool
}

// Target is what the node that answers knows of one target.
type Target struct {
	ID        string     `json:"id" doc:"Provider and model with a slash between."`
	Provider  string     `json:"provider"`
	Model     string     `json:"model" doc:"The provider's name of it."`
	Routes    []string   `json:"routes" nullable:"false" doc:"The models whose calls may go there."`
	Breaker   string     `json:"breaker" enum:"closed,open,half-open" doc:"open: it failed too often and is left alone. half-open: a call is finding out whether it is back."`
	Until     *time.Time `json:"until" doc:"When it may be asked again: the later of the breaker's cooldown and what the provider asked for; null: now."`
	Failures  int        `json:"failures" doc:"Of the attempts that ended in the breaker's window, those that count against it. What the client did wrong never does."`
	Attempts  int        `json:"attempts" doc:"That ended in the window."`
	InFlight  int64      `json:"in_flight" doc:"Attempts under way."`
	FirstByte *float64   `json:"first_byte_ms" doc:"To the first event of a stream, as it was lately; null: not known."`
	PerToken  *float64   `json:"token_ms" doc:"For each token of an answer; null: not known."`
	Failed    float64    `json:"failed_share" doc:"Of the attempts lately, from 0 to 1."`
	Last      *time.Time `json:"last" doc:"When an attempt last said something of it; null: never."`
}

type (
	targetsInput struct {
		Asked
		Provider string `query:"provider" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those of this provider."`
		Route    string `query:"route" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those of this model."`
		Away     bool   `query:"away" doc:"Only those that are left alone now."`
	}
	targetsOutput struct {
		Body struct {
			Data []Target `json:"data" nullable:"false" doc:"By id."`
		}
	}
	resetTargetInput struct {
		Asked
		Body struct {
			Target string `json:"target" minLength:"1" maxLength:"512" doc:"Its id, as in the list."`
		}
	}
)

func (s *Server) serveTargets() {
	add(s, huma.Operation{
		OperationID: "list-targets", Method: http.MethodGet, Path: "/api/targets", Tags: []string{"Routes"}, Summary: "List targets",
		Description: "How the targets of all models do, as the node that answers sees it: each node judges by its own calls.",
	}, s.listTargets)
	add(s, huma.Operation{
		OperationID: "reset-target", Method: http.MethodPost, Path: "/api/targets/reset", Tags: []string{"Routes"}, Summary: "Reset target",
		Description: "Closes the breaker of a target on the node that answers, and forgets what its provider asked for, so that calls go there again at once. It is written into the audit log.",
	}, s.resetTarget, withBody(http.StatusNotFound)...)
}

func (s *Server) listTargets(_ context.Context, in *targetsInput) (*targetsOutput, error) {
	if s.Targets == nil {
		return nil, noTargets()
	}
	out := &targetsOutput{}
	out.Body.Data = []Target{}
	health := s.Targets.Health(in.ask.now)
	for i := range health {
		h := &health[i]
		if (in.Provider == "" || h.Provider == in.Provider) && (in.Route == "" || slices.Contains(h.Routes, in.Route)) &&
			(!in.Away || h.Breaker != "closed" || h.Until.After(in.ask.now)) {
			out.Body.Data = append(out.Body.Data, viewHealth(h))
		}
	}
	return out, nil
}

func viewHealth(h *routing.Health) Target {
	return Target{
		ID: h.Target, Provider: h.Provider, Model: h.Model, Routes: h.Routes, Breaker: h.Breaker, Until: timeOf(h.Until), Failures: h.Failures, Attempts: h.Calls,
		InFlight: h.UnderWay, FirstByte: orNone(h.FirstByte), PerToken: orNone(h.PerToken), Failed: h.Failed, Last: timeOf(h.Last),
	}
}

func (s *Server) resetTarget(ctx context.Context, in *resetTargetInput) (*struct{}, error) {
	if s.Targets == nil {
		return nil, noTargets()
	}
	if !s.Targets.Reset(in.Body.Target) {
		return nil, tenancy.ErrNotFound
	}
	e := tenancy.NewAuditEvent(in.ask.by, tenancy.Platform, tenancy.ActionResetTarget, tenancy.AuditObject{Kind: "target", ID: tenancy.ID(in.Body.Target), Name: in.Body.Target}, in.ask.now)
	return nil, s.Audit.Record(ctx, []tenancy.AuditEvent{e})
}

func noTargets() error {
	return unavailable.new("No calls are served here, so nothing is known of targets. Ask a running server.")
}
