package routing

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// Ask is what a call wants to know.
type Ask struct {
	Model    string // the public name; may alias the request body
	Who      *tenancy.Principal
	Endpoint adapters.Endpoint
}

// Outcome is how one attempt ended.
type Outcome struct {
	Target     *Target
	Class      adapters.Class
	Sent       bool // at least one byte of the request may have reached the provider
	Committed  bool // our answer's head was written
	RetryAfter time.Duration
	FirstByte  time.Duration
	Total      time.Duration
}

// Move is the next attempt.
type Move struct {
	Target *Target
	Wait   time.Duration // before it starts
}
