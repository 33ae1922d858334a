package accounting

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// State says how much a record knows of its call.
type State uint8

const (
	Begun       State = iota + 1 // written before the first byte went to a provider
	Ended                        // written when the call was settled
	Interrupted                  // the process ended before the call did: what it used is the estimate of its beginning
)

// Record is what is kept of one call. A call that was identified leaves one, also if it was refused and cost nothing.
//
// It belongs to whoever writes it until Begin or End return: they encode it, and keep nothing of it.
type Record struct {
	State State
	ID    tenancy.ID // of the call: req_…
	Begun time.Time
	Who   tenancy.Identity

	Route           string // the public model name
	Provider, Model string // of the attempt that answered, or else of the last one; the model is the provider's name of it
	Endpoint        adapters.Endpoint
	Stream          bool

	Status   int            // that the client saw, or would have seen
	Class    adapters.Class // how the call ended
	Error    string         // what the client was told; scrubbed of secrets, bounded
	Attempts []Attempt

	Waiting    time.Duration // between attempts, and for a place
	FirstToken time.Duration // from Begun to the first byte of the answer's body; 0: there was none
	Total      time.Duration

	Usage     adapters.Usage // of all executed attempts together
	Estimated bool           // part of the usage was counted here and not told by the provider
	Cost      money.Nano     // of all executed attempts together; at least this, if Unpriced is not empty
	Unpriced  string         // why it may be more: no_price or no_usage; empty: it is known as a whole
	Estimate  money.Nano     // of a record that has begun: what the call is taken to cost if nothing more is heard of it

	Tags      []Tag
	Task, Run tenancy.ID // what the call was made for; empty: a client's own
	Decision  []byte     // why it went where it went; its form belongs to package routing
	Dropped   []string   // members of the request that the provider does not know and did not get
	Agent     string     // the client's User-Agent, bounded
	Cache     string     // hit or miss; empty: the route has no cache
	Saved     money.Nano // what the answer had cost that a hit gave again
	Mirror    Mirror     // of which call it is a copy
	Holds     []byte     // what was taken from limits and budgets before the call; its form belongs to the ledger
	Bookings  []Booking  // what it holds of budgets while it runs, and what the ledger books of it

	Prompt, Answer []byte // sealed by the keyring; empty: the organization does not keep them
}

// Attempt is one try at one target.
type Attempt struct {
	Provider, Model string
	Began           time.Duration // since the call began
	FirstByte       time.Duration // since the attempt began; 0: nothing came
	Total           time.Duration // since the attempt began
	Class           adapters.Class
	Status          int  // the provider's; 0: no answer
	Executed        bool // the provider did work for it, as far as is known: it is charged
	Usage           adapters.Usage
	Estimated       bool
	Cost            money.Nano
	Unpriced        string
	Price           string // which price it was: see Price.Version
}

// Tag is one of the pairs that a client sends in x-vel-tags.
type Tag struct{ Key, Value string }

// Store keeps records. storage.DB is one.
type Store interface {
	// Append stores what a node has spooled between two cursors and moves the node's cursor, in one transaction: a record
	// is stored exactly once, however often it is tried. ErrCursor says that from is not where the node's cursor stands,
	// *Rejected that the database will never take one of the records, whatever happens.
	Append(ctx context.Context, node string, from, to spool.Cursor, records []Record) error
	// Cursor is up to where a node's records are stored; the zero cursor if nothing is.
	Cursor(ctx context.Context, node string) (spool.Cursor, error)
}
