package tenancy

// Platform is the organization of those who run the house. It has users and keys like any other; its keys call no
// models, and a role with ManagePlatform reaches every organization.
const Platform ID = "platform"

// Org is an organization: a tenant. Nothing of it is ever seen by another one.
type Org struct {
	Meta
	Disabled    bool // its keys open nothing, and nobody of it can sign in
	KeepContent bool // the prompts and answers of its calls are kept, sealed
}

// Team is a group within an organization. Keys and users may belong to one.
type Team struct{ Meta }
