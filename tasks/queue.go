package tasks

import (
	"context"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Kind is a kind of durable work.
type Kind string

// The kinds. A node runs at most so many jobs of each at the same time as its Workers say.
const (
	RunTask     Kind = "task"     // a task has something to do
	RunBatch    Kind = "batch"    // a batch may start more of its items
	RunDelivery Kind = "delivery" // an event is to be sent to a webhook
)

// Job wakes a worker for one object at a time. It is never the truth: whoever gets it reads the row, and does nothing if that
// has another revision.
type Job struct {
	Kind     Kind
	ID       tenancy.ID // of the task, the batch, the delivery
	Org      tenancy.ID // whose it is
	Rev      int64      // of the row when the job was made
	Due      time.Time  // not before this; zero: now
	Priority int        // 1 is first, 4 is last; 0: 2
}

// Handler does the work of a job. It has its own retries, in the rows: an error is a fault of ours, which the queue logs. The
// job is over then, too; what nobody works on is found by its row and woken again.
type Handler func(ctx context.Context, j Job) error

// Workers says how many jobs of each kind a node runs at the same time. A kind that is not in it is not run.
type Workers map[Kind]int

// Queue wakes the workers of this node. Jobs are put into it by the transactions that change the rows, so there is no method
// for that: in Postgres they are rows of their own, else Wake hands them over after the commit.
type Queue interface {
	// Start begins to call h for every job whose time has come, each on a goroutine of its own. ctx bounds the start alone.
	Start(ctx context.Context, workers Workers, h Handler) error
	// Wake says what a transaction of this process has just committed.
	Wake(jobs ...Job)
	// Stop starts nothing more, and waits for the handlers that run. When ctx ends their contexts end, and it waits on: a
	// handler whose context has ended returns soon.
	Stop(ctx context.Context) error
}
