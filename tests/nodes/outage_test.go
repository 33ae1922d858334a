package nodes

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/postgres"
	"github.com/vel-gateway/vel/tests/vel"
)

// How soon a node must know that its database is away, and that it is back.
const (
	noticed = 6 * time.Second
	healed  = 10 * time.Second
)

// outage is one way in which nodes lose their database.
type outage struct {
	name        string
	way         way
	stop, start func(s *postgres.Server) error
}

var outages = []outage{
	{"Postgres crashes", ways[0], crash, restart},
	{"Postgres crashes behind PgBouncer", ways[1], crash, restart},
	{
		"PgBouncer is restarted", ways[2], func(s *postgres.Server) error { s.Bouncer.Stop(syscall.SIGTERM); return nil },
		func(s *postgres.Server) error { return s.Bouncer.Start() },
	},
	{
		"PgBouncer freezes", ways[1], func(s *postgres.Server) error { return s.Bouncer.Freeze() },
		func(s *postgres.Server) error { return s.Bouncer.Thaw() },
	},
}

func crash(s *postgres.Server) error {
	s.Postgres.Stop(syscall.SIGQUIT)
	return nil
}

func restart(s *postgres.Server) error { return s.Postgres.Start() }

// The database goes away under load and comes back: no call fails, whoever manages the house is told why nothing can be
// changed, and everything is well again without a restart. With -soak it goes away again and again.
func TestOutage(t *testing.T) { // not parallel: what it loads the machine with would be measured by others
	beginReport(t)
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			s := postgres.Start(t)
			db := s.Database(t)
			with := options(simulate(t), "", o.way.env(db)...)
			h := &hurt{outage: o, server: s, nodes: []*node{start(t, with), start(t, with)}}
			h.prepare(t)
			l := &load{nodes: h.nodes, keys: h.keys}
			stop := l.begin(t)
			h.endure(t, l)
			stop()
			l.judge(t)
			h.rest(t)
			h.report(t, l)
		})
	}
}

// hurt are two nodes whose database goes away.
type hurt struct {
	outage
	server *postgres.Server
	nodes  []*node
	org    string
	keys   []key
	token  string // of a user who has signed in
	made   int    // keys since the preparation

	cycles    int
	slow      time.Duration // the longest that it took to be well again
	before    []state
	mostBytes float64
}

// prepare makes what is used while the database is away.
func (h *hurt) prepare(t *testing.T) {
	t.Helper()
	a := h.nodes[0]
	h.org = a.newOrg(t, "acme")
	for i := range 20 {
		h.keys = append(h.keys, a.newKey(t, h.org, fmt.Sprint("key ", i), nil))
	}
	h.token = newUser(t, a, h.org, "org_admin").signIn(t, a)
	for _, n := range h.nodes {
		becomes(t, "a node knows all keys", func() bool { return n.metric(t, "vel_keys") == float64(len(h.keys)+1) })
		h.before = append(h.before, n.state(t))
	}
}

// away is what holds on a node while its database is away. Everything is asked at once: an answer may take as long as the
// node waits for the database.
func (h *hurt) away(t *testing.T, n *node) {
	t.Helper()
	var asking sync.WaitGroup
	defer asking.Wait()
	asks := []ask{
		{adminKey, "GET", "/api/keys?organization=" + h.org, nil},
		{adminKey, "POST", "/api/keys?organization=" + h.org, object{"name": "never"}},
		{adminKey, "GET", "/api/organizations", nil},
		{h.token, "GET", "/api/users/me", nil},
		{h.token, "DELETE", h.keys[0].path(""), nil},
		{fmt.Sprintf("sk-vel-nobody-knows-this-one-at-the-api-%d", h.cycles), "GET", "/api/keys", nil},
	}
	if h.cycles == 0 { // more than five a minute are refused
		asks = append(asks, ask{"", "POST", "/api/auth/login", object{"email": "ada@" + h.org + ".example", "password": "Canary-Password-1"}})
	}
	for _, a := range asks {
		asking.Go(func() { a.isRefused(t, n) })
	}
	for i := range 3 {
		asking.Go(func() {
			a, err := n.chat(t.Context(), fmt.Sprintf("sk-vel-nobody-knows-this-one-%d-%d", h.cycles, i), "sim-echo", false)
			if err != nil || a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), `"database_unavailable"`) {
				t.Errorf("a key that nobody knows, while the database is away: %v %s", err, a)
			}
		})
	}
	if up := n.metric(t, "vel_database_up"); up != 0 {
		t.Errorf("vel_database_up is %g while the database is away", up)
	}
	began := time.Now()
	health := n.askAs(t, "", "GET", "/api/health", nil)
	took := time.Since(began)
	if health.status != http.StatusServiceUnavailable || !strings.Contains(string(health.body), `"reason":"the database does not answer"`) || took > time.Second {
		t.Errorf("/api/health, after %s: %s", took, health)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := n.askAs(t, "", "GET", path, nil); a.status != http.StatusOK {
			t.Errorf("%s: %s; a node that serves calls is taken out", path, a)
		}
	}
}

// ask is a request to the API.
type ask struct {
	credential, method, path string
	body                     any
}

// isRefused sends the request while the database is away: the answer gives the reason, soon, and says when to try again.
func (q ask) isRefused(t *testing.T, n *node) {
	t.Helper()
	began := time.Now()
	a, err := n.do(t.Context(), q.credential, q.method, q.path, q.body)
	took := time.Since(began)
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Content-Type") != "application/problem+json" ||
		a.field("type") != "urn:vel:problem:unavailable" || a.field("detail") == "" || seconds < 1 || took > noticed {
		t.Errorf("%s %s while the database is away: %v %s after %s, %v", q.method, q.path, err, a, took, a.header)
	}
}

// well is what holds once the database is back: news travels again.
func (h *hurt) well(t *testing.T) {
	t.Helper()
	p := &pair{h.nodes[0], h.nodes[1]}
	h.made++
	k := p.a.newKey(t, h.org, fmt.Sprint("after outage ", h.made), nil)
	p.opens(t, k.secret)
	p.a.must(t, http.StatusNoContent, "DELETE", k.path(""), nil)
	p.refuses(t, k.secret, http.StatusUnauthorized)
	for _, n := range h.nodes {
		if a := n.askAs(t, h.token, "GET", "/api/users/me", nil); a.status != http.StatusOK {
			t.Errorf("who signed in before the outage: %s", a)
		}
		if status := n.call(t, fmt.Sprintf("sk-vel-nobody-knows-this-one-either-%d", h.cycles), "sim-echo"); status != http.StatusUnauthorized {
			t.Errorf("a key that nobody knows: %d", status)
		}
	}
}

// cycle takes the database away once, for so long.
func (h *hurt) cycle(t *testing.T, l *load, away time.Duration) {
	t.Helper()
	if err := h.stop(h.server); err != nil {
		t.Fatal(err)
	}
	back := time.Now().Add(away)
	for _, n := range h.nodes {
		soon(t, noticed, "a node notices", func() bool { return n.metric(t, "vel_database_up") == 0 })
		h.away(t, n)
	}
	// What is called from here on is called with a database that has long been away.
	at := l.made()
	soon(t, patience, "calls go on", func() bool { return time.Now().After(back) && l.made() > at+100 })
	if err := h.start(h.server); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, n := range h.nodes {
		soon(t, healed, "a node is well", func() bool {
			return n.metric(t, "vel_database_up") == 1 && n.askAs(t, "", "GET", "/api/health", nil).status == http.StatusOK
		})
	}
	h.slow = max(h.slow, time.Since(began))
	h.well(t)
	h.cycles++
}

// soon waits until it is so, and ends the test if that takes longer than limit.
func soon(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := vel.Poll(ctx, what, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatal(err)
	}
}

// The keys that a database told of open nothing any more when it has been away for longer than snapshot_max_age, and
// that is a 503. Keys of the file open always, also one that the file gets meanwhile.
func TestSnapshotGrowsTooOld(t *testing.T) {
	t.Parallel()
	s := postgres.Start(t)
	o := options(simulate(t), "snapshot_max_age: 2s", "DATABASE_URL="+s.Database(t).URL)
	n := start(t, o)
	k := n.newKey(t, n.newOrg(t, "acme"), "key", object{"role": "org_admin"})
	soon(t, heard, "the node knows the key", func() bool { return n.metric(t, "vel_keys") == 2 })
	if err := crash(s); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	soon(t, healed, "the key is too old", func() bool {
		a, err := n.chat(t.Context(), k.secret, "sim-echo", false)
		if err != nil {
			t.Fatal(err)
		}
		if filed := n.call(t, fileKey, "sim-echo"); filed != http.StatusOK {
			t.Fatalf("the key of the file gets %d", filed)
		}
		if a.status == http.StatusServiceUnavailable && strings.Contains(string(a.body), `"database_unavailable"`) {
			return true
		}
		if a.status != http.StatusOK {
			t.Fatalf("the key of the database: %s", a)
		}
		return false
	})
	if took := time.Since(began); took < time.Second {
		t.Errorf("the key opened nothing after %s; it is believed for 2s after the last answer of the database", took)
	}
	if a := n.askAs(t, k.secret, "GET", "/api/keys", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("the key at the API: %s", a)
	}
	const second = "sk-vel-canary-nodes-second-0123456789abcdefghijk"
	if err := n.WriteConfig(o.Config + "  second: {keys: {second: {key: " + second + "}}}\n"); err != nil {
		t.Fatal(err)
	}
	soon(t, healed, "the file's new key opens", func() bool { return n.call(t, second, "sim-echo") == http.StatusOK })
	if status := n.call(t, k.secret, "sim-echo"); status != http.StatusServiceUnavailable {
		t.Errorf("the key of the database after a reload: %d", status)
	}
	if err := s.Postgres.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, healed, "the key opens again", func() bool { return n.call(t, k.secret, "sim-echo") == http.StatusOK })
}
