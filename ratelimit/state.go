package ratelimit

// state is what is counted of one limit. What is said here about each kind is said again, for Redis, in scripts/shared.lua.
type state struct {
	key  string
	kind Kind
	refs int   // takes of holds that point here
	idle int64 // when it says no more than a new one

	// Rate: how full it was at a moment, in units times the milliseconds of its period. It drains by Max each millisecond,
	// so it holds Burst full periods at most. This is the arrival time of the algorithm, as an exact fraction.
	debt, at int64

	// Window and Amount: the newest two windows, so that a clock that is set back finds the one it came from.
	now, past tally
	warm      bool  // Amount: somebody has said what was spent
	born      int64 // Amount: changes when all is forgotten, so that holds from before give nothing back

	// Slots: the holds that have one.
	leases line

	of         *tagged
	next, prev *state // in its shard's ring
}

// tally is what was counted in one window. Its start is none before anything was.
type tally struct{ start, spent, held, overrun int64 }

const none = -1

// drained is the debt at a moment. A clock that was set back drains nothing, and drains on from there.
func (s *state) drained(l *Limit, now int64) int64 {
	s.at = min(s.at, now)
	passed := now - s.at
	switch {
	case passed > s.debt/l.Max:
		return 0
	}
	return s.debt - passed*l.Max
}

// turn makes start the newest window if it is newer, and tells in which one to count: what is older than both windows that
// are known counts in the older one.
func (s *state) turn(start int64) int64 {
	if start > s.now.start {
		s.past, s.now = s.now, tally{start: start}
	}
	if start == s.now.start || s.past.start == none {
		return s.now.start
	}
	return s.past.start
}

// tally is the window with a start; nil: it is forgotten, or never was.
func (s *state) tally(start int64) *tally {
	switch start {
	case none:
		return nil
	case s.now.start:
		return &s.now
	case s.past.start:
		return &s.past
	}
	return nil
}

// lapse takes the slots of expired holds.
func (s *state) lapse(now int64) {
	for p := s.leases.expired(now); p != nil; p = s.leases.expired(now) {
		p.leave()
	}
}

// wait says how long to wait for more units in the window that starts at start, of which left milliseconds are left: fine,
// never, cold or milliseconds.
func (s *state) wait(l *Limit, now, more, start, left int64) int64 {
	switch {
	case l.Kind == Amount && !s.warm:
		return cold
	case more > l.capacity():
		return never
	}
	switch l.Kind {
	case Rate:
		per := l.Per.millis()
		over := s.drained(l, now) - (l.Burst*per - more*per)
		return max(0, (over+l.Max-1)/l.Max)
	case Window:
		if more > l.Max-s.tally(start).spent {
			return left
		}
	case Amount:
		return s.waitMoney(l, more, start, left)
	case Slots:
		if more > 0 && int64(s.leases.count) >= l.Max {
			return soon
		}
	}
	return fine
}

func (s *state) waitMoney(l *Limit, more, start, left int64) int64 {
	t := s.tally(start)
	switch {
	case more <= l.Max-t.spent-t.held:
		return fine
	case more <= l.Max-t.spent: // others may give some back
		if l.Per != Total {
			return min(soon, left)
		}
		return soon
	case l.Per == Total:
		return never
	}
	return left
}

// take takes more units. Slots are taken by who holds them.
func (s *state) take(l *Limit, now, more, start int64) {
	switch l.Kind {
	case Rate:
		s.debt, s.at = s.drained(l, now)+more*l.Per.millis(), now
	case Window:
		s.tally(start).spent += more
	case Amount:
		s.tally(start).held += more
	}
}

// left says how many units are left, and in how many milliseconds nothing is used.
func (s *state) left(l *Limit, now, start, left int64) (units, reset int64) {
	switch l.Kind {
	case Rate:
		debt := s.drained(l, now)
		return max(0, (l.Burst*l.Per.millis()-debt)/l.Per.millis()), (debt + l.Max - 1) / l.Max
	case Slots:
		return max(0, l.Max-int64(s.leases.count)), 0
	}
	if l.Kind == Amount && !s.warm {
		return 0, left
	}
	t := s.tally(start)
	return max(0, l.Max-t.spent-t.held), left
}

// settle books what was used instead of what the hold had: held, or booked already if it was swept.
func (s *state) settle(l *Limit, now, had, actual, start int64, as phase) {
	t := s.tally(start) // nil: that window is forgotten, and no longer decides about anything
	switch {
	case l.Kind == Rate:
		per := l.Per.millis()
		debt := s.drained(l, now) + (min(actual, most/per)-had)*per
		s.debt, s.at = min(max(debt, 0), most), now
	case l.Kind == Window && t != nil:
		t.spent = max(0, t.spent+actual-had)
	case l.Kind == Amount && t != nil:
		if as == live {
			t.held -= had
			t.spent += actual
		} else {
			t.spent += actual - had
		}
		t.overrun += max(0, actual-had)
	}
}

// keep says until when the state matters.
func (s *state) keep(l *Limit, now, end int64) {
	switch l.Kind {
	case Rate:
		s.idle = now + s.debt/l.Max + grace
	case Window:
		s.idle = end + grace
	case Slots:
		s.idle = now + grace
	case Amount:
		s.idle = max(now, end) + idle
	}
}
