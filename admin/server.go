package admin

import (
	"context"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// Deps is what the room needs from others.
type Deps struct {
	// What is managed. Organizations and keys come with those that the file declares (tenancy.Declared), roles without
	// the built-in ones.
	Orgs  tenancy.Store[tenancy.Org]
	Teams tenancy.Store[tenancy.Team]
	Users tenancy.Store[tenancy.User]
	Roles tenancy.Store[tenancy.Role]
	Keys  tenancy.Store[tenancy.APIKey]

	// Providers and routes, with those that the file declares.
	ProviderStore tenancy.Store[routing.ManagedProvider]
	RouteStore    tenancy.Store[routing.ManagedRoute]
	Problem       func(id tenancy.ID) string // what keeps one from being in force on this node; empty: nothing
	Prober        Prober

	Targets Targets     // nil: no calls are served here
	Cache   AnswerCache // nil: no calls are served here, so no answers are kept

	// Limits and budgets, with those that the file declares.
	LimitStore   tenancy.Store[accounting.Limits]
	BudgetStore  tenancy.Store[accounting.Budget]
	Ledger       Ledger
	CounterStore func() (shared, up bool) // where limits are counted, and whether that answers; nil: in this process
	Uses         Uses                     // nil: no calls are served here, so nothing is counted

	Work TaskWork // without a store no tasks are run here

	Sealed    SealedStore
	Sessions  SessionStore
	Passwords PasswordStore
	Rotator   KeyRotator
	Requests  RequestStore
	Subjects  SubjectStore
	Audit     AuditStore
	Calls     CallStore
	PricesOf  PriceFinder
	Planner   Planner  // nil: no calls are served here
	Proposer  Proposer // likewise
	SignOn    OIDC     // single sign-on; without an issuer there is none

	Index     func() *tenancy.KeyIndex                       // of the snapshot of now
	FindFresh func(tenancy.Hash) (*tenancy.Principal, error) // looks up a key that the index does not know; nil: it knows all
	AdminKey  secrets.Secret                                 // acts as a platform admin; empty: there is none
	AdminName string                                         // how the audit log calls whoever has it; empty: admin key
	Keyring   *secrets.Keyring                               // seals the answers that are kept for an Idempotency-Key
	Ping      func(context.Context) error                    // asks the database; returns when the context ends
	Providers func() (available, total int)
	Client    func(*http.Request) string // the client's address; nil: that of the connection

	Version    string
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil: time.Now
}

// Prober tries a provider. It returns within some seconds.
type Prober interface {
	Probe(ctx context.Context, p *routing.ManagedProvider, model string) routing.Trial
}

// SessionStore keeps sign-ins. Errors are those of tenancy.Store.
type SessionStore interface {
	// BeginSession stores a new one, and when the user signed in last. ErrNotFound: the user is gone or disabled, or s.Password is theirs no more.
	BeginSession(ctx context.Context, by tenancy.Actor, s tenancy.Session) error
	// FindSession finds the session of a token and its user.
	FindSession(ctx context.Context, hash tenancy.Hash) (tenancy.Session, tenancy.User, error)
	// SwapSession puts a new session in the place of an old one. ErrNotFound: somebody else did already.
	SwapSession(ctx context.Context, by tenancy.Actor, old tenancy.ID, s tenancy.Session) error
	EndSession(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) error
	// Sessions are those of a user that have not expired.
	Sessions(ctx context.Context, org, user tenancy.ID) ([]tenancy.Session, error)
}

// PasswordStore knows passwords.
type PasswordStore interface {
	// Candidates are the users with this address: of one organization, or if it is empty at most 8 of all.
	Candidates(ctx context.Context, email string, org tenancy.ID) ([]tenancy.User, error)
	// SetPassword stores what HashPassword made, and ends all sessions of the user.
	SetPassword(ctx context.Context, by tenancy.Actor, org, user tenancy.ID, hash string) error
}

// KeyRotator gives a key another secret; the one before opens until oldUntil, the zero time ends it at once.
type KeyRotator interface {
	RotateKey(ctx context.Context, by tenancy.Actor, org, id tenancy.ID, rev int64, hash tenancy.Hash, oldUntil time.Time) (tenancy.APIKey, error)
}

// AuditStore keeps who did what. Whatever changes something writes it there itself.
type AuditStore interface {
	// Record appends what changes nothing else.
	Record(ctx context.Context, events []tenancy.AuditEvent) error
	// Audit gives a page of events, the newest first.
	Audit(ctx context.Context, q tenancy.AuditQuery) ([]tenancy.AuditEvent, error)
	// AuditHeads gives the signed ends of the chains after an organization, of one or, if org is empty, of all.
	AuditHeads(ctx context.Context, org, after tenancy.ID, limit int) ([]chain.Checkpoint, error)
	// ExportAudit writes a chain with the events of a time; zero times are no bounds.
	ExportAudit(ctx context.Context, org tenancy.ID, from, to time.Time, w *chain.Writer) error
}

// RequestStore remembers requests with an Idempotency-Key for 24 hours.
type RequestStore interface {
	// Claim takes an id for a request: true. Or it was taken, and Kept is by what: without a status, that one still runs.
	Claim(ctx context.Context, org tenancy.ID, id, request string) (tenancy.Kept, bool, error)
	Keep(ctx context.Context, org tenancy.ID, id string, status int, answer string) error
	Unclaim(ctx context.Context, org tenancy.ID, id string) error
}

// Server serves everything below /api. It is safe for concurrent use and runs nothing by itself.
type Server struct {
	Deps
	mux       *http.ServeMux
	api       huma.API
	needs     map[string]need
	roles     tenancy.Store[tenancy.Role] // with the built-in ones
	hashing   *tenancy.Passwords
	throttle  *throttle
	refusals  *refusals
	metrics   *metrics
	began     time.Time
	adminHash tenancy.Hash
	watching  watching
	replaying chan struct{} // has one while recorded calls are planned again

	crossOrigin *http.CrossOriginProtection
	problemPage *template.Template
}

// NewServer makes a server.
func NewServer(d Deps) *Server {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Client == nil {
		d.Client = addressOf
	}
	atOnce := max(1, runtime.GOMAXPROCS(0)/2) // the other cores are for calls
	s := &Server{
		Deps: d, mux: http.NewServeMux(), needs: needs(), roles: tenancy.WithBuiltIn(d.Roles),
		hashing: tenancy.NewPasswords(atOnce, 16*atOnce), throttle: newThrottle(), metrics: newMetrics(d.Registerer),
		refusals: newRefusals(d.Audit.Record, d.Log, d.Registerer), began: d.Now(), adminHash: tenancy.HashKey([]byte(d.AdminKey.Reveal())),
		crossOrigin: newCrossOrigin(&d.SignOn), problemPage: newProblemPage(), watching: watching{who: map[string]int{}}, replaying: make(chan struct{}, 1),
	}
	s.describe()
	s.serveHealth()
	s.serveSessions()
	s.serveSignOn(d.SignOn)
	s.serveOrganizations()
	s.serveTeams()
	s.serveUsers()
	s.serveRoles()
	s.serveKeys()
	s.serveProviders()
	s.serveRoutes()
	s.serveTargets()
	s.serveCache()
	s.serveLimits()
	s.serveBudgets()
	s.serveLedger()
	s.serveSecrets()
	s.serveAudit()
	s.serveCalls()
	s.serveDecisions()
	s.serveUsage()
	s.serveCosts()
	s.servePrices()
	s.serveAgents()
	s.serveTasks()
	s.serveBatches()
	s.serveWebhooks()
	s.serveDocument()
	return s
}

// addressOf is the address at the other end of the connection.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
