package routing

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Hedge is when a route asks a second target, because the first one is slow. The zero Hedge never does.
type Hedge struct {
	Percentile int           // of the first target's usual wait, after which the second one is asked
	After      time.Duration // or so long, whatever is usual
	MostExtra  float64       // the share of the route's cost that second attempts may add
	Tools      bool          // also calls that bring tools
}

// On tells whether second targets are asked at all.
func (h Hedge) On() bool { return h.Percentile > 0 || h.After > 0 }

// longestHedge bounds a wait that is written as a duration: what is longer is timeouts.first_byte's to end.
const longestHedge = 10 * time.Minute

// after reads how long the first target is waited for: p95 or 300ms.
func (h *HedgeConfig) after() (percentile int, fixed time.Duration, ok bool) {
	if percentileForm.MatchString(h.After) {
		percentile, _ = strconv.Atoi(h.After[1:])
		return percentile, 0, true
	}
	fixed, err := time.ParseDuration(h.After)
	return 0, fixed, err == nil && fixed > 0 && fixed <= longestHedge
}

// validate checks what the file says.
func (h *HedgeConfig) validate(k checker, at string) {
	if _, _, ok := h.after(); !ok {
		k.fault(at+".after", fmt.Sprintf("%q is not understood", h.After), "write a percentile of the target's usual time as p95, or a duration as 300ms")
	}
	k.form(at+".max_extra_cost", h.MaxExtraCost, percentForm, "write a share of the cost, as 5%")
}

// hedge reads the settings of a route; Validate found no fault in them.
func (h *HedgeConfig) hedge() Hedge {
	if h == nil {
		return Hedge{}
	}
	percentile, fixed, _ := h.after()
	share, _ := strconv.ParseFloat(strings.TrimSuffix(h.MaxExtraCost, "%"), 64)
	return Hedge{Percentile: percentile, After: fixed, MostExtra: share / 100, Tools: h.Tools}
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

// Patience is how long a call waits for its first target before it asks a second one; false: too little is known of the target.
func (s *State) Patience(h Hedge, t *Target, stream bool, now time.Time) (time.Duration, bool) {
	if h.After > 0 {
		return h.After, true
	}
	return s.Usual(t, stream, h.Percentile, now)
}

// Usual is the time within which a target answers so many of a hundred calls; false: too little is known of it.
func (s *State) Usual(t *Target, stream bool, percentile int, now time.Time) (time.Duration, bool) {
	c := s.load()[t.ID]
	if c == nil {
		return 0, false
	}
	return c.usual.of(stream).percentile(percentile, now)
}
