package routing

import (
	"strconv"
	"strings"
	"time"
)

// Hedge is when a route asks a second target, because the first one is slow. The zero Hedge never does.
type Hedge struct {
	Percentile int     // of the first target's usual wait, after which the second one is asked
	MostExtra  float64 // the share of the route's cost that second attempts may add
	Tools      bool    // also calls that bring tools
}

// hedge reads the settings of a route; Validate found no fault in them.
func (h *HedgeConfig) hedge() Hedge {
	if h == nil {
		return Hedge{}
	}
	percentile, _ := strconv.Atoi(strings.TrimPrefix(h.After, "p"))
	share, _ := strconv.ParseFloat(strings.TrimSuffix(h.MaxExtraCost, "%"), 64)
	return Hedge{Percentile: percentile, MostExtra: share / 100, Tools: h.Tools}
}

// Second is the target to ask beside the one that is being asked; false: there is none, or no attempt is left.
func (p *Plan) Second(first *Target) (Move, bool) {
	if p.tries+2 > p.Attempts {
		return Move{}, false
	}
	for i, t := range p.Targets {
		if s := &p.steps[i]; t != first && s.tries == 0 && !s.over && !s.force {
			return Move{Target: t}, true
		}
	}
	return Move{}, false
}

// Usual is the time within which a target answers so many of a hundred calls; false: too little is known of it.
func (s *State) Usual(t *Target, stream bool, percentile int, now time.Time) (time.Duration, bool) {
	c := s.load()[t.ID]
	if c == nil {
		return 0, false
	}
	return c.usual.of(stream).percentile(percentile, now)
}
