package accounting

import (
	"fmt"
	"time"
)

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
