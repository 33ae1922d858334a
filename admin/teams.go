package admin

import (
	"context"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// Team is what the API shows of one.
type Team struct{ Object }

// TeamBody changes a team.
type TeamBody struct {
	Name string `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
}

// NewTeam makes a team.
type NewTeam struct {
	NewIn
	TeamBody
}

func (b *TeamBody) to(t *tenancy.Team) { t.Name = strings.TrimSpace(b.Name) }

// Resolve is called by huma when the body has been read.
func (b *TeamBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var t tenancy.Team
	b.to(&t)
	return faultsAt(at, t.Validate)
}

func (s *Server) serveTeams() {
	r := resource[tenancy.Team, NewTeam, TeamBody, Team]{
		s: s, one: "team", many: "teams", tag: "Teams", filters: []string{"organization", "name"},
		store: s.Teams, meta: func(t *tenancy.Team) *tenancy.Meta { return &t.Meta },
		view: func(t *tenancy.Team) Team { return Team{objectOf(&t.Meta)} },
		fill: func(_ context.Context, _ *asking, t *tenancy.Team, b *NewTeam) error {
			b.to(t)
			return nil
		},
		edit: func(_ context.Context, _ *asking, t *tenancy.Team, b *TeamBody) error {
			b.to(t)
			return nil
		},
		inBody: func(b *NewTeam) Ref { return b.Organization },
	}
	r.register()
}
