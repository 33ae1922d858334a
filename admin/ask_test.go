package admin

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// SDKs and proxies send credentials in several ways; each kind of credential may come in each.
func TestCarriers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, who := range []string{"admin", "robot", "vel"} {
		for _, carrier := range [][2]string{
			{"Authorization", "Bearer "}, {"Authorization", "bearer  "}, {"api-key", ""}, {"x-api-key", ""}, {"x-goog-api-key", ""},
		} {
			r := httptest.NewRequest("GET", "/api/keys", nil)
			r.Header.Set(carrier[0], carrier[1]+w.tokens[who])
			if a := w.send(r); a.status != 200 {
				t.Errorf("%s in %s: %d", who, carrier[0], a.status)
			}
		}
	}
	for _, credential := range []string{"", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer x", "Bearer vs-x", "Bearer " + strings.Repeat("x", 10000), "Bearer " + adminKey + "x"} {
		r := httptest.NewRequest("GET", "/api/keys", nil)
		r.Header.Set("Authorization", credential)
		a := w.send(r)
		a.problem(unauthenticated)
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%.20q: no WWW-Authenticate", credential)
		}
	}
}

// Without VEL_ADMIN_KEY nothing opens as it: not even the hash of nothing.
func TestNoAdminKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.Deps
	d.AdminKey, d.Registerer = secrets.Secret{}, prometheus.NewRegistry()
	w.Server = NewServer(d)
	w.do("vel", "GET", "/api/keys", nil).problem(unauthenticated)
	w.do("admin", "GET", "/api/keys", nil).want(200)
}

// Who is shut out is so at once, whichever way.
func TestShutOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		as  string
		out func(*database)
	}{
		"user disabled": {"viewer", func(d *database) {
			u := d.users.rows["user_viewer"]
			u.Disabled = true
			d.users.rows[u.ID] = u
		}},
		"user gone":       {"viewer", func(d *database) { delete(d.users.rows, "user_viewer") }},
		"session expired": {"viewer", func(d *database) { d.pass(tenancy.SessionLife) }},
		"organization disabled": {"viewer", func(d *database) {
			o := d.orgs.rows[acme]
			o.Disabled = true
			d.orgs.rows[acme] = o
		}},
		"organization gone": {"viewer", func(d *database) { delete(d.orgs.rows, acme) }},
		"organization of a key disabled": {"robot", func(d *database) {
			o := d.orgs.rows[acme]
			o.Disabled = true
			d.orgs.rows[acme] = o
		}},
		"key disabled": {"robot", func(d *database) {
			k := d.keys.rows["key_robot"]
			k.Disabled = true
			d.keys.rows[k.ID] = k
		}},
		"key expired": {"robot", func(d *database) {
			k := d.keys.rows["key_robot"]
			k.Expires = start.Add(time.Hour)
			d.keys.rows[k.ID] = k
			d.pass(time.Hour)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.do(c.as, "GET", "/api/keys", nil).want(200)
			c.out(w.db)
			w.do(c.as, "GET", "/api/keys", nil).problem(unauthenticated)
		})
	}
}

// While the database is away nobody is told that their credential is wrong.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.goAway()
	for _, as := range []string{"viewer", "robot", "vel"} {
		a := w.do(as, "GET", "/api/keys", nil)
		if p := a.problem(unavailable); a.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "database") {
			t.Errorf("%s: %s", as, a.body)
		}
	}
	stale := w.db.index().Stale(true)
	w.Index = func() *tenancy.KeyIndex { return stale }
	w.do("robot", "GET", "/api/keys", nil).problem(unavailable)
}

// A key that another node has just made is looked up before it is refused.
func TestFreshKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.db.index()
	w.db.keys.rows = map[tenancy.ID]tenancy.APIKey{}
	away := error(nil)
	w.FindFresh = func(hash tenancy.Hash) (*tenancy.Principal, error) {
		if away != nil {
			return nil, away
		}
		return made.Lookup(hash, w.db.clock())
	}
	w.do("robot", "GET", "/api/teams", nil).want(200)
	w.tokens["nobody"] = tenancy.NewKeySecret().Reveal()
	w.do("nobody", "GET", "/api/teams", nil).problem(unauthenticated)
	away = &tenancy.Unavailable{Cause: io.ErrUnexpectedEOF}
	w.do("nobody", "GET", "/api/teams", nil).problem(unavailable)
}
