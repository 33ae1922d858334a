package tasks

import (
	"errors"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// BatchState is how far a batch has come.
//
//	draft ── start ──▶ running ──▶ completed: every item has ended, well or not
//	  │                   │  ▲         │
//	  └──▶ cancelled ◀────┘  └─ retry ─┘
type BatchState string

// The states.
const (
	Draft          BatchState = "draft" // items may be added
	BatchRunning   BatchState = "running"
	BatchCompleted BatchState = "completed"
	BatchCancelled BatchState = "cancelled"
)

// Over tells whether nothing of the batch runs or will, unless its failed items are tried again.
func (s BatchState) Over() bool { return s == BatchCompleted || s == BatchCancelled }

// Batch is many tasks that are made together: its items. So many run at a time, on whichever nodes; the end of one begins the
// next.
type Batch struct {
	ID, Org  tenancy.ID
	Name     string
	As       tenancy.Identity // who the items are made for
	Once     string           // the request that has made it
	Endpoint adapters.Endpoint
	Parallel int
	Labels   map[string]string
	Retry    Retry // of each item

	State    BatchState
	Rev      int64
	Created  time.Time
	Began    time.Time
	Ended    time.Time
	Stopping time.Time // when it was asked to end; zero: nobody did

	Total                        int64 // items
	Bytes                        int64 // of their requests
	Succeeded, Failed, Cancelled int64
	TokensIn, TokensOut          int64
	Cost                         money.Nano
	Estimate                     money.Nano // of all items, as they were added; of those that have a price
	Unpriced                     int64      // items that had none
}

// Done is how many items have ended.
func (b *Batch) Done() int64 { return b.Succeeded + b.Failed + b.Cancelled }

// Bounds of batches.
const (
	DefaultParallel = 20
	MostParallel    = 1000
	MostItems       = 1_000_000
	BatchPriority   = 4 // behind all that somebody waits for
)

// Item makes the task of one request of a batch. It waits until the batch begins it.
func (b *Batch) Item(number int64, custom, model string) *Task {
	return &Task{
		ID: tenancy.NewID("task"), Org: b.Org, As: b.As, Batch: b.ID, Item: number, Custom: custom, Endpoint: b.Endpoint, Model: model, Priority: BatchPriority,
		Labels: b.Labels, Retry: b.Retry, State: Pending, Created: b.Created,
	}
}

// BatchQuery asks for batches, the newest first. What is empty does not matter.
type BatchQuery struct {
	Org, Owner tenancy.ID
	State      BatchState
	Before     tenancy.ID
	Limit      int
}

// ItemQuery asks for the items of a batch in their order.
type ItemQuery struct {
	Org, Batch tenancy.ID
	After      int64 // the number of the last one of the page before; -1: from the beginning
	State      State // empty: any
	Limit      int
}

// ItemResult is what came of an item, with its answer, sealed; empty: there is none.
type ItemResult struct {
	Task
	Answer string
}

// NewItem is one request of a batch, sealed, with what it is taken to cost.
type NewItem struct {
	*Task
	Request string
	Bytes   int64
	Cost    money.Nano
	Priced  bool
}

// Why something can not be done with a batch.
var (
	ErrBegun        = errors.New("the batch has begun: its items can not change any more")
	ErrGap          = errors.New("items before these are missing")
	ErrTooManyItems = errors.New("the batch has as many items as one may have")
	ErrNoItems      = errors.New("the batch has no items")
	ErrRunning      = errors.New("the batch has not ended")
)
