package tenancy

// Actor is who makes a change, and what they may do. It is known for one request or one command.
type Actor struct {
	Org     ID // where they belong
	User    ID // empty: a key, or Vel itself
	Key     ID
	Session ID
	Name    string // how they are called, for people
	Email   string // of a user
	May     Permissions
	Address string // of the client
	Agent   string // the client's User-Agent
	Request ID     // what they asked; empty: nothing was asked over HTTP
}

// Reaches tells whether the organization is theirs to see.
func (a *Actor) Reaches(org ID) bool { return a.Org == org || a.OfPlatform() }

// OfPlatform tells whether they may act in every organization.
func (a *Actor) OfPlatform() bool { return a.Org == Platform && a.May.Has(ManagePlatform) }

// Vel is the actor of what the house does by itself, and of a person at the machine that holds its database.
func Vel() Actor { return Actor{Org: Platform, Name: "vel", May: AllPermissions} }
