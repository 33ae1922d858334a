package ratelimit

import "sync"

// shard is some of the tags of a Memory, with one lock for all they count: what a hold takes is of one tag.
type shard struct {
	mu    sync.Mutex // guards everything below
	tags  map[string]*tagged
	ring  *state  // all states in a ring, from the one that is looked at next
	owed  int     // how many more states are to be looked at
	spare []*held // to be used again
	asked []asked // of the take that is under way
}

// asked is what a take asks of one state.
type asked struct {
	of                *state // nil: nothing
	more, start, left int64  // units; of the window, and of it the milliseconds that are left
	end               int64
}

const (
	spareMost = 1024
	lookAt    = 8 // states are looked at together
	forMade   = 4 // of them for each that is made
)

// tag finds or makes what is known of a tag that is used now.
func (s *shard) tag(name string, now int64) *tagged {
	t := s.tags[name]
	if t == nil {
		t = newTagged(name)
		s.tags[name] = t
		t.anchor = s.state(t, &Limit{})
	}
	t.anchor.idle = now + settled
	return t
}

// state finds or makes the state of a limit.
func (s *shard) state(t *tagged, l *Limit) *state {
	if st := t.states[l.Kind][l.Key]; st != nil {
		return st
	}
	if t.states[l.Kind] == nil {
		t.states[l.Kind] = map[string]*state{}
	}
	st := &state{key: l.Key, kind: l.Kind, of: t, now: tally{start: none}, past: tally{start: none}}
	t.states[l.Kind][l.Key] = st
	t.count++
	s.owed += forMade
	if s.ring == nil {
		st.next, st.prev = st, st
		s.ring = st
	} else {
		st.next, st.prev = s.ring, s.ring.prev
		st.prev.next, st.next.prev = st, st
	}
	return st
}

// evict looks at one state for each take and at several for each that was made, a few at a time, and removes those that
// nobody needs, and tags of which nothing is left. So all have their turn before their number has doubled.
func (s *shard) evict(now int64) {
	if s.owed++; s.owed < lookAt {
		return
	}
	for ; s.owed > 0 && s.ring != nil; s.owed-- {
		st := s.ring
		s.ring = st.next
		s.tidy(st.of, now)
		if st.needed(now) {
			continue
		}
		s.remove(st)
		if st == st.of.anchor {
			delete(s.tags, st.of.name)
		}
	}
	s.owed = 0
}

// needed tells whether a state says more than a new one. The anchor of a tag is needed as long as anything else of it is.
func (s *state) needed(now int64) bool {
	if s == s.of.anchor && (s.of.count > 1 || !s.of.quiet()) {
		return true
	}
	return s.refs > 0 || s.leases.count > 0 || now <= s.idle
}

func (s *shard) remove(st *state) {
	if st.next == st {
		s.ring = nil
	} else {
		st.prev.next, st.next.prev = st.next, st.prev
		if s.ring == st {
			s.ring = st.next
		}
	}
	delete(st.of.states[st.kind], st.key)
	st.of.count--
}

// hold makes a hold of n takes.
func (s *shard) hold(id string, n int) *held {
	var h *held
	if last := len(s.spare) - 1; last >= 0 {
		h, s.spare = s.spare[last], s.spare[:last]
	} else {
		h = &held{}
	}
	if cap(h.takes) < n {
		h.takes = make([]taken, n)
	}
	h.id, h.phase, h.money, h.takes = id, live, false, h.takes[:n]
	clear(h.takes)
	h.place = place{of: h}
	return h
}

// free keeps a hold for another one.
func (s *shard) free(h *held) {
	h.id = ""
	if len(s.spare) < spareMost {
		s.spare = append(s.spare, h)
	}
}
