package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Lifetime is how long a hold lasts that is not renewed.
const Lifetime = time.Minute

const (
	lifetime = int64(Lifetime / time.Millisecond)
	grace    = int64(60_000)          // how much longer than it matters something is kept, so that no clock needs to be exact
	settled  = 2 * lifetime           // how long a settled hold is remembered
	swept    = int64(86_400_000)      // how long a swept one is: its node may have been away
	idle     = 40 * int64(86_400_000) // how long a budget is remembered that nobody uses
	soon     = int64(1000)            // when to come again for what others only hold
)

// Widest is how many takes a hold may have.
const Widest = 64

// The reasons why a limiter can not say yes or no.
var (
	ErrAway  = errors.New("the store of the limits is away")
	ErrEnded = errors.New("the hold has ended")
)

// Take is what is asked of one limit: N units of a Rate or Window, N nano-dollars of an Amount, one place of Slots.
type Take struct {
	Limit *Limit
	N     int64
}

// Hold is what is taken from limits before something happens. It has one owner, and its limits stay the same until it is
// settled. A Hold may be used again after Reset.
type Hold struct {
	ID      string    // unique within the tag, and never used again; it is kept, so it is no alias of a buffer
	Tag     string    // whose limits they are: an organization or a target; all that a tag counts is on one Redis node
	Expires time.Time // by the store's clock; set by Take
	Takes   []Take    // no two of one limit, at most Widest

	left   []Left   // what Decision.Left shows
	starts []int64  // of the windows that the takes were counted in
	apart  uint64   // a bit for each take that the store does not decide about: see Guard
	aside  *aside   // what a Guard took instead of those
	keys   []string // of a Redis that took it
	kept   *kept    // how a Guard remembers to renew it
}

// Reset empties the hold, which was settled or never taken, and keeps its memory.
func (h *Hold) Reset() {
	*h = Hold{Takes: h.Takes[:0], left: h.left[:0], starts: h.starts[:0]}
}

// Left is what a limit has left, for people and headers.
type Left struct {
	Remaining int64         // units
	Reset     time.Duration // until nothing is used any more, if nothing more is; 0: at once, or never
}

// Decision says whether a hold was taken.
type Decision struct {
	OK         bool
	Refused    *Limit        // of those that refuse the one that does so for longest
	RetryAfter time.Duration // when it may be otherwise
	Never      bool          // by itself it is never otherwise: more is asked for than the limit ever gives
	Cold       *Limit        // no limit refuses, but the store does not know what was spent of this budget
	Left       []Left        // of each take, after it was taken or without; valid until the hold's next Take or Reset
	Alone      bool          // the store was away, or knew nothing of a budget, and this process decided about what it missed

	cold uint64 // a bit for each take of a cold budget
}

// Limiter takes and gives back. Memory, Redis and Guard are limiters. All methods are safe for concurrent use.
type Limiter interface {
	// Take takes everything that the hold asks for, or nothing, in one step. With the id of a hold that stands it raises
	// each take to N, and takes only what is more: so it is idempotent, and it is how a hold grows. An error is ErrAway,
	// or ErrEnded for a hold that has ended, or says what is wrong with the hold.
	Take(ctx context.Context, h *Hold) (Decision, error)
	// Settle ends a hold with what was used of each take: the differences are given back or added. It does not wait for
	// the store. Only the first one of an id counts. What is used of Slots says nothing.
	Settle(h *Hold, actual []int64)
	// Renew lets holds last for another Lifetime. What the store has forgotten of their slots and their money is held
	// again, whatever the limits say.
	Renew(ctx context.Context, holds []Hold) error
	// Drop forgets settled holds at once, when nobody can settle them a second time.
	Drop(ctx context.Context, tag string, ids []string) error
	// Holds lists the holds of a tag that hold money, or only the expired ones of them. Their limits have no more than
	// a key and a kind.
	Holds(ctx context.Context, tag string, expired bool) ([]Hold, error)
}

// Counter is what whoever keeps the books needs. Memory and Redis are counters.
type Counter interface {
	// Sweep ends an expired hold as Settle does, with an estimate of what was used of its money. A later Settle books the
	// difference. It waits for the store.
	Sweep(ctx context.Context, h *Hold, estimate []int64) error
	// Seed says what is known to be spent of a budget in the window in which a moment lies. It only raises. A budget is
	// cold until its first Seed.
	Seed(ctx context.Context, tag string, l *Limit, at time.Time, spent int64) error
	// Lower takes back some of what was spent of a budget in the window in which a moment lies, at most all of it. What is
	// held, and what is spent meanwhile, stays counted.
	Lower(ctx context.Context, tag string, l *Limit, at time.Time, by int64) error
	// Uses says what is used of limits now.
	Uses(ctx context.Context, tag string, limits []*Limit) ([]Use, error)
	// Forget forgets all that was counted of a limit. A budget is cold then.
	Forget(ctx context.Context, tag string, l *Limit) error
}

// Use is what is used of a limit.
type Use struct {
	Used    int64         // units; of an Amount, what was spent
	Held    int64         // of an Amount: what may be spent
	Overrun int64         // of an Amount: what was spent beyond what was held for it, summed over the window
	Reset   time.Duration // as in Left
	Cold    bool
}

// check says what is wrong with a hold.
func (h *Hold) check() error {
	if h.ID == "" || h.Tag == "" || len(h.Takes) > Widest {
		return fmt.Errorf("a hold with id %q and tag %q of %d limits can not be taken", h.ID, h.Tag, len(h.Takes))
	}
	for i := range h.Takes {
		if t := &h.Takes[i]; t.N < 0 || t.Limit.Kind == Slots && t.N > 1 {
			return fmt.Errorf("%d of the limit %s can not be taken", t.N, t.Limit.Key)
		}
	}
	return nil
}

// decidesApart tells whether the store is not asked about a take.
func (h *Hold) decidesApart(i int) bool { return h.apart&(1<<i) != 0 }

// What a store answers for each take beside what is left: how many milliseconds to wait, or one of these.
const (
	fine  = 0
	never = -1
	cold  = -2
)

// verdict is a store's answer for one take.
type verdict struct{ left, reset, wait int64 }

// add adds a verdict to a decision.
func (d *Decision) add(l *Limit, v verdict) {
	d.Left = append(d.Left, Left{v.left, time.Duration(v.reset) * time.Millisecond})
	wait := time.Duration(v.wait) * time.Millisecond
	switch {
	case v.wait == cold:
		d.Cold = cmp.Or(d.Cold, l)
		d.cold |= 1 << (len(d.Left) - 1)
	case v.wait == never && !d.Never:
		d.Refused, d.Never, d.RetryAfter = l, true, 0
	case v.wait > 0 && !d.Never && wait > d.RetryAfter:
		d.Refused, d.RetryAfter = l, wait
	}
}

// done ends a decision to which every verdict was added.
func (d *Decision) done() {
	if d.Refused != nil {
		d.Cold = nil
	}
	d.OK = d.Refused == nil && d.Cold == nil
}
