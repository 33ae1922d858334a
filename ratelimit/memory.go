package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"
)

// Memory counts in this process. What it keeps is bounded by what was used lately. It has no goroutine.
type Memory struct {
	clock    func() time.Time
	calendar calendar
	seed     maphash.Seed
	shards   [shards]shard
}

const shards = 64

// NewMemory makes a limiter that follows a clock, such as time.Now.
func NewMemory(clock func() time.Time) *Memory {
	m := &Memory{clock: clock, seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].tags = map[string]*tagged{}
	}
	return m
}

func (m *Memory) now() int64 { return m.clock().UnixMilli() }

func (m *Memory) shard(tag string) *shard {
	return &m.shards[maphash.String(m.seed, tag)%shards]
}

// Take is Limiter's.
func (m *Memory) Take(_ context.Context, h *Hold) (Decision, error) {
	if err := h.check(); err != nil {
		return Decision{}, err
	}
	now, s := m.now(), m.shard(h.Tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evict(now)
	t := s.tag(h.Tag, now)
	s.tidy(t, now)
	had := t.find(h.ID, now)
	if had != nil && had.phase != live {
		return Decision{}, ErrEnded
	}
	if had != nil && len(had.takes) != len(h.Takes) {
		return Decision{}, fmt.Errorf("take more for a hold of %d limits: now it has %d", len(had.takes), len(h.Takes))
	}
	m.ask(s, t, h, had, now)
	d := s.decide(h, had, now)
	if d.OK {
		s.hand(t, h, had, now)
	}
	s.tell(h, &d, now)
	return d, nil
}

// ask finds out what each take of a hold asks of which state.
func (m *Memory) ask(s *shard, t *tagged, h *Hold, had *held, now int64) {
	s.asked, h.starts = s.asked[:0], h.starts[:0]
	for i := range h.Takes {
		k := &h.Takes[i]
		w := m.calendar.window(k.Limit, now)
		a := asked{more: k.N, start: w.start, left: w.left(now), end: w.end}
		h.starts = append(h.starts, a.start)
		if !h.decidesApart(i) {
			a.of = s.state(t, k.Limit)
			a.of.lapse(now)
			a.keep(k.Limit, now)
			a.above(had, i)
		}
		s.asked = append(s.asked, a)
	}
}

// keep keeps the state from being evicted, and finds its window.
func (a *asked) keep(l *Limit, now int64) {
	a.of.keep(l, now, a.end)
	if a.start != none {
		a.start = a.of.turn(a.start)
	}
}

// above leaves of what is asked what the hold does not have yet. What it took in a window counts there, also when that
// one is over, unless it is forgotten.
func (a *asked) above(had *held, i int) {
	if had == nil {
		return
	}
	k := &had.takes[i]
	k.refresh()
	if k.start != none && a.start != none {
		if a.of.tally(k.start) != nil {
			a.start = k.start
		} else {
			k.n = 0
		}
	}
	switch {
	case a.of.kind != Slots:
		a.more = max(0, a.more-k.n)
	case k.lease.in != nil:
		a.more = 0
	}
}

// decide says whether all of it can be taken. The waits stay in the decision; what is left is told later.
func (s *shard) decide(h *Hold, had *held, now int64) Decision {
	d := Decision{Left: h.left[:0]}
	for i := range s.asked {
		a, l := &s.asked[i], h.Takes[i].Limit
		var v verdict
		if a.of != nil && (had == nil || a.more > 0) {
			v.wait = a.of.wait(l, now, a.more, a.start, a.left)
		}
		d.add(l, v)
	}
	d.done()
	return d
}

// tell says what is left of each limit.
func (s *shard) tell(h *Hold, d *Decision, now int64) {
	for i := range s.asked {
		if a := &s.asked[i]; a.of != nil {
			units, reset := a.of.left(h.Takes[i].Limit, now, a.start, a.left)
			d.Left[i] = Left{units, time.Duration(reset) * time.Millisecond}
		}
	}
	h.left = d.Left
}

// hand gives the hold what it asked for.
func (s *shard) hand(t *tagged, h *Hold, had *held, now int64) {
	expires := now + lifetime
	if had == nil {
		had = s.enter(t, h)
	}
	for i := range s.asked {
		if a := &s.asked[i]; a.of != nil {
			had.takes[i].raise(h.Takes[i].Limit, a, now, expires)
		}
	}
	t.put(had, expires)
	h.Expires = time.UnixMilli(expires)
}

// enter makes a hold that has nothing yet. One with its id may stand that nobody asks for any more.
func (s *shard) enter(t *tagged, h *Hold) *held {
	if old := t.holds[h.ID]; old != nil {
		s.forget(t, old)
	}
	had := s.hold(h.ID, len(h.Takes))
	t.holds[h.ID] = had
	for i := range h.Takes {
		k := &had.takes[i]
		k.kind, k.key, k.start, k.lease.of = h.Takes[i].Limit.Kind, h.Takes[i].Limit.Key, none, had
		had.money = had.money || k.kind == Amount
	}
	return had
}

// raise takes what is asked more.
func (k *taken) raise(l *Limit, a *asked, now, expires int64) {
	k.point(a.of)
	a.of.take(l, now, a.more, a.start)
	k.start = a.start
	if l.Kind != Slots {
		k.n += a.more
	} else if a.more > 0 || k.lease.in != nil {
		k.n = 1
		a.of.leases.join(&k.lease, expires)
	}
}

// Settle is Limiter's. It is done when it returns.
func (m *Memory) Settle(h *Hold, actual []int64) {
	m.end(h, actual, gone)
}

// Sweep is Counter's.
func (m *Memory) Sweep(_ context.Context, h *Hold, estimate []int64) error {
	if len(estimate) != len(h.Takes) {
		return errors.New("sweep a hold: there is not one estimate for each take")
	}
	m.end(h, estimate, booked)
	return nil
}

// end ends a hold.
func (m *Memory) end(h *Hold, actual []int64, as phase) {
	now, s := m.now(), m.shard(h.Tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tag(h.Tag, now)
	s.tidy(t, now)
	if len(h.starts) != len(h.Takes) { // it was never taken here
		h.starts = m.calendar.starts(h.starts[:0], h.Takes, now)
	}
	had := t.find(h.ID, now)
	if had == nil && as == gone {
		had = s.enter(t, h)
	}
	if had == nil || had.phase >= as || len(had.takes) != len(h.Takes) {
		return
	}
	for i := range h.Takes {
		m.book(s, t, h, had, i, min(max(actual[i], 0), most), as, now)
	}
	if as == gone {
		s.forget(t, had)
		t.finish(h.ID)
		return
	}
	had.phase = booked
	t.put(had, now+swept)
}

// book books what was used of one take.
func (m *Memory) book(s *shard, t *tagged, h *Hold, had *held, i int, actual int64, as phase, now int64) {
	k, l := &had.takes[i], h.Takes[i].Limit
	k.lease.leave()
	if l.Kind == Slots || as == booked && l.Kind != Amount {
		return
	}
	if k.of == nil {
		k.point(s.state(t, l))
		k.of.keep(l, now, m.calendar.window(l, h.starts[i]).end)
	}
	st := k.of
	k.refresh()
	if k.start == none { // it was not held
		k.start = h.starts[i]
		if k.start > st.now.start {
			st.turn(k.start)
		}
	}
	st.settle(l, now, k.n, actual, k.start, had.phase)
	if l.Kind == Rate {
		st.keep(l, now, 0)
	}
	k.n = actual
}
