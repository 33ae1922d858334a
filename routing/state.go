package routing

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// State is what is known of the targets' health. It outlives snapshots, is keyed by target id and is safe for
// concurrent use. The zero State knows nothing: every target is well.
type State struct {
	// OnChange is told when a breaker changes between "closed", "open" and "half-open". It is set before the
	// first use. It is called while the target's breaker is locked: it returns soon and does not call State.
	OnChange func(target, from, to string)

	places memory // where calls that belong together were answered
	extras extras // what second attempts add

	mu    sync.Mutex // one writer of cells at a time; readers take none, for every plan reads
	cells atomic.Pointer[map[string]*cell]
}

// Pass is the leave to make one attempt. It goes into the attempt's Outcome. Every Pass is observed, whatever
// became of the attempt: a half-open breaker waits for it.
type Pass struct {
	cell *cell
	mode mode // when it was given
	done func(error)
}

// Status is a target's health for people and metrics.
type Status struct {
	Target          string
	Breaker         string    // closed, open or half-open
	Failures, Calls int       // that ended in the window
	Until           time.Time // when it may be asked again; zero: now
}

// Begin asks for leave to make an attempt, just before it starts. False: the breaker has opened since the plan
// was made, or another call is its probe, or it cools for longer than a call waits. Then Plan.Next gets an Outcome
// with Refused.
func (s *State) Begin(m Move, now time.Time) (Pass, bool) {
	c := s.cell(m.Target)
	if !m.Force && c.cooling.Load() > c.at(now)+int64(patience) {
		return Pass{}, false
	}
	return c.begin(m.Force)
}

// Observe takes what became of an attempt: what the provider caused counts for or against the target, a
// Retry-After keeps calls away, and the calls that belong to one that was answered will follow it. The Pass is used up: a second Observe does nothing.
func (s *State) Observe(o *Outcome, now time.Time) {
	pass := o.Pass
	o.Pass = Pass{}
	if pass.cell == nil {
		return
	}
	pass.cell.underWay.Add(-1)
	pass.cell.experience.learn(o, now)
	pass.cell.usual.learn(o, now)
	if o.Class == adapters.ClassNone && o.Stick.key != 0 {
		s.places.put(o.Stick, o.Target.ID, now)
	}
	if o.RetryAfter > 0 && o.Class.Elsewhere() {
		pass.cell.cool(now.Add(min(o.RetryAfter, longestCooling)))
	}
	switch {
	case o.Class == adapters.ClassNone:
		pass.end(nil)
	case o.Class.AgainstTarget():
		pass.end(errFailed)
	default:
		pass.end(errExcluded)
	}
}

// Retain makes the state that of a new table: targets that it does not have are forgotten, new ones are well, and
// those whose breaker settings changed begin anew.
func (s *State) Retain(t *Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, kept := s.load(), make(map[string]*cell)
	for r := range t.every() {
		for _, target := range r.Targets {
			c := old[target.ID]
			switch {
			case kept[target.ID] != nil: // it stands in several routes
			case c == nil:
				kept[target.ID] = newCell(target.ID, target.Breaker, s.OnChange)
			case c.settings != target.Breaker:
				kept[target.ID] = s.renew(c, target.Breaker)
				if at := c.cooling.Load(); at != math.MinInt64 { // what the provider asked for still holds
					kept[target.ID].cool(c.when(at))
				}
			default:
				kept[target.ID] = c
			}
		}
	}
	for id, c := range old {
		c.gone.Store(kept[id] != c)
	}
	s.cells.Store(&kept)
	s.extras.retain(t)
}

// Reset forgets what a target did, as an operator may ask, and tells whether anything was known of it. Attempts
// under way then count nowhere.
func (s *State) Reset(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.load()[target]
	if ok {
		s.put(s.renew(c, c.settings))
	}
	return ok
}

// Status lists all targets in the order of their ids.
func (s *State) Status(now time.Time) []Status {
	cells := s.load()
	all := make([]Status, 0, len(cells))
	for _, c := range cells {
		all = append(all, c.status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Target, b.Target) })
	return all
}

// standing tells whether a plan takes the target.
func (s *State) standing(t *Target, now time.Time) (Reason, time.Time) {
	c := s.load()[t.ID]
	if c == nil {
		return Chosen, time.Time{}
	}
	return c.standing(now)
}

func (s *State) load() map[string]*cell {
	if m := s.cells.Load(); m != nil {
		return *m
	}
	return nil
}

// cell finds the target's cell. It makes one for a target that Retain has not seen: a call may outlive its table.
func (s *State) cell(t *Target) *cell {
	if c := s.load()[t.ID]; c != nil {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.load()[t.ID]; c != nil {
		return c
	}
	c := newCell(t.ID, t.Breaker, s.OnChange)
	s.put(c)
	return c
}

// put publishes a copy of the cells with c in it. The caller holds mu.
func (s *State) put(c *cell) {
	next := maps.Clone(s.load())
	if next == nil {
		next = make(map[string]*cell)
	}
	next[c.id] = c
	s.cells.Store(&next)
}

// renew makes a new cell in place of c and says so if c was not closed.
func (s *State) renew(c *cell, settings Breaker) *cell {
	c.gone.Store(true)
	if was := c.mode().state(); was != closed && s.OnChange != nil {
		s.OnChange(c.id, was.String(), closed.String())
	}
	next := newCell(c.id, settings, s.OnChange)
	next.experience, next.usual = c.experience, c.usual
	return next
}

// Available counts the providers of a table that have a credential and a target, and of them those that have a target
// which is not left alone now.
func (s *State) Available(t *Table, now time.Time) (available, total int) {
	well := map[*Provider]bool{}
	for r := range t.every() {
		for _, target := range r.Targets {
			reason, _ := s.standing(target, now)
			well[target.Provider] = well[target.Provider] || reason == Chosen
		}
	}
	for _, ok := range well {
		if ok {
			available++
		}
	}
	return available, len(well)
}
