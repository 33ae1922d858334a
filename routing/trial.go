package routing

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Trial is what a try of a provider found out: whether it takes the key, and whether it answers for a model.
type Trial struct{ Key, Model Finding }

// Finding is how one request of a trial ended.
type Finding struct {
	Verdict Verdict
	Class   adapters.Class // of the failure
	Status  int            // of the provider's answer; 0: there was none
	Message string         // what it means, for whoever runs the house
	Said    string         // the provider's own words, without secrets; empty: none that matter
	Took    time.Duration  // with a new connection, to the end of the answer
}

// Verdict is what a request has proved.
type Verdict uint8

// The verdicts.
const (
	NotTried Verdict = iota // nothing was sent
	Works
	Fails
	Unproven // it was answered, and would have been whatever the key
)

// String is the word that the API has for it.
func (v Verdict) String() string { return [...]string{"not_tried", "works", "fails", "unproven"}[v] }
