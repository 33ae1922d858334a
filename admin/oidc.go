package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/tenancy"
)

// Signing on is two requests of a browser, which may reach two nodes. What the second must know lies sealed in a cookie:
//
//	GET /api/auth/oidc/login      Flow ─▶ cookie, and on to the issuer
//	GET /api/auth/oidc/callback   cookie, state, code ─▶ Identity ─▶ user ─▶ a session's cookie, and on to a page
//	                                                                     └─▶ a code for a program on the same machine
//	POST /api/auth/oidc/token     that code and the program's verifier ─▶ a token

// How long a person may take at the issuer, and a program to fetch its token. The second is shorter than the life of a
// claim without an answer (storage), so that no code is swapped twice.
const (
	flowLife = 10 * time.Minute
	codeLife = 30 * time.Second
)

// landing is the page for those who did not come from another one.
const landing = "/api/docs"

// pending is a sign-on between its two requests.
type pending struct {
	issuer.Flow
	Return    string    `json:"return,omitempty"`    // the page to go on to
	Port      int       `json:"port,omitempty"`      // or the program's, on the browser's machine
	Challenge string    `json:"challenge,omitempty"` // of the program
	Until     time.Time `json:"until"`
}

// swappable is what a program's code stands for.
type swappable struct {
	ID        tenancy.ID `json:"id"`
	Org       tenancy.ID `json:"org"`
	User      tenancy.ID `json:"user"`
	Challenge string     `json:"challenge"`
	Until     time.Time  `json:"until"`
}

// CodeBody swaps a code of a sign-on for a token.
type CodeBody struct {
	Code     string `json:"code" writeOnly:"true" minLength:"1" maxLength:"1024" doc:"What the browser brought to your port."`
	Verifier string `json:"verifier" writeOnly:"true" minLength:"43" maxLength:"128" pattern:"^[A-Za-z0-9._~-]+$" doc:"The text whose S256 challenge the sign-on began with (RFC 7636)."`
}

type codeInput struct {
	Asked
	Body CodeBody
}

func (s *Server) serveSignOn(cfg OIDC) {
	o := &signOn{Server: s, cfg: cfg, signOns: newThrottle()}
	if cfg.On() {
		o.client = issuer.New(cfg.client(), s.Now)
	}
	s.mux.Handle("GET /api/auth/oidc/login", o.page("begin-sign-on", o.begin))
	s.mux.Handle("GET "+CallbackPath, o.page("end-sign-on", o.end))
	add(s, huma.Operation{
		OperationID: "exchange-code", Method: http.MethodPost, Path: "/api/auth/oidc/token", Tags: []string{"Sign-in"}, Summary: "Swap a sign-on's code for a token",
		Description: "For programs: open `/api/auth/oidc/login?port=PORT&challenge=CHALLENGE` in a browser on your machine. When the person has signed on, it comes to `http://127.0.0.1:PORT/?code=…`; the code is good for 30 seconds, once.",
	}, o.exchange, withBody(http.StatusUnauthorized, http.StatusNotFound)...)
}

// page is a request of a browser that leads to another page, or fails with a problem.
func (s *signOn) page(operation string, serve func(a *asking, w http.ResponseWriter, r *http.Request) (to string, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &asking{answer: w.(*answering), request: r, jar: jarOf(r), now: s.Now()}
		a.answer.operation = operation
		a.by.Address, a.by.Agent, a.by.Request = s.Client(r), agentOf(r), tenancy.ID(a.answer.id)
		a.answer.by = a.by
		to, err := "", s.configured()
		if err == nil {
			to, err = serve(a, w, r)
		}
		if err != nil {
			s.show(a.answer, r, inWords(err))
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	})
}

func (s *signOn) configured() error {
	if s.client == nil {
		return notFound.new("Single sign-on is not configured. Sign in with your password.")
	}
	return nil
}

// begin sends a browser to the issuer.
func (s *signOn) begin(a *asking, w http.ResponseWriter, r *http.Request) (to string, err error) {
	if err := a.jar.open(); err != nil {
		return "", err
	}
	p, err := s.pending(r.URL.Query(), a.now)
	if err != nil {
		return "", err
	}
	if to, err = s.client.Address(r.Context(), p.Flow); err != nil {
		return "", s.away(err)
	}
	w.Header().Add("Set-Cookie", a.jar.cookie(flowCookie, s.seal(p, sealedFlow), flowLife))
	return to, nil
}

// pending is a new sign-on, as the query wants it to end.
func (s *signOn) pending(q url.Values, now time.Time) (p pending, err error) {
	p = pending{Flow: issuer.NewFlow(), Return: landing, Until: now.Add(flowLife)}
	if q.Has("return") {
		p.Return = q.Get("return")
		if !local(p.Return) {
			return p, faulty(Fault{"query.return", "is no path of this host"})
		}
	}
	if q.Has("port") {
		p.Return, p.Challenge = "", q.Get("challenge")
		if p.Port, err = strconv.Atoi(q.Get("port")); err != nil || p.Port < 1024 || p.Port > 65535 {
			return p, faulty(Fault{"query.port", "is not a number from 1024 to 65535"})
		}
		if !challengeForm.MatchString(p.Challenge) {
			return p, faulty(Fault{"query.challenge", "is not an S256 challenge"})
		}
	}
	return p, nil
}

var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	errorForm     = regexp.MustCompile(`^[a-z_]{1,40}$`)
)

// longestReturn is in bytes: a cookie has 4096.
const longestReturn = 1024

// local tells whether an address is a path of this host, however a browser may read it.
func local(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= longestReturn && u.Scheme == "" && u.Host == "" && u.Opaque == "" && u.User == nil &&
		strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//") &&
		!strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' })
}

// end takes whom the issuer sends back.
func (s *signOn) end(a *asking, w http.ResponseWriter, r *http.Request) (to string, err error) {
	if err := a.jar.open(); err != nil {
		return "", err
	}
	t := attempt{how: byIssuer}
	if wait := s.signOns.full(a.by.Address, a.now); wait > 0 {
		err := tooMany.new("Too many sign-ons have failed. Wait, then try again.").after(wait)
		s.tried(a, t, err)
		return "", err
	}
	w.Header().Add("Set-Cookie", a.jar.cookie(flowCookie, "", 0))
	to, err = s.arrive(a, w, r, &t)
	if err != nil && refusedBy(err) {
		s.signOns.try(a.by.Address, a.now)
	}
	if !t.later {
		s.tried(a, t, err)
	}
	return to, err
}

// arrive signs somebody on and says where they go.
func (s *signOn) arrive(a *asking, w http.ResponseWriter, r *http.Request, t *attempt) (to string, err error) {
	ctx, q := r.Context(), r.URL.Query()
	p, err := s.returned(a, q)
	if err != nil {
		return "", err
	}
	id, err := s.client.Identify(ctx, p.Flow, q.Get("code"))
	if err != nil {
		return "", s.away(err)
	}
	t.email = tenancy.NormalEmail(id.Email)
	by := tenancy.Vel() // the claims make users and their roles, and not what somebody may
	by.Name, by.Address, by.Agent, by.Request = "single sign-on", a.by.Address, a.by.Agent, a.by.Request
	if t.user, err = s.user(ctx, by, id); err != nil {
		return "", err
	}
	if t.later = p.Port > 0; t.later {
		code := s.seal(swappable{tenancy.NewID("code"), t.user.Org, t.user.ID, p.Challenge, a.now.Add(codeLife)}, sealedCode)
		return fmt.Sprintf("http://127.0.0.1:%d/?code=%s", p.Port, url.QueryEscape(code)), nil
	}
	out, err := s.Server.begin(ctx, a, t.user, a.now, s.Sessions.BeginSession)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return "", signOnRefused.new("Your user has been changed just now. Begin again.")
	case err != nil:
		return "", err
	}
	w.Header().Add("Set-Cookie", a.keep(out).SetCookie)
	return p.Return, nil
}

// returned finds the sign-on that an answer of the issuer's belongs to.
func (s *signOn) returned(a *asking, q url.Values) (p pending, err error) {
	sealed := a.jar.read(a.request, flowCookie)
	switch {
	case sealed == "" || !s.open(sealed, sealedFlow, &p) || !a.now.Before(p.Until):
		return p, signOnRefused.new("This sign-on has expired, or began in another browser. Begin again.")
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(p.State)) != 1:
		return p, signOnRefused.new("This answer belongs to another sign-on. Begin again.")
	case q.Has("iss") && q.Get("iss") != s.cfg.Issuer: // RFC 9207
		return p, signOnRefused.new("This answer comes from another issuer.")
	case q.Has("error"):
		word := q.Get("error")
		if !errorForm.MatchString(word) {
			word = "no reason"
		}
		return p, signOnRefused.new("The issuer has not signed you on: " + word + ".")
	case q.Get("code") == "" || len(q.Get("code")) > 4096:
		return p, signOnRefused.new("The issuer's answer has no code.")
	}
	return p, nil
}

// away puts what the issuer's client says into our words.
func (s *signOn) away(err error) error {
	if away, ok := errors.AsType[*issuer.Away](err); ok {
		return unavailable.new("The issuer of single sign-on can not be used now. Passwords and keys work without it.").after(away.Retry).because(err)
	}
	if refused, ok := errors.AsType[*issuer.Refused](err); ok {
		return signOnRefused.new("Nobody has signed on: " + refused.Why + ".")
	}
	return err
}

// exchange gives a program its token.
func (s *signOn) exchange(ctx context.Context, in *codeInput) (*tokenOutput, error) {
	a := in.ask
	if err := s.configured(); err != nil {
		return nil, err
	}
	t := attempt{how: byIssuer}
	out, err := s.swap(ctx, a, in.Body, &t)
	s.tried(a, t, err)
	return out, err
}

func (s *signOn) swap(ctx context.Context, a *asking, b CodeBody, t *attempt) (*tokenOutput, error) {
	var c swappable
	worthless := unauthenticated.new("The code is not valid, or not any more.").with("WWW-Authenticate", "Bearer")
	if !s.open(b.Code, sealedCode, &c) || !a.now.Before(c.Until) || subtle.ConstantTimeCompare([]byte(issuer.Challenge(b.Verifier)), []byte(c.Challenge)) != 1 {
		return nil, worthless
	}
	_, first, err := s.Requests.Claim(ctx, c.Org, string(c.ID), "")
	switch {
	case err != nil:
		return nil, err
	case !first:
		return nil, worthless
	}
	if t.user, err = s.Users.Get(ctx, c.Org, c.User); err == nil {
		var out *tokenOutput
		if out, err = s.Server.begin(ctx, a, t.user, a.now, s.Sessions.BeginSession); err == nil {
			return out, nil
		}
	}
	if errors.Is(err, tenancy.ErrNotFound) { // gone or disabled meanwhile
		return nil, worthless
	}
	return nil, err
}

// What is sealed opens only as what it is.
const (
	sealedFlow = "sign-on"
	sealedCode = "sign-on code"
)

func (s *signOn) seal(v any, as string) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encode a sign-on: %w", err)) // it is made of our own types
	}
	return s.Keyring.Seal(text, as)
}

func (s *signOn) open(sealed, as string, into any) bool {
	text, err := s.Keyring.Open(sealed, as)
	return err == nil && json.Unmarshal(text, into) == nil
}
