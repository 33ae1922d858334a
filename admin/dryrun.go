package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Planner says where a call would go on this node. It sends nothing, holds nothing and changes nothing.
type Planner func(a *routing.Ask, now time.Time) *routing.Decision

// DryRunBody is a call that is not made: a whole request, or what rules and strategies ask about one.
type DryRunBody struct {
	Model    string          `json:"model,omitempty" maxLength:"256" doc:"The public model name; left out if body has it."`
	Endpoint string          `json:"endpoint,omitempty" default:"chat/completions" enum:"chat/completions,responses,responses/input_tokens,responses/compact,embeddings,completions,moderations,images/generations,images/edits,images/variations,audio/speech,audio/transcriptions,audio/translations" doc:"The path below /v1."`
	Body     json.RawMessage `json:"body,omitempty" doc:"The whole request, as a client would send it. What follows from it can not be said beside it: model, tokens, max_tokens, stream, tools, images, json_schema."`

	Team Ref `json:"team,omitempty" doc:"On whose behalf: this team of the organization,"`
	User Ref `json:"user,omitempty" doc:"this user,"`
	Key  Ref `json:"key,omitempty" doc:"or this key, with the models that it may use, its team and its user; then the others are left out."`

	Task       string            `json:"task,omitempty" enum:"code,reasoning,research,simple" doc:"What the client would say in x-vel-task. Without it and without body the request looks empty, which is a simple one."`
	Tokens     int64             `json:"tokens,omitempty" minimum:"0" maximum:"2147483647" doc:"How many are sent."`
	MaxTokens  int64             `json:"max_tokens,omitempty" minimum:"0" maximum:"2147483647" doc:"How long the answer may be; 0: it is not said."`
	Stream     bool              `json:"stream,omitempty" doc:"The answer is to be streamed."`
	Tools      bool              `json:"tools,omitempty" doc:"Tools are offered."`
	Images     bool              `json:"images,omitempty" doc:"Pictures are sent."`
	JSONSchema bool              `json:"json_schema,omitempty" doc:"The answer has to follow a schema."`
	Tags       map[string]string `json:"tags,omitempty" doc:"What the client would say in x-vel-tags."`
	Headers    map[string]string `json:"headers,omitempty" doc:"Header fields of the request that rules may ask about."`
	Session    string            `json:"session,omitempty" maxLength:"256" doc:"What the client would say in x-vel-session."`
	ID         string            `json:"id,omitempty" maxLength:"160" doc:"The call's id, by which lots are drawn: another one may be sent elsewhere. The same one draws the same lots."`
}

// Resolve is called by huma when the body has been read.
func (b *DryRunBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		if b.Model == "" && len(b.Body) == 0 {
			fault("model", "is needed: the public model name, here or in body")
		}
		for _, f := range []struct {
			name string
			said bool
		}{
			{"model", b.Model != ""},
			{"tokens", b.Tokens != 0},
			{"max_tokens", b.MaxTokens != 0},
			{"stream", b.Stream},
			{"tools", b.Tools},
			{"images", b.Images},
			{"json_schema", b.JSONSchema},
		} {
			if f.said && len(b.Body) > 0 {
				fault(f.name, "follows from body; say one of the two")
			}
		}
		for _, f := range []struct {
			name string
			said bool
		}{{"team", b.Team != ""}, {"user", b.User != ""}} {
			if f.said && b.Key != "" {
				fault(f.name, "follows from key; say one of the two")
			}
		}
		for name, value := range b.Tags {
			if name == "" || strings.ContainsAny(name+value, ",\r\n") || strings.Contains(name, "=") {
				fault("tags", "a name has no comma and no '=', a value no comma")
				break
			}
		}
	})
}

type (
	dryRunInput struct {
		Asked
		Organization Ref `query:"organization" doc:"Whose call it would be; your own if it is not named. Only platform administrators reach others."`
		Body         DryRunBody
	}
	dryRunOutput struct{ Body Decision }
)

func (s *Server) serveDryRun() {
	add(s, huma.Operation{
		OperationID: "dry-run-route", Method: http.MethodPost, Path: "/api/routes/dry-run", Tags: []string{"Routes"}, Summary: "Dry run",
		Description: "Where a call would go now on the node that answers, and why. Nothing is sent, nothing is held, and what is known of targets does not change.",
	}, s.dryRun, withBody(http.StatusNotFound)...)
}

func (s *Server) dryRun(ctx context.Context, in *dryRunInput) (*dryRunOutput, error) {
	if s.Planner == nil {
		return nil, unavailable.new("No calls are served here, so there is nothing that is planned; ask a running server.")
	}
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	ask, err := in.Body.ask()
	if err != nil {
		return nil, err
	}
	if ask.Who, err = s.behalf(ctx, in.ask, org, &in.Body); err != nil {
		return nil, err
	}
	return &dryRunOutput{*viewDecision(s.Planner(ask, in.ask.now), in.ask)}, nil
}

// behalf is who would make the call.
func (s *Server) behalf(ctx context.Context, a *asking, org tenancy.ID, b *DryRunBody) (*tenancy.Principal, error) {
	if b.Key != "" {
		k, err := s.Keys.Get(ctx, org, tenancy.ID(b.Key))
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil, &tenancy.Missing{Field: "key", ID: tenancy.ID(b.Key)}
		}
		if err != nil {
			return nil, err
		}
		who, err := s.Index().Resolve(tenancy.Identity{Org: org, Key: k.ID}, a.now)
		if err != nil {
			return nil, faulty(Fault{"body.key", "opens nothing now: it is disabled, has expired, or is not known to this node yet"})
		}
		return who, nil
	}
	who := &tenancy.Principal{Identity: tenancy.Identity{Org: org, Team: tenancy.ID(b.Team), User: tenancy.ID(b.User)}}
	if b.Team != "" {
		if err := exists(ctx, s.Teams, org, "team", who.Team); err != nil {
			return nil, err
		}
	}
	if b.User != "" {
		if err := exists(ctx, s.Users, org, "user", who.User); err != nil {
			return nil, err
		}
	}
	return who, nil
}

// exists refuses the id of what the organization does not have.
func exists[T any](ctx context.Context, in tenancy.Store[T], org tenancy.ID, field string, id tenancy.ID) error {
	_, err := in.Get(ctx, org, id)
	if errors.Is(err, tenancy.ErrNotFound) {
		return &tenancy.Missing{Field: field, ID: id}
	}
	return err
}

// ask is the call as routing sees it, but for who makes it.
func (b *DryRunBody) ask() (*routing.Ask, error) {
	a := &routing.Ask{
		Model: b.Model, Endpoint: endpointNamed(b.Endpoint), Seed: routing.SeedOf(b.ID), Session: []byte(b.Session), Header: b.header(), Explain: true,
	}
	for name, value := range b.Tags {
		a.Tags = append(a.Tags, []byte(name+"="+value))
	}
	if len(b.Body) > 0 {
		return a, b.read(a)
	}
	a.Sent, a.MaxOutput, a.Stream = b.Tokens, b.MaxTokens, b.Stream
	if b.Images {
		a.Input = []byte(`[{"role":"user","content":[{"type":"image_url"}]}]`)
	}
	body := map[string]any{}
	if b.Tools {
		body["tools"] = []any{map[string]any{}}
	}
	if b.JSONSchema {
		body["response_format"] = map[string]any{"type": "json_schema"}
	}
	text, err := json.Marshal(body)
	a.Body = text
	return a, err
}

// read takes what the call asks for from a whole request.
func (b *DryRunBody) read(a *routing.Ask) error {
	content, q := adapters.Content{Endpoint: a.Endpoint, Method: http.MethodPost, ContentType: []byte("application/json")}, adapters.Question{}
	if err := adapters.Parse(b.Body, &content, &q); err != nil {
		said, ok := errors.AsType[*adapters.Error](err)
		if !ok {
			return err
		}
		return faulty(Fault{strings.TrimSuffix("body.body."+said.Param, "."), said.Message})
	}
	a.Model, a.MaxOutput, a.Stream, a.Body = q.Model, max(q.MaxCompletionTokens, q.MaxTokens), content.Stream, b.Body
	if !q.Input.Empty() {
		a.Input = b.Body[q.Input.Start:q.Input.End]
	}
	return nil
}

// saidHeader is the header of a request that is not sent, by lower-case names.
type saidHeader map[string][]byte

// Peek gives a field.
func (h saidHeader) Peek(name string) []byte { return h[strings.ToLower(name)] }

func (b *DryRunBody) header() saidHeader {
	h := saidHeader{}
	for name, value := range b.Headers {
		h[strings.ToLower(name)] = []byte(value)
	}
	if b.Task != "" {
		h["x-vel-task"] = []byte(b.Task)
	}
	return h
}

// endpointNamed is the endpoint with a path.
func endpointNamed(path string) adapters.Endpoint {
	for e := adapters.ChatCompletions; e < adapters.Objects; e++ {
		if e.String() == path {
			return e
		}
	}
	return 0
}
