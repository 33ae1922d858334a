package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// This file alone decides how an error looks to a client: application/problem+json of RFC 9457, and no text of an
// unknown cause.

// Problem is an error as a client sees it.
type Problem struct {
	Type      string  `json:"type" format:"uri" doc:"What kind of problem it is, for programs: urn:vel:problem: and a word that does not change." example:"urn:vel:problem:invalid"`
	Title     string  `json:"title" doc:"The kind of problem in words." example:"Invalid request"`
	Status    int     `json:"status" doc:"The HTTP status." example:"422"`
	Detail    string  `json:"detail" doc:"What went wrong this time, and what to do about it."`
	RequestID string  `json:"request_id" doc:"The id of the request, as in the header x-request-id: by it operators find it in the log."`
	Errors    []Fault `json:"errors,omitempty" nullable:"false" doc:"Every fault of the request, with its place."`

	cause  error // for the log
	header http.Header
}

// Fault is one fault of a request. It does not repeat the value: that may be a secret.
type Fault struct {
	Location string `json:"location" doc:"Where the fault is: a path such as body.name, query.limit or path.id." example:"body.name"`
	Message  string `json:"message" doc:"What is wrong with it."`
}

// Error is for the log.
func (p *Problem) Error() string {
	if p.cause != nil {
		return p.Detail + ": " + p.cause.Error()
	}
	return p.Detail
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus is what huma answers with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the headers of the answer.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is that of the answer.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// with adds a header to the answer.
func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// after tells the client when to try again.
func (p *Problem) after(d time.Duration) *Problem {
	return p.with("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}

// because keeps the cause for the log.
func (p *Problem) because(cause error) *Problem {
	p.cause = cause
	return p
}

// kind is one kind of problem.
type kind struct {
	status      int
	word, title string
}

func (k kind) new(detail string, faults ...Fault) *Problem {
	return &Problem{Type: "urn:vel:problem:" + k.word, Title: k.title, Status: k.status, Detail: detail, Errors: faults}
}

// The kinds of problems. The words are part of the API.
var (
	malformed       = kind{http.StatusBadRequest, "malformed", "Malformed request"}
	unauthenticated = kind{http.StatusUnauthorized, "unauthenticated", "Not signed in"}
	notAllowed      = kind{http.StatusForbidden, "not-allowed", "Not allowed"}
	tooMuch         = kind{http.StatusForbidden, "too-much", "More than you have"}
	signOnRefused   = kind{http.StatusForbidden, "sign-on-refused", "Sign-on refused"}
	crossOrigin     = kind{http.StatusForbidden, "cross-origin", "Another site's page"}
	notEncrypted    = kind{http.StatusForbidden, "not-encrypted", "Not encrypted"}
	notFound        = kind{http.StatusNotFound, "not-found", "Not found"}
	wrongMethod     = kind{http.StatusMethodNotAllowed, "wrong-method", "Method not allowed"}
	slowBody        = kind{http.StatusRequestTimeout, "slow-body", "The body did not arrive"}
	readOnly        = kind{http.StatusConflict, "read-only", "Read-only"}
	taken           = kind{http.StatusConflict, "taken", "Taken"}
	inUse           = kind{http.StatusConflict, "in-use", "In use"}
	ambiguous       = kind{http.StatusConflict, "ambiguous", "Several organizations"}
	running         = kind{http.StatusConflict, "running", "The first request is still running"}
	unreadable      = kind{http.StatusConflict, "unreadable", "The first answer can not be read"}
	inState         = kind{http.StatusConflict, "in-state", "Not in this state"}
	stale           = kind{http.StatusPreconditionFailed, "stale", "Changed meanwhile"}
	tooLarge        = kind{http.StatusRequestEntityTooLarge, "too-large", "Too large"}
	notJSON         = kind{http.StatusUnsupportedMediaType, "not-json", "Not JSON"}
	invalid         = kind{http.StatusUnprocessableEntity, "invalid", "Invalid request"}
	otherRequest    = kind{http.StatusUnprocessableEntity, "other-request", "Idempotency-Key of another request"}
	tooMany         = kind{http.StatusTooManyRequests, "too-many", "Too many tries"}
	overBudget      = kind{http.StatusTooManyRequests, "over-budget", "More than the budget has"}
	tooManyTasks    = kind{http.StatusTooManyRequests, "too-many-tasks", "Too many tasks at once"}
	internal        = kind{http.StatusInternalServerError, "internal", "Internal error"}
	unavailable     = kind{http.StatusServiceUnavailable, "unavailable", "Not available now"}
)

// databaseBack is when a client may try again while the database is away.
const databaseBack = 2 * time.Second

// inWords makes a problem of any error.
func inWords(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p, ok := errors.AsType[*tenancy.Taken](err); ok {
		return taken.new("Another one has this "+p.Field+" already.", Fault{"body." + p.Field, "is taken"})
	}
	if p, ok := errors.AsType[*tenancy.InUse](err); ok {
		return inUse.new("It can not be deleted: it is in use by " + p.By + ".")
	}
	if p, ok := errors.AsType[*tenancy.Missing](err); ok {
		return invalid.new("The request names what does not exist.", Fault{"body." + p.Field, string(p.ID) + " does not exist"})
	}
	if _, ok := errors.AsType[*tenancy.Unavailable](err); ok {
		return unavailable.new("The database does not answer.").after(databaseBack).because(err)
	}
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return notFound.new("There is no such object, or it is not yours to see.")
	case errors.Is(err, tenancy.ErrStale):
		return stale.new("Somebody else has changed it meanwhile. Read it again.")
	case errors.Is(err, tenancy.ErrReadOnly):
		return readOnly.new("It is declared in the configuration file or built in, and can not be changed here.")
	case errors.Is(err, tenancy.ErrKeyStale):
		return unavailable.new("The database has been away for too long to trust this key.").after(databaseBack)
	case errors.Is(err, tenancy.ErrBusy):
		return unavailable.new("Too many passwords are being checked.").after(time.Second)
	case errors.Is(err, context.Canceled):
		return unavailable.new("The client has left.")
	}
	return bug().because(err)
}

// bug is all that a client learns of what nobody expected.
func bug() *Problem {
	return internal.new("Something is wrong with Vel itself. The log has the cause under the id of this request.")
}

// ofHuma makes a problem of what huma found wrong with a request.
func ofHuma(m *huma.ErrorModel) *Problem {
	switch m.Status {
	case http.StatusBadRequest:
		if len(m.Errors) == 0 {
			return malformed.new("The body is missing.")
		}
		return malformed.new("The body is not JSON that can be read.", faultsOf(slices.DeleteFunc(m.Errors, isRuled))...)
	case http.StatusRequestTimeout:
		return slowBody.new("The body did not arrive in time.")
	case http.StatusRequestEntityTooLarge:
		return tooLarge.new("The body has 1 MiB or more.")
	case http.StatusUnsupportedMediaType:
		return notJSON.new("The body must be application/json.")
	case http.StatusInternalServerError: // handlers return problems: what is left is a body that broke off
		return malformed.new("The body broke off.")
	}
	return faulty(faultsOf(m.Errors)...)
}

// faulty is the problem of a request with faults.
func faulty(faults ...Fault) *Problem {
	return invalid.new("The request has faults; errors lists them all.", faults...)
}

// faultsOf are the faults that the schema and tenancy find together, without values: those may be secrets. Where the
// schema has said already what is wrong, tenancy need not.
func faultsOf(found []*huma.ErrorDetail) []Fault {
	bySchema := map[string]bool{} // the places with such a fault
	for _, e := range found {
		if !isRuled(e) {
			bySchema[e.Location] = true
		}
	}
	var faults []Fault
	for _, e := range found {
		rule, ours := e.Value.(ruled)
		if ours && (bySchema[e.Location] || rule.empty && bySchema[parentOf(e.Location)]) {
			continue
		}
		faults = append(faults, Fault{e.Location, e.Message})
	}
	return faults
}

func parentOf(location string) string { return location[:max(0, strings.LastIndexByte(location, '.'))] }

// ruled marks a fault that a rule of tenancy found, in the place of a value.
type ruled struct{ empty bool } // the field is empty, and perhaps missing

func isRuled(e *huma.ErrorDetail) bool {
	_, ok := e.Value.(ruled)
	return ok
}

// faultsAt collects what a Validate of tenancy finds in a body, as huma wants it.
func faultsAt(at *huma.PathBuffer, validate func(fault func(field, problem string))) (faults []error) {
	body := at.String()
	validate(func(field, problem string) {
		faults = append(faults, &huma.ErrorDetail{Location: body + "." + field, Message: problem, Value: ruled{problem == tenancy.Empty}})
	})
	return faults
}

// writeProblem answers where huma does not.
func writeProblem(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// sentence joins words for a person.
func sentence(words []string) string { return strings.Join(words, ", ") }
