package routing

import (
	"math"
	"sync"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

const (
	halfLife    = 30 * time.Second // of what is known of a target: after it a new value counts as much as all before
	leastWeight = 0.1              // of a new value, however soon after the last one it comes
	fewTokens   = 8                // answers with fewer tokens say nothing about how fast they flow
)

// knowledge is what a target did lately. Values that are 0 are not known.
type knowledge struct {
	first    float64 // seconds to the first event of a stream, or of a whole answer without tokens
	perToken float64 // seconds for each token of an answer
	output   float64 // tokens of an answer
	cached   float64 // the share of what was sent that the provider had in its cache
	failed   float64 // the share of attempts that failed
	at       time.Time
}

// experience keeps the knowledge of one target. It outlives the target's breaker.
type experience struct {
	mu sync.Mutex
	is knowledge
}

func (e *experience) read() knowledge {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.is
}

// learn takes an attempt that ended.
func (e *experience) learn(o *Outcome, now time.Time) {
	if o.Class != adapters.ClassNone && !o.Class.AgainstTarget() {
		return // the client's affair
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	k := &e.is
	weight := 1.0
	if !k.at.IsZero() {
		weight = max(leastWeight, 1-math.Exp2(-now.Sub(k.at).Seconds()/halfLife.Seconds()))
	}
	k.at = now
	if o.Class != adapters.ClassNone {
		k.failed += weight * (1 - k.failed)
		return
	}
	k.failed -= weight * k.failed
	k.times(o, weight)
	in, out := o.Usage.Tokens()
	if out > 0 {
		move(&k.output, float64(out), weight)
	}
	if in > 0 {
		k.cached += weight * (float64(o.Usage[adapters.CacheRead])/float64(in) - k.cached)
	}
}

// times learns how long an answer took: of a stream the beginning and the flow, of a whole one both in one.
func (k *knowledge) times(o *Outcome, weight float64) {
	_, out := o.Usage.Tokens()
	switch {
	case o.Streamed && o.FirstByte > 0:
		move(&k.first, o.FirstByte.Seconds(), weight)
		if out >= fewTokens {
			move(&k.perToken, (o.Total-o.FirstByte).Seconds()/float64(out), weight)
		}
	case out >= fewTokens:
		move(&k.perToken, o.Total.Seconds()/float64(out), weight)
	case o.Total > 0:
		move(&k.first, o.Total.Seconds(), weight)
	}
}

// move brings a value nearer to a new one; the first one is taken as it is.
func move(value *float64, to, weight float64) {
	if *value == 0 {
		weight = 1
	}
	*value += weight * (to - *value)
}

// known is what a target did lately.
func (s *State) known(t *Target) knowledge {
	if c := s.load()[t.ID]; c != nil {
		return c.experience.read()
	}
	return knowledge{}
}

// inFlight is how many attempts are under way at a target, of this process.
func (s *State) inFlight(t *Target) int64 {
	if c := s.load()[t.ID]; c != nil {
		return c.underWay.Load()
	}
	return 0
}
