package tasks

import (
	"fmt"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Query asks for tasks, the newest first. What is empty does not matter.
type Query struct {
	Org             tenancy.ID
	Owner           tenancy.ID // the user whose they are, or the key of none
	Agent, Batch    tenancy.ID
	State           State
	Model, Provider string
	From, Until     time.Time  // when they were made
	Before          tenancy.ID // the last one of the page before
	Limit           int
}

// Full says that an owner has as many unfinished tasks as they may.
type Full struct{ Most int }

// Error is for the log.
func (f *Full) Error() string { return fmt.Sprintf("there are %d unfinished tasks already", f.Most) }
