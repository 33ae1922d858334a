package tenancy

import "slices"

// Role is a named set of permissions. The built-in ones belong to every organization and have their name as id.
type Role struct {
	Meta
	Permissions Permissions
}

// The ids of the built-in roles.
const (
	OrgAdmin      ID = "org_admin"
	AgentManager  ID = "agent_manager"
	TaskExecutor  ID = "task_executor"
	Viewer        ID = "viewer"
	PlatformAdmin ID = "platform_admin" // only for users and keys of the platform itself
)

var builtIn = [...]Role{
	builtInRole(OrgAdmin, AllPermissions&^Allow(ManagePlatform)),
	builtInRole(AgentManager, Allow(ViewOrganization, CreateAgent, ExecuteTask, ApproveWorkflow, ViewAnalytics)),
	builtInRole(TaskExecutor, Allow(ExecuteTask)),
	builtInRole(Viewer, Allow(ViewOrganization, ViewAnalytics)),
	builtInRole(PlatformAdmin, AllPermissions),
}

func builtInRole(id ID, may Permissions) Role {
	return Role{Meta{ID: id, Name: string(id), ManagedBy: ByVel}, may}
}

// BuiltInRoles are the roles that an organization has without making any. Platform admin is one only of the platform.
func BuiltInRoles(org ID) []Role {
	roles := slices.Clone(builtIn[:])
	if org != Platform {
		roles = slices.DeleteFunc(roles, func(r Role) bool { return r.ID == PlatformAdmin })
	}
	for i := range roles {
		roles[i].Org = org
	}
	return roles
}
