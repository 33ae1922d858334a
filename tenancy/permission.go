package tenancy

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
)

// Permission is one thing that a role allows.
type Permission uint8

// The permissions. Their order is kept nowhere: names are what is stored.
const (
	ViewOrganization   Permission = iota // read the organization, its teams, users, roles and keys
	ManageOrganization                   // change the organization itself
	ManageTeams
	ManageUsers
	ManageRoles
	ManageKeys
	ManageBudgets
	ViewAnalytics // calls, usage and costs
	ViewContent   // the prompts and answers of calls, where they are kept
	ViewAudit     // who did what
	CreateAgent
	ExecuteTask
	ApproveWorkflow
	ManagePlatform // every organization, and the house itself; never in a custom role
	permissionCount
)

var permissionNames = [permissionCount]string{
	"view_organization", "manage_organization", "manage_teams", "manage_users", "manage_roles", "manage_keys", "manage_budgets",
	"view_analytics", "view_content", "view_audit", "create_agent", "execute_task", "approve_workflow", "manage_platform",
}

// String is the permission's name in the API.
func (p Permission) String() string { return permissionNames[p] }

// Permissions is a set of permissions.
type Permissions uint64

// Allow makes a set.
func Allow(ps ...Permission) (set Permissions) {
	for _, p := range ps {
		set |= 1 << p
	}
	return set
}

// AllPermissions is what a platform admin may do: everything.
const AllPermissions Permissions = 1<<permissionCount - 1

// Has tells whether p is in the set.
func (s Permissions) Has(p Permission) bool { return s&(1<<p) != 0 }

// Covers tells whether everything in other is in the set.
func (s Permissions) Covers(other Permissions) bool { return other&^s == 0 }

// All yields the permissions of the set in a fixed order.
func (s Permissions) All() iter.Seq[Permission] {
	return func(yield func(Permission) bool) {
		for rest := uint64(s); rest != 0; rest &= rest - 1 {
			if !yield(Permission(bits.TrailingZeros64(rest))) {
				return
			}
		}
	}
}

// Names are the names of the permissions in the set; never nil.
func (s Permissions) Names() []string {
	names := make([]string, 0, bits.OnesCount64(uint64(s)))
	for p := range s.All() {
		names = append(names, p.String())
	}
	return names
}

// PermissionsOf makes a set of names. A name that is none is an error that lists those that are.
func PermissionsOf(names []string) (set Permissions, err error) {
	for _, name := range names {
		p := slices.Index(permissionNames[:], name)
		if p < 0 {
			return 0, fmt.Errorf("%q is no permission; they are %s", name, strings.Join(permissionNames[:], ", "))
		}
		set |= 1 << p
	}
	return set, nil
}
