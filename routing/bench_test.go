package routing

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// busy is a route of ten targets, one of them open and one cooling, with what a call needs to be planned.
func busy(tb testing.TB) (*Table, *State, *Ask, time.Time) {
	tb.Helper()
	table, s, now := tableForTest(tb, configForTest(10, nil)), &State{}, time.Now()
	s.Retain(table)
	r, _ := table.Route("m")
	fail(tb, s, r.Targets[0], leastCalls, now)
	pass, _ := s.Begin(Move{Target: r.Targets[1]}, now)
	s.Observe(&Outcome{Pass: pass, Class: adapters.ClassRate, RetryAfter: time.Hour}, now)
	return table, s, ask(tb), now
}

// call plans a call and makes two attempts.
func call(tb testing.TB, table *Table, p *Plan, s *State, a *Ask, now time.Time) {
	if err := table.Plan(p, a, s, now); err != nil {
		tb.Fatal(err)
	}
	var o Outcome
	move, ok := p.Next(nil, now)
	for class := adapters.ClassConnect; ok; class = adapters.ClassNone {
		pass, leave := s.Begin(move, now)
		o = Outcome{Target: move.Target, Pass: pass, Refused: !leave, Class: class}
		s.Observe(&o, now)
		move, ok = p.Next(&o, now)
	}
}

func BenchmarkPlan(b *testing.B) {
	table, s, a, now := busy(b)
	var p Plan
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Plan(&p, a, s, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	table, s, a, now := busy(b)
	var p Plan
	b.ReportAllocs()
	for b.Loop() {
		call(b, table, &p, s, a, now)
	}
}

// TestAllocations: planning allocates nothing once a plan has its memory, and of an attempt only the counting of
// its end does, in gobreaker's closure.
func TestAllocations(t *testing.T) {
	table, s, a, now := busy(t)
	var p Plan
	plan := testing.AllocsPerRun(100, func() {
		if err := table.Plan(&p, a, s, now); err != nil {
			t.Fatal(err)
		}
		p.Next(nil, now)
	})
	if plan != 0 {
		t.Errorf("a plan allocates %v times", plan)
	}
	whole := testing.AllocsPerRun(100, func() { call(t, table, &p, s, a, now) })
	if whole > 2 {
		t.Errorf("a call with two attempts allocates %v times", whole)
	}
}
