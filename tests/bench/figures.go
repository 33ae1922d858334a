package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is one number of one result; NaN where the result does not have it.
type figure func(r *loadResult) float64

// costOf is CPU milliseconds of the proxy for 1000 calls, or for 1000 content events in the phases of streams.
func costOf(r *loadResult, phase string) float64 { return costIn(r, phase, "proxy") }

// costIn is the same for another process in the walk: proxy, upstream or load.
func costIn(r *loadResult, phase, process string) float64 {
	u, watched := r.Used[process]
	if !watched {
		return math.NaN()
	}
	return per1000(r, phase, float64(u.CPU)/float64(time.Millisecond))
}

func per1000(r *loadResult, phase string, n float64) float64 {
	units := r.Calls
	if phase == streams || phase == steady {
		units = r.Events
	}
	return n * 1000 / float64(units)
}

func switchesOf(r *loadResult, phase string) float64 {
	u, watched := r.Used["proxy"]
	if !watched {
		return math.NaN()
	}
	return per1000(r, phase, float64(u.Switches))
}

// systemShare is the part of the proxy's CPU time inside the kernel, in per cent.
func systemShare(r *loadResult) float64 {
	u := r.Used["proxy"]
	return 100 * float64(u.System) / float64(u.CPU)
}

// foreignLoad is how many CPUs worth of time other programs took during the window: they take it from everybody
// measured, from its caches too.
func foreignLoad(r *loadResult) float64 {
	others := r.Busy
	for _, u := range r.Used {
		others -= u.CPU
	}
	return max(0, others.Seconds()/r.Seconds)
}

func mallocsPerEvent(r *loadResult) float64 {
	if r.Mallocs == nil {
		return math.NaN()
	}
	return *r.Mallocs / float64(r.Events)
}

// kibPerStream is how much the proxy grew from no stream to the i-th level, for each stream of that level.
func kibPerStream(r *loadResult, i int) float64 {
	if i >= len(r.Held) {
		return math.NaN()
	}
	grown := r.Held[i].Bytes["proxy"] - r.Held[0].Bytes["proxy"]
	return float64(grown) / 1024 / float64(r.Held[i].Streams)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// series are the values of a figure, one for each round.
func series(runs []measurement, phase, contender string, f figure) []float64 {
	var values []float64
	for _, m := range runs {
		if m.phase == phase && m.contender == contender {
			values = append(values, f(m.result))
		}
	}
	return values
}

// pairwise joins two series round by round.
func pairwise(a, b []float64, join func(x, y float64) float64) []float64 {
	n := min(len(a), len(b))
	out := make([]float64, n)
	for i := range n {
		out[i] = join(a[i], b[i])
	}
	return out
}

func ratio(x, y float64) float64      { return x / y }
func difference(x, y float64) float64 { return x - y }

// median is NaN for nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// spread writes the median and, of more than one value, the least and the greatest.
func spread(values []float64) string {
	m := median(values)
	if math.IsNaN(m) {
		return "–"
	}
	if len(values) == 1 {
		return decimal(m)
	}
	return fmt.Sprintf("%s (%s–%s)", decimal(m), decimal(slices.Min(values)), decimal(slices.Max(values)))
}

// decimal writes three figures, or whole numbers above them.
func decimal(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "–"
	case a < 10:
		return fmt.Sprintf("%.2f", x)
	case a < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
