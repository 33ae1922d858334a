package routing

import (
	"errors"
	"math"
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

// cell is the health of one target. The breaker locks itself and reads the clock itself; beside it, modes and
// until mirror its state, so that planning needs neither the lock nor the clock. Times are kept as nanoseconds since
// born, so that a step of the wall clock moves nothing.
type cell struct {
	id       string
	settings Breaker
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	born     time.Time
	modes    atomic.Uint64 // a mode; written under the breaker's own lock
	until    atomic.Int64  // the end of the cooldown while open
	cooling  atomic.Int64  // the provider asked us to stay away until then
	gone     atomic.Bool   // replaced or forgotten: attempts under way may still end here, but it is no news
	underWay atomic.Int64  // attempts that began and were not observed yet

	experience *experience // what the target did; taken over by the cell that comes after this one
	usual      *usual      // likewise
}

func newCell(id string, settings Breaker, onChange func(target, from, to string)) *cell {
	c := &cell{id: id, settings: settings, born: time.Now(), experience: &experience{}, usual: &usual{}}
	c.cooling.Store(math.MinInt64) // never
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         id,
		MaxRequests:  1,
		Interval:     settings.Window,
		BucketPeriod: (settings.Window + buckets - 1) / buckets,
		Timeout:      settings.Cooldown,
		ReadyToTrip:  settings.trips,
		IsExcluded:   func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.until.Store(c.at(time.Now()) + int64(settings.Cooldown))
			}
			c.modes.Store(uint64(c.mode().next(to))) // last: who reads open must find until
			if onChange != nil && !c.gone.Load() {
				onChange(id, from.String(), to.String())
			}
		},
	})
	return c
}

func (c *cell) mode() mode { return mode(c.modes.Load()) }

// at is a time as the cell keeps it, and when the time that it keeps.
func (c *cell) at(t time.Time) int64    { return int64(t.Sub(c.born)) }
func (c *cell) when(at int64) time.Time { return c.born.Add(time.Duration(at)) }

// trips is the rule that opens a breaker. A count alone would trip busy targets, a rate alone idle ones.
func (b Breaker) trips(n gobreaker.Counts) bool {
	calls := n.TotalFailures + n.TotalSuccesses
	return int64(n.TotalFailures) >= int64(b.Failures) && calls >= leastCalls && 2*n.TotalFailures >= calls
}

// standing is whether the target may be asked at a time, and if not, when again.
func (c *cell) standing(now time.Time) (Reason, time.Time) {
	at, cooling := c.at(now), c.cooling.Load()
	switch c.mode().state() {
	case gobreaker.StateOpen:
		if until := max(c.until.Load(), cooling); until >= at {
			return BreakerOpen, c.when(until)
		}
	case gobreaker.StateHalfOpen:
		if n := c.breaker.Counts(); n.Requests > n.TotalExclusions {
			return BreakerProbing, time.Time{} // soon, but nobody knows when
		}
	}
	if cooling > at {
		return Cooling, c.when(cooling)
	}
	return Chosen, time.Time{}
}

// begin gives leave for an attempt. While the breaker is closed it is not even touched: gobreaker books a result
// where the call began, so that a call which hangs for longer than the window would never count; ours counts when
// it ends. Only a probe is booked before.
func (c *cell) begin(force bool) (Pass, bool) {
	m := c.mode()
	if m.state() == closed {
		c.underWay.Add(1)
		return Pass{cell: c, mode: m}, true
	}
	done, err := c.breaker.Allow()
	if err != nil && !force {
		return Pass{}, false
	}
	c.underWay.Add(1)
	return Pass{cell: c, mode: m, done: done}, true
}

// Answered tells the target's breaker at the first data event that the provider is back. Without it a probe that
// is a stream would keep all other calls away until its end. It does nothing for a Pass that is no probe.
func (p *Pass) Answered() {
	if p.done != nil {
		p.done(nil)
		p.done, p.mode = nil, p.cell.mode()
	}
}

// end counts a result: nil, errFailed or errExcluded. A call from before the breaker changed counts nowhere: what
// it saw is already judged.
func (p *Pass) end(result error) {
	if p.done != nil {
		p.done(result)
		return
	}
	if errors.Is(result, errExcluded) || p.mode.state() != closed || p.cell.mode() != p.mode {
		return
	}
	if done, err := p.cell.breaker.Allow(); err == nil {
		done(result)
	}
}

// cool keeps calls away until a time. The later of two times counts.
func (c *cell) cool(until time.Time) {
	at := c.at(until)
	for {
		was := c.cooling.Load()
		if was >= at || c.cooling.CompareAndSwap(was, at) {
			return
		}
	}
}

func (c *cell) status(now time.Time) Status {
	state, n := c.breaker.State(), c.breaker.Counts() // State first: it takes what left the window out of the counts
	_, until := c.standing(now)
	return Status{c.id, state.String(), int(n.TotalFailures), int(n.TotalFailures + n.TotalSuccesses), until}
}
