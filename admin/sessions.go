package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// LoginBody is what a person signs in with.
type LoginBody struct {
	Email        string `json:"email" minLength:"1" maxLength:"254" doc:"The address."`
	Password     string `json:"password" writeOnly:"true" format:"password" minLength:"1" maxLength:"256" doc:"The password."`
	Organization Ref    `json:"organization,omitempty" nullable:"true" doc:"Needed only if address and password fit in several organizations."`
	Cookie       bool   `json:"cookie,omitempty" nullable:"true" doc:"For pages: the token comes as a cookie that no script reads, and not in the body."`
}

// Resolve is called by huma when the body has been read.
func (b *LoginBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(string, string)) {
		if strings.ContainsRune(b.Email, 0) {
			fault("email", "has control characters")
		}
	})
}

// Token is a session's token. It is shown once.
type Token struct {
	Token     string    `json:"token,omitempty" doc:"Send it as Authorization: Bearer. Left out if it is a cookie."`
	Type      string    `json:"token_type" enum:"Bearer,Cookie" doc:"How it is sent."`
	Expires   time.Time `json:"expires" doc:"When it stops working."`
	Renewable time.Time `json:"renewable_until" doc:"Until when it can be swapped for new ones; then the password is asked for again."`
	User      User      `json:"user" doc:"Who has signed in."`
}

// Session is one sign-in of a user.
type Session struct {
	ID      tenancy.ID `json:"id"`
	Began   time.Time  `json:"began" doc:"When the password was given."`
	Created time.Time  `json:"created" doc:"When the token was made."`
	Expires time.Time  `json:"expires"`
	Address string     `json:"address" doc:"From where."`
	Agent   string     `json:"agent" doc:"With what: the User-Agent."`
	Current bool       `json:"current" doc:"It is the one that this request was made with."`
}

// Me is the user who asks.
type Me struct {
	User
	Permissions []PermissionName `json:"permissions" nullable:"false" doc:"What all their roles allow together."`
}

type (
	loginInput struct {
		Asked
		Body LoginBody
	}
	askedInput  struct{ Asked }
	tokenOutput struct {
		SetCookie string `header:"Set-Cookie" doc:"The token, for browsers."`
		Body      Token
	}
	logoutOutput struct {
		SetCookie string `header:"Set-Cookie" doc:"Takes the token from a browser that sent it as a cookie."`
	}
	meOutput struct {
		ETag string `header:"ETag" doc:"The user's revision."`
		Body Me
	}
	sessionsOutput struct {
		Body struct {
			Data []Session `json:"data" nullable:"false" doc:"The youngest first."`
		}
	}
	endSessionInput struct {
		Asked
		ID Ref `path:"id" doc:"The session's id."`
	}
	ownPasswordInput struct {
		Asked
		Body OwnPasswordBody
	}
)

// OwnPasswordBody changes one's own password.
type OwnPasswordBody struct {
	Old string `json:"old" writeOnly:"true" format:"password" minLength:"1" maxLength:"256" doc:"The password until now."`
	New string `json:"new" writeOnly:"true" format:"password" minLength:"8" maxLength:"256" doc:"At least 8 characters with upper case, lower case and a digit."`
}

// Resolve is called by huma when the body has been read.
func (b *OwnPasswordBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return passwordFaults(at, "new", b.New)
}

func (s *Server) serveSessions() {
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Sign-in"}, Summary: summary, Description: description}
	}
	add(s, op("login", http.MethodPost, "/api/auth/login", "Sign in",
		"Five tries a minute and address. An unknown address, a wrong password and a disabled user get the same answer."),
		s.login, withBody(http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests)...)
	add(s, op("refresh", http.MethodPost, "/api/auth/refresh", "Swap the token for a new one", "The old token ends. Possible for 30 days after the password was given."),
		s.refresh)
	add(s, op("logout", http.MethodPost, "/api/auth/logout", "Sign out", "The token ends."), s.logout)
	add(s, op("list-sessions", http.MethodGet, "/api/auth/sessions", "List your sessions", ""), s.sessions)
	add(s, op("end-session", http.MethodDelete, "/api/auth/sessions/{id}", "End one of your sessions", ""), s.endSession, http.StatusNotFound)
	add(s, op("get-me", http.MethodGet, "/api/users/me", "Who am I", ""), s.me)
	add(s, op("change-own-password", http.MethodPut, "/api/users/me/password", "Change your password", "Ends all your sessions. Five tries a minute and address."),
		s.changeOwnPassword, withBody(http.StatusTooManyRequests)...)
}

// slowDown refuses who tries passwords too often.
func (s *Server) slowDown(a *asking) error {
	if wait := s.throttle.try(a.by.Address, a.now); wait > 0 {
		return tooMany.new("Five tries a minute are allowed. Wait, then try again.").after(wait)
	}
	return nil
}

func (s *Server) login(ctx context.Context, in *loginInput) (*tokenOutput, error) {
	a, t := in.ask, attempt{how: byPassword, email: tenancy.NormalEmail(in.Body.Email)}
	out, err := s.signIn(ctx, a, in.Body, &t)
	s.tried(a, t, err)
	if err == nil && in.Body.Cookie {
		a.keep(out)
	}
	return out, err
}

// signIn begins a session of the user whose password fits.
func (s *Server) signIn(ctx context.Context, a *asking, b LoginBody, t *attempt) (*tokenOutput, error) {
	if b.Cookie {
		if err := a.jar.open(); err != nil {
			return nil, err
		}
		if err := s.sameSite(a.request); err != nil { // nobody is signed in as somebody else by another site
			return nil, err
		}
	}
	if err := s.slowDown(a); err != nil {
		return nil, err
	}
	var err error
	if t.meant, err = s.Passwords.Candidates(ctx, t.email, tenancy.ID(b.Organization)); err != nil {
		return nil, err
	}
	fits, err := s.fitting(ctx, t.meant, b.Password)
	if err != nil {
		return nil, err
	}
	switch len(fits) {
	case 0:
		return nil, noFit()
	case 1:
		t.user = fits[0]
		out, err := s.begin(ctx, a, fits[0], a.now, s.Sessions.BeginSession)
		if errors.Is(err, tenancy.ErrNotFound) { // disabled or deleted just now
			return nil, noFit()
		}
		return out, err
	}
	orgs := make([]string, len(fits))
	for i := range fits {
		orgs[i] = string(fits[i].Org)
	}
	return nil, ambiguous.new("You are known in several organizations. Name one.", Fault{"body.organization", "is one of " + sentence(orgs)})
}

// keep gives the token of a session as a cookie instead.
func (a *asking) keep(out *tokenOutput) *tokenOutput {
	out.SetCookie = a.jar.cookie(sessionCookie, out.Body.Token, out.Body.Expires.Sub(a.now))
	out.Body.Token, out.Body.Type = "", "Cookie"
	return out
}

func noFit() *Problem {
	return unauthenticated.new("Address and password do not fit, or the user is disabled.").with("WWW-Authenticate", "Bearer")
}

// fitting are the users who may sign in with the password. Nobody costs as much time as one.
func (s *Server) fitting(ctx context.Context, candidates []tenancy.User, password string) (fits []tenancy.User, err error) {
	if len(candidates) == 0 {
		candidates = []tenancy.User{{Disabled: true}}
	}
	for _, u := range candidates {
		ok, err := s.hashing.Check(ctx, u.Password, password)
		if err != nil {
			return nil, err
		}
		if !ok || u.Disabled {
			continue
		}
		switch err := s.openFor(ctx, u.Org); {
		case err == nil:
			fits = append(fits, u)
		case errors.As(err, new(*Problem)): // the organization is disabled
		default:
			return nil, err
		}
	}
	return fits, nil
}

// begin makes a session of a user and keeps it by store.
func (s *Server) begin(
	ctx context.Context, a *asking, u tenancy.User, began time.Time, store func(context.Context, tenancy.Actor, tenancy.Session) error,
) (*tokenOutput, error) {
	token := tenancy.NewSessionToken()
	session := tenancy.Session{
		ID: tenancy.NewID("session"), Org: u.Org, User: u.ID, Hash: tenancy.HashKey([]byte(token.Reveal())),
		Began: began, Created: a.now, Expires: a.now.Add(tenancy.SessionLife), Address: a.by.Address, Agent: a.by.Agent,
		Password: u.Password,
	}
	last := began.Add(u.Renewable())
	if session.Expires.After(last) {
		session.Expires = last
	}
	by := a.by
	by.Org, by.User, by.Session, by.Name, by.Email = u.Org, u.ID, session.ID, u.Name, u.Email
	if err := store(ctx, by, session); err != nil {
		return nil, err
	}
	return &tokenOutput{Body: Token{
		Token: token.Reveal(), Type: "Bearer", Expires: session.Expires.UTC(), Renewable: last.UTC(), User: viewUser(&u),
	}}, nil
}

func (s *Server) refresh(ctx context.Context, in *askedInput) (*tokenOutput, error) {
	a := in.ask
	out, err := s.begin(ctx, a, a.user, a.session.Began, func(ctx context.Context, by tenancy.Actor, next tenancy.Session) error {
		return s.Sessions.SwapSession(ctx, by, a.session.ID, next)
	})
	if errors.Is(err, tenancy.ErrNotFound) { // somebody else has swapped it
		return nil, stranger()
	}
	if err == nil && a.byCookie {
		a.keep(out)
	}
	return out, err
}

func (s *Server) logout(ctx context.Context, in *askedInput) (*logoutOutput, error) {
	out := &logoutOutput{}
	if in.ask.byCookie {
		out.SetCookie = in.ask.jar.cookie(sessionCookie, "", 0)
	}
	return out, s.end(ctx, in.ask, in.ask.session.ID)
}

// end ends a session. That it has ended already is as good.
func (s *Server) end(ctx context.Context, a *asking, id tenancy.ID) error {
	if err := s.Sessions.EndSession(ctx, a.by, a.by.Org, id); !errors.Is(err, tenancy.ErrNotFound) {
		return err
	}
	return nil
}

func (s *Server) sessions(ctx context.Context, in *askedInput) (*sessionsOutput, error) {
	found, err := s.Sessions.Sessions(ctx, in.ask.by.Org, in.ask.by.User)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(x, y tenancy.Session) int { return y.Created.Compare(x.Created) })
	out := &sessionsOutput{}
	out.Body.Data = make([]Session, 0, len(found))
	for _, x := range found {
		out.Body.Data = append(out.Body.Data, Session{x.ID, x.Began.UTC(), x.Created.UTC(), x.Expires.UTC(), x.Address, x.Agent, x.ID == in.ask.session.ID})
	}
	return out, nil
}

func (s *Server) endSession(ctx context.Context, in *endSessionInput) (*emptyOutput, error) {
	own, err := s.Sessions.Sessions(ctx, in.ask.by.Org, in.ask.by.User)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(own, func(x tenancy.Session) bool { return x.ID == tenancy.ID(in.ID) }) {
		return nil, tenancy.ErrNotFound
	}
	return nil, s.end(ctx, in.ask, tenancy.ID(in.ID))
}

func (s *Server) me(_ context.Context, in *askedInput) (*meOutput, error) {
	u := &in.ask.user
	return &meOutput{etag(u.Rev), Me{viewUser(u), namesOf(in.ask.by.May)}}, nil
}

func (s *Server) changeOwnPassword(ctx context.Context, in *ownPasswordInput) (*emptyOutput, error) {
	a := in.ask
	if err := s.slowDown(a); err != nil {
		return nil, err
	}
	ok, err := s.hashing.Check(ctx, a.user.Password, in.Body.Old)
	if err != nil {
		return nil, err
	}
	if !ok {
		const why = "is not your password"
		s.failed(a, a.user.Email, []tenancy.User{a.user}, tenancy.OutcomeFailed, "body.old "+why)
		return nil, faulty(Fault{"body.old", why})
	}
	hash, err := s.hashing.Hash(ctx, in.Body.New)
	if err != nil {
		return nil, err
	}
	return nil, s.Passwords.SetPassword(ctx, a.by, a.by.Org, a.by.User, hash)
}
