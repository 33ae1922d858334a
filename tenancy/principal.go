// Package tenancy says who someone is and what they may do: organizations, the keys they call with, and
// the principal that a key stands for.
//
// It owns identities and permissions. It does not own how they are stored (package storage) or what a
// call may cost (package accounting).
package tenancy

import (
	"sync/atomic"
	"time"
)

// ID names an object of the house: an organization, a team, a user, a key. For what a file declares it is
// derived from the path in the file, so that it is equal on every node.
type ID string

// Identity is who a call is made for. It is safe to store: a task resolves it again when it runs, so a key
// revoked in between no longer works.
type Identity struct{ Org, Team, User, Key ID }

// Principal is who calls, with what they may use. It is immutable and shared by all calls of a key.
type Principal struct {
	Identity
	Name string // of the key, for people
	Role ID     // what the key may do at /api; empty: nothing

	KeepContent bool // the organization wants the prompts and answers of its calls to be kept

	models map[string]struct{}
	used   *atomic.Int64 // unix seconds of the last call; the one thing in here that changes
}

// MayUse tells whether the key may call the route with this public name. A key without a list may use all.
func (p *Principal) MayUse(route string) bool {
	if p.models == nil {
		return true
	}
	_, ok := p.models[route]
	return ok
}

// Touch notes a use of the key. It writes at most once a second, so that the nodes' cores do not fight for a busy key.
func (p *Principal) Touch(now time.Time) {
	if p.used != nil && now.Unix() > p.used.Load() {
		p.used.Store(now.Unix())
	}
}
