package routing

import "time"

// Health is what this process knows of one target.
type Health struct {
	Status
	Provider, Model string        // the provider's name of the model
	Routes          []string      // that have it, by name
	UnderWay        int64         // attempts
	FirstByte       time.Duration // to the first event of a stream, or a whole answer without tokens; 0: not known
	PerToken        time.Duration // of an answer; 0: not known
	Failed          float64       // the share of attempts that failed lately
	Last            time.Time     // when an attempt last said something of it; zero: never
}

// Health lists the targets of a table in the order of their ids.
func (s *State) Health(t *Table, now time.Time) []Health {
	all, cells := []Health{}, s.load()
	for _, status := range s.Status(now) {
		h := Health{Status: status}
		for r := range t.every() {
			for _, target := range r.Targets {
				if target.ID == status.Target && (len(h.Routes) == 0 || h.Routes[len(h.Routes)-1] != r.Name) {
					h.Provider, h.Model = target.Provider.Name, target.Model
					h.Routes = append(h.Routes, r.Name)
				}
			}
		}
		if c := cells[status.Target]; c != nil && len(h.Routes) > 0 {
			h.measure(c)
			all = append(all, h)
		}
	}
	return all
}

func (h *Health) measure(c *cell) {
	k := c.experience.read()
	h.UnderWay, h.Failed, h.Last = c.underWay.Load(), k.failed, k.at
	h.FirstByte = time.Duration(k.first * float64(time.Second))
	h.PerToken = time.Duration(k.perToken * float64(time.Second))
}
