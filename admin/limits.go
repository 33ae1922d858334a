package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Limit is what the API shows of one object of limits. What is null is not limited.
type Limit struct {
	Object
	Team  *tenancy.ID `json:"team" doc:"Whose calls it counts; with team, user, key and route null those of the whole organization."`
	User  *tenancy.ID `json:"user"`
	Key   *tenancy.ID `json:"key"`
	Route *string     `json:"route"`
	RPM   *int64      `json:"rpm" doc:"Requests a minute."`
	Burst *int64      `json:"burst" doc:"Requests that may come at once; null: a tenth of rpm."`
	RPH   *int64      `json:"rph" doc:"Requests an hour."`
	RPD   *int64      `json:"rpd" doc:"Requests a day."`
	TPM   *int64      `json:"tpm" doc:"Tokens a minute."`
	TPH   *int64      `json:"tph" doc:"Tokens an hour."`
	TPD   *int64      `json:"tpd" doc:"Tokens a day."`
	InFl  *int64      `json:"in_flight" doc:"Calls at the same time."`
	Away  string      `json:"on_store_failure" enum:"local,closed,open" doc:"What holds while the counters can not be reached."`
}

// LimitBody changes limits. What is left out is not limited from then on.
type LimitBody struct {
	RPM   *int64 `json:"rpm,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Requests a minute, spread evenly."`
	Burst *int64 `json:"burst,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Requests that may come at once: a tenth of rpm if it is left out."`
	RPH   *int64 `json:"rph,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Requests in an hour of the clock."`
	RPD   *int64 `json:"rpd,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Requests in a day of UTC."`
	TPM   *int64 `json:"tpm,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Tokens a minute, sent and received."`
	TPH   *int64 `json:"tph,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Tokens in an hour."`
	TPD   *int64 `json:"tpd,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Tokens in a day."`
	InFl  *int64 `json:"in_flight,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Calls at the same time."`
	Away  string `json:"on_store_failure,omitempty" nullable:"true" enum:"local,closed,open" doc:"What holds while the counters can not be reached: every node counts its share (local, if it is left out), all calls are refused, or none."`
}

// NewLimit makes limits.
type NewLimit struct {
	NewIn
	ScopeBody
	Route string `json:"route,omitempty" nullable:"true" minLength:"1" maxLength:"256" doc:"Only the calls that ask for this model."`
	LimitBody
}

// to puts a body over limits.
func (b *LimitBody) to(l *accounting.Limits) {
	for _, n := range []struct {
		from *int64
		into *int64
	}{
		{b.RPM, &l.RPM},
		{b.Burst, &l.Burst},
		{b.RPH, &l.RPH},
		{b.RPD, &l.RPD},
		{b.TPM, &l.TPM},
		{b.TPH, &l.TPH},
		{b.TPD, &l.TPD},
		{b.InFl, &l.InFlight},
	} {
		*n.into = 0
		if n.from != nil {
			*n.into = *n.from
		}
	}
	l.OnStoreFailure, _ = ratelimit.ParseOnStoreFailure(cmp.Or(b.Away, ratelimit.Local.String()))
}

func (b *NewLimit) to(l *accounting.Limits) {
	b.ScopeBody.to(&l.Scope)
	l.Scope.Route = b.Route
	b.LimitBody.to(l)
	l.Name = l.Scope.String() // so there is one of each scope
}

// Resolve is called by huma when the body has been read.
func (b *LimitBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var l accounting.Limits
	b.to(&l)
	return faultsAt(at, l.Validate)
}

// Resolve is called by huma when the body has been read.
func (b *NewLimit) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var l accounting.Limits
	b.to(&l)
	return faultsAt(at, l.Validate)
}

func viewLimit(l *accounting.Limits) Limit {
	return Limit{
		Object: objectOf(&l.Meta), Team: idOf(l.Scope.Team), User: idOf(l.Scope.User), Key: idOf(l.Scope.Key), Route: textOf(l.Scope.Route),
		RPM: numberOf(l.RPM), Burst: numberOf(l.Burst), RPH: numberOf(l.RPH), RPD: numberOf(l.RPD), TPM: numberOf(l.TPM), TPH: numberOf(l.TPH),
		TPD: numberOf(l.TPD), InFl: numberOf(l.InFlight), Away: l.OnStoreFailure.String(),
	}
}

// numberOf is a number as the API shows it: null for none.
func numberOf(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

type limitResource = resource[accounting.Limits, NewLimit, LimitBody, Limit]

func (s *Server) serveLimits() {
	r := limitResource{
		s: s, one: "limit", many: "limits", tag: "Limits", filters: []string{"organization", "name", "team", "user", "key"},
		store: ofOneScope{s.LimitStore}, meta: func(l *accounting.Limits) *tenancy.Meta { return &l.Meta }, view: viewLimit,
		fill: func(ctx context.Context, _ *asking, l *accounting.Limits, b *NewLimit) error {
			b.to(l)
			return s.scopeIn(ctx, l.Org, &l.Scope)
		},
		edit: func(_ context.Context, _ *asking, l *accounting.Limits, b *LimitBody) error {
			b.to(l)
			return nil
		},
		inBody: func(b *NewLimit) Ref { return b.Organization },
	}
	r.register()
	add(s, huma.Operation{
		OperationID: "get-limit-usage", Method: http.MethodGet, Path: "/api/limits/{id}/usage", Tags: []string{"Limits"},
		Summary: "Get what is used of limits", Description: "What is used now of each number, on all nodes together.",
	}, func(ctx context.Context, in *getInput) (*limitUsageOutput, error) { return limitUsage(ctx, &r, in) }, http.StatusNotFound)
	add(s, huma.Operation{
		OperationID: "reset-limit", Method: http.MethodPost, Path: "/api/limits/{id}/reset", Tags: []string{"Limits"}, DefaultStatus: http.StatusNoContent,
		Summary: "Reset limits", Description: "Forgets what is used of each number but the calls under way, on all nodes. It is written into the audit log.",
	}, func(ctx context.Context, in *getInput) (*emptyOutput, error) { return nil, resetLimit(ctx, &r, in) }, http.StatusNotFound)
	add(s, huma.Operation{
		OperationID: "set-user-rate-limits", Method: http.MethodPut, Path: "/api/users/{id}/rate-limits", Tags: []string{"Limits"},
		Summary: "Set a user's rate limits", Description: "Makes the limits of the user's calls, or replaces them.",
	}, func(ctx context.Context, in *userLimitsInput) (*itemOutput[Limit], error) {
		return setUserLimits(ctx, &r, in)
	},
		withBody(http.StatusNotFound, http.StatusConflict)...)
}

// ofOneScope says in words of limits that there are others of a scope: it is their name.
type ofOneScope struct {
	tenancy.Store[accounting.Limits]
}

// Create stores new limits.
func (s ofOneScope) Create(ctx context.Context, by tenancy.Actor, l accounting.Limits) (accounting.Limits, error) {
	l, err := s.Store.Create(ctx, by, l)
	if t, ok := errors.AsType[*tenancy.Taken](err); ok && t.Field == "name" {
		return l, &tenancy.Taken{Field: "scope"}
	}
	return l, err
}

type userLimitsInput struct {
	Asked
	Item
	Body LimitBody
}

// setUserLimits makes the limits of a user, or changes those that there are. Somebody may be faster with either.
func setUserLimits(ctx context.Context, r *limitResource, in *userLimitsInput) (*itemOutput[Limit], error) {
	org, err := r.whose(ctx, in.ask, in.ID, in.Organization)
	if err != nil {
		return nil, err
	}
	user, err := r.s.Users.Get(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	of := accounting.Scope{User: user.ID}
	for try := 1; ; try++ {
		l, err := r.s.setLimits(ctx, in.ask.by, org, of, &in.Body)
		again := errors.Is(err, tenancy.ErrStale) || errors.Is(err, tenancy.ErrNotFound) || errors.As(err, new(*tenancy.Taken))
		switch {
		case err == nil:
			return r.item(&l), nil
		case !again || try == tries:
			return nil, err
		}
	}
}

func (s *Server) setLimits(ctx context.Context, by tenancy.Actor, org tenancy.ID, of accounting.Scope, b *LimitBody) (l accounting.Limits, err error) {
	found, err := s.LimitStore.List(ctx, org, tenancy.Page{Limit: 1, Name: of.String()})
	if err != nil {
		return l, err
	}
	if len(found) == 0 {
		l = accounting.Limits{Meta: tenancy.Meta{Org: org, Name: of.String()}, Scope: of}
		b.to(&l)
		return s.LimitStore.Create(ctx, by, l)
	}
	if err := owned(&found[0].Meta); err != nil {
		return l, err
	}
	b.to(&found[0])
	return s.LimitStore.Update(ctx, by, found[0])
}
