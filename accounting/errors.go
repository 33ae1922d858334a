package accounting

import (
	"errors"
	"fmt"
)

// ErrCursor says that a node's records are not stored up to where the caller believes: another process may have stored
// some of them.
var ErrCursor = errors.New("the node's cursor stands elsewhere")

// Rejected says that the database will never take one of the records, whatever happens.
type Rejected struct{ Cause error }

func (e *Rejected) Error() string {
	return fmt.Sprintf("the database will not take a record: %v", e.Cause)
}

func (e *Rejected) Unwrap() error { return e.Cause }
