package storage

import (
	"strings"

	"github.com/vel-gateway/vel/tenancy"
)

// scope says whose rows a transaction sees, and who waits for it.
type scope struct {
	role   string
	org    tenancy.ID
	calls  bool // a call of the data plane waits: it never stands behind the pages and lists of people
	behind bool // nobody waits: where there is a queue, everybody else goes first
	same   bool // its few statements come again and again: Postgres keeps how it runs them
}

func tenant(org tenancy.ID) scope { return scope{role: "vel_app", org: org} }

var (
	system = scope{role: "vel_system"}
	ingest = scope{role: "vel_ingest", calls: true, behind: true}
)

// forCalls is the same scope for what a call of the data plane asks.
func (s scope) forCalls() scope {
	s.calls, s.behind = true, false
	return s
}

// again is the same scope for a few statements that come very often.
func (s scope) again() scope {
	s.same = true
	return s
}

// inBackground is the same scope for what nobody waits for.
func (s scope) inBackground() scope {
	s.behind = true
	return s
}

// settings are the statements that put a Postgres transaction into the scope. Its organization must be well formed.
func (s scope) settings() string {
	return "set local role " + s.role + "; set local vel.org = '" + string(s.org) + "'"
}

// wellFormed tells whether a text can be an id at all. What comes from outside may be anything, and an id becomes part
// of a statement: nothing belongs to any other.
func wellFormed(id tenancy.ID) bool {
	return !strings.ContainsFunc(string(id), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-:./", r)
	})
}
