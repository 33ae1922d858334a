package tasks

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Retry says whether and when a task that failed is tried again. The data plane has tried other targets before: this is for
// what only time mends.
type Retry struct {
	Attempts int              // how often a task is tried in all
	Backoff  time.Duration    // before the second try; it doubles with each
	On       []adapters.Class // failures after which it is; empty: those that may end by themselves
}

// The bounds of a retry policy.
const (
	MostAttempts   = 10
	longestBackoff = time.Hour
	// mostInterrupted is how often a task is begun anew because its node ended. One that ends every node must end itself.
	mostInterrupted = 10
)

// DefaultRetry is the policy of a task that names none.
func DefaultRetry() Retry { return Retry{Attempts: 3, Backoff: time.Second} }

// Retryable are the failures after which a task may be tried again.
func Retryable() []adapters.Class {
	return []adapters.Class{
		adapters.ClassRate, adapters.ClassTimeout, adapters.ClassOverloaded, adapters.ClassServer,
		adapters.ClassConnect, adapters.ClassReset, adapters.ClassGarbage, adapters.ClassTruncated,
	}
}

// next tells whether a task that has failed so often is tried again after a failure, and when.
func (r *Retry) next(failures int, failed *adapters.Error) (wait time.Duration, again bool) {
	on := r.On
	if len(on) == 0 {
		on = Retryable()
	}
	if failures >= r.Attempts || !slices.Contains(on, failed.Class) {
		return 0, false
	}
	wait = r.Backoff << min(failures-1, 20)
	if wait <= 0 || wait > longestBackoff {
		wait = longestBackoff
	}
	wait = wait/2 + rand.N(wait/2+1) // so that what failed together is not tried together
	return max(wait, min(failed.RetryAfter, longestBackoff)), true
}

// failureOf is any error in the words that may be kept.
func failureOf(err error) *adapters.Error {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return e
	}
	return &adapters.Error{Class: adapters.ClassInternal, Code: "internal_error", Message: "internal error", Cause: err}
}
