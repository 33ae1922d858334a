package adapters

import "time"

// Class says what a failure means for the call: whether another target may be tried, whether the same one
// may be, whether it speaks against the target, and which status the client sees.
type Class uint8

// The classes of failure.
const (
	ClassNone       Class = iota // no failure
	ClassInvalid                 // the request is at fault (400, 404, 409, 413, 422, content filter)
	ClassCredential              // our key was refused (401, 403)
	ClassRate                    // the provider limits our account (429)
	ClassQuota                   // our account at the provider is out of money
	ClassTimeout                 // no answer in time (408, or our own deadline)
	ClassOverloaded              // the provider says that it did not take the call (503, 529)
	ClassServer                  // the provider failed (other 5xx)
	ClassConnect                 // no connection; nothing was sent
	ClassReset                   // the connection was lost before the answer was whole
	ClassGarbage                 // a 2xx that is none: unparsable, empty, wrong length
	ClassTruncated               // a stream that ended before its end
	ClassGone                    // the client left
	ClassDraining                // this process stops
	ClassInternal                // a fault of ours
	ClassOvertaken               // another attempt of the call answered first
	classes
)

var classNames = [classes]string{
	"none", "invalid", "credential", "rate_limit", "quota", "timeout", "overloaded", "server", "connect",
	"reset", "garbage", "truncated", "client_gone", "draining", "internal", "overtaken",
}

// String is the word for the class in logs, metrics and records.
func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return "unknown"
}

// Elsewhere tells whether another target may succeed where this one failed.
func (c Class) Elsewhere() bool {
	switch c {
	case ClassNone, ClassInvalid, ClassGone, ClassDraining, ClassInternal, ClassOvertaken:
		return false
	}
	return true
}

// Again tells whether the same target may succeed a little later.
func (c Class) Again() bool { return c.Elsewhere() && c != ClassCredential && c != ClassQuota }

// NotExecuted tells whether the failure itself proves that the provider did no work for the call.
func (c Class) NotExecuted() bool {
	switch c {
	case ClassConnect, ClassRate, ClassQuota, ClassOverloaded, ClassCredential, ClassInvalid:
		return true
	}
	return false
}

// AgainstTarget tells whether the failure counts against the target. What the client caused never does.
func (c Class) AgainstTarget() bool { return c.Elsewhere() && c != ClassRate }

// Error is a failure in OpenAI's words, whoever it comes from. Message is for people and is scrubbed of
// secrets before it leaves the process.
type Error struct {
	Class                      Class
	Status                     int           // the upstream's; 0 if there was none
	Type, Code, Param, Message string        // empty Code and Param become null
	RetryAfter                 time.Duration // 0: not said
	Cause                      error         // for the log; never shown to a client
	Body                       []byte        // the upstream's own OpenAI-shaped error with its extra members, or nil; valid as long as the answer
	Told                       bool          // the client has seen it as an event of its stream: no second error frame
}

// Error is for the log; clients get the message through the gateway's error writer.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Class.String() + ": " + e.Message + ": " + e.Cause.Error()
	}
	return e.Class.String() + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }
