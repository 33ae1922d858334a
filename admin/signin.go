package admin

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"

	"github.com/vel-gateway/vel/tenancy"
)

// How people sign in.
const (
	byPassword = "password"
	byIssuer   = "issuer"
)

// attempt is one try to sign in.
type attempt struct {
	how   string
	email string         // that was given, or that the issuer vouches for; only the audit log has it
	user  tenancy.User   // zero: it is not known who; without an id: somebody of the organization
	meant []tenancy.User // who has the address, as long as it is not known who it is
	later bool           // a program is about to fetch the session, and that is the end of the try
}

// tried is where every try to sign in ends, whichever way it was made: nil is a success, a problem that blames the
// client a refusal, and any other error a failure of ours. A success has its audit event with its session.
func (s *Server) tried(a *asking, t attempt, err error) {
	result, why := "ok", ""
	if err != nil {
		p := inWords(err)
		result, why = "failed", p.Type
		if p.Status < http.StatusInternalServerError {
			result = "refused"
			s.unsuccessful(a, t, p)
		}
	}
	s.metrics.signIns.WithLabelValues(t.how, result).Inc()
	s.Log.Info("sign-in", slog.String("id", a.answer.id), slog.String("how", t.how), slog.String("result", result), slog.String("why", why),
		slog.String("org", string(t.user.Org)), slog.String("user", string(t.user.ID)), slog.String("client", a.by.Address))
}

// unsuccessful notes for the audit log that nobody was signed in. Who has only to name their organization is no such case.
func (s *Server) unsuccessful(a *asking, t attempt, p *Problem) {
	outcome := tenancy.OutcomeFailed
	switch p.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
	case http.StatusTooManyRequests:
		outcome = tenancy.OutcomeRefused
	default:
		return
	}
	if t.user.Org != "" {
		t.meant = []tenancy.User{t.user}
	}
	s.failed(a, cmp.Or(t.email, t.user.Email), t.meant, outcome, p.Detail)
}

// refusedBy tells whether an error says that somebody may not, and not that something is broken.
func refusedBy(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Status < http.StatusInternalServerError
}
