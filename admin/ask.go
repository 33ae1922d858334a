package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/vel-gateway/vel/tenancy"
)

// humaContext is huma's view of a request. The name keeps the method Context from being hidden when it is embedded.
type humaContext huma.Context

// asking is a request on its way through an operation: huma's view, and who asks.
type asking struct {
	humaContext
	answer   *answering
	request  *http.Request
	jar      jar
	byCookie bool // a browser has said who asks
	by       tenancy.Actor
	user     tenancy.User     // of a session
	session  tenancy.Session  // likewise
	keyed    tenancy.Identity // of a key: for whom calls are made with it
	now      time.Time
	problem  *Problem // how it is answered; nil: well
}

// SetStatus writes the head of the answer. The status of a problem is ours, also where huma had another one.
func (a *asking) SetStatus(status int) {
	if a.problem != nil {
		status = a.problem.Status
	}
	a.humaContext.SetStatus(status)
}

// Unwrap gives huma its own context back.
func (a *asking) Unwrap() huma.Context { return a.humaContext }

// Asked is in the input of every operation: it brings the request to the handler.
type Asked struct{ ask *asking }

// Resolve is called by huma when the input has been read. It refuses what huma would pass over: parameters that the
// document does not have, that are given twice, or that are empty, as in a script whose variable is not set.
func (a *Asked) Resolve(ctx huma.Context) (faults []error) {
	a.ask = askingOf(ctx)
	r, _ := humago.Unwrap(ctx)
	query := r.URL.Query()
	fault := func(in, name, problem string) {
		faults = append(faults, &huma.ErrorDetail{Location: in + "." + name, Message: problem})
	}
	for _, p := range ctx.Operation().Parameters {
		var values []string
		switch p.In {
		case "query":
			values = query[p.Name]
			delete(query, p.Name)
		case "header":
			values = r.Header.Values(p.Name)
		}
		switch {
		case len(values) > 1:
			fault(p.In, p.Name, "is given more than once")
		case len(values) == 1 && values[0] == "":
			fault(p.In, p.Name, tenancy.Empty)
		}
	}
	for name := range query {
		fault("query", name, "unknown query parameter")
	}
	return faults
}

// askingOf is the request that admit has let in.
func askingOf(ctx huma.Context) *asking { return ctx.(*asking) }

// admit lets a request in to an operation that needs something.
func (s *Server) admit(operation string, needed need) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		a := &asking{humaContext: ctx, answer: w.(*answering), request: r, jar: jarOf(r), now: s.Now()}
		a.answer.operation = operation
		if err := s.enter(a, r, needed); err != nil {
			s.fail(a.answer, inWords(err))
			return
		}
		next(a)
	}
}

// enter finds out who asks and whether they may.
func (s *Server) enter(a *asking, r *http.Request, needed need) error {
	a.by.Address, a.by.Agent, a.by.Request = s.Client(r), agentOf(r), tenancy.ID(a.answer.id)
	a.answer.by = a.by
	if needed == public {
		return nil
	}
	if err := s.identify(a, r); err != nil {
		return err
	}
	a.answer.by = a.by
	switch {
	case needed == signedIn:
		if a.session.ID == "" {
			return notAllowed.new("This is for people who have signed in, not for keys.")
		}
	case needed == tasksSeen:
		if !a.by.May.Has(tenancy.ExecuteTask) && !a.by.May.Has(tenancy.ViewAnalytics) {
			return notAllowed.new("You need the permission " + needed.String() + ".")
		}
	case needed == need(tenancy.ManagePlatform) && !a.by.OfPlatform(), needed == forbidden, !a.by.May.Has(tenancy.Permission(needed)):
		return notAllowed.new("You need the permission " + needed.String() + ".")
	}
	return nil
}

// longestCredential is more than any of ours has.
const longestCredential = 512

// credentialOf is what the client sends to say who it is; the names are those that SDKs use.
func credentialOf(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	for _, name := range []string{"Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
		if value := r.Header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// agentOf is the client's User-Agent, fit to be kept.
func agentOf(r *http.Request) string {
	agent := strings.ToValidUTF8(r.UserAgent(), "")
	agent = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, agent)
	if runes := []rune(agent); len(runes) > 200 {
		agent = string(runes[:200])
	}
	return agent
}

func nobody() *Problem {
	return unauthenticated.new("Send a session's token or a key as Authorization: Bearer.").with("WWW-Authenticate", "Bearer")
}

func stranger() *Problem {
	return unauthenticated.new("The token or key is not valid, or not any more.").with("WWW-Authenticate", `Bearer error="invalid_token"`)
}

// identify finds out who asks. What the database can not tell is no refusal.
func (s *Server) identify(a *asking, r *http.Request) error {
	credential := credentialOf(r)
	if credential == "" {
		credential = a.jar.read(r, sessionCookie)
		a.byCookie = credential != ""
	}
	switch {
	case credential == "":
		return nobody()
	case len(credential) > longestCredential, a.byCookie && !tenancy.IsSessionToken(credential):
		return stranger()
	}
	if a.byCookie {
		if err := s.sameSite(r); err != nil {
			return err
		}
	}
	hash := tenancy.HashKey([]byte(credential))
	var err error
	switch {
	case s.isAdminKey(hash):
		vel := tenancy.Vel()
		a.by.Org, a.by.May, a.by.Name = vel.Org, vel.May, cmp.Or(s.AdminName, "admin key")
		a.answer.adminKey = true
		return nil
	case tenancy.IsSessionToken(credential):
		err = s.identifyUser(r.Context(), a, hash)
	default:
		err = s.identifyKey(r.Context(), a, hash)
	}
	if err != nil {
		return err
	}
	return s.openFor(r.Context(), a.by.Org)
}

func (s *Server) identifyUser(ctx context.Context, a *asking, hash tenancy.Hash) (err error) {
	a.session, a.user, err = s.Sessions.FindSession(ctx, hash)
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && (!a.now.Before(a.session.Expires) || a.user.Disabled):
		return stranger()
	case err != nil:
		return err
	}
	a.by.Org, a.by.User, a.by.Session, a.by.Name, a.by.Email = a.user.Org, a.user.ID, a.session.ID, a.user.Name, a.user.Email
	a.by.May, err = s.allowed(ctx, a.user.Org, a.user.Roles...)
	return err
}

func (s *Server) identifyKey(ctx context.Context, a *asking, hash tenancy.Hash) error {
	p, err := s.Index().Lookup(hash, a.now)
	if s.FindFresh != nil && errors.Is(err, tenancy.ErrUnknownKey) {
		p, err = s.FindFresh(hash)
	}
	switch {
	case errors.Is(err, tenancy.ErrUnknownKey), errors.Is(err, tenancy.ErrKeyDisabled), errors.Is(err, tenancy.ErrKeyExpired):
		return stranger()
	case err != nil: // nothing is known of it
		return err
	}
	p.Touch(a.now)
	a.by.Org, a.by.Key, a.by.Name, a.keyed = p.Org, p.Key, p.Name, p.Identity
	if p.Role != "" {
		a.by.May, err = s.allowed(ctx, p.Org, p.Role)
	}
	return err
}

// openFor refuses who belongs to an organization that is disabled or gone.
func (s *Server) openFor(ctx context.Context, org tenancy.ID) error {
	if org == tenancy.Platform {
		return nil
	}
	o, err := s.Orgs.Get(ctx, org, org)
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && o.Disabled {
		return stranger()
	}
	return err
}

// allowed joins what roles allow. A role that is gone allows nothing.
func (s *Server) allowed(ctx context.Context, org tenancy.ID, roles ...tenancy.ID) (may tenancy.Permissions, err error) {
	for _, id := range roles {
		role, err := s.roles.Get(ctx, org, id)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		may |= role.Permissions
	}
	return may, nil
}

// grants refuses roles that do not exist, and those that allow more than the actor may. field is where they are named.
func (s *Server) grants(ctx context.Context, a *asking, org tenancy.ID, field string, roles ...tenancy.ID) error {
	for _, id := range roles {
		role, err := s.roles.Get(ctx, org, id)
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			return &tenancy.Missing{Field: field, ID: id}
		case err != nil:
			return err
		case !a.by.May.Covers(role.Permissions):
			return beyond(a, "body."+field, role.Permissions)
		}
	}
	return nil
}

// beyond refuses to give away what the actor does not have.
func beyond(a *asking, location string, wanted tenancy.Permissions) error {
	return tooMuch.new("Nobody gives more than they have.", Fault{location, "would give " + sentence((wanted &^ a.by.May).Names())})
}

// outranked refuses to touch what has more power than the actor.
func outranked(a *asking, has tenancy.Permissions) error {
	if a.by.May.Covers(has) {
		return nil
	}
	return tooMuch.new("Nobody changes what has more power than they have: " + sentence((has &^ a.by.May).Names()) + ".")
}

// scope decides whose objects a request is about: those of the organization that it names, in the query or in the
// body, or of the actor's own.
func (s *Server) scope(ctx context.Context, a *asking, named ...Ref) (tenancy.ID, error) {
	org := cmp.Or(tenancy.ID(cmp.Or(named...)), a.by.Org)
	for _, ref := range named {
		if ref != "" && tenancy.ID(ref) != org {
			return "", invalid.new("The query and the body name different organizations.", Fault{"body.organization", "is not " + string(org)})
		}
	}
	if !a.by.Reaches(org) {
		return "", tenancy.ErrNotFound
	}
	if org != a.by.Org && org != tenancy.Platform {
		if _, err := s.Orgs.Get(ctx, org, org); err != nil {
			return "", err
		}
	}
	return org, nil
}
