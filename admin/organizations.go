package admin

import (
	"context"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// Organization is what the API shows of one.
type Organization struct {
	Object
	Disabled    bool `json:"disabled" doc:"Its keys open nothing, and nobody of it can sign in."`
	KeepContent bool `json:"keep_content" doc:"The prompts and answers of its calls are kept, sealed, for as long as retention.content says."`
}

// OrganizationBody makes or changes one.
type OrganizationBody struct {
	Name        string `json:"name" minLength:"1" maxLength:"64" doc:"For people."`
	KeepContent bool   `json:"keep_content,omitempty" nullable:"true" doc:"Keep the prompts and answers of its calls, sealed, for as long as retention.content says. Whoever has view_content reads them."`
	Disabled    bool   `json:"disabled,omitempty" nullable:"true" doc:"Its keys open nothing, and nobody of it can sign in. Only platform administrators change it."`
}

func (b *OrganizationBody) to(o *tenancy.Org) {
	o.Name, o.Disabled, o.KeepContent = strings.TrimSpace(b.Name), b.Disabled, b.KeepContent
}

// Resolve is called by huma when the body has been read.
func (b *OrganizationBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var o tenancy.Org
	b.to(&o)
	return faultsAt(at, o.Validate)
}

func (s *Server) serveOrganizations() {
	r := resource[tenancy.Org, OrganizationBody, OrganizationBody, Organization]{
		s: s, one: "organization", many: "organizations", tag: "Organizations", filters: []string{"name"},
		store: s.Orgs, meta: func(o *tenancy.Org) *tenancy.Meta { return &o.Meta },
		view: func(o *tenancy.Org) Organization { return Organization{objectOf(&o.Meta), o.Disabled, o.KeepContent} },
		org:  orgOfOrg,
		fill: func(_ context.Context, _ *asking, o *tenancy.Org, b *OrganizationBody) error {
			b.to(o)
			return nil
		},
		edit: func(_ context.Context, a *asking, o *tenancy.Org, b *OrganizationBody) error {
			if b.Disabled != o.Disabled && !a.by.OfPlatform() {
				return notAllowed.new("Only platform administrators disable an organization.", Fault{"body.disabled", "can not be changed by you"})
			}
			b.to(o)
			return nil
		},
	}
	r.register()
}

// orgOfOrg: an organization is its own. Platform administrators see them all, others their own.
func orgOfOrg(a *asking, id tenancy.ID) (tenancy.ID, error) {
	switch {
	case id == "" && a.by.OfPlatform():
		return "", nil
	case id == "":
		return a.by.Org, nil
	case a.by.Reaches(id):
		return id, nil
	}
	return "", tenancy.ErrNotFound
}
