package admin

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vel-gateway/vel/tenancy"
)

// Every fault of a request stands in the answer, each with its place, and nothing of what was sent.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		path, body string
		want       []string // the places
	}{
		"key": {
			"/api/keys?nonsense=1&team=x",
			`{"name":"a\u0000b","models":["",7,"ok"],"expires":"2020-01-01T00:00:00Z","role":"no id","secret":"CANARY","disabled":"yes"}`,
			[]string{"body.disabled", "body.expires", "body.models[0]", "body.models[1]", "body.name", "body.role", "body.secret", "query.nonsense", "query.team"},
		},
		"user": {
			"/api/users", `{"email":"Ann <ann@example.com>","password":"CANARY","roles":["a b"],"teams":"none"}`,
			[]string{"body", "body.email", "body.password", "body.roles[0]", "body.teams"}, // the name is missing
		},
		"spaces":   {"/api/users", `{"name":"  ","email":"    "}`, []string{"body.email", "body.name"}},
		"nothing":  {"/api/users", `{}`, []string{"body", "body"}},
		"role":     {"/api/roles", `{"name":"` + strings.Repeat("x", 65) + `","permissions":["fly","manage_platform"]}`, []string{"body.name", "body.permissions", "body.permissions[0]"}},
		"no date":  {"/api/keys", `{"name":"k","expires":"tomorrow"}`, []string{"body.expires"}},
		"year one": {"/api/keys", `{"name":"k","expires":"0001-01-01T00:00:00Z"}`, []string{"body.expires"}},
		"a list":   {"/api/teams", `[]`, []string{"body"}},
		"objects":  {"/api/keys", `{"name":{},"models":[{},[]]}`, []string{"body.models[0]", "body.models[1]", "body.name"}},
		"password": {"/api/auth/login", `{"email":"a@example.com","password":["CANARY"]}`, []string{"body.password"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.do("admin", "POST", c.path, c.body)
			p := a.problem(invalid)
			var got []string
			for _, f := range p.Errors {
				got = append(got, f.Location)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("faults at %q, want %q: %s", got, c.want, a.body)
			}
			if strings.Contains(string(a.body), "CANARY") {
				t.Errorf("a secret is repeated: %s", a.body)
			}
		})
	}
	if strings.Contains(w.log.String(), "CANARY") {
		t.Error("a secret is in the log")
	}
}

// A body that two readers would read differently is refused.
func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		body string
		kind kind
	}{
		"empty":         {"", malformed},
		"cut off":       {`{"name":`, malformed},
		"twice":         {`{"name":"a","name":"b"}`, malformed},
		"twice, deeper": {`{"name":"a","x":[{"y":1,"y":2}]}`, malformed},
		"other case":    {`{"Name":"a"}`, malformed},
		"long s":        {`{"di\u017fabled":true,"name":"a"}`, malformed},
		"two values":    {`{"name":"a"}{"name":"b"}`, malformed},
		"not UTF-8":     {"{\"name\":\"\xff\"}", malformed},
		"deep":          {strings.Repeat("[", 1000) + strings.Repeat("]", 1000), malformed},
		"huge":          {`{"name":"` + strings.Repeat("x", 1<<20) + `"}`, tooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.do("admin", "POST", "/api/keys", c.body).problem(c.kind)
		})
	}
	w.do("admin", "POST", "/api/teams", `{"name":"a"}`, "Content-Type", "text/plain").problem(notJSON)
	w.do("admin", "POST", "/api/teams", `{"name":"typed"}`, "Content-Type", "application/json; charset=utf-8").want(201)
	r := httptest.NewRequest("POST", "/api/teams", iotest.ErrReader(iotest.ErrTimeout))
	r.Header.Set("Authorization", "Bearer "+w.tokens["admin"])
	w.send(r).problem(malformed)
}

func TestPathsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api", "/api/", "/api/nothing", "/api/teams/", "/api//teams", "/api/./teams", "/api/x/../teams", "/api/keys/a/b", "/api/docs/none.js", "/"} {
		w.do("admin", "GET", path, nil).problem(notFound)
	}
	for path, allow := range map[string]string{"/api/teams": "GET, HEAD, POST", "/api/auth/login": "POST", "/api/users/me": "GET, HEAD", "/api/teams/team_red": "DELETE, GET, HEAD, PUT", "/api/docs": "GET, HEAD"} {
		if a := w.do("admin", "PATCH", path, nil); a.header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, a.header.Get("Allow"), allow)
		} else {
			a.problem(wrongMethod)
		}
	}
	w.do("admin", "DELETE", "/api/users/me", nil).problem(wrongMethod) // it is no id
	w.do("admin", "GET", "/api/teams/{id}", nil).problem(invalid)
	w.do("admin", "GET", "/api/users/m%65", nil).want(200)
	for _, id := range []string{"a%00b", "%25", "x%20y", strings.Repeat("x", 161)} {
		w.do("admin", "GET", "/api/teams/"+id, nil).problem(invalid)
	}
	for _, tag := range []string{"", "1", `"x"`, `"1", "2"`, `"99999999999999999999"`} {
		w.do("admin", "DELETE", "/api/teams/team_red", nil, "If-Match", tag).problem(invalid)
	}
	w.do("admin", "DELETE", "/api/teams/team_red", nil, "If-Match", "*").want(204)
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{}
	for _, path := range []string{"/api/health", "/api/teams", "/api/none", "/api/docs", "/api/openapi.json", "/api/teams?x=1"} {
		a := w.do("admin", "GET", path, nil)
		id := a.header.Get("X-Request-Id")
		if seen[id] || !strings.HasPrefix(id, "req_") || !strings.Contains(w.log.String(), id) {
			t.Errorf("%s: the id %q is none", path, id)
		}
		seen[id] = true
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if a.header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, a.header.Get(name))
			}
		}
		if page := path == "/api/docs"; !page && a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}

// A panic is a bug, and still an answer.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.teams.fail = func(string, *tenancy.Team) error { panic("CANARY of a panic") }
	a := w.do("admin", "GET", "/api/teams", nil)
	a.problem(internal)
	if strings.Contains(string(a.body), "CANARY") || !strings.Contains(w.log.String(), "CANARY") {
		t.Errorf("answer %s, log %s", a.body, w.log)
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":{"b":[1,{"c":null}]},"d":"e"}`, `[[]]`, `{"A":1}`, `{"a":1,"a":2}`, `"`, `{"a"`, "\xff", `{"ſ":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if err := readJSON(data, &v); err != nil {
			return
		}
		// What is accepted binds by exact names only.
		var bound struct {
			S *any `json:"s"`
			K *any `json:"k"`
		}
		m, ok := v.(map[string]any)
		if !ok || readJSON(data, &bound) != nil {
			return
		}
		if (m["s"] != nil) != (bound.S != nil) || (m["k"] != nil) != (bound.K != nil) {
			t.Errorf("%q binds a member by another name", data)
		}
	})
}
