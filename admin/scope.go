package admin

import (
	"context"
	"errors"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// ScopeBody says which calls of the organization are meant. At most one of them can be named, and never be changed.
type ScopeBody struct {
	Team Ref `json:"team,omitempty" nullable:"true" doc:"Only the calls of this team. Without a team, a user or a key it is all calls of the organization."`
	User Ref `json:"user,omitempty" nullable:"true" doc:"Only the calls of this user's keys."`
	Key  Ref `json:"key,omitempty" nullable:"true" doc:"Only the calls of this key."`
}

func (b *ScopeBody) to(s *accounting.Scope) {
	s.Team, s.User, s.Key = tenancy.ID(b.Team), tenancy.ID(b.User), tenancy.ID(b.Key)
}

// scopeIn refuses a scope of what the organization does not have.
func (s *Server) scopeIn(ctx context.Context, org tenancy.ID, of *accounting.Scope) error {
	for _, m := range []struct {
		field string
		id    tenancy.ID
		find  func() error
	}{
		{"team", of.Team, func() error { _, err := s.Teams.Get(ctx, org, of.Team); return err }},
		{"user", of.User, func() error { _, err := s.Users.Get(ctx, org, of.User); return err }},
		{"key", of.Key, func() error { _, err := s.Keys.Get(ctx, org, of.Key); return err }},
	} {
		if m.id == "" {
			continue
		}
		if err := m.find(); errors.Is(err, tenancy.ErrNotFound) {
			return &tenancy.Missing{Field: m.field, ID: m.id}
		} else if err != nil {
			return err
		}
	}
	if of.Route == "" {
		return nil
	}
	routes, err := s.RouteStore.List(ctx, tenancy.Platform, tenancy.Page{Limit: 1, Name: of.Route})
	if err == nil && len(routes) == 0 {
		return faulty(Fault{"body.route", "there is no model with this name"})
	}
	return err
}
