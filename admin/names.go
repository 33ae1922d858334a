package admin

import (
	"context"
	"errors"

	"github.com/vel-gateway/vel/tenancy"
)

// Named is an object by its id, and as it is called now.
type Named struct {
	ID   tenancy.ID `json:"id"`
	Name *string    `json:"name" doc:"As it is called now; null: it is gone, or nobody said whose it is."`
}

// namer finds out how the objects are called that an answer names, each once. It belongs to one request.
type namer struct {
	s     *Server
	ctx   context.Context
	known map[tenancy.ID]*string
	err   error // the first that is not that something is gone
}

func (s *Server) namer(ctx context.Context) *namer {
	return &namer{s: s, ctx: ctx, known: map[tenancy.ID]*string{}}
}

func (n *namer) org(id tenancy.ID) *Named       { return named(n, n.s.Orgs, id, id) }
func (n *namer) team(org, id tenancy.ID) *Named { return named(n, n.s.Teams, org, id) }
func (n *namer) user(org, id tenancy.ID) *Named { return named(n, n.s.Users, org, id) }
func (n *namer) key(org, id tenancy.ID) *Named  { return named(n, n.s.Keys, org, id) }

// named looks an object up. Without its organization, or if it is gone, it has no name.
func named[T any, P interface {
	*T
	tenancy.Object
}](n *namer, in tenancy.Store[T], org, id tenancy.ID) *Named {
	if id == "" {
		return nil
	}
	name, known := n.known[id]
	if !known && org != "" && n.err == nil {
		v, err := in.Get(n.ctx, org, id)
		switch {
		case err == nil:
			name = &tenancy.MetaOf(P(&v)).Name
		case !errors.Is(err, tenancy.ErrNotFound):
			n.err = err
		}
		n.known[id] = name
	}
	return &Named{id, name}
}
