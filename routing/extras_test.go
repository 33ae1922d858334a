package routing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/money"
)

// Whatever calls cost, second attempts never add more than the share, but for one usual call's worth of luck for each that is
// under way.
func TestExtrasStayWithinTheirShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s State
		r := &Route{Name: "m", Hedge: Hedge{Percentile: 95, MostExtra: 0.05}}
		now, plain, added := time.Now(), money.Nano(0), money.Nano(0)
		free := rapid.Bool().Draw(t, "nothing has a price")
		for range rapid.IntRange(1, 400).Draw(t, "calls") {
			cost := money.Nano(1000)
			if free {
				cost = 0
			}
			leave := s.MayHedge(r, now)
			extra := money.Nano(0)
			if leave {
				extra = cost
			}
			s.Spent(r, cost, extra, leave, now)
			plain, added = plain+cost+unit, added+extra
			if leave {
				added += unit
			}
			if float64(added) > 0.05*float64(plain)+1 {
				t.Fatalf("%d was added to %d", added, plain)
			}
		}
	})
}

// Leave that is out counts, until what it cost is known; and what was spent is forgotten with its window.
func TestLeaveIsHeld(t *testing.T) {
	t.Parallel()
	var s State
	r := &Route{Name: "m", Hedge: Hedge{Percentile: 95, MostExtra: 0.05}}
	now := time.Now()
	if s.MayHedge(r, now) {
		t.Error("leave was given although nothing is known of the route")
	}
	for range 40 {
		s.Spent(r, 1000, 0, false, now)
	}
	leaves := 0
	for s.MayHedge(r, now) {
		leaves++
	}
	if leaves != 2 {
		t.Errorf("%d of forty calls are five of a hundred", leaves)
	}
	s.Spent(r, 1000, 0, true, now)
	if !s.MayHedge(r, now) {
		t.Error("an attempt that cost nothing keeps its leave")
	}
	if s.MayHedge(r, now.Add(extraPart*(extraParts+1))) {
		t.Error("calls of another time count")
	}
}
