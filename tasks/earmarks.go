package tasks

import (
	"context"
	"math/bits"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Outstanding is what the items of a batch may cost that neither have ended nor are among so many that run or soon will: those hold
// what they may cost themselves.
func (b *Batch) Outstanding(soon int64) money.Nano { return b.share(b.Total - b.Done() - soon) }

// ToRetry is what the items may cost that would begin anew.
func (b *Batch) ToRetry() money.Nano { return b.share(b.Failed + b.Cancelled) }

// share is what so many items may cost, as if all cost the same.
func (b *Batch) share(items int64) money.Nano {
	if items <= 0 || b.Estimate <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(b.Estimate), uint64(min(items, b.Total)))
	cost, _ := bits.Div64(high, low, uint64(b.Total))
	return money.Nano(cost)
}

// Purse keeps money for a batch in the budgets that will pay for its items, until release is called. It fails if they have no room.
type Purse func(ctx context.Context, b *Batch, worth money.Nano) (release func(), err error)

// Earmarks keep, for each batch that runs, what its items may still cost, so that nobody else spends it. Where the budgets have no room
// its items go on as long as there is money, and it is tried again. They belong to whoever looks after all batches.
type Earmarks struct {
	purse Purse
	held  map[tenancy.ID]earmark
}

// earmark is what is kept for one batch.
type earmark struct {
	worth   money.Nano
	done    int64  // items, when it was made
	release func() // nil: nothing is kept
}

// NewEarmarks makes earmarks that nothing is kept by yet.
func NewEarmarks(p Purse) *Earmarks { return &Earmarks{purse: p, held: map[tenancy.ID]earmark{}} }

// Keep is told again and again which batches run; what is kept for others is given back.
func (e *Earmarks) Keep(ctx context.Context, running []Batch) {
	runs := make(map[tenancy.ID]bool, len(running))
	for i := range running {
		b := &running[i]
		runs[b.ID] = true
		e.held[b.ID] = e.keep(ctx, b, e.held[b.ID])
	}
	for id, was := range e.held {
		if !runs[id] {
			was.giveBack()
			delete(e.held, id)
		}
	}
}

// keep makes what is kept for a batch what it ought to be. The items that will begin before the next look find room for what they
// hold: as many as ended since the last one, and as many again.
func (e *Earmarks) keep(ctx context.Context, b *Batch, was earmark) earmark {
	is := earmark{done: b.Done()}
	is.worth = b.Outstanding(int64(b.Parallel) + 2*max(0, is.done-was.done))
	if was.release != nil && was.worth == is.worth {
		is.release = was.release
		return is
	}
	was.giveBack()
	if release, err := e.purse(ctx, b, is.worth); err == nil {
		is.release = release
	}
	return is
}

func (k earmark) giveBack() {
	if k.release != nil {
		k.release()
	}
}
