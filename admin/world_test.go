package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// start is when every test begins.
var start = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

const (
	acme  tenancy.ID = "org_acme"
	other tenancy.ID = "org_other"

	adminKey = "vel-admin-key-of-the-tests"
	password = "Correct-Horse-1"
)

// world is a server over memory, with people and keys in it.
type world struct {
	*Server
	t      *testing.T
	db     *database
	tokens map[string]string // of users and keys, by name
	log    *lines

	problems map[tenancy.ID]string // of providers and routes
	planned  Planner
	proposed Proposer
	probed   func(p *routing.ManagedProvider, model string) routing.Trial
	purged   purges
	health   healths
	tasks    *shelf
	batches  *piles
	hooks    *hooks
	staff    *staff
	costs    func(*tasks.Request) (money.Nano, bool, error)
	affords  func(ctx context.Context, b *tasks.Batch, cost money.Nano) error // nil: everything
	feed     *tasks.Feed
	stopped  []tenancy.ID
}

// Probe finds what the test says.
func (w *world) Probe(_ context.Context, p *routing.ManagedProvider, model string) routing.Trial {
	return w.probed(p, model)
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld makes two organizations and one of the file, a user for every built-in role and a custom one, some keys,
// and a key of the file.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: newDatabase(), tokens: map[string]string{"vel": adminKey}, log: &lines{}, problems: map[tenancy.ID]string{}, tasks: newShelf(), batches: newPiles(), hooks: newHooks(), staff: newStaff(), feed: tasks.NewFeed(nil, tasks.Looking{})}
	w.planned = func(a *routing.Ask, _ time.Time) *routing.Decision { return &routing.Decision{Asked: a.Model} }
	w.proposed = func(string, bool, tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		return &routing.Table{}, &routing.Table{}, nil, nil
	}
	w.user("admin", acme, tenancy.OrgAdmin)
	w.user("clerk", acme, "role_clerk")
	w.user("manager", acme, tenancy.AgentManager)
	w.user("executor", acme, tenancy.TaskExecutor)
	w.user("viewer", acme, tenancy.Viewer)
	w.user("outsider", other, tenancy.OrgAdmin)
	w.user("root", tenancy.Platform, tenancy.PlatformAdmin)
	w.key("robot", acme, tenancy.OrgAdmin)
	w.key("caller", acme, "")
	w.key("far", other, tenancy.OrgAdmin)
	w.hooks.rows["webhook_acme"] = tasks.Webhook{Meta: meta("webhook_acme", acme, "ops"), URL: "https://example.com", Events: []string{"*"}}
	w.staff.rows["agent_acme"] = tasks.Agent{Meta: meta("agent_acme", acme, "first"), Active: true, Config: tasks.AgentConfig{Model: "m"}}
	w.staff.were["agent_acme"] = []tasks.AgentVersion{{Number: 1}}
	keyring, err := secrets.NewKeyring(secrets.New(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	orgs := func() []tenancy.Org {
		return []tenancy.Org{{Meta: tenancy.Meta{ID: "org:filed", Org: "org:filed", Name: "filed", ManagedBy: tenancy.ByFile}}}
	}
	keys := func() []tenancy.APIKey {
		return []tenancy.APIKey{{Meta: tenancy.Meta{ID: "key:acme/ci", Org: acme, Name: "ci", ManagedBy: tenancy.ByFile}}}
	}
	w.Server = NewServer(Deps{
		Orgs: tenancy.Declared(orgs, w.db.orgs), Teams: w.db.teams, Users: w.db.users, Roles: w.db.roles, Keys: tenancy.Declared(keys, w.db.keys),
		ProviderStore: tenancy.Declared(filedProviders, w.db.providers), RouteStore: tenancy.Declared(filedRoutes, w.db.routes),
		Problem: func(id tenancy.ID) string { return w.problems[id] }, Prober: w,
		LimitStore: tenancy.Declared(filedLimits, w.db.limits), BudgetStore: tenancy.Declared(filedBudgets, w.db.budgets), Ledger: w.db.ledger, Uses: w.db.counts, Cache: &w.purged, Targets: &w.health,
		Sessions: w.db, Passwords: w.db, Rotator: w.db, Requests: w.db, Subjects: w.db, Sealed: w.db, Audit: w.db.audit, Calls: w.db.calls, PricesOf: pricesOf,
		Planner: func(a *routing.Ask, now time.Time) *routing.Decision { return w.planned(a, now) },
		Proposer: func(with string, part bool, org tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
			return w.proposed(with, part, org)
		},
		Work: w.work(), Index: w.db.index, AdminKey: secrets.New(adminKey), Keyring: keyring, Ping: w.db.ping, Providers: func() (int, int) { return 1, 2 },
		Version: "test", Log: slog.New(slog.NewJSONHandler(w.log, nil)), Registerer: prometheus.NewRegistry(), Now: w.db.clock,
	})
	return w
}

func meta(id, org tenancy.ID, name string) tenancy.Meta {
	return tenancy.Meta{ID: id, Org: org, Name: name, Rev: 1, Created: start, Updated: start}
}

// user adds a user who is signed in.
func (w *world) user(name string, org tenancy.ID, roles ...tenancy.ID) {
	id, token := tenancy.ID("user_"+name), tenancy.NewSessionToken().Reveal()
	w.db.users.rows[id] = tenancy.User{Meta: meta(id, org, name), Email: name + "@example.com", Roles: roles}
	w.db.sessions["session_"+id] = tenancy.Session{
		ID: "session_" + id, Org: org, User: id, Hash: tenancy.HashKey([]byte(token)), Began: start, Created: start, Expires: start.Add(tenancy.SessionLife),
	}
	w.tokens[name] = token
}

func (w *world) key(name string, org, role tenancy.ID) {
	id, secret := tenancy.ID("key_"+name), tenancy.NewKeySecret().Reveal()
	w.db.keys.rows[id] = tenancy.APIKey{Meta: meta(id, org, name), Hash: tenancy.HashKey([]byte(secret)), Role: role}
	w.tokens[name] = secret
}

// answer is what a request got.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do makes a request as somebody of the world; empty: nobody. Headers are name and value in turn.
func (w *world) do(as, method, path string, body any, headers ...string) *answer {
	w.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequest(method, path, reader)
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if as != "" {
		token, ok := w.tokens[as]
		if !ok {
			w.t.Fatalf("nobody is called %s", as)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) *answer {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return &answer{w.t, rec.Code, rec.Header(), rec.Body.Bytes()}
}

// want fails the test unless the answer has the status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// problem reads a problem, and fails the test unless it is of this kind.
func (a *answer) problem(k kind) *Problem {
	a.t.Helper()
	a.want(k.status)
	var p Problem
	a.into(&p)
	if p.Type != "urn:vel:problem:"+k.word || p.Title != k.title || p.Status != k.status || p.Detail == "" || p.RequestID != a.header.Get("X-Request-Id") ||
		a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("not a whole problem %s: %s (%s)", k.word, a.body, a.header)
	}
	return &p
}

func (a *answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
}

// object reads an answer without a type.
func (a *answer) object() map[string]any {
	a.t.Helper()
	var m map[string]any
	a.into(&m)
	return m
}

// database is what a storage would be, but for the objects.
type database struct {
	orgs  *memory[tenancy.Org, *tenancy.Org]
	teams *memory[tenancy.Team, *tenancy.Team]
	users *memory[tenancy.User, *tenancy.User]
	roles *memory[tenancy.Role, *tenancy.Role]
	keys  *memory[tenancy.APIKey, *tenancy.APIKey]
	audit *logbook
	calls *callbook

	providers *memory[routing.ManagedProvider, *routing.ManagedProvider]
	routes    *memory[routing.ManagedRoute, *routing.ManagedRoute]

	limits  *memory[accounting.Limits, *accounting.Limits]
	budgets *memory[accounting.Budget, *accounting.Budget]
	ledger  *ledgerBook
	counts  *counted

	mu       sync.Mutex                     // guards what follows
	now      time.Time                      // what the clock says
	sessions map[tenancy.ID]tenancy.Session //
	kept     map[string]tenancy.Kept        // by organization and id
	down     error                          // what every method answers
}

func newDatabase() *database {
	clerk := tenancy.Role{Meta: meta("role_clerk", acme, "clerk"), Permissions: tenancy.Allow(
		tenancy.ViewOrganization, tenancy.ManageUsers, tenancy.ManageKeys, tenancy.ManageRoles, tenancy.ViewAnalytics)}
	return &database{
		orgs:  newMemory("org", tenancy.Org{Meta: meta(acme, acme, "acme")}, tenancy.Org{Meta: meta(other, other, "other")}),
		teams: newMemory("team", tenancy.Team{Meta: meta("team_red", acme, "red")}, tenancy.Team{Meta: meta("team_far", other, "far")}),
		users: newMemory[tenancy.User]("user"), roles: newMemory("role", clerk), keys: newMemory[tenancy.APIKey]("key"),
		providers: newMemory[routing.ManagedProvider]("provider"), routes: newMemory[routing.ManagedRoute]("route"),
		limits: newMemory[accounting.Limits]("limit"), budgets: newMemory[accounting.Budget]("budget"), ledger: &ledgerBook{}, counts: &counted{},
		audit: &logbook{}, calls: &callbook{}, now: start, sessions: map[tenancy.ID]tenancy.Session{}, kept: map[string]tenancy.Kept{},
	}
}

func (d *database) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *database) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

// goAway makes everything fail as it does when the database can not be reached.
func (d *database) goAway() {
	err := &tenancy.Unavailable{Cause: io.ErrUnexpectedEOF}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = err
	d.orgs.fail = func(string, *tenancy.Org) error { return err }
	d.keys.fail = func(string, *tenancy.APIKey) error { return err }
}

func (d *database) ping(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down
}

func (d *database) index() *tenancy.KeyIndex {
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	var all []tenancy.APIKey
	for _, k := range d.keys.rows {
		all = append(all, k)
	}
	x, err := tenancy.NewKeyIndex(all)
	if err != nil {
		panic(err)
	}
	return x
}

func (d *database) BeginSession(_ context.Context, _ tenancy.Actor, s tenancy.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[s.ID] = s
	return d.down
}

func (d *database) FindSession(ctx context.Context, hash tenancy.Hash) (tenancy.Session, tenancy.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.Hash == hash && d.down == nil {
			u, err := d.users.Get(ctx, s.Org, s.User)
			return s, u, err
		}
	}
	if d.down != nil {
		return tenancy.Session{}, tenancy.User{}, d.down
	}
	return tenancy.Session{}, tenancy.User{}, tenancy.ErrNotFound
}

func (d *database) SwapSession(_ context.Context, _ tenancy.Actor, old tenancy.ID, s tenancy.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.sessions[old]; !ok {
		return tenancy.ErrNotFound
	}
	delete(d.sessions, old)
	d.sessions[s.ID] = s
	return d.down
}

func (d *database) EndSession(_ context.Context, _ tenancy.Actor, org, id tenancy.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.sessions[id]; !ok || s.Org != org {
		return tenancy.ErrNotFound
	}
	delete(d.sessions, id)
	return d.down
}

func (d *database) Sessions(_ context.Context, org, user tenancy.ID) (found []tenancy.Session, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.Org == org && s.User == user {
			found = append(found, s)
		}
	}
	return found, d.down
}

func (d *database) Candidates(_ context.Context, email string, org tenancy.ID) (found []tenancy.User, _ error) {
	d.users.mu.Lock()
	defer d.users.mu.Unlock()
	for _, u := range d.users.rows {
		if u.Email == email && (org == "" || u.Org == org) {
			found = append(found, u)
		}
	}
	return found, d.down
}

func (d *database) FindSubject(_ context.Context, org tenancy.ID, issuer, subject string) (tenancy.User, error) {
	d.users.mu.Lock()
	defer d.users.mu.Unlock()
	for _, u := range d.users.rows {
		if u.Org == org && u.Issuer == issuer && u.Subject == subject {
			return u, d.down
		}
	}
	return tenancy.User{}, cmp.Or(d.down, tenancy.ErrNotFound)
}

func (d *database) SetPassword(_ context.Context, _ tenancy.Actor, org, user tenancy.ID, hash string) error {
	d.users.mu.Lock()
	u, err := d.users.find(org, user)
	if err == nil {
		u.Password = hash
		d.users.rows[user] = u
	}
	d.users.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, s := range d.sessions {
		if s.User == user {
			delete(d.sessions, id)
		}
	}
	return err
}

func (d *database) RotateKey(_ context.Context, _ tenancy.Actor, org, id tenancy.ID, rev int64, hash tenancy.Hash, until time.Time) (tenancy.APIKey, error) {
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	k, err := d.keys.find(org, id)
	switch {
	case err != nil:
		return k, err
	case rev != k.Rev:
		return k, tenancy.ErrStale
	}
	k.OldHash, k.Hash, k.OldUntil, k.Rev = k.Hash, hash, until, k.Rev+1
	d.keys.rows[id] = k
	return k, nil
}

func (d *database) Claim(_ context.Context, org tenancy.ID, id, request string) (tenancy.Kept, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if kept, ok := d.kept[string(org)+id]; ok {
		return kept, false, d.down
	}
	d.kept[string(org)+id] = tenancy.Kept{Request: request}
	return tenancy.Kept{}, true, d.down
}

func (d *database) Keep(_ context.Context, org tenancy.ID, id string, status int, text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept[string(org)+id] = tenancy.Kept{Request: d.kept[string(org)+id].Request, Status: status, Answer: text}
	return d.down
}

func (d *database) Unclaim(_ context.Context, org tenancy.ID, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.kept, string(org)+id)
	return d.down
}

// SealedBy counts what the keyring of the world has sealed of providers.
func (d *database) SealedBy(context.Context) (map[string]int64, error) {
	d.providers.mu.Lock()
	defer d.providers.mu.Unlock()
	counts := map[string]int64{}
	for _, p := range d.providers.rows {
		if !p.Sealed.IsZero() {
			counts[secrets.SealedBy(p.Sealed.Reveal())]++
		}
	}
	return counts, d.down
}

// Reseal has nothing to do.
func (d *database) Reseal(context.Context, tenancy.Actor, *secrets.Keyring) (resealed, broken int64, err error) {
	return 3, 1, d.down
}

// shape is all that the database holds, to see whether anything changed.
func (d *database) shape() string {
	return fmt.Sprint(d.orgs.rows, d.teams.rows, d.users.rows, d.roles.rows, d.keys.rows, d.providers.rows, d.routes.rows)
}

// request is one with a credential.
func request(t *testing.T, method, path, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}
