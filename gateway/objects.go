package gateway

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Whose is what a call names? Of an account that organizations share, each sees only what it made: everything that a
// call names by an id, in the path or in the body, must have been made by the caller's organization, and the call goes
// where it is. What nobody is known to have made is there only for who has the account alone.

// family is a family of paths on objects of one kind: the path itself makes and lists them, below it stands an id.
type family struct {
	path, kind string
	filters    []string // of the list; "metadata" stands for metadata[KEY]
	listed     bool
	oldest     bool // the list begins with the oldest, unless asked otherwise
}

var families = [...]family{
	{path: "/files", kind: adapters.KindFile, listed: true, filters: []string{"purpose"}},
	{path: "/uploads", kind: adapters.KindUpload},
	{path: "/batches", kind: adapters.KindBatch, listed: true},
	{path: "/fine_tuning/jobs", kind: adapters.KindTuning, listed: true, filters: []string{"metadata"}},
	{path: "/vector_stores", kind: adapters.KindVectorStore, listed: true},
	{path: "/conversations", kind: adapters.KindConversation},
	{path: "/responses", kind: adapters.KindResponse},
	{path: "/chat/completions", kind: adapters.KindCompletion, listed: true, filters: []string{"model", "metadata"}, oldest: true},
}

// place is what the path of a call on objects says.
type place struct {
	of    *family // nil: a path that Vel knows nothing of
	id    string  // of the object; aliases the path
	below bool    // the path goes on behind the id
}

func placeOf(path []byte) (at place) {
	for i := range families {
		rest, ok := bytes.CutPrefix(path, []byte(families[i].path))
		switch {
		case ok && len(rest) == 0:
			return place{of: &families[i]}
		case ok && rest[0] == '/':
			id, _, below := bytes.Cut(rest[1:], []byte("/"))
			return place{&families[i], view(id), below}
		}
	}
	return place{}
}

// isID tells whether something can be an id of an object: it can stand in a path as it is.
func isID(s string) bool { return len(s) <= 256 && plain([]byte(s)) }

// mostNamed is how many objects a call may name.
const mostNamed = 4096

// routeObject decides where a call on objects goes.
func (p *Pipeline) routeObject(c *Call, ask *routing.Ask) error {
	ask.Account = c.Account
	routes, at := c.snapshot.Routes, placeOf(c.Content.Path)
	var missing error
	switch {
	case routes.Alone(ask): // all that can be named is theirs
	case at.of == nil:
		ask.Bound, missing = true, errOwnAccount(c.Content.Method, string(c.Content.Path))
	case at.id == "" && c.Content.Method != "POST":
		if !at.of.listed || c.Content.Method == "DELETE" {
			return errUnknownPath(c.Content.Method, string(c.Content.Path))
		}
		if routes.Shares(ask) {
			c.plan.Route = &routing.Route{Name: "objects"}
			var err error
			c.list, err = listOf(at.of, c)
			return err
		}
	default:
		named, err := c.named(at)
		if err != nil {
			return err
		}
		if missing, err = p.bind(c, ask, named); err != nil {
			return err
		}
	}
	err := routes.PlanObject(&c.plan, ask, p.state, c.begun)
	if err == routing.NotHeld && missing != nil {
		return missing
	}
	return err
}

// named is everything that a call on objects names: in its path and in its body.
func (c *Call) named(at place) (named []adapters.Named, err error) {
	if at.id != "" {
		named = append(named, adapters.Named{Param: "id", ID: at.id})
	}
	switch in := &c.Content; {
	case len(in.Body) == 0:
		return named, nil
	case !in.IsForm():
		return adapters.AppendNamed(named, in)
	case at.takesForm(in.Path): // it has a file in it, and names nothing
		return named, nil
	}
	return nil, errForm
}

// takesForm tells whether the endpoint takes a form. Of any other it is not known how the provider would read one.
func (at place) takesForm(path []byte) bool {
	return at.of.kind == adapters.KindFile && at.id == "" || at.of.kind == adapters.KindUpload && bytes.HasSuffix(path, []byte("/parts"))
}

// bindModel ties a call for a model to the account of what its body names.
func (p *Pipeline) bindModel(c *Call, ask *routing.Ask) error {
	routes := c.snapshot.Routes
	var missing error
	if !routes.Alone(ask) {
		named, err := adapters.AppendNamed(nil, &c.Content)
		if err != nil {
			return err
		}
		if missing, err = p.bind(c, ask, named); err != nil {
			return err
		}
	}
	err := routes.Plan(&c.plan, ask, p.state, c.begun)
	switch {
	case err == routing.NotHeld && missing != nil:
		return missing
	case err == routing.HeldElsewhere:
		return errElsewhere(ask.Model, ask.Holder)
	}
	return err
}

// bind finds who holds what is named, and ties the call to it. missing is the answer if what is not known to be the
// organization's must be.
func (p *Pipeline) bind(c *Call, ask *routing.Ask, named []adapters.Named) (missing, err error) {
	if len(named) == 0 {
		return nil, nil
	}
	if len(named) > mostNamed {
		return nil, errTooManyNamed
	}
	ids := make([]string, 0, len(named))
	for _, n := range named {
		if isID(n.ID) { // nothing else is ever remembered
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	holders, err := p.objects.Owners(c.Who.Org, slices.Compact(ids))
	if err != nil {
		return nil, unknownOwners(err)
	}
	for _, n := range named {
		switch holder, ok := holders[n.ID]; {
		case !ok:
			ask.Bound, missing = true, cmp.Or(missing, error(errNoObject(n)))
		case ask.Holder == "":
			ask.Holder = holder
		case ask.Holder != holder:
			return nil, errApart
		}
	}
	if missing == nil { // the account may be gone, closed, or not the one that the caller chose
		missing = errNoObject(named[0])
	}
	return missing, nil
}

// unknownOwners is why the store says nothing.
func unknownOwners(err error) error {
	if away, ok := errors.AsType[*tenancy.Unavailable](err); ok {
		e := *errNoDatabase
		e.Cause = away
		return &e
	}
	return err
}

// learn remembers what the provider keeps of a whole answer, before the client hears of it.
func (c *Call) learn(answer []byte) {
	if !c.Content.Keeps() {
		return
	}
	if keeper, ok := c.codec.(adapters.Keeper); ok {
		c.keep(keeper.Kept(nil, &c.Content, answer))
	}
	if c.Content.Method != "DELETE" {
		return
	}
	if at := placeOf(c.Content.Path); at.id != "" && !at.below {
		c.pipe.objects.Forget(c.object(at.of.kind, at.id))
	}
}

// learnStream remembers what the provider keeps of a stream, as far as it has come.
func (c *Call) learnStream() {
	if !c.Content.Keeps() {
		return
	}
	if _, ok := c.codec.(adapters.Keeper); !ok {
		return
	}
	if stream, ok := c.stream.(adapters.KeptStream); ok {
		c.keep(stream.Kept())
	}
}

func (c *Call) keep(kept []adapters.Kept) {
	for _, k := range kept {
		if isID(k.ID) {
			c.pipe.objects.Keep(c.object(k.Kind, k.ID))
		}
	}
}

// object is something that the caller's organization has at the provider of the attempt.
func (c *Call) object(kind, id string) routing.StoredObject {
	return routing.StoredObject{Org: c.Who.Org, ID: id, Provider: c.outcome.Target.Provider.Name, Kind: kind, Created: time.Now()}
}
