package admin

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// matrix says who is let in to which operation. clerk has a role of its own, robot is a key of an organization's
// administrator, caller a key without a role, vel the key of VEL_ADMIN_KEY.
const matrix = `
                     nobody caller executor viewer manager clerk admin robot root vel
get-health              x     x       x       x       x      x     x     x     x   x
login                   x     x       x       x       x      x     x     x     x   x
exchange-code           x     x       x       x       x      x     x     x     x   x
refresh                 .     .       x       x       x      x     x     .     x   .
logout                  .     .       x       x       x      x     x     .     x   .
list-sessions           .     .       x       x       x      x     x     .     x   .
end-session             .     .       x       x       x      x     x     .     x   .
get-me                  .     .       x       x       x      x     x     .     x   .
change-own-password     .     .       x       x       x      x     x     .     x   .
list-organizations      .     .       .       x       x      x     x     x     x   x
get-organization        .     .       .       x       x      x     x     x     x   x
create-organization     .     .       .       .       .      .     .     .     x   x
change-organization     .     .       .       .       .      .     x     x     x   x
delete-organization     .     .       .       .       .      .     .     .     x   x
list-teams              .     .       .       x       x      x     x     x     x   x
get-team                .     .       .       x       x      x     x     x     x   x
create-team             .     .       .       .       .      .     x     x     x   x
change-team             .     .       .       .       .      .     x     x     x   x
delete-team             .     .       .       .       .      .     x     x     x   x
list-users              .     .       .       x       x      x     x     x     x   x
get-user                .     .       .       x       x      x     x     x     x   x
create-user             .     .       .       .       .      x     x     x     x   x
change-user             .     .       .       .       .      x     x     x     x   x
delete-user             .     .       .       .       .      x     x     x     x   x
set-user-roles          .     .       .       .       .      x     x     x     x   x
change-password         .     .       .       .       .      x     x     x     x   x
list-roles              .     .       .       x       x      x     x     x     x   x
get-role                .     .       .       x       x      x     x     x     x   x
create-role             .     .       .       .       .      x     x     x     x   x
change-role             .     .       .       .       .      x     x     x     x   x
delete-role             .     .       .       .       .      x     x     x     x   x
list-keys               .     .       .       x       x      x     x     x     x   x
get-key                 .     .       .       x       x      x     x     x     x   x
create-key              .     .       .       .       .      x     x     x     x   x
change-key              .     .       .       .       .      x     x     x     x   x
delete-key              .     .       .       .       .      x     x     x     x   x
rotate-key              .     .       .       .       .      x     x     x     x   x
list-providers          .     .       .       .       .      .     .     .     x   x
get-provider            .     .       .       .       .      .     .     .     x   x
create-provider         .     .       .       .       .      .     .     .     x   x
change-provider         .     .       .       .       .      .     .     .     x   x
delete-provider         .     .       .       .       .      .     .     .     x   x
test-provider           .     .       .       .       .      .     .     .     x   x
list-routes             .     .       .       .       .      .     .     .     x   x
get-route               .     .       .       .       .      .     .     .     x   x
create-route            .     .       .       .       .      .     .     .     x   x
change-route            .     .       .       .       .      .     .     .     x   x
delete-route            .     .       .       .       .      .     .     .     x   x
list-limits             .     .       .       x       x      x     x     x     x   x
get-limit               .     .       .       x       x      x     x     x     x   x
get-limit-usage         .     .       .       x       x      x     x     x     x   x
create-limit            .     .       .       .       .      .     x     x     x   x
change-limit            .     .       .       .       .      .     x     x     x   x
delete-limit            .     .       .       .       .      .     x     x     x   x
list-targets            .     .       .       .       .      .     .     .     x   x
reset-target            .     .       .       .       .      .     .     .     x   x
purge-cache             .     .       .       .       .      .     x     x     x   x
reset-limit             .     .       .       .       .      .     x     x     x   x
set-user-rate-limits    .     .       .       .       .      .     x     x     x   x
list-budgets            .     .       .       x       x      x     x     x     x   x
get-budget              .     .       .       x       x      x     x     x     x   x
get-budget-usage        .     .       .       x       x      x     x     x     x   x
create-budget           .     .       .       .       .      .     x     x     x   x
change-budget           .     .       .       .       .      .     x     x     x   x
delete-budget           .     .       .       .       .      .     x     x     x   x
reset-budget            .     .       .       .       .      .     x     x     x   x
verify-ledger           .     .       .       .       .      .     x     x     x   x
repair-ledger           .     .       .       .       .      .     .     .     x   x
get-secrets             .     .       .       .       .      .     .     .     x   x
rotate-secrets          .     .       .       .       .      .     .     .     x   x
list-audit              .     .       .       .       .      .     x     x     x   x
export-audit            .     .       .       .       .      .     x     x     x   x
list-audit-heads        .     .       .       .       .      .     x     x     x   x
list-calls              .     .       .       x       x      x     x     x     x   x
get-call                .     .       .       x       x      x     x     x     x   x
export-calls            .     .       .       x       x      x     x     x     x   x
get-usage               .     .       .       x       x      x     x     x     x   x
get-costs               .     .       .       x       x      x     x     x     x   x
get-call-route          .     .       .       x       x      x     x     x     x   x
dry-run-route           .     .       .       x       x      x     x     x     x   x
diff-routes             .     .       .       x       x      x     x     x     x   x
get-price               .     .       .       .       .      .     .     .     x   x
create-batch            .     .       x       .       x      .     x     x     .   .
add-batch-items         .     .       x       .       x      .     x     x     x   x
start-batch             .     .       x       .       x      .     x     x     x   x
cancel-batch            .     .       x       .       x      .     x     x     x   x
retry-batch             .     .       x       .       x      .     x     x     x   x
list-batches            .     .       x       x       x      x     x     x     x   x
get-batch               .     .       x       x       x      x     x     x     x   x
get-batch-results       .     .       x       x       x      x     x     x     x   x
list-webhooks           .     .       .       x       x      x     x     x     x   x
get-webhook             .     .       .       x       x      x     x     x     x   x
create-webhook          .     .       .       .       .      .     x     x     x   x
change-webhook          .     .       .       .       .      .     x     x     x   x
delete-webhook          .     .       .       .       .      .     x     x     x   x
rotate-webhook          .     .       .       .       .      .     x     x     x   x
test-webhook            .     .       .       .       .      .     x     x     x   x
list-deliveries         .     .       .       .       .      .     x     x     x   x
get-delivery            .     .       .       .       .      .     x     x     x   x
redeliver               .     .       .       .       .      .     x     x     x   x
list-agents             .     .       .       x       x      x     x     x     x   x
get-agent               .     .       .       x       x      x     x     x     x   x
list-agent-versions     .     .       .       x       x      x     x     x     x   x
diff-agent              .     .       .       x       x      x     x     x     x   x
create-agent            .     .       .       .       x      .     x     x     x   x
change-agent            .     .       .       .       x      .     x     x     x   x
delete-agent            .     .       .       .       x      .     x     x     x   x
activate-agent          .     .       .       .       x      .     x     x     x   x
deactivate-agent        .     .       .       .       x      .     x     x     x   x
restore-agent           .     .       .       .       x      .     x     x     x   x
test-agent              .     .       .       .       x      .     x     x     .   .
create-task             .     .       x       .       x      .     x     x     x   x
list-tasks              .     .       x       x       x      x     x     x     x   x
get-task                .     .       x       x       x      x     x     x     x   x
cancel-task             .     .       x       .       x      .     x     x     x   x
stream-task             .     .       x       x       x      x     x     x     x   x
stream-task-response    .     .       x       x       x      x     x     x     x   x
`

// operation is one of the document.
type operation struct {
	id, method, path string
	body, public     bool
	permission       string
}

// operations reads them from the document, as somebody outside would.
func (w *world) operations() map[string]operation {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string         `json:"operationId"`
			Permission  string         `json:"x-vel-permission"`
			RequestBody map[string]any `json:"requestBody"`
		} `json:"paths"`
	}
	w.do("", "GET", "/api/openapi.json", nil).want(200).into(&doc)
	all := map[string]operation{}
	for path, item := range doc.Paths {
		for method, op := range item {
			all[op.OperationID] = operation{op.OperationID, strings.ToUpper(method), path, op.RequestBody != nil, op.Permission == "public", op.Permission}
		}
	}
	return all
}

// try makes the least request that reaches the operation's handler or its checks; it changes nothing but sessions.
func (w *world) try(as string, op operation) *answer {
	w.t.Helper()
	var body any
	if op.body {
		body = map[string]any{}
	}
	return w.do(as, op.method, strings.ReplaceAll(op.path, "{id}", "none"), body)
}

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	rows := strings.Split(strings.TrimSpace(matrix), "\n")
	actors := strings.Fields(rows[0])
	roles := map[string]tenancy.ID{
		"executor": tenancy.TaskExecutor, "viewer": tenancy.Viewer, "manager": tenancy.AgentManager, "clerk": "role_clerk",
		"admin": tenancy.OrgAdmin, "root": tenancy.PlatformAdmin,
	}
	w := newWorld(t)
	operations := w.operations()
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		op, ok := operations[cells[0]]
		if !ok {
			t.Fatalf("the document has no operation %s", cells[0])
		}
		delete(operations, cells[0])
		for i, actor := range actors {
			if role, ok := roles[actor]; ok { // anew: some operations end the session
				org := acme
				if role == tenancy.PlatformAdmin {
					org = tenancy.Platform
				}
				w.user(actor, org, role)
			}
			as := actor
			if actor == "nobody" {
				as = ""
			}
			a := w.try(as, op)
			var p Problem
			if a.status > 399 {
				a.into(&p)
			}
			refused := op.id != "login" && (strings.HasSuffix(p.Type, ":"+unauthenticated.word) || strings.HasSuffix(p.Type, ":"+notAllowed.word))
			if refused == (cells[i+1] == "x") || a.status >= 500 {
				t.Errorf("%s as %s: %d %s", op.id, actor, a.status, a.body)
			}
		}
	}
	if len(operations) > 0 {
		t.Errorf("not in the matrix: %v", slices.Sorted(maps.Keys(operations)))
	}
}

// The table of needs and the document have the same operations, and the document says what each needs.
func TestDocumentNamesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left := needs()
	for id, op := range w.operations() {
		needed, ok := left[id]
		if !ok || needed.String() != op.permission {
			t.Errorf("%s: the document says %s, the table %s", id, op.permission, needed)
		}
		delete(left, id)
	}
	if len(left) > 0 {
		t.Errorf("needed for nothing: %v", left)
	}
}

// An operation that somebody forgets to put into the table is open to nobody.
func TestWhatIsNotInTheTableIsClosed(t *testing.T) {
	t.Parallel()
	a := &asking{by: tenancy.Vel(), answer: &answering{}}
	w := newWorld(t)
	r := request(t, "GET", "/api/keys", adminKey)
	if p := inWords(w.enter(a, r, forbidden)); p.Status != notAllowed.status {
		t.Errorf("let in: %v", p)
	}
}

// Whatever is named, nothing of another organization is found, and nothing of it changes.
func TestOtherOrganizationsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := map[string]any{
		"teams": map[string]any{"name": "mine"}, "users": map[string]any{"name": "mine", "email": "mine@example.com"},
		"roles": map[string]any{"name": "mine", "permissions": []string{}}, "keys": map[string]any{"name": "mine"},
		"organizations": map[string]any{"name": "mine"}, "limits": map[string]any{"rpm": 1}, "cache": map[string]any{}, "budgets": map[string]any{"name": "mine", "usd": "1"},
		"routes": map[string]any{"model": "m"}, "tasks": map[string]any{"body": map[string]any{"model": "m"}}, "batches": map[string]any{"name": "mine"}, "agents": map[string]any{"name": "mine", "model": "m"}, "webhooks": map[string]any{"name": "mine", "url": "https://example.com", "events": []string{"*"}},
	}
	ids := map[string]string{"teams": "team_red", "users": "user_viewer", "roles": "role_clerk", "keys": "key_caller", "organizations": string(acme), "calls": "req_5", "limits": "limit:acme%2Fci", "budgets": "budget:acme", "tasks": "task_1", "batches": "batch_1", "webhooks": "webhook_acme", "agents": "agent_acme", "deliveries": "delivery_1"}
	w.called()
	before := w.db.shape()
	walked := 0
	for id, op := range w.operations() {
		kind, _, _ := strings.Cut(strings.TrimPrefix(op.path, "/api/"), "/")
		if op.public || op.permission == signedIn.String() || op.permission == tenancy.ManagePlatform.String() {
			continue
		}
		var body any
		switch {
		case strings.HasSuffix(op.path, "}/roles"):
			body = map[string]any{"roles": []string{}}
		case strings.HasSuffix(op.path, "}/password"):
			body = map[string]any{"password": password}
		case strings.HasSuffix(op.path, "}/rotate"):
			body = map[string]any{}
		case strings.HasSuffix(op.path, "}/rate-limits"):
			body = map[string]any{"rpm": 1}
		case id == "diff-routes":
			body = map[string]any{"with": "models: {}"}
		case id == "restore-agent":
			body = map[string]any{"version": 1}
		case id == "test-agent":
			body = map[string]any{"dry_run": true}
		case id == "create-budget":
			body = map[string]any{"name": "mine", "usd": "1", "per": "day"}
		case op.body:
			body = bodies[kind]
		}
		path := strings.ReplaceAll(op.path, "{id}", ids[kind])
		if strings.Contains(op.path, "{id}") { // as one's own, and named
			w.do("outsider", op.method, path, body).problem(notFound)
			walked++
		}
		if kind != "organizations" {
			w.do("outsider", op.method, path+"?organization="+string(acme), body).problem(notFound)
			walked++
		}
		if strings.HasPrefix(id, "create-") {
			named := map[string]any{"organization": acme}
			maps.Copy(named, body.(map[string]any))
			w.do("outsider", op.method, path, named).problem(notFound)
			walked++
		}
	}
	if walked < 40 {
		t.Errorf("only %d requests", walked)
	}
	if after := w.db.shape(); after != before {
		t.Errorf("something changed: %s to %s", before, after)
	}
}
