package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vel-gateway/vel/tests/openapi"
)

// tenant is an organization with one of everything. Its name stands in the names of all that it has.
type tenant struct {
	office   *office
	name     string
	password string // of all its people
	org      string // its id, and those of what it has
	team     string
	user     string
	email    string // of the user
	session  string // of the user
	role     string
	key      string
	secret   string // of the key
	limit    string // of a key of its own
	budget   string
	admin    *caller // an org_admin who has signed in
	webhook  string
	agent    string
	made     atomic.Int32
}

// tenant makes one; its name must be its own.
func (o *office) tenant(t *testing.T, name string) *tenant {
	t.Helper()
	n := &tenant{office: o, name: name, password: "Canary-" + name + "-1"}
	n.org = o.organization(t, name)
	n.team = n.fresh(t, "team")
	n.role = n.fresh(t, "role")
	n.user = n.person(t, "org_admin")
	n.admin, n.email = n.signedIn(t, n.user), n.emailOf(t, n.user)
	n.session = n.admin.session(t)
	key := o.root.create(t, "/api/keys", members{"organization": n.org, "name": n.word(), "team": n.team, "user": n.user, "role": n.role})
	n.key, n.secret = key["id"].(string), key["secret"].(string)
	n.limit, n.budget, n.webhook, n.agent = n.fresh(t, "limit"), n.fresh(t, "budget"), n.fresh(t, "webhook"), n.fresh(t, "agent")
	return n
}

// word is a name that nothing else has.
func (n *tenant) word() string { return fmt.Sprintf("%s-%d", n.name, n.made.Add(1)) }

// person makes a user with the tenant's password.
func (n *tenant) person(t *testing.T, roles ...string) (id string) {
	t.Helper()
	name := n.word()
	return n.office.root.create(t, "/api/users", members{
		"organization": n.org, "name": name, "email": name + "@example.com", "password": n.password, "roles": roles,
	})["id"].(string)
}

// signedIn signs a user of the tenant in.
func (n *tenant) signedIn(t *testing.T, user string) *caller {
	t.Helper()
	return n.office.login(t, n.emailOf(t, user), n.password, n.org)
}

func (n *tenant) emailOf(t *testing.T, user string) string {
	t.Helper()
	return n.office.root.do(t, "GET", "/api/users/"+user+within(n.org), nil).want(t, http.StatusOK).member(t, "email").(string)
}

// robot is a key of the tenant; role "" is none.
func (n *tenant) robot(t *testing.T, role string) *caller {
	t.Helper()
	body := members{"organization": n.org, "name": n.word()}
	if role != "" {
		body["role"] = role
	}
	return n.office.caller(n.office.root.create(t, "/api/keys", body)["secret"].(string))
}

// fresh makes an object that nothing needs: an organization, team, user, role, key, limit, budget, provider or route.
func (n *tenant) fresh(t *testing.T, kind string) (id string) {
	t.Helper()
	name := n.word()
	body := members{"name": name}
	switch kind {
	case "user":
		body["email"] = name + "@example.com"
	case "role":
		body["permissions"] = []string{"view_organization", "manage_teams", "manage_keys"}
	case "provider":
		body = nowhere(name)
	case "route":
		body["targets"] = n.targets(t)
	case "limit": // there is one of each key
		body = members{"rpm": 1, "key": n.fresh(t, "key")}
	case "agent":
		body["model"] = "sim-fast"
	case "webhook":
		body["url"], body["events"] = "https://127.0.0.1:9/hooks", []string{"batch.*"}
	case "budget":
		body["usd"], body["per"] = "1", "day"
	}
	if kind != "organization" && kind != "provider" && kind != "route" {
		body["organization"] = n.org
	}
	return n.office.root.create(t, "/api/"+kind+"s", body)["id"].(string)
}

// nowhere is the body of one that is not there.
func nowhere(name string) members {
	return members{"name": name, "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "allow_private": true, "api_key": "canary-key-of-" + name}
}

// targets are those of a route that goes nowhere.
func (n *tenant) targets(t *testing.T) []members {
	t.Helper()
	made := n.office.root.create(t, "/api/providers", nowhere(n.word()))
	return []members{{"provider": made["name"], "model": "m"}}
}

// deed is a good request of one operation to a tenant: whoever may, does it.
type deed struct {
	on     string                  // what the path names, and is made for each request; "" is nothing
	body   func(n *tenant) members // nil is none
	routed bool                    // the body names a provider
	keyed  bool                    // the body names a key, which has nothing of the kind yet
	status int
	ends   bool // the session that it is made with
}

// deeds are those of every operation.
func deeds() map[string]deed {
	named := func(n *tenant) members { return members{"name": n.word()} }
	user := func(n *tenant) members {
		name := n.word()
		return members{"name": name, "email": name + "@example.com"}
	}
	chats := func(n *tenant) members { return members{"name": n.word(), "model": "sim-fast"} }
	hook := func(n *tenant) members {
		return members{"name": n.word(), "url": "https://127.0.0.1:9/hooks", "events": []string{"batch.*"}}
	}
	role := func(n *tenant) members {
		return members{"name": n.word(), "permissions": []string{"view_organization"}}
	}
	perMinute := func(*tenant) members { return members{"rpm": 2, "on_store_failure": "open"} }
	const ok, created, empty = http.StatusOK, http.StatusCreated, http.StatusNoContent
	return map[string]deed{
		"get-health": {status: ok},

		"login": {status: ok, body: func(n *tenant) members {
			return members{"email": n.email, "password": n.password, "organization": n.org}
		}},
		// There is no single sign-on here; where there is, codes are tested.
		"exchange-code": {status: http.StatusNotFound, body: func(*tenant) members {
			return members{"code": "code", "verifier": strings.Repeat("v", 43)}
		}},
		"refresh":       {status: ok, ends: true},
		"logout":        {status: empty, ends: true},
		"list-sessions": {status: ok},
		"end-session":   {on: "session", status: empty, ends: true},
		"get-me":        {status: ok},
		"change-own-password": {status: empty, ends: true, body: func(n *tenant) members {
			return members{"old": n.password, "new": "Other-" + n.password}
		}},

		"list-organizations":  {status: ok},
		"get-organization":    {on: "tenant", status: ok},
		"create-organization": {status: created, body: named},
		"change-organization": {on: "tenant", status: ok, body: func(n *tenant) members { return members{"name": n.name} }},
		"delete-organization": {on: "organization", status: empty},

		"list-teams":  {status: ok},
		"get-team":    {on: "team", status: ok},
		"create-team": {status: created, body: named},
		"change-team": {on: "team", status: ok, body: named},
		"delete-team": {on: "team", status: empty},

		"list-users":     {status: ok},
		"get-user":       {on: "user", status: ok},
		"create-user":    {status: created, body: user},
		"change-user":    {on: "user", status: ok, body: user},
		"delete-user":    {on: "user", status: empty},
		"set-user-roles": {on: "user", status: ok, body: func(*tenant) members { return members{"roles": []string{"viewer"}} }},
		"change-password": {on: "user", status: empty, body: func(n *tenant) members {
			return members{"password": n.password}
		}},

		"list-roles":  {status: ok},
		"get-role":    {on: "role", status: ok},
		"create-role": {status: created, body: role},
		"change-role": {on: "role", status: ok, body: role},
		"delete-role": {on: "role", status: empty},

		"list-keys":        {status: ok},
		"get-key":          {on: "key", status: ok},
		"create-key":       {status: created, body: named},
		"change-key":       {on: "key", status: ok, body: named},
		"delete-key":       {on: "key", status: empty},
		"list-audit":       {status: ok},
		"export-audit":     {status: ok},
		"list-audit-heads": {status: ok},

		"list-calls":     {status: ok},
		"get-call":       {on: "call", status: http.StatusNotFound}, // nobody calls a model here
		"export-calls":   {status: ok},
		"get-usage":      {status: ok},
		"get-costs":      {status: ok},
		"get-call-route": {on: "call", status: http.StatusNotFound},
		"dry-run-route":  {status: ok, body: func(*tenant) members { return members{"model": "gpt-4o"} }},
		"diff-routes":    {status: ok, body: func(*tenant) members { return members{"with": "models: {}"} }},
		"get-price":      {status: ok},
		"purge-cache":    {status: ok, body: func(*tenant) members { return members{} }},
		"list-targets":   {status: ok},
		"reset-target":   {status: empty, body: func(*tenant) members { return members{"target": "simulator/sim-fast"} }},

		"rotate-key": {on: "key", status: ok, body: func(*tenant) members { return members{"overlap_seconds": 60} }},

		"list-providers":  {status: ok},
		"get-provider":    {on: "provider", status: ok},
		"create-provider": {status: created, body: func(n *tenant) members { return nowhere(n.word()) }},
		"change-provider": {on: "provider", status: ok, body: func(n *tenant) members { return nowhere(n.word()) }},
		"delete-provider": {on: "provider", status: empty},
		"test-provider":   {on: "provider", status: ok},

		"list-routes":  {status: ok},
		"get-route":    {on: "route", status: ok},
		"create-route": {status: created, body: named, routed: true},
		"change-route": {on: "route", status: ok, body: named, routed: true},
		"delete-route": {on: "route", status: empty},

		"list-limits":          {status: ok},
		"get-limit":            {on: "limit", status: ok},
		"get-limit-usage":      {on: "limit", status: ok},
		"create-limit":         {status: created, body: perMinute, keyed: true},
		"change-limit":         {on: "limit", status: ok, body: perMinute},
		"delete-limit":         {on: "limit", status: empty},
		"reset-limit":          {on: "limit", status: empty},
		"set-user-rate-limits": {on: "user", status: ok, body: perMinute},

		"list-budgets":     {status: ok},
		"get-budget":       {on: "budget", status: ok},
		"get-budget-usage": {on: "budget", status: ok},
		"create-budget": {status: created, body: func(n *tenant) members {
			return members{"name": n.word(), "usd": "1", "per": "month", "timezone": "Europe/Berlin"}
		}},
		"change-budget": {on: "budget", status: ok, body: func(n *tenant) members { return members{"name": n.word(), "usd": "2.5"} }},
		"delete-budget": {on: "budget", status: empty},
		"reset-budget":  {on: "budget", status: ok},

		"verify-ledger": {status: ok},
		"repair-ledger": {status: ok},

		"create-task": {status: created, body: func(*tenant) members {
			return members{"body": members{"model": "nothing", "messages": []members{{"role": "user", "content": "hello"}}}}
		}},
		"list-tasks":           {status: ok},
		"get-task":             {on: "task", status: http.StatusNotFound}, // what is made of tasks stands in tasks_test.go
		"cancel-task":          {on: "task", status: http.StatusNotFound},
		"stream-task":          {on: "task", status: http.StatusNotFound},
		"stream-task-response": {on: "task", status: http.StatusNotFound},

		"create-batch":      {status: created, body: named},
		"list-batches":      {status: ok},
		"get-batch":         {on: "batch", status: http.StatusNotFound},
		"add-batch-items":   {on: "batch", status: http.StatusNotFound, body: func(*tenant) members { return members{} }},
		"start-batch":       {on: "batch", status: http.StatusNotFound},
		"cancel-batch":      {on: "batch", status: http.StatusNotFound},
		"retry-batch":       {on: "batch", status: http.StatusNotFound},
		"get-batch-results": {on: "batch", status: http.StatusNotFound},

		"list-agents":         {status: ok},
		"get-agent":           {on: "agent", status: ok},
		"list-agent-versions": {on: "agent", status: ok},
		"diff-agent":          {on: "agent", status: ok},
		"create-agent":        {status: created, body: chats},
		"change-agent":        {on: "agent", status: ok, body: chats},
		"delete-agent":        {on: "agent", status: empty},
		"activate-agent":      {on: "agent", status: ok},
		"deactivate-agent":    {on: "agent", status: ok},
		"restore-agent":       {on: "agent", status: ok, body: func(*tenant) members { return members{"version": 1} }},
		"test-agent":          {on: "agent", status: ok, body: func(*tenant) members { return members{"dry_run": true} }},

		"list-webhooks":   {status: ok},
		"get-webhook":     {on: "webhook", status: ok},
		"create-webhook":  {status: created, body: hook},
		"change-webhook":  {on: "webhook", status: ok, body: hook},
		"delete-webhook":  {on: "webhook", status: empty},
		"rotate-webhook":  {on: "webhook", status: ok, body: func(*tenant) members { return members{"overlap_seconds": 60} }},
		"test-webhook":    {on: "webhook", status: ok}, // it is told that nothing answers there
		"list-deliveries": {on: "webhook", status: ok},
		"get-delivery":    {on: "delivery", status: http.StatusNotFound},
		"redeliver":       {on: "delivery", status: http.StatusNotFound},

		"get-secrets":    {status: ok},
		"rotate-secrets": {status: ok},
	}
}

// noTask is the id of a task that nobody has made.
const noTask = "task_00000000000000000000000000000001"

// noBatch is the id of a batch that nobody has made.
const noBatch = "batch_00000000000000000000000000000001"

// noDelivery is the id of a delivery that nobody gets.
const noDelivery = "delivery_00000000000000000000000000000001"

// noCall is the id of a call that nobody has made.
const noCall = "req_00000000000000000000000000000001"

// object is the id that a deed's path names.
func (n *tenant) object(t *testing.T, d deed, by *caller) (id string) {
	t.Helper()
	switch d.on {
	case "":
		return ""
	case "tenant":
		return n.org
	case "session":
		return by.session(t)
	case "task":
		return noTask
	case "delivery":
		return noDelivery
	case "batch":
		return noBatch
	case "call":
		return noCall
	}
	return n.fresh(t, d.on)
}

// errand is one request of an operation, taken apart.
type errand struct {
	*openapi.Operation
	id     string // in the path; "": it has none
	query  url.Values
	header http.Header
	body   members // nil is none
	by     *caller
}

// errand is a deed on a new object.
func (n *tenant) errand(t *testing.T, o *openapi.Operation, d deed, by *caller) *errand {
	t.Helper()
	e := &errand{Operation: o, id: n.object(t, d, by), query: url.Values{}, header: http.Header{}, by: by}
	if d.body != nil {
		e.body = d.body(n)
	}
	if d.routed {
		e.body["targets"] = n.targets(t)
	}
	if d.keyed {
		e.body["key"] = n.fresh(t, "key")
	}
	if o.ID == "change-provider" { // but for its name, which never changes
		e.body["name"] = n.office.root.do(t, "GET", "/api/providers/"+e.id, nil).member(t, "name")
	}
	switch o.ID {
	case "get-price": // the simulator is there as long as nothing else was at the start
		e.query = url.Values{"provider": {"simulator"}, "model": {"sim-fast"}}
	case "get-usage": // what now is changes with each request
		e.query = url.Values{"from": {"2026-01-01T00:00:00Z"}, "to": {"2026-02-01T00:00:00Z"}}
	}
	for _, p := range o.Parameters {
		if p == (openapi.Parameter{Name: "organization", In: "query"}) {
			e.query.Set("organization", n.org)
		}
	}
	return e
}

func (e *errand) path() string { return strings.Replace(e.Path, "{id}", url.PathEscape(e.id), 1) }

// run makes the request.
func (e *errand) run(t *testing.T) answer {
	t.Helper()
	path, body := e.path(), any(nil)
	if len(e.query) > 0 {
		path += "?" + e.query.Encode()
	}
	if e.body != nil {
		body = e.body
	}
	return e.by.do(t, e.Method, path, body, func(r *http.Request) {
		for name := range e.header {
			r.Header.Set(name, e.header.Get(name))
		}
	})
}

// human tells whether somebody has signed in.
func (c *caller) human() bool { return strings.HasPrefix(c.token, "vs-") }

// session is the id of the session that somebody uses; who has none gets an id that nobody has.
func (c *caller) session(t *testing.T) string {
	t.Helper()
	a := c.do(t, "GET", "/api/auth/sessions", nil)
	if a.status != http.StatusOK {
		return "session_00000000000000000000000000000000"
	}
	for _, s := range read[page](t, a).Data {
		if s["current"] == true {
			return s["id"].(string)
		}
	}
	t.Fatalf("no session is the current one: %s", a.body)
	return ""
}
