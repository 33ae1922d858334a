package routing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/adapters"
)

// A percentile is the wait of that rank, up to a step more.
func TestPercentile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.IntRange(1, 100_000), fewestWaits, 300).Draw(t, "milliseconds")
		percent := rapid.IntRange(1, 99).Draw(t, "percent")
		var w waits
		now := time.Now()
		for _, ms := range all {
			w.add(time.Duration(ms)*time.Millisecond, now)
		}
		got, ok := w.percentile(percent, now)
		within := 0
		for _, ms := range all {
			if time.Duration(ms)*time.Millisecond <= got {
				within++
			}
		}
		shorter := 0
		for _, ms := range all {
			if time.Duration(ms)*time.Millisecond < got*4/5 {
				shorter++
			}
		}
		if !ok || 100*within < percent*len(all) || 100*shorter >= percent*len(all) && got > 2*shortestWait {
			t.Fatalf("p%d is %v (%v): %d of %d are within, %d much shorter", percent, got, ok, within, len(all), shorter)
		}
	})
}

// What is longer ago than two windows says nothing any more, and too few waits say nothing at all.
func TestWaitsAreForgotten(t *testing.T) {
	t.Parallel()
	var w waits
	now := time.Now()
	for range fewestWaits - 1 {
		w.add(time.Second, now)
	}
	if got, ok := w.percentile(50, now); ok {
		t.Errorf("%d waits say %v", fewestWaits-1, got)
	}
	w.add(time.Second, now)
	if _, ok := w.percentile(50, now.Add(waitWindow+time.Second)); !ok {
		t.Error("the window before is not read")
	}
	if got, ok := w.percentile(50, now.Add(3*waitWindow)); ok {
		t.Errorf("what was long ago says %v", got)
	}
}

// An attempt that was overtaken waited at least so long: left out, it would make the target look faster than it is. A second attempt
// that came too late would do so if it counted.
func TestOvertakenWaitsCount(t *testing.T) {
	t.Parallel()
	var s State
	target := &Target{ID: "p/m", Breaker: Breaker{5, time.Minute, time.Minute}}
	now := time.Now()
	for i := range 40 {
		pass, ok := s.Begin(Move{Target: target}, now)
		if !ok {
			t.Fatal("no leave")
		}
		o := Outcome{Target: target, Pass: pass, Stream: true, FirstByte: 10 * time.Millisecond, Total: time.Second}
		if i%4 == 0 {
			o.Class, o.FirstByte = adapters.ClassOvertaken, 0
		}
		s.Observe(&o, now)
		pass, _ = s.Begin(Move{Target: target}, now)
		s.Observe(&Outcome{Target: target, Pass: pass, Stream: true, Class: adapters.ClassOvertaken, Beside: true, Total: time.Microsecond}, now)
	}
	median, _ := s.Usual(target, true, 50, now)
	slow, _ := s.Usual(target, true, 90, now)
	if _, whole := s.Usual(target, false, 50, now); whole || median < 10*time.Millisecond || median > 15*time.Millisecond || slow < time.Second {
		t.Errorf("the median is %v, p90 %v", median, slow)
	}
	if h := s.Status(now); h[0].Breaker != "closed" || h[0].Failures != 0 {
		t.Errorf("%+v: being overtaken is no failure", h[0])
	}
}

func BenchmarkLearnWait(b *testing.B) {
	var u usual
	now := time.Now()
	o := Outcome{Stream: true, FirstByte: 137 * time.Millisecond}
	for b.Loop() {
		u.learn(&o, now)
	}
}
