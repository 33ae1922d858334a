package routing

import (
	"strconv"
	"time"
)

// Reason is why a target is part of a plan, or why not.
type Reason uint8

// The reasons. Records keep their numbers: they never change.
const (
	Chosen            Reason = iota + 1 // asked, in the plan's order
	LastResort                          // every target is out, and this one is back soonest: at Until
	BreakerOpen                         // it failed too often and is left alone until a time
	BreakerProbing                      // it failed too often, and another call is just finding out whether it is back
	Cooling                             // it asked us to stay away until a time
	NoCredential                        // its provider's key is not set
	WrongOrganization                   // its provider is for other organizations
	NotSpoken                           // its adapter does not have the endpoint
	Shared                              // its account keeps things for several organizations, and the call needs one's own
	Elsewhere                           // the object that the call names is kept by another provider
	NoProvider                          // its provider is not there, or nothing could be made of it
	NoWeight                            // its weight is 0
	Stuck                               // asked first: calls that this one belongs to were answered there
	Explored                            // asked first: nobody knows how fast it is now
	Limited                             // its account allowed no more when the call came to it
	Unable                              // its provider can not do what the call asks for
	Unaffordable                        // limits or budgets had no room for what the call may cost there
	reasons
)

var reasonTexts = [reasons]string{
	"", "chosen", "last resort, out", "breaker open", "breaker half-open, probe under way", "cooling",
	"no credential", "not for this organization", "endpoint not spoken", "account shared by organizations",
	"does not hold the named object", "no such provider", "weight 0", "chosen, sticky", "chosen, explored", "account limit reached",
	"can not do what is asked", "no room in limits or budgets",
}

// String is the reason in words, as records and people read it.
func (r Reason) String() string {
	if r < reasons {
		return reasonTexts[r]
	}
	return "unknown"
}

// Candidate is what became of one target of the route. Until is set where time mends the reason, and says when. Score
// is what the route's strategy gave it among those that may be asked: the lowest comes first.
type Candidate struct {
	Provider, Model string
	Reason          Reason
	Until           time.Time
	Score           float64
}

// Explanation accounts for every target that the route names, each once. It is kept as codes and becomes text
// only when somebody reads it.
type Explanation []Candidate

// AppendText appends one line for people, as
//
//	openai/gpt-4o: breaker open until 2026-11-22T10:00:05Z; groq/llama-3.3-70b: chosen
func (e Explanation) AppendText(b []byte) ([]byte, error) {
	for i := range e {
		c := &e[i]
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, c.Provider...)
		b = append(b, '/')
		b = append(b, c.Model...)
		b = append(b, ": "...)
		b = append(b, c.Reason.String()...)
		if !c.Until.IsZero() {
			b = append(b, " until "...)
			b = c.Until.UTC().AppendFormat(b, time.RFC3339)
		}
		if c.Score != 0 {
			b = append(b, " ("...)
			b = strconv.AppendFloat(b, c.Score, 'g', 3, 64)
			b = append(b, ')')
		}
	}
	return b, nil
}

// String is AppendText on its own.
func (e Explanation) String() string {
	b, _ := e.AppendText(nil)
	return string(b)
}

// PassedOver notes why a target of the plan was not asked when the call came to it.
func (p *Plan) PassedOver(t *Target, why Reason) { p.whyOf(t).Reason = why }

// Chosen tells whether a target with this reason is part of the plan.
func (r Reason) Chosen() bool { return r == Chosen || r == LastResort || r == Stuck || r == Explored }
