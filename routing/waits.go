package routing

import (
	"math"
	"sync"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// waits counts how long a target took to the first event of a stream, or to a whole answer, over the last minutes: that is
// what percentiles are read from.
//
// Two windows follow each other, so that a percentile is of one whole window at least, and never of more than two.
type waits struct {
	mu     sync.Mutex // guards the rest, for some additions at a time
	begun  time.Time  // the newer window
	newer  [waitSteps]uint32
	older  [waitSteps]uint32
	number uint32 // of both
}

const (
	waitWindow     = 5 * time.Minute
	waitsPerOctave = 4  // steps between a time and twice that: a percentile is exact to a fifth
	waitSteps      = 72 // from a millisecond to four minutes
	shortestWait   = time.Millisecond
	fewestWaits    = 20 // fewer say nothing about a percentile
)

// step is where a wait is counted.
func stepOf(wait time.Duration) int {
	if wait <= shortestWait {
		return 0
	}
	return min(waitSteps-1, int(waitsPerOctave*math.Log2(float64(wait)/float64(shortestWait))))
}

// endOf is the longest wait that is counted in a step.
func endOf(step int) time.Duration {
	return time.Duration(float64(shortestWait) * math.Exp2(float64(step+1)/waitsPerOctave))
}

func (w *waits) add(wait time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	w.newer[stepOf(wait)]++
	w.number++
}

// turn begins a new window when the newer one is over.
func (w *waits) turn(now time.Time) {
	age := now.Sub(w.begun)
	if age < waitWindow {
		return
	}
	w.older, w.newer = w.newer, [waitSteps]uint32{}
	if age >= 2*waitWindow {
		w.older = w.newer
	}
	w.begun, w.number = now, 0
	for _, n := range w.older {
		w.number += n
	}
}

// percentile is the time within which so many of a hundred waits ended; false: too few are known.
func (w *waits) percentile(percent int, now time.Time) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	if w.number < fewestWaits {
		return 0, false
	}
	seen, wanted := uint32(0), uint32((uint64(w.number)*uint64(percent)+99)/100)
	for i := range w.newer {
		if seen += w.newer[i] + w.older[i]; seen >= wanted {
			return endOf(i), true
		}
	}
	return endOf(waitSteps - 1), true
}

// usual is what is known of a target's waits: those for streams, and those for whole answers.
type usual struct{ streams, wholes waits }

func (u *usual) of(stream bool) *waits {
	if stream {
		return &u.streams
	}
	return &u.wholes
}

// learn takes an attempt that ended. One that was overtaken by another, which began later, waited for at least its usual time. What
// began beside it and came too late was ended at any moment, and says nothing.
func (u *usual) learn(o *Outcome, now time.Time) {
	switch {
	case o.Class == adapters.ClassOvertaken && o.Beside:
	case o.Class == adapters.ClassOvertaken:
		u.of(o.Stream).add(o.Total, now)
	case o.Class == adapters.ClassNone && o.FirstByte > 0:
		u.of(o.Stream).add(o.FirstByte, now)
	}
}
