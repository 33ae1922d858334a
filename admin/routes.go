package admin

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Route is what the API shows of one, with the settings that a model has in the file beside what stands here.
type Route struct {
	Object
	Problem  *string             `json:"problem" doc:"What keeps it, or one of its targets, from being in force on the node that answers; null: nothing."`
	Settings routing.ModelConfig `json:"-"`
}

// TransformSchema adds the settings.
func (Route) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return withSettings[routing.ModelConfig](s)
}

// MarshalJSON encodes the route.
func (r Route) MarshalJSON() ([]byte, error) {
	type head Route
	return joinSettings(head(r), &r.Settings)
}

// UnmarshalJSON decodes it.
func (r *Route) UnmarshalJSON(text []byte) error {
	type head Route
	_, err := splitSettings(text, (*head)(r), &r.Settings)
	return err
}

// RouteBody makes or changes a route, with the settings that a model has in the file beside what stands here.
type RouteBody struct {
	Name     string              `json:"name" minLength:"1" maxLength:"256" doc:"The public model name that clients ask for; unique, also among those of the configuration file."`
	Settings routing.ModelConfig `json:"-"`
	empty    []string            // settings that are null
}

// TransformSchema adds the settings.
func (RouteBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return withSettings[routing.ModelConfig](s)
}

// MarshalJSON encodes the body as it came.
func (b RouteBody) MarshalJSON() ([]byte, error) {
	type head RouteBody
	return joinSettings(head(b), &b.Settings)
}

// UnmarshalJSON decodes it.
func (b *RouteBody) UnmarshalJSON(text []byte) (err error) {
	type head RouteBody
	b.empty, err = splitSettings(text, (*head)(b), &b.Settings)
	return err
}

// Resolve is called by huma when the body has been read. The rest is known only beside the providers that there are.
func (b *RouteBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		for _, field := range b.empty {
			fault(field, isNull)
		}
	})
}

func (s *Server) serveRoutes() {
	r := resource[routing.ManagedRoute, RouteBody, RouteBody, Route]{
		s: s, one: "route", many: "routes", tag: "Routes", filters: []string{"name"},
		store: s.RouteStore, meta: func(r *routing.ManagedRoute) *tenancy.Meta { return &r.Meta }, org: ofPlatform,
		view: func(r *routing.ManagedRoute) Route {
			return Route{objectOf(&r.Meta), textOf(s.problemOf(&r.Meta, r.Problem)), r.Settings}
		},
		fill: func(ctx context.Context, _ *asking, r *routing.ManagedRoute, b *RouteBody) error {
			return s.setRoute(ctx, r, b)
		},
		edit: func(ctx context.Context, _ *asking, r *routing.ManagedRoute, b *RouteBody) error {
			return s.setRoute(ctx, r, b)
		},
	}
	r.register()
}

// setRoute puts a body over a route. What is wrong with it is known only beside the providers and models that there are.
func (s *Server) setRoute(ctx context.Context, r *routing.ManagedRoute, b *RouteBody) error {
	r.Name, r.Settings = b.Name, b.Settings
	var providers []string
	err := everyOf(ctx, s.ProviderStore, func(p *routing.ManagedProvider) tenancy.ID {
		providers = append(providers, p.Name)
		return p.ID
	})
	if err != nil {
		return err
	}
	others := map[string]routing.ModelConfig{}
	err = everyOf(ctx, s.RouteStore, func(other *routing.ManagedRoute) tenancy.ID {
		if _, named := others[other.Name]; other.ID != r.ID && (!named || other.ManagedBy != tenancy.ByAPI) { // the file wins
			others[other.Name] = other.Settings
		}
		return other.ID
	})
	if err != nil {
		return err
	}
	var faults []Fault
	r.Validate(providers, others, func(field, problem, hint string) {
		faults = append(faults, Fault{"body." + field, problem + "; " + hint})
	})
	if len(faults) > 0 {
		return faulty(faults...)
	}
	return nil
}

// everyOf calls take, which gives its id, for every object of the platform, of the file and of the database.
func everyOf[T any](ctx context.Context, in tenancy.Store[T], take func(*T) tenancy.ID) error {
	const atOnce = 200
	for p := (tenancy.Page{Limit: atOnce}); ; {
		found, err := in.List(ctx, tenancy.Platform, p)
		if err != nil {
			return err
		}
		for i := range found {
			p.After = take(&found[i])
		}
		if len(found) < atOnce {
			return nil
		}
	}
}
