package tenancy

// Actor is who makes a change, and what they may do. It is known for one request or one command.
type Actor struct {
	Org     ID // where they belong
	User    ID // empty: a key, or Vel itself
	Key     ID
	Session ID
	May     Permissions
	Address string // of the client
	Agent   string // the client's User-Agent
}

// Reaches tells whether the organization is theirs to see.
func (a *Actor) Reaches(org ID) bool { return a.Org == org || a.OfPlatform() }

// OfPlatform tells whether they may act in every organization.
func (a *Actor) OfPlatform() bool { return a.Org == Platform && a.May.Has(ManagePlatform) }

// Vel is the actor of what the house does by itself, and of a person at the machine that holds its database.
func Vel() Actor { return Actor{Org: Platform, May: AllPermissions} }
