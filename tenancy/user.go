package tenancy

import "time"

// User is a person. The address is unique within the organization, and lower case.
type User struct {
	Meta
	Email     string
	Password  string // what HashPassword made; empty: cannot sign in with one. It leaves the house in no form
	Roles     []ID
	Teams     []ID
	Disabled  bool
	LastLogin time.Time // zero: never
}

// Session is one sign-in. Its token is 256 random bits of which only the hash is kept.
type Session struct {
	ID, Org, User  ID
	Hash           Hash
	Began          time.Time // when the password was given; a refresh does not move it
	Created        time.Time
	Expires        time.Time
	Address, Agent string // from where, for the person to recognize it
	Password       string // what is stored of the one that was checked, so that one which is changed meanwhile is noticed. It is not kept
}

// How long a token lives, and how long refreshing may go on before the password is asked for again.
const (
	SessionLife = 24 * time.Hour
	SessionMost = 30 * 24 * time.Hour
)
