package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/openapi"
)

// mayDo is who may do what, written by hand: yes, no, or who: they are asked who they are.
func mayDo() map[string]string {
	return map[string]string{
		//                      root admin manager executor viewer clerk robot caller nobody
		"get-health": "          yes  yes   yes     yes      yes    yes   yes   yes    yes",

		"login":               "               yes  yes   yes     yes      yes    yes   yes   yes    yes",
		"exchange-code":       "       yes  yes   yes     yes      yes    yes   yes   yes    yes",
		"refresh":             "             yes  yes   yes     yes      yes    yes   no    no     who",
		"logout":              "              yes  yes   yes     yes      yes    yes   no    no     who",
		"list-sessions":       "       yes  yes   yes     yes      yes    yes   no    no     who",
		"end-session":         "         yes  yes   yes     yes      yes    yes   no    no     who",
		"get-me":              "              yes  yes   yes     yes      yes    yes   no    no     who",
		"change-own-password": " yes  yes   yes     yes      yes    yes   no    no     who",

		"list-organizations":  "  yes  yes   yes     no       yes    yes   yes   no     who",
		"get-organization":    "    yes  yes   yes     no       yes    yes   yes   no     who",
		"create-organization": " yes  no    no      no       no     no    no    no     who",
		"change-organization": " yes  yes   no      no       no     no    yes   no     who",
		"delete-organization": " yes  no    no      no       no     no    no    no     who",

		"list-teams":  "          yes  yes   yes     no       yes    yes   yes   no     who",
		"get-team":    "            yes  yes   yes     no       yes    yes   yes   no     who",
		"create-team": "         yes  yes   no      no       no     yes   yes   no     who",
		"change-team": "         yes  yes   no      no       no     yes   yes   no     who",
		"delete-team": "         yes  yes   no      no       no     yes   yes   no     who",

		"list-users":      "          yes  yes   yes     no       yes    yes   yes   no     who",
		"get-user":        "            yes  yes   yes     no       yes    yes   yes   no     who",
		"create-user":     "         yes  yes   no      no       no     no    yes   no     who",
		"change-user":     "         yes  yes   no      no       no     no    yes   no     who",
		"delete-user":     "         yes  yes   no      no       no     no    yes   no     who",
		"set-user-roles":  "      yes  yes   no      no       no     no    yes   no     who",
		"change-password": "     yes  yes   no      no       no     no    yes   no     who",

		"list-roles":  "          yes  yes   yes     no       yes    yes   yes   no     who",
		"get-role":    "            yes  yes   yes     no       yes    yes   yes   no     who",
		"create-role": "         yes  yes   no      no       no     no    yes   no     who",
		"change-role": "         yes  yes   no      no       no     no    yes   no     who",
		"delete-role": "         yes  yes   no      no       no     no    yes   no     who",

		"list-keys":  "           yes  yes   yes     no       yes    yes   yes   no     who",
		"get-key":    "             yes  yes   yes     no       yes    yes   yes   no     who",
		"create-key": "          yes  yes   no      no       no     yes   yes   no     who",
		"change-key": "          yes  yes   no      no       no     yes   yes   no     who",
		"delete-key": "          yes  yes   no      no       no     yes   yes   no     who",
		"rotate-key": "          yes  yes   no      no       no     yes   yes   no     who",

		"list-providers":  " yes  no    no      no       no     no    no    no     who",
		"get-provider":    " yes  no    no      no       no     no    no    no     who",
		"create-provider": " yes  no    no      no       no     no    no    no     who",
		"change-provider": " yes  no    no      no       no     no    no    no     who",
		"delete-provider": " yes  no    no      no       no     no    no    no     who",
		"test-provider":   " yes  no    no      no       no     no    no    no     who",

		"list-routes":  " yes  no    no      no       no     no    no    no     who",
		"get-route":    " yes  no    no      no       no     no    no    no     who",
		"create-route": " yes  no    no      no       no     no    no    no     who",
		"change-route": " yes  no    no      no       no     no    no    no     who",
		"delete-route": " yes  no    no      no       no     no    no    no     who",

		"list-limits":          "          yes  yes   yes     no       yes    yes   yes   no     who",
		"get-limit":            "            yes  yes   yes     no       yes    yes   yes   no     who",
		"get-limit-usage":      "      yes  yes   yes     no       yes    yes   yes   no     who",
		"create-limit":         "         yes  yes   no      no       no     no    yes   no     who",
		"change-limit":         "         yes  yes   no      no       no     no    yes   no     who",
		"delete-limit":         "         yes  yes   no      no       no     no    yes   no     who",
		"reset-limit":          "          yes  yes   no      no       no     no    yes   no     who",
		"set-user-rate-limits": " yes  yes   no      no       no     no    yes   no     who",

		"list-budgets":     "     yes  yes   yes     no       yes    yes   yes   no     who",
		"get-budget":       "       yes  yes   yes     no       yes    yes   yes   no     who",
		"get-budget-usage": " yes  yes   yes     no       yes    yes   yes   no     who",
		"create-budget":    "    yes  yes   no      no       no     no    yes   no     who",
		"change-budget":    "    yes  yes   no      no       no     no    yes   no     who",
		"delete-budget":    "    yes  yes   no      no       no     no    yes   no     who",
		"reset-budget":     "     yes  yes   no      no       no     no    yes   no     who",

		"verify-ledger": " yes  yes   no      no       no     no    yes   no     who",
		"repair-ledger": " yes  no    no      no       no     no    no    no     who",

		"get-secrets":    " yes  no    no      no       no     no    no    no     who",
		"rotate-secrets": " yes  no    no      no       no     no    no    no     who",

		"list-audit":       "          yes  yes   no      no       no     no    yes   no     who",
		"export-audit":     "        yes  yes   no      no       no     no    yes   no     who",
		"list-audit-heads": "    yes  yes   no      no       no     no    yes   no     who",

		"list-calls":     " yes  yes   yes     no       yes    no    yes   no     who",
		"get-call":       " yes  yes   yes     no       yes    no    yes   no     who",
		"export-calls":   " yes  yes   yes     no       yes    no    yes   no     who",
		"get-usage":      " yes  yes   yes     no       yes    no    yes   no     who",
		"get-costs":      " yes  yes   yes     no       yes    no    yes   no     who",
		"get-call-route": " yes  yes   yes     no       yes    no    yes   no     who",
		"dry-run-route":  "  yes  yes   yes     no       yes    no    yes   no     who",
		"diff-routes":    "    yes  yes   yes     no       yes    no    yes   no     who",
		"get-price":      " yes  no    no      no       no     no    no    no     who",

		"create-task":          "          no   yes  yes     yes      no     no    yes   no     who",
		"list-tasks":           "           yes  yes  yes     yes      yes    no    yes   no     who",
		"get-task":             "             yes  yes  yes     yes      yes    no    yes   no     who",
		"cancel-task":          "          yes  yes  yes     yes      no     no    yes   no     who",
		"stream-task":          "          yes  yes  yes     yes      yes    no    yes   no     who",
		"stream-task-response": " yes  yes  yes     yes      yes    no    yes   no     who",

		"create-batch":      "      no   yes  yes     yes      no     no    yes   no     who",
		"list-batches":      "      yes  yes  yes     yes      yes    no    yes   no     who",
		"get-batch":         "         yes  yes  yes     yes      yes    no    yes   no     who",
		"add-batch-items":   "   yes  yes  yes     yes      no     no    yes   no     who",
		"start-batch":       "       yes  yes  yes     yes      no     no    yes   no     who",
		"cancel-batch":      "      yes  yes  yes     yes      no     no    yes   no     who",
		"retry-batch":       "       yes  yes  yes     yes      no     no    yes   no     who",
		"get-batch-results": " yes  yes  yes     yes      yes    no    yes   no     who",

		"list-webhooks":   "   yes  yes  yes     no       yes    yes   yes   no     who",
		"get-webhook":     "     yes  yes  yes     no       yes    yes   yes   no     who",
		"create-webhook":  "  yes  yes  no      no       no     no    yes   no     who",
		"change-webhook":  "  yes  yes  no      no       no     no    yes   no     who",
		"delete-webhook":  "  yes  yes  no      no       no     no    yes   no     who",
		"rotate-webhook":  "  yes  yes  no      no       no     no    yes   no     who",
		"test-webhook":    "    yes  yes  no      no       no     no    yes   no     who",
		"list-deliveries": " yes  yes  no      no       no     no    yes   no     who",
		"get-delivery":    "    yes  yes  no      no       no     no    yes   no     who",
		"redeliver":       "       yes  yes  no      no       no     no    yes   no     who",

		"list-agents":         "         yes  yes  yes     no       yes    yes   yes   no     who",
		"get-agent":           "           yes  yes  yes     no       yes    yes   yes   no     who",
		"list-agent-versions": " yes  yes  yes     no       yes    yes   yes   no     who",
		"diff-agent":          "          yes  yes  yes     no       yes    yes   yes   no     who",
		"create-agent":        "        yes  yes  yes     no       no     no    yes   no     who",
		"change-agent":        "        yes  yes  yes     no       no     no    yes   no     who",
		"delete-agent":        "        yes  yes  yes     no       no     no    yes   no     who",
		"activate-agent":      "      yes  yes  yes     no       no     no    yes   no     who",
		"deactivate-agent":    "    yes  yes  yes     no       no     no    yes   no     who",
		"restore-agent":       "       yes  yes  yes     no       no     no    yes   no     who",
		"test-agent":          "          no   yes  yes     no       no     no    yes   no     who",

		"purge-cache":  " yes  yes   no      no       no     no    yes   no     who",
		"list-targets": " yes  no    no      no       no     no    no    no     who",
		"reset-target": " yes  no    no      no       no     no    no    no     who",
	}
}

// actor is one column of the table.
type actor struct {
	name string
	home *tenant // where they are at home
	role string  // its id; empty: none
	*caller
}

// newcomer is somebody who may do the same; whoever has no session of their own to lose is it themselves.
func (a *actor) newcomer(t *testing.T) *caller {
	t.Helper()
	if !a.human() {
		return a.caller
	}
	return a.home.signedIn(t, a.home.person(t, a.role))
}

// actors are the columns of the table. The role clerk is one that the tenant made.
func (n *tenant) actors(t *testing.T) []*actor {
	t.Helper()
	platform := &tenant{office: n.office, name: "platform", password: n.password, org: "platform"}
	all := []*actor{{"root", platform, "platform_admin", platform.signedIn(t, platform.person(t, "platform_admin"))}}
	for _, person := range []actor{
		{name: "admin", role: "org_admin"},
		{name: "manager", role: "agent_manager"},
		{name: "executor", role: "task_executor"},
		{name: "viewer", role: "viewer"},
		{name: "clerk", role: n.role},
	} {
		all = append(all, &actor{person.name, n, person.role, n.signedIn(t, n.person(t, person.role))})
	}
	return append(all,
		&actor{"robot", n, "org_admin", n.robot(t, "org_admin")}, &actor{"caller", n, "", n.robot(t, "")}, &actor{"nobody", n, "", n.office.caller("")})
}

// TestWhoMayDoWhat is the matrix of roles and operations: every cell is tried, on an object of its own, and the table
// is what the document says too.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	actors, table, how := n.actors(t), mayDo(), deeds()
	for id := range table {
		if o.document.Operation(id) == nil {
			t.Errorf("the table has %s, which the document does not know", id)
		}
	}
	for _, operation := range o.document.Operations() {
		cells, d := strings.Fields(table[operation.ID]), how[operation.ID]
		if len(cells) != len(actors) || d.status == 0 {
			t.Errorf("%s has no whole row in the table, or no deed", operation.ID)
			continue
		}
		t.Run(operation.ID, func(t *testing.T) {
			for i, a := range actors {
				t.Run(a.name, func(t *testing.T) {
					if says := a.by(t, operation); says != cells[i] {
						t.Errorf("the table says %s, by the document it is %s", cells[i], says)
					}
					a.try(t, n, operation, d, cells[i])
				})
			}
		})
	}
}

// by is what the document says of an actor: whether their role has the permission that the operation needs.
func (a *actor) by(t *testing.T, o *openapi.Operation) string {
	t.Helper()
	var may bool
	switch {
	case o.Permission == "public":
		may = true
	case a.token == "":
		return "who"
	case o.Permission == "session":
		may = a.human()
	case a.role != "":
		role := a.office.root.do(t, "GET", "/api/roles/"+a.role+within(a.home.org), nil).want(t, http.StatusOK)
		for either := range strings.SplitSeq(o.Permission, " or ") {
			may = may || slices.Contains(role.member(t, "permissions").([]any), any(either))
		}
		if a.home.org == "platform" && (o.ID == "create-task" || o.ID == "create-batch" || o.ID == "test-agent") { // nobody is there for whom calls could be made
			may = false
		}
	}
	if may {
		return "yes"
	}
	return "no"
}

// try makes the request of a deed and checks that the actor may, or may not.
func (a *actor) try(t *testing.T, n *tenant, o *openapi.Operation, d deed, may string) {
	t.Helper()
	by := a.caller
	if d.ends {
		by = a.newcomer(t)
	}
	e := n.errand(t, o, d, by)
	got := e.run(t)
	switch may {
	case "yes":
		got.want(t, d.status)
	case "no":
		p := got.problem(t, http.StatusForbidden, "not-allowed")
		if o.Permission != "session" && !strings.Contains(p.Detail, o.Permission) {
			t.Errorf("it does not say what is missing: %s", got.body)
		}
		e.changedNothing(t, n, o)
	case "who":
		got.problem(t, http.StatusUnauthorized, "unauthenticated")
		if got.header.Get("WWW-Authenticate") == "" {
			t.Error("a 401 without www-authenticate")
		}
	}
}

// changedNothing checks that the object of a refused request is as it was made.
func (e *errand) changedNothing(t *testing.T, n *tenant, o *openapi.Operation) {
	t.Helper()
	path := "/api/" + strings.Split(e.Path, "/")[2] + "/" + e.id
	if e.id == "" || e.id == n.org || strings.HasPrefix(path, "/api/auth/") || strings.HasPrefix(path, "/api/calls/") || e.id == noTask || e.id == noBatch || e.id == noDelivery {
		return
	}
	if o.Permission != "manage_platform" && !strings.HasPrefix(path, "/api/organizations/") {
		path += within(n.org)
	}
	if tag := n.office.root.do(t, "GET", path, nil).want(t, http.StatusOK).header.Get("ETag"); tag != `"1"` {
		t.Errorf("it was refused and has the revision %s", tag)
	}
}
