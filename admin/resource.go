package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// resource is one kind of object and its five operations: list, get, create, change, delete. A kind fills in what
// differs: T is the object, New and Change are the bodies that make and change it, View is what the API shows.
type resource[T, New, Change, View any] struct {
	s         *Server
	one, many string   // as in the path: key, keys
	tag       string   // of its operations
	filters   []string // the query parameters that narrow a list, or name the organization
	store     tenancy.Store[T]
	meta      func(*T) *tenancy.Meta
	view      func(*T) View

	// org decides whose objects a request is about; nil: the organization that it names, or the actor's own. id is
	// empty in lists and creates.
	org func(a *asking, id tenancy.ID) (tenancy.ID, error)
	// guard refuses to touch an object that has more power than the actor; nil: objects have none.
	guard func(ctx context.Context, a *asking, v *T) error
	// fill makes a new object of a body. Its organization is set.
	fill func(ctx context.Context, a *asking, v *T, body *New) error
	// edit puts the body over what is stored.
	edit func(ctx context.Context, a *asking, v *T, body *Change) error
	// reveal shows what is shown only in the answer to a create; nil: nothing.
	reveal func(view *View, body *New)
	// inBody is the organization that the body of a create names; nil: it can not.
	inBody func(body *New) Ref
}

// register makes the five operations.
func (r *resource[T, New, Change, View]) register() {
	base, item := "/api/"+r.many, "/api/"+r.many+"/{id}"
	op := func(verb, what, method, path string, status int) huma.Operation {
		return huma.Operation{
			OperationID: verb + "-" + what, Method: method, Path: path, DefaultStatus: status, Tags: []string{r.tag},
			Summary: strings.ToUpper(verb[:1]) + verb[1:] + " " + what,
		}
	}
	add(r.s, op("list", r.many, http.MethodGet, base, http.StatusOK), r.list, http.StatusNotFound)
	add(r.s, op("get", r.one, http.MethodGet, item, http.StatusOK), r.get, http.StatusNotFound)
	add(r.s, op("create", r.one, http.MethodPost, base, http.StatusCreated), r.create, withBody(http.StatusNotFound, http.StatusConflict)...)
	add(r.s, op("change", r.one, http.MethodPut, item, http.StatusOK), r.change, withBody(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
	add(r.s, op("delete", r.one, http.MethodDelete, item, http.StatusNoContent), r.remove, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)
	r.narrow(base, item)
}

// filters are the query parameters that not every kind has.
func filters() []string { return []string{"organization", "name", "email", "team", "user", "key"} }

// narrow takes out of the document the filters that this kind does not have; Asked refuses what is not in it.
func (r *resource[T, New, Change, View]) narrow(paths ...string) {
	for _, path := range paths {
		p := r.s.api.OpenAPI().Paths[path]
		for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Delete} {
			if op != nil {
				op.Parameters = slices.DeleteFunc(op.Parameters, func(p *huma.Param) bool {
					return p.In == "query" && slices.Contains(filters(), p.Name) && !slices.Contains(r.filters, p.Name)
				})
			}
		}
	}
}

// whose decides whose objects a request is about.
func (r *resource[T, New, Change, View]) whose(ctx context.Context, a *asking, id Ref, named ...Ref) (tenancy.ID, error) {
	if r.org != nil {
		return r.org(a, tenancy.ID(id))
	}
	return r.s.scope(ctx, a, named...)
}

func (r *resource[T, New, Change, View]) list(ctx context.Context, in *listInput) (*listOutput[View], error) {
	org, err := r.whose(ctx, in.ask, "", in.Organization)
	if err != nil {
		return nil, err
	}
	found, err := r.store.List(ctx, org, tenancy.Page{
		After: tenancy.ID(in.After), Limit: in.Limit + 1, // one more tells whether there is a next page
		Name: in.Name, Email: tenancy.NormalEmail(in.Email), Team: tenancy.ID(in.Team), User: tenancy.ID(in.User), Key: tenancy.ID(in.Key),
	})
	if err != nil {
		return nil, err
	}
	out := &listOutput[View]{ListOf[View]{Data: make([]View, 0, min(len(found), in.Limit))}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.Body.Next = &r.meta(&found[in.Limit-1]).ID
	}
	for i := range found {
		out.Body.Data = append(out.Body.Data, r.view(&found[i]))
	}
	return out, nil
}

func (r *resource[T, New, Change, View]) get(ctx context.Context, in *getInput) (*itemOutput[View], error) {
	org, err := r.whose(ctx, in.ask, in.ID, in.Organization)
	if err != nil {
		return nil, err
	}
	v, err := r.store.Get(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return r.item(&v), nil
}

func (r *resource[T, New, Change, View]) item(v *T) *itemOutput[View] {
	return &itemOutput[View]{etag(r.meta(v).Rev), r.view(v)}
}

func (r *resource[T, New, Change, View]) create(ctx context.Context, in *createInput[New]) (*createOutput[View], error) {
	var inBody Ref
	if r.inBody != nil {
		inBody = r.inBody(&in.Body)
	}
	org, err := r.whose(ctx, in.ask, "", in.Organization, inBody)
	if err != nil {
		return nil, err
	}
	return once(ctx, r.s, in.ask, in.IdempotencyKey, []any{r.one, org, in.Body}, func() (*createOutput[View], error) {
		var v T
		r.meta(&v).Org = org
		if err := r.fill(ctx, in.ask, &v, &in.Body); err != nil {
			return nil, err
		}
		v, err := r.store.Create(ctx, in.ask.by, v)
		if err != nil {
			return nil, err
		}
		m := r.meta(&v)
		out := &createOutput[View]{ETag: etag(m.Rev), Location: "/api/" + r.many + "/" + url.PathEscape(string(m.ID)), Body: r.view(&v)}
		if r.reveal != nil {
			r.reveal(&out.Body, &in.Body)
		}
		return out, nil
	})
}

func (r *resource[T, New, Change, View]) change(ctx context.Context, in *changeInput[Change]) (*itemOutput[View], error) {
	var changed T
	err := r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(v *T) (err error) {
		if err := r.edit(ctx, in.ask, v, &in.Body); err != nil {
			return err
		}
		changed, err = r.store.Update(ctx, in.ask.by, *v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.item(&changed), nil
}

func (r *resource[T, New, Change, View]) remove(ctx context.Context, in *deleteInput) (*emptyOutput, error) {
	return nil, r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(v *T) error {
		m := r.meta(v)
		return r.store.Delete(ctx, in.ask.by, m.Org, m.ID, m.Rev)
	})
}

// tries is how often a change that is meant for any revision is made again because somebody else was faster: at each
// try one of them gets through.
const tries = 100

// touch reads an object, checks that the actor may touch it, and lets f change it. f must name the revision that it was
// given: what was checked is what is changed, although nothing is locked in between.
func (r *resource[T, New, Change, View]) touch(ctx context.Context, a *asking, at *Item, only *Conditional, f func(v *T) error) error {
	org, err := r.whose(ctx, a, at.ID, at.Organization)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		v, err := r.store.Get(ctx, org, tenancy.ID(at.ID))
		if err != nil {
			return err
		}
		m := r.meta(&v)
		if !only.matches(m.Rev) {
			return tenancy.ErrStale
		}
		if err := owned(m); err != nil {
			return err
		}
		if r.guard != nil {
			if err := r.guard(ctx, a, &v); err != nil {
				return err
			}
		}
		err = f(&v)
		if !errors.Is(err, tenancy.ErrStale) || !only.any() || try == tries {
			return err
		}
	}
}

// owned refuses to touch what somebody else owns, and says who.
func owned(m *tenancy.Meta) error {
	switch m.ManagedBy {
	case tenancy.ByFile:
		return readOnly.new("The configuration file declares it. Change it there.")
	case tenancy.ByVel:
		return readOnly.new("It is built in and never changes.")
	}
	return nil
}
