package routing

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Suspects are the targets of a table whose breaker is not closed, and whose time to be asked again has come. Finding out whether
// they are back is then the next call's affair, or that of a probe: only targets of providers that are to be probed are among them.
func (s *State) Suspects(t *Table, now time.Time) (all []*Target) {
	seen := map[string]bool{}
	for r := range t.every() {
		for _, target := range r.Targets {
			if target.Provider.Probe == 0 || seen[target.ID] {
				continue
			}
			seen[target.ID] = true
			c := s.load()[target.ID]
			if c == nil || c.mode().state() == closed {
				continue
			}
			if reason, _ := c.standing(now); reason == Chosen {
				all = append(all, target)
			}
		}
	}
	return all
}

// Probed books what a probe found out, as an attempt would have been. What proves nothing about the target counts neither way.
func (s *State) Probed(t *Target, pass Pass, f *Finding, now time.Time) {
	o := Outcome{Target: t, Pass: pass, Class: f.Class}
	switch {
	case f.Verdict == Works:
		o.Class = adapters.ClassNone
	case f.Verdict != Fails || o.Class == adapters.ClassNone:
		o.Class = adapters.ClassInvalid
	}
	s.Observe(&o, now)
}
