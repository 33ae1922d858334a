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

	// Who vouches for them at a single sign-on, and how that one calls them. Together they are unique within the
	// organization; empty: nobody does.
	Issuer, Subject string
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

// Renewable is how long the sessions of the user can be refreshed after a sign-in. For whom an issuer vouches, it is
// asked every day: it may have changed its mind.
func (u *User) Renewable() time.Duration {
	if u.Issuer != "" {
		return SessionLife
	}
	return SessionMost
}
