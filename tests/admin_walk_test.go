package tests

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/openapi"
	"github.com/vel-gateway/vel/tests/postgres"
)

// TestTenantsWalk walks every operation as an administrator of another organization, by a session and by a key, with
// what the first organization has in every place of the path, the query, the headers and the body. Nothing of it may be
// seen or changed, and no answer may tell what exists there from what exists nowhere.
func TestTenantsWalk(t *testing.T) {
	t.Parallel()
	walkTenants(t, openOffice(t, ""))
}

// TestTenantsWalkOnPostgres is the same where rows are guarded by the database too.
func TestTenantsWalkOnPostgres(t *testing.T) {
	t.Parallel()
	walkTenants(t, openOffice(t, "", onPostgres(t)...))
}

// onPostgres is the environment of a Vel on a private Postgres.
func onPostgres(t *testing.T) (env []string) {
	t.Helper()
	return []string{"DATABASE_URL=" + postgres.Start(t).Database(t).URL, "VEL_SECRET_KEY=canary-secret-key-0123456789abcdefghijklmn"}
}

func walkTenants(t *testing.T, o *office) {
	t.Helper()
	first, second := o.tenant(t, "walked"), o.tenant(t, "walker")
	first.share(t)
	first.repeatable(t, first.name)
	before := first.everything(t)
	w := &walk{first, second, first.words(t), map[string]bool{}, nil}
	for name, by := range map[string]*caller{"session": second.admin, "key": second.robot(t, "org_admin")} {
		t.Run(name, func(t *testing.T) {
			for _, operation := range o.document.Operations() {
				t.Run(operation.ID, func(t *testing.T) { w.operation(t, operation, by) })
			}
		})
	}
	for _, place := range []string{"path", "query", "header", "body"} {
		if !w.been[place] {
			t.Errorf("the walk has put nothing into a %s", place)
		}
	}
	if after := first.everything(t); after != before {
		t.Errorf("the walk has changed the first organization:\n%s\n%s", before, after)
	}
}

// walk is one walk through another organization.
type walk struct {
	first, second *tenant
	words         []string        // of the first one: what it has and nobody else
	been          map[string]bool // where something was put
	asked         []string        // what was: it stands in the log of who asked for it
}

// operation puts something of the first organization into one place after the other.
func (w *walk) operation(t *testing.T, o *openapi.Operation, by *caller) {
	d, ok := deeds()[o.ID]
	if !ok {
		t.Fatal("the walk does not know how to call it")
	}
	if o.Permission == "manage_platform" && !strings.HasPrefix(o.Path, "/api/organizations") { // of the house, and of no organization
		w.see(t, w.errand(t, o, d, by)).problem(t, http.StatusForbidden, "not-allowed")
		return
	}
	w.see(t, w.errand(t, o, d, by), w.known(o)...) // as it is: lists, above all
	places := slices.Clone(o.Parameters)
	for _, name := range o.Body {
		places = append(places, openapi.Parameter{Name: name, In: "body"})
	}
	for _, place := range places {
		theirs, nobodys, known := w.values(place, o, d)
		if !known {
			t.Errorf("the walk does not know what to put into %s %s", place.In, place.Name)
		}
		if theirs == nil {
			continue
		}
		t.Run(place.In+" "+place.Name, func(t *testing.T) {
			w.been[place.In] = true
			w.put(t, o, d, by, place, theirs, nobodys)
		})
	}
}

// values are what to put into a place: of the first organization, and the same of nobody. Where nothing can be of
// anybody, it is nil.
func (w *walk) values(place openapi.Parameter, o *openapi.Operation, d deed) (theirs, nobodys any, known bool) {
	n := w.first
	ids := map[string]string{
		"organization": n.org, "tenant": n.org, "team": n.team, "user": n.user, "role": n.role, "key": n.key, "session": n.session, "call": noCall,
		"limit": n.limit, "budget": n.budget, "task": noTask, "batch": noBatch, "webhook": n.webhook, "agent": n.agent, "delivery": noDelivery, "deliverie": noDelivery,
	}
	one := func(kind string) (theirs, nobodys any, known bool) {
		id, ok := ids[kind]
		return id, madeUp(id), ok
	}
	if strings.HasSuffix(o.ID, "-audit") && place.In == "query" && place.Name != "organization" && place.Name != "actor" || o.ID == "export-audit" && place.Name == "actor" {
		return nil, nil, true // it narrows a log, whosever that is
	}
	if (o.ID == "export-calls" || o.ID == "diff-routes") && place.Name != "organization" || o.ID == "list-calls" && place.Name == "after" {
		return nil, nil, true // it narrows calls, whosever they are
	}
	if strings.Contains(o.ID, "agent") && slices.Contains([]string{
		"description", "model", "fallbacks", "system_prompt", "temperature", "top_p", "max_tokens", "response_format", "tools", "task_types", "attempts", "backoff_s", "retry_on", "timeout_s",
		"active", "version", "from", "to", "dry_run", "input",
	}, place.Name) {
		return nil, nil, true // it says what an agent is, or narrows what is one's own
	}
	if (strings.Contains(o.ID, "webhook") || o.ID == "list-deliveries") && slices.Contains([]string{"url", "events", "state"}, place.Name) {
		return nil, nil, true // it says what a webhook is, or narrows what is one's own
	}
	if (strings.Contains(o.ID, "-task") || strings.Contains(o.ID, "batch")) && slices.Contains([]string{
		"state", "agent", "input", "messages", "batch", "body", "deadline", "endpoint", "priority", "retry", "start_at", "tags", "last_event_id", "Last-Event-ID", "content", "parallel", "items", "draft", "format", "from",
	}, place.Name) {
		return nil, nil, true // it says what a task is, or narrows what is one's own
	}
	switch place {
	case openapi.Parameter{Name: "id", In: "path"}:
		return one(d.on)
	case openapi.Parameter{Name: "after", In: "query"}:
		return one(strings.TrimSuffix(strings.NewReplacer("audit-heads", "organizations", "batches", "batchs").Replace(strings.TrimPrefix(o.ID, "list-")), "s"))
	case openapi.Parameter{Name: "Idempotency-Key", In: "header"}:
		return n.name + o.ID, w.second.word(), true
	case openapi.Parameter{Name: "If-Match", In: "header"}, openapi.Parameter{Name: "limit", In: "query"}:
		return nil, nil, true
	}
	switch place.Name {
	case "actor":
		return one("user")
	case "organization", "team", "user", "role", "key":
		return one(place.Name)
	case "teams", "roles":
		theirs, nobodys, known = one(strings.TrimSuffix(place.Name, "s"))
		return []any{theirs}, []any{nobodys}, known
	case "name":
		return common, w.second.word(), true
	case "email":
		return common + "@example.com", w.second.word() + "@example.com", true
	case "disabled", "keep_content", "over_budget", "models", "permissions", "expires", "password", "old", "new", "overlap_seconds", "cookie", "code", "verifier",
		"rpm", "burst", "rph", "rpd", "tpm", "tph", "tpd", "in_flight", "on_store_failure", "usd", "warn_at_percent", "hard":
		return nil, nil, true
	case "from", "to", "route", "provider", "model", "endpoint", "tag", "class", "failed", "unpriced", "q", "content", "by", "per", "format", "timezone", "since":
		return nil, nil, true // of calls: they narrow what is one's own
	case "body", "headers", "id", "images", "json_schema", "max_tokens", "session", "stream", "tags", "task", "tokens", "tools":
		return nil, nil, o.ID == "dry-run-route" // of a call that is not made: whose it is, is said beside them
	}
	return nil, nil, false
}

// known is what an answer may say of the first organization because it was asked before: a log says what was refused.
func (w *walk) known(o *openapi.Operation) []string {
	if !strings.HasSuffix(o.ID, "-audit") {
		return nil
	}
	return w.asked
}

// madeUp is an id of the same form that nobody has.
func madeUp(id string) string {
	kind, _, _ := strings.Cut(id, "_")
	return kind + "_" + strings.Repeat("0", 32)
}

// put makes two requests, and compares the answers.
func (w *walk) put(t *testing.T, o *openapi.Operation, d deed, by *caller, place openapi.Parameter, theirs, nobodys any) {
	t.Helper()
	e := w.errand(t, o, d, by)
	e.set(place, theirs)
	w.asked = append(w.asked, fmt.Sprint(theirs))
	got := w.see(t, e, append(w.known(o), fmt.Sprint(theirs))...)
	e = w.errand(t, o, d, by)
	e.set(place, nobodys)
	other := w.see(t, e, w.known(o)...)
	if got.status != other.status {
		t.Fatalf("status %d for what is theirs, and %d for what is nobody's\n%s\n%s", got.status, other.status, got.body, other.body)
	}
	if o.Permission == "manage_platform" || o.Permission == "session" && !by.human() { // whatever is named
		got.want(t, http.StatusForbidden)
		return
	}
	switch {
	case place.In == "path", place.Name == "organization" && o.ID != "login":
		got.want(t, http.StatusNotFound)
	case o.ID == "login":
		got.want(t, http.StatusUnauthorized)
	case place.In == "query" && place.Name != "after":
		if found := read[page](t, got.want(t, http.StatusOK)).Data; len(found) > 0 {
			t.Errorf("a list that should be empty: %s", got.body)
		}
	case place.In == "body" && place.Name != "name" && place.Name != "email":
		got.want(t, http.StatusUnprocessableEntity)
	default: // names are free in another organization, and so are Idempotency-Keys
		if got.status != d.status || got.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("status %d, want %d as if the other organization were not there\n%s", got.status, d.status, got.body)
		}
		w.free(t, theirs)
		return
	}
	if a, b := plain(t, got, theirs), plain(t, other, nobodys); a != b {
		t.Errorf("the answer tells what is theirs from what is nobody's\n%s\n%s", a, b)
	}
}

// plain is an answer without what is new in each, and with the same word for what was asked for.
func plain(t *testing.T, a answer, asked any) string {
	t.Helper()
	text := strings.ReplaceAll(string(a.body), a.header.Get("X-Request-Id"), "ID")
	return strings.ReplaceAll(text, strings.Trim(fmt.Sprint(asked), "[]"), "ASKED")
}

// errand is a deed of the second organization on what is its own.
func (w *walk) errand(t *testing.T, o *openapi.Operation, d deed, by *caller) *errand {
	t.Helper()
	if d.ends && by.human() {
		by = w.second.signedIn(t, w.second.person(t, "org_admin"))
	}
	return w.second.errand(t, o, d, by)
}

// see makes a request, and looks for words of the first organization in the answer, but for those that were asked.
func (w *walk) see(t *testing.T, e *errand, asked ...string) answer {
	t.Helper()
	a := e.run(t)
	head := fmt.Sprint(a.header)
	for _, word := range w.words {
		if !strings.Contains(strings.Join(asked, " "), word) && (bytes.Contains(a.body, []byte(word)) || strings.Contains(head, word)) {
			t.Errorf("the answer has %s of the other organization\n%s\n%s", word, head, a.body)
		}
	}
	return a
}

// set puts a value into a place.
func (e *errand) set(place openapi.Parameter, value any) {
	switch place.In {
	case "path":
		e.id = value.(string)
	case "query":
		e.query.Set(place.Name, value.(string))
	case "header":
		e.header.Set(place.Name, value.(string))
	case "body":
		if e.body == nil {
			e.body = members{}
		}
		e.body[place.Name] = value
		if e.ID == "create-limit" && (place.Name == "team" || place.Name == "user") { // of one or the other
			delete(e.body, "key")
		}
		if place.Name == "organization" { // named twice, it would be a fault by itself
			e.query.Del("organization")
		}
	}
}

// lists are those that show all of an organization.
func lists() []string {
	return []string{"/api/organizations", "/api/teams", "/api/users", "/api/roles", "/api/keys", "/api/limits", "/api/budgets", "/api/webhooks", "/api/agents"}
}

// everything is all that the tenant's administrator sees.
func (n *tenant) everything(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, list := range append(lists(), "/api/auth/sessions") {
		all.Write(n.admin.do(t, "GET", list, nil).want(t, http.StatusOK).body)
	}
	return all.String()
}

// words are the ids and names that only this tenant has, and its secrets.
func (n *tenant) words(t *testing.T) []string {
	t.Helper()
	all := map[string]bool{n.name: true, n.secret: true, n.admin.token: true, n.session: true, n.password: true}
	for _, list := range lists() {
		for _, v := range read[page](t, n.admin.do(t, "GET", list, nil)).Data {
			if v["managed_by"] == "api" {
				all[v["id"].(string)] = true
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("the organization has only %d words", len(all))
	}
	return slices.Sorted(maps.Keys(all))
}

// common is a name that something of each kind has in the first organization, and then for a moment in the second.
const common = "common"

// share makes what has the common name.
func (n *tenant) share(t *testing.T) {
	t.Helper()
	for _, id := range []string{"create-team", "create-user", "create-role", "create-key", "create-budget", "create-webhook", "create-agent"} {
		e := n.errand(t, n.office.document.Operation(id), deeds()[id], n.admin)
		e.set(openapi.Parameter{Name: "name", In: "body"}, common)
		if e.body["email"] != nil {
			e.set(openapi.Parameter{Name: "email", In: "body"}, common+"@example.com")
		}
		e.run(t).want(t, http.StatusCreated)
	}
}

// free deletes what has the common name or address in the second organization.
func (w *walk) free(t *testing.T, name any) {
	t.Helper()
	filter := "&name="
	if strings.Contains(fmt.Sprint(name), "@") {
		filter = "&email="
	}
	for _, list := range lists() {
		if list == "/api/organizations" || filter == "&email=" && list != "/api/users" {
			continue
		}
		found := w.second.office.root.do(t, "GET", list+within(w.second.org)+filter+url.QueryEscape(fmt.Sprint(name)), nil)
		for _, v := range read[page](t, found).Data {
			w.second.office.root.do(t, "DELETE", list+"/"+v["id"].(string)+within(w.second.org), nil).want(t, http.StatusNoContent)
		}
	}
}

// repeatable makes requests with an Idempotency-Key, whose answers are then kept.
func (n *tenant) repeatable(t *testing.T, key string) {
	t.Helper()
	for _, id := range []string{"create-team", "create-user", "create-role", "create-key", "rotate-key", "create-limit", "create-budget"} {
		o, d := n.office.document.Operation(id), deeds()[id]
		e := n.errand(t, o, d, n.admin)
		e.header.Set("Idempotency-Key", key+id)
		e.run(t).want(t, d.status)
	}
}
