package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// AnswerCache is where the answers of routes with a cache are kept. It is nil where no calls are served.
type AnswerCache interface {
	// Purge takes away the answers that fit everything that is said; tag is k=v.
	Purge(ctx context.Context, org tenancy.ID, route, tag string) error
	// Shared tells whether other nodes give the same answers.
	Shared() bool
}

// PurgeRequest says which answers are meant: those that fit all that is said.
type PurgeRequest struct {
	Route string `json:"route,omitempty" nullable:"true" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"A public model name."`
	Tag   string `json:"tag,omitempty" nullable:"true" maxLength:"321" pattern:"^[^\\x00-\\x1f=,]+=[^\\x00-\\x1f,]*$" doc:"One of the tags of the calls whose answers are meant, as k=v."`
}

// PurgeReport says what became of it.
type PurgeReport struct {
	Reach string `json:"reach" enum:"house,node" doc:"house: no node gives these answers any more; it may take the others a second. node: each node keeps answers of its own, and only the one that was asked has purged them."`
}

type (
	purgeInput struct {
		Asked
		Organization Ref `query:"organization" doc:"Whose answers; your own organization's if it is not named, and everybody's if you are a platform administrator."`
		Body         PurgeRequest
	}
	purgeOutput struct{ Body PurgeReport }
)

func (s *Server) serveCache() {
	add(s, huma.Operation{
		OperationID: "purge-cache", Method: http.MethodPost, Path: "/api/cache/purge", Tags: []string{"Routes"}, Summary: "Purge kept answers",
		Description: "Takes away answers that routes with a cache have kept, so that equal calls go to a provider again. It is written into the audit log.",
	}, s.purgeCache, withBody(http.StatusNotFound)...)
}

func (s *Server) purgeCache(ctx context.Context, in *purgeInput) (*purgeOutput, error) {
	var org tenancy.ID // nobody's alone
	if in.Organization != "" || !in.ask.by.OfPlatform() {
		var err error
		if org, err = s.scope(ctx, in.ask, in.Organization); err != nil {
			return nil, err
		}
	}
	if s.Cache == nil {
		return nil, unavailable.new("No answers are kept here: no calls are served. Ask a running server.")
	}
	if err := s.Cache.Purge(ctx, org, in.Body.Route, in.Body.Tag); err != nil {
		return nil, err
	}
	of := org
	if of == "" {
		of = tenancy.Platform
	}
	name := strings.TrimSpace(in.Body.Route + " " + in.Body.Tag)
	e := tenancy.NewAuditEvent(in.ask.by, of, tenancy.ActionPurgeCache, tenancy.AuditObject{Kind: "cache", ID: org, Name: name}, in.ask.now)
	out := &purgeOutput{PurgeReport{Reach: "node"}}
	if s.Cache.Shared() {
		out.Body.Reach = "house"
	}
	return out, s.Audit.Record(ctx, []tenancy.AuditEvent{e})
}
