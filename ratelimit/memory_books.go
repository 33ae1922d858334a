package ratelimit

import (
	"context"
	"time"
)

// Renew is Limiter's.
func (m *Memory) Renew(_ context.Context, holds []Hold) error {
	now := m.now()
	for i := range holds {
		m.renew(&holds[i], now)
	}
	return nil
}

func (m *Memory) renew(h *Hold, now int64) {
	s := m.shard(h.Tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tag(h.Tag, now)
	had := t.find(h.ID, now)
	if had == nil {
		had = s.enter(t, h)
	}
	if had.phase != live || len(had.takes) != len(h.Takes) {
		return
	}
	if len(h.starts) != len(h.Takes) {
		h.starts = m.calendar.starts(nil, h.Takes, now)
	}
	for i := range h.Takes {
		if k := &h.Takes[i]; k.Limit.Kind == Slots || k.Limit.Kind == Amount {
			m.again(s.state(t, k.Limit), k, &had.takes[i], h.starts[i], now)
		}
	}
	t.put(had, now+lifetime)
}

// again holds a slot or money again, whatever the limit says.
func (m *Memory) again(st *state, want *Take, k *taken, start, now int64) {
	k.point(st)
	k.refresh()
	if want.Limit.Kind == Slots {
		if want.N > 0 {
			st.leases.join(&k.lease, now+lifetime)
		}
		return
	}
	st.keep(want.Limit, now, m.calendar.window(want.Limit, now).end)
	if k.start == none {
		k.start = st.turn(start)
	}
	if t := st.tally(k.start); t != nil && want.N > k.n {
		t.held += want.N - k.n
		k.n = want.N
	}
}

// Drop is Limiter's.
func (m *Memory) Drop(_ context.Context, tag string, ids []string) error {
	s := m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tags[tag]; t != nil {
		for _, id := range ids {
			if t.holds[id] == t.settled {
				delete(t.holds, id)
			}
		}
	}
	return nil
}

// Holds is Limiter's.
func (m *Memory) Holds(_ context.Context, tag string, expired bool) ([]Hold, error) {
	now, s := m.now(), m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tags[tag]
	if t == nil {
		return nil, nil
	}
	var all []Hold
	for p := t.money.first; p != nil && (!expired || p.expires <= now); p = p.next {
		all = append(all, p.of.show(tag))
	}
	return all, nil
}

// show is the hold as others see it.
func (h *held) show(tag string) Hold {
	out := Hold{ID: h.id, Tag: tag, Expires: time.UnixMilli(h.place.expires)}
	for i := range h.takes {
		k := &h.takes[i]
		out.Takes = append(out.Takes, Take{&Limit{Kind: k.kind, Key: k.key}, k.n})
		out.starts = append(out.starts, k.start)
	}
	return out
}

// Seed is Counter's.
func (m *Memory) Seed(_ context.Context, tag string, l *Limit, at time.Time, spent int64) error {
	w, now, s := m.calendar.window(l, at.UnixMilli()), m.now(), m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state(s.tag(tag, now), l)
	st.keep(l, now, w.end)
	if w.start > st.now.start {
		st.turn(w.start)
	}
	if t := st.tally(w.start); t != nil {
		t.spent = max(t.spent, spent)
	}
	st.warm = true
	return nil
}

// Lower is Counter's.
func (m *Memory) Lower(_ context.Context, tag string, l *Limit, at time.Time, by int64) error {
	w, s := m.calendar.window(l, at.UnixMilli()), m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tags[tag]
	if t == nil {
		return nil
	}
	if st := t.states[l.Kind][l.Key]; st != nil {
		if t := st.tally(w.start); t != nil {
			t.spent = max(0, t.spent-max(0, by))
		}
	}
	return nil
}

// Uses is Counter's.
func (m *Memory) Uses(_ context.Context, tag string, limits []*Limit) ([]Use, error) {
	now, s := m.now(), m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Use, 0, len(limits))
	for _, l := range limits {
		w := m.calendar.window(l, now)
		var st *state
		if t := s.tags[tag]; t != nil {
			st = t.states[l.Kind][l.Key]
		}
		if st == nil {
			all = append(all, Use{Cold: l.Kind == Amount})
			continue
		}
		all = append(all, st.use(l, now, w))
	}
	return all, nil
}

// use is what is used now.
func (s *state) use(l *Limit, now int64, w span) Use {
	switch l.Kind {
	case Rate:
		debt, per := s.drained(l, now), l.Per.millis()
		return Use{Used: (debt + per - 1) / per, Reset: time.Duration((debt+l.Max-1)/l.Max) * time.Millisecond}
	case Slots:
		var used int64
		for p := s.leases.last; p != nil && p.expires > now; p = p.prev {
			used++
		}
		return Use{Used: used}
	}
	u := Use{Reset: time.Duration(w.left(now)) * time.Millisecond, Cold: l.Kind == Amount && !s.warm}
	start := w.start
	if start > s.now.start { // nothing was used in it
		return u
	}
	t := s.tally(s.turn(start))
	u.Used, u.Held, u.Overrun = t.spent, t.held, t.overrun
	return u
}

// Forget is Counter's.
func (m *Memory) Forget(_ context.Context, tag string, l *Limit) error {
	s := m.shard(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tags[tag]
	if t == nil {
		return nil
	}
	if st := t.states[l.Kind][l.Key]; st != nil {
		for st.leases.first != nil {
			st.leases.first.leave()
		}
		st.debt, st.warm = 0, false
		st.born++
		st.now, st.past = tally{start: none}, tally{start: none}
	}
	return nil
}
