package ratelimit

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// What this process may do without the store. A share is rounded down, so that the shares of all nodes are never more than
// the limit; a share of nothing is refused.
const (
	allowancePercent = 5 // of what was left of a budget
	soonAgain        = time.Duration(soon) * time.Millisecond
)

// aside is what a Guard took by itself for a hold.
type aside struct {
	hold Hold
	of   []int // which takes of the other hold these are
}

// pick are the numbers of an aside's takes.
func (a *aside) pick(actual []int64) []int64 {
	out := make([]int64, len(a.of))
	for i, j := range a.of {
		out[i] = actual[j]
	}
	return out
}

// decide decides about some takes of a hold, as their limits say. If it says yes, the aside is put or dropped.
func (g *Guard) decide(h *Hold, which uint64) (Decision, *aside) {
	// A new id each time: when the hold grows, the new aside takes all of it, and then the old one is dropped.
	a := &aside{hold: Hold{ID: h.ID + "/" + strconv.FormatInt(g.alone.Add(1), 36), Tag: h.Tag}}
	for i := range h.Takes {
		if which&(1<<i) == 0 {
			continue
		}
		k := &h.Takes[i]
		switch k.Limit.OnStoreFailure {
		case Open:
		case Closed:
			return g.refuse(h, k), nil
		default:
			l := g.share(h.Tag, k.Limit)
			if k.N > l.capacity() || l.Kind == Rate && l.Max == 0 {
				return g.refuse(h, k), nil
			}
			a.hold.Takes, a.of = append(a.hold.Takes, Take{l, k.N}), append(a.of, i)
		}
	}
	ours, err := g.local.Take(context.Background(), &a.hold)
	if err != nil || ours.Cold != nil { // what makes no sense; or a budget that is just being opened
		return g.refuse(h, &h.Takes[0]), nil
	}
	return g.conclude(h, a, ours), a
}

// conclude says in terms of the hold what was decided about the aside.
func (g *Guard) conclude(h *Hold, a *aside, ours Decision) Decision {
	d := Decision{OK: ours.OK, Alone: true, Left: append(h.left[:0], make([]Left, len(h.Takes))...)}
	for i, j := range a.of {
		d.Left[j] = ours.Left[i]
		if ours.Refused == a.hold.Takes[i].Limit {
			d.Refused, d.RetryAfter = h.Takes[j].Limit, max(ours.RetryAfter, soonAgain)
		}
	}
	h.left = d.Left
	return d
}

// refuse refuses because of one take. It is not for ever: the store will be back.
func (g *Guard) refuse(h *Hold, k *Take) Decision {
	h.left = append(h.left[:0], make([]Left, len(h.Takes))...)
	return Decision{Refused: k.Limit, RetryAfter: soonAgain, Never: k.N > k.Limit.capacity(), Alone: true, Left: h.left}
}

// put makes an aside the hold's, instead of the one it had.
func (g *Guard) put(h *Hold, a *aside, which uint64) {
	if h.aside != nil {
		g.drop(h.aside)
	}
	h.aside, h.apart = a, which
	h.Expires = g.o.Clock().Add(Lifetime)
}

// drop gives back what was taken aside.
func (g *Guard) drop(a *aside) { g.local.Settle(&a.hold, make([]int64, len(a.of))) }

// share is what this process may give of a limit.
func (g *Guard) share(tag string, l *Limit) *Limit {
	mine := *l
	if l.Kind == Amount {
		mine.Per = Total
		mine.Max = g.allowance(tag, l)
		return &mine
	}
	n := int64(g.o.Nodes())
	if n <= 0 {
		n = int64(g.o.Assumed)
	}
	mine.Max, mine.Burst = l.Max/n, l.Burst/n
	if mine.Max == 0 {
		mine.Burst = 0
	}
	return &mine
}

// allowance is what this process may spend of a budget until the store is back.
func (g *Guard) allowance(tag string, l *Limit) int64 {
	return g.rests.begin(budget{tag, l.Key}, func() {
		ctx, own := context.Background(), &Limit{Key: l.Key, Kind: Amount, Per: Total}
		_ = g.local.Forget(ctx, tag, own) // Memory does not fail
		_ = g.local.Seed(ctx, tag, own, g.o.Clock(), 0)
	}) / 100 * allowancePercent
}

// rests remembers what was left of budgets when the store was last asked.
type rests struct {
	mu    sync.Mutex
	known map[budget]*rest
}

type budget struct{ tag, key string }

type rest struct {
	left int64
	used bool // some of it was given without the store
}

// restsMost is of how many budgets the rest is remembered. One that is not gives nothing without the store.
const restsMost = 200_000

// learn remembers what is left after a decision of the store.
func (r *rests) learn(h *Hold, d *Decision) {
	for i := range h.Takes {
		told := !h.decidesApart(i) && d.cold&(1<<i) == 0
		if l := h.Takes[i].Limit; l.Kind == Amount && told {
			r.set(budget{h.Tag, l.Key}, d.Left[i].Remaining)
		}
	}
}

func (r *rests) set(b budget, left int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[b]
	if k == nil {
		if r.known == nil {
			r.known = map[budget]*rest{}
		}
		for other := range r.known { // any of them
			if len(r.known) < restsMost {
				break
			}
			delete(r.known, other)
		}
		k = &rest{}
		r.known[b] = k
	}
	k.left, k.used = left, false
}

// begin is what was left of a budget. The first time since then that it is asked for, open is called before.
func (r *rests) begin(b budget, open func()) (left int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[b]
	if k == nil {
		return 0
	}
	if !k.used {
		open()
		k.used = true
	}
	return k.left
}

// WorstCase is by how much a limit may be exceeded, at most, each time that the store goes away and comes back, on a
// number of live nodes that believe to be a number of nodes. False: by any amount.
//
// A Rate: the nodes' shares of its burst, and a burst more that the store has saved up meanwhile. A Window and Slots: the
// nodes' shares once more. An Amount: what each node may spend, if nothing was spent before; what calls cost beyond their
// holds is not in it.
func WorstCase(l *Limit, live, believed int) (units int64, bounded bool) {
	if l.OnStoreFailure != Local {
		return 0, l.OnStoreFailure == Closed
	}
	n, of := int64(live), int64(max(believed, 1))
	switch l.Kind {
	case Rate:
		if l.Max/of == 0 {
			return 0, true
		}
		return l.Burst/of*n + l.Burst, true
	case Amount:
		return l.Max / 100 * allowancePercent * n, true
	}
	return l.Max / of * n, true
}
