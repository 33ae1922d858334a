package accounting

import (
	"errors"
	"fmt"
	"time"
)

// ErrCursor says that a node's cursor is not where records were said to begin: they, or some of them, are stored already.
var ErrCursor = errors.New("the node's cursor stands elsewhere")

// Rejected says that the database will never take one of the records, whatever happens.
type Rejected struct{ Cause error }

// Error is for the log.
func (r *Rejected) Error() string { return fmt.Sprintf("the database rejects a record: %v", r.Cause) }

// Unwrap gives what the database said.
func (r *Rejected) Unwrap() error { return r.Cause }

// Full says that a call can not be written down now, so it must not be made: the spool has reached its bound, or its disk
// takes nothing.
type Full struct {
	RetryAfter time.Duration // when it is worth another try
	Cause      error         // for the log; never shown to a client
}

// Error is for the log.
func (f *Full) Error() string { return fmt.Sprintf("the spool takes no record: %v", f.Cause) }

// Unwrap gives what the spool said.
func (f *Full) Unwrap() error { return f.Cause }
