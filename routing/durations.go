package routing

import (
	"math"
	"time"
)

// Durations counts how long something took, by steps that are narrow enough for a percentile to be right within a fiftieth.
// Its memory is always the same.
type Durations struct {
	n     float64
	steps [durationSteps]float64
}

const (
	stepsPerOctave   = 16  // between a time and twice that
	durationSteps    = 384 // from a tenth of a millisecond to half an hour
	shortestDuration = 100 * time.Microsecond
)

// add counts one.
func (d *Durations) add(took time.Duration) {
	step := stepsPerOctave * math.Log2(float64(max(took, shortestDuration))/float64(shortestDuration))
	d.steps[min(durationSteps-1, int(step))]++
	d.n++
}

// take counts as many as n of another, shared out as that one's are.
func (d *Durations) take(n float64, of *Durations) {
	if of.n == 0 {
		return
	}
	for i, k := range of.steps {
		d.steps[i] += k * n / of.n
	}
	d.n += n
}

// Known is how many were counted.
func (d *Durations) Known() int64 { return int64(math.Round(d.n)) }

// Percentile is the time within which so many of a hundred ended; 0: none is known.
func (d *Durations) Percentile(percent float64) time.Duration {
	const rounding = 1e-6
	seen, wanted := 0.0, d.n*percent/100-rounding
	for i, k := range d.steps {
		if seen += k; k > 0 && seen >= wanted {
			middle := (float64(i) + 0.5) / stepsPerOctave
			return time.Duration(float64(shortestDuration) * math.Exp2(middle)).Round(10 * time.Microsecond)
		}
	}
	return 0
}
