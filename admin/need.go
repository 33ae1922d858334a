package admin

import "github.com/vel-gateway/vel/tenancy"

// need is what somebody must have to be let in to an operation: a permission, or one of those below.
type need int16

const (
	public    need = -1 // nothing
	signedIn  need = -2 // a session: a person
	forbidden need = -3 // nobody has it: the operation is not in the table
	tasksSeen need = -4 // either of the permissions to execute tasks, for one's own, and to view analytics, for all
)

// String is what the OpenAPI document says of it as x-vel-permission.
func (n need) String() string {
	switch n {
	case public:
		return "public"
	case signedIn:
		return "session"
	case forbidden:
		return "forbidden"
	case tasksSeen:
		return tenancy.ExecuteTask.String() + " or " + tenancy.ViewAnalytics.String()
	}
	return tenancy.Permission(n).String()
}

// needs is the one table of permissions: what each operation needs. What one may do to a certain object is decided
// where the object is known: nobody gives, or touches, more than they have. It has a line for each operation, and no more.
func needs() map[string]need {
	const (
		view         = need(tenancy.ViewOrganization)
		organization = need(tenancy.ManageOrganization)
		teams        = need(tenancy.ManageTeams)
		users        = need(tenancy.ManageUsers)
		roles        = need(tenancy.ManageRoles)
		keys         = need(tenancy.ManageKeys)
		budgets      = need(tenancy.ManageBudgets)
		platform     = need(tenancy.ManagePlatform)
		audit        = need(tenancy.ViewAudit)
		analytics    = need(tenancy.ViewAnalytics)
		execute      = need(tenancy.ExecuteTask)
		agent        = need(tenancy.CreateAgent)
	)
	return map[string]need{
		"get-health": public,

		"login":               public,
		"exchange-code":       public,
		"refresh":             signedIn,
		"logout":              signedIn,
		"list-sessions":       signedIn,
		"end-session":         signedIn,
		"get-me":              signedIn,
		"change-own-password": signedIn,

		"list-organizations":  view,
		"get-organization":    view,
		"create-organization": platform,
		"change-organization": organization,
		"delete-organization": platform,

		"list-teams":  view,
		"get-team":    view,
		"create-team": teams,
		"change-team": teams,
		"delete-team": teams,

		"list-users":      view,
		"get-user":        view,
		"create-user":     users,
		"change-user":     users,
		"delete-user":     users,
		"set-user-roles":  users,
		"change-password": users,

		"list-roles":  view,
		"get-role":    view,
		"create-role": roles,
		"change-role": roles,
		"delete-role": roles,

		"list-keys":  view,
		"get-key":    view,
		"create-key": keys,
		"change-key": keys,
		"delete-key": keys,
		"rotate-key": keys,

		"list-providers":  platform,
		"get-provider":    platform,
		"create-provider": platform,
		"change-provider": platform,
		"delete-provider": platform,
		"test-provider":   platform,

		"list-routes":  platform,
		"get-route":    platform,
		"create-route": platform,
		"change-route": platform,
		"delete-route": platform,

		"list-targets": platform,
		"reset-target": platform,

		"purge-cache": organization,

		"list-limits":          view,
		"get-limit":            view,
		"get-limit-usage":      view,
		"create-limit":         budgets,
		"change-limit":         budgets,
		"delete-limit":         budgets,
		"reset-limit":          budgets,
		"set-user-rate-limits": budgets,

		"list-budgets":     view,
		"get-budget":       view,
		"get-budget-usage": view,
		"create-budget":    budgets,
		"change-budget":    budgets,
		"delete-budget":    budgets,
		"reset-budget":     budgets,

		"verify-ledger": budgets,
		"repair-ledger": platform,

		"get-secrets":    platform,
		"rotate-secrets": platform,

		"list-audit":       audit,
		"export-audit":     audit,
		"list-audit-heads": audit,

		"list-calls":   analytics,
		"get-call":     analytics,
		"export-calls": analytics,

		"get-call-route": analytics,
		"dry-run-route":  analytics,
		"diff-routes":    analytics,

		"get-usage": analytics,
		"get-costs": analytics,
		"get-price": platform,

		"list-agents":         view,
		"get-agent":           view,
		"list-agent-versions": view,
		"diff-agent":          view,
		"create-agent":        agent,
		"change-agent":        agent,
		"delete-agent":        agent,
		"activate-agent":      agent,
		"deactivate-agent":    agent,
		"restore-agent":       agent,
		"test-agent":          agent,

		"list-webhooks":   view,
		"get-webhook":     view,
		"create-webhook":  organization,
		"change-webhook":  organization,
		"delete-webhook":  organization,
		"rotate-webhook":  organization,
		"test-webhook":    organization,
		"list-deliveries": organization,
		"get-delivery":    organization,
		"redeliver":       organization,

		"create-batch":      execute,
		"add-batch-items":   execute,
		"start-batch":       execute,
		"cancel-batch":      execute,
		"retry-batch":       execute,
		"list-batches":      tasksSeen,
		"get-batch":         tasksSeen,
		"get-batch-results": tasksSeen,

		"create-task":          execute,
		"cancel-task":          execute,
		"list-tasks":           tasksSeen,
		"get-task":             tasksSeen,
		"stream-task":          tasksSeen,
		"stream-task-response": tasksSeen,
	}
}
