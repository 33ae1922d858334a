package routing

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	leastCalls     = 10             // fewer say nothing about a rate
	buckets        = 6              // of the rolling window: failures leave it a sixth at a time
	longestCooling = 24 * time.Hour // longer is a mistake; daily quotas end within it
)

const closed = gobreaker.StateClosed

// What gobreaker is told about a call that did not succeed.
var (
	errFailed   = errors.New("the target failed")
	errExcluded = errors.New("the call says nothing about the target")
)

// mode is a breaker's state together with how often it changed.
type mode uint64

func (m mode) state() gobreaker.State { return gobreaker.State(m & 3) }

func (m mode) next(s gobreaker.State) mode { return (m>>2+1)<<2 | mode(s) }

// cell is the health of one target. The breaker locks itself and reads the clock itself; beside it, mode and
// until mirror its state, so that planning needs neither the lock nor the clock.
type cell struct {
	id       string
	settings Breaker
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	mode     atomicMode
	until    atomic.Int64 // unix nanoseconds; the end of the cooldown while open
	cooling  atomic.Int64 // unix nanoseconds; the provider asked us to stay away until then
}

type atomicMode struct{ v atomic.Uint64 }

func (a *atomicMode) Load() mode   { return mode(a.v.Load()) }
func (a *atomicMode) Store(m mode) { a.v.Store(uint64(m)) }

func newCell(id string, settings Breaker, onChange func(target, from, to string)) *cell {
	c := &cell{id: id, settings: settings}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         id,
		MaxRequests:  1,
		Interval:     settings.Window,
		BucketPeriod: (settings.Window + buckets - 1) / buckets,
		Timeout:      settings.Cooldown,
		ReadyToTrip:  settings.trips,
		IsExcluded:   func(err error) bool { return err == errExcluded },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.until.Store(time.Now().Add(settings.Cooldown).UnixNano())
			}
			c.mode.Store(c.mode.Load().next(to)) // last: who reads open must find until
			if onChange != nil {
				onChange(id, from.String(), to.String())
			}
		},
	})
	return c
}

// trips is the rule that opens a breaker. A count alone would trip busy targets, a rate alone idle ones.
func (b Breaker) trips(n gobreaker.Counts) bool {
	calls := n.TotalFailures + n.TotalSuccesses
	return int64(n.TotalFailures) >= int64(b.Failures) && calls >= leastCalls && 2*n.TotalFailures >= calls
}

// standing is whether the target may be asked at a time, and if not, when again.
func (c *cell) standing(now time.Time) (Reason, time.Time) {
	at, cooling := now.UnixNano(), c.cooling.Load()
	switch c.mode.Load().state() {
	case gobreaker.StateOpen:
		if until := max(c.until.Load(), cooling); until >= at {
			return BreakerOpen, time.Unix(0, until)
		}
	case gobreaker.StateHalfOpen:
		if n := c.breaker.Counts(); n.Requests > n.TotalExclusions {
			return BreakerProbing, time.Unix(0, max(at, cooling))
		}
	}
	if cooling > at {
		return Cooling, time.Unix(0, cooling)
	}
	return Chosen, time.Time{}
}

// begin gives leave for an attempt. While the breaker is closed it is not even touched: gobreaker books a result
// where the call began, so that a call which hangs for longer than the window would never count; ours counts when
// it ends. Only a probe is booked before.
func (c *cell) begin(force bool) (Pass, bool) {
	m := c.mode.Load()
	if m.state() == closed {
		return Pass{cell: c, mode: m}, true
	}
	done, err := c.breaker.Allow()
	if err != nil && !force {
		return Pass{}, false
	}
	return Pass{cell: c, mode: m, done: done}, true
}

// end counts a result: nil, errFailed or errExcluded. A call from before the breaker changed counts nowhere: what
// it saw is already judged.
func (p *Pass) end(result error) {
	if p.done != nil {
		p.done(result)
		return
	}
	if result == errExcluded || p.mode.state() != closed || p.cell.mode.Load() != p.mode {
		return
	}
	if done, err := p.cell.breaker.Allow(); err == nil {
		done(result)
	}
}

// cool keeps calls away until a time. The later of two times counts.
func (c *cell) cool(until time.Time) {
	at := until.UnixNano()
	for {
		was := c.cooling.Load()
		if was >= at || c.cooling.CompareAndSwap(was, at) {
			return
		}
	}
}

func (c *cell) status(now time.Time) Status {
	n, state := c.breaker.Counts(), c.mode.Load().state()
	_, until := c.standing(now)
	if state == gobreaker.StateOpen && c.until.Load() < now.UnixNano() {
		state = gobreaker.StateHalfOpen // the next call will be its probe
	}
	return Status{c.id, state.String(), int(n.TotalFailures), int(n.TotalFailures + n.TotalSuccesses), until}
}
