package tasks

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Executor makes calls of the data plane from inside the house: the same limits, budgets, routes and records. The gateway's
// Pipeline is one.
//
// each gets the answer as it comes, valid until it returns; an error from it ends the call, as a client does by leaving. ctx ends
// it too. An error is an *adapters.Error in the words for a client, without secrets: its Class and RetryAfter say whether and
// when to try again. The Result is never nil: a call that failed may have cost something.
type Executor interface {
	Execute(ctx context.Context, r *Request, each func(piece []byte) error) (*Result, error)
}

// Request is such a call.
type Request struct {
	As       tenancy.Identity // resolved again when the call is made: a key that is revoked by then makes none
	Hash     tenancy.Hash     // of the key, for a node that has not heard of it yet; zero: it is in no database
	Endpoint adapters.Endpoint
	Body     []byte
	Task     tenancy.ID // what the call is made for; empty: nothing that is kept
	Tags     []string   // k=v, as in x-vel-tags
	Key      string     // the Idempotency-Key for the provider; empty: none
}

// Result says how such a call ended.
type Result struct {
	Call            tenancy.ID // its record
	Provider, Model string     // of the attempt that answered; empty: nobody did
	Attempts        int
	Usage           adapters.Usage // of all executed attempts together
	Estimated       bool           // part of it was counted here, because the provider did not tell
	Cost            money.Nano     // at least this, if Unpriced is not empty
	Unpriced        string         // why it may be more
	Waiting         time.Duration  // between attempts
	FirstByte       time.Duration  // from the beginning of the call; 0: there was none
	Total           time.Duration
}
