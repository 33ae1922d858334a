package routing

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Measured is what recorded calls say of the targets that they went to.
type Measured struct {
	targets map[string]*measurement
}

// measurement is of one target, over all calls alike: what was true of them together and not at one moment.
type measurement struct {
	provider, model                 string
	took                            Durations // to the end of an answer
	tries, failed                   float64
	first, perToken, output, cached mean
}

// mean is a sum of values.
type mean struct{ sum, n float64 }

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }

// of is the mean; 0: nothing is known.
func (m *mean) of() float64 { return m.sum / max(m.n, 1) }

// mostMeasured bounds the targets of records: names in them may be of any configuration that ever was.
const mostMeasured = 2000

// Learn takes what became of the attempts of a call.
func (m *Measured) Learn(c *Recorded) {
	if m.targets == nil {
		m.targets = map[string]*measurement{}
	}
	for i := range c.Tries {
		t := &c.Tries[i]
		if t.Class != adapters.ClassNone && !t.Class.AgainstTarget() {
			continue // the client's affair
		}
		of := m.targets[t.target()]
		if of == nil {
			if len(m.targets) == mostMeasured {
				continue
			}
			of = &measurement{provider: t.Provider, model: t.Model}
			m.targets[t.target()] = of
		}
		of.learn(t, c.Stream)
	}
}

func (m *measurement) learn(t *Tried, stream bool) {
	m.tries++
	if t.Class != adapters.ClassNone {
		m.failed++
		return
	}
	if t.Total > 0 {
		m.took.add(t.Total)
	}
	var k knowledge // of this one
	k.times(&Outcome{Streamed: stream, FirstByte: t.FirstByte, Total: t.Total, Usage: t.Usage}, 1)
	if k.first > 0 {
		m.first.add(k.first)
	}
	if k.perToken > 0 {
		m.perToken.add(k.perToken)
	}
	in, out := t.Usage.Tokens()
	if out > 0 {
		m.output.add(float64(out))
	}
	if in > 0 {
		m.cached.add(float64(t.Usage[adapters.CacheRead]) / float64(in))
	}
}

// forever is later than any call: what was measured over a time is at no moment of it too old.
func forever() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// State is one in which all targets are well and each does as it did over the calls that were learned from. Nothing is
// under way, and nothing is explored.
func (m *Measured) State() *State {
	cells := make(map[string]*cell, len(m.targets))
	for id, of := range m.targets {
		c := newCell(id, Breaker{}, nil)
		c.experience.is = knowledge{
			first: of.first.of(), perToken: of.perToken.of(), output: of.output.of(), cached: of.cached.of(), failed: of.failed / max(of.tries, 1), at: forever(),
		}
		cells[id] = c
	}
	s := &State{}
	s.cells.Store(&cells)
	return s
}

// Figure is how long the answers of a target took.
type Figure struct {
	Provider, Model string
	Answers         int64
	Median, P95     time.Duration
}

// Figures are those of all targets with an answer, in the order of their names.
func (m *Measured) Figures() (all []Figure) {
	for _, of := range slices.Collect(maps.Values(m.targets)) {
		if n := of.took.Known(); n > 0 {
			all = append(all, Figure{of.provider, of.model, n, of.took.Percentile(50), of.took.Percentile(95)})
		}
	}
	slices.SortFunc(all, func(a, b Figure) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return all
}

// took is how long the answers of a target took; none is known of one that never answered.
func (m *Measured) took(target string) *Durations {
	if of := m.targets[target]; of != nil {
		return &of.took
	}
	return &Durations{}
}
