package accounting

import "fmt"

// Full says that a call can not be written down now, so it must not be made: the spool has reached its bound, or its disk
// takes nothing.
type Full struct{ Cause error }

// Error is for the log.
func (f *Full) Error() string { return fmt.Sprintf("the spool takes no record: %v", f.Cause) }

// Unwrap gives what the spool said.
func (f *Full) Unwrap() error { return f.Cause }
