package ratelimit_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
)

// everything is eight limits and two budgets, as a call of a key in a team has.
func everything() []ratelimit.Take {
	return []ratelimit.Take{
		{Limit: rate("key:rpm", 1e9, 1e9), N: 1},
		{Limit: rate("key:tpm", 1e11, 1e11), N: 1200},
		{Limit: slots("key", 1e6), N: 1},
		{Limit: window("key:tpd", ratelimit.Day, 1e15), N: 1200},
		{Limit: rate("org:rpm", 1e9, 1e9), N: 1},
		{Limit: rate("org:tpm", 1e11, 1e11), N: 1200},
		{Limit: slots("org", 1e6), N: 1},
		{Limit: window("org:rph", ratelimit.Hour, 1e12), N: 1},
		{Limit: amount("key:day", ratelimit.Day, 9e15), N: 2_400_000},
		{Limit: amount("org:month", ratelimit.Month, 9e15), N: 2_400_000},
	}
}

// seedAll makes the budgets of takes known.
func seedAll(tb testing.TB, s store, tag string, takes []ratelimit.Take, now time.Time) {
	tb.Helper()
	for _, k := range takes {
		if k.Limit.Kind != ratelimit.Amount {
			continue
		}
		if err := s.Seed(tb.Context(), tag, k.Limit, now, 0); err != nil {
			tb.Fatal(err)
		}
	}
}

// ids are different ids that cost nothing to make while it is measured.
func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "req_" + strconv.Itoa(i)
	}
	return all
}

// settlement is what a call used of everything.
var settlement = []int64{1, 900, 1, 900, 1, 900, 1, 1, 1_700_000, 1_700_000}

// A take and a settle of a call allocate nothing once they have been used a little.
func TestMemoryAllocatesNothing(t *testing.T) {
	m := ratelimit.NewMemory(time.Now)
	h := ratelimit.Hold{Tag: "org", Takes: everything()}
	seedAll(t, m, "org", h.Takes, time.Now())
	names, i := ids(10_000), 0
	call := func() {
		h.ID = names[i%len(names)]
		i++
		if d, err := m.Take(t.Context(), &h); err != nil || !d.OK {
			t.Fatalf("%+v %v", d, err)
		}
		m.Settle(&h, settlement)
	}
	for range 1000 {
		call()
	}
	if n := testing.AllocsPerRun(2000, call); n != 0 {
		t.Errorf("a call allocates %v times", n)
	}
}

// What is not used any more leaves, while others come. It looks at the heap, so it runs alone.
func TestMemoryIsBounded(t *testing.T) {
	c := newClock(noon)
	m := ratelimit.NewMemory(c.now)
	before := heap()
	for i := range 200_000 {
		h := ratelimit.Hold{ID: "req_" + strconv.Itoa(i), Tag: "org_" + strconv.Itoa(i/2), Takes: []ratelimit.Take{
			{Limit: rate("rpm", 60, 10), N: 1}, {Limit: slots("at once", 10), N: 1}, {Limit: window("rph", ratelimit.Hour, 10), N: 1},
		}}
		if d, err := m.Take(t.Context(), &h); err != nil || !d.OK {
			t.Fatalf("%+v %v", d, err)
		}
		if i%2 == 0 { // the others are left alone
			m.Settle(&h, []int64{1, 1, 1})
		}
		c.advance(time.Second)
	}
	if grown := heap() - before; grown > 20<<20 {
		t.Errorf("100,000 tags that came and went left %d MiB", grown>>20)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// 12,800 calls at once of 64 callers on a budget for exactly 1,000: exactly 1,000 are taken.
func TestMemoryIsExactInARace(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewMemory(time.Now)
	race(t, func(int) store { return m })
}

// race lets 64 callers take what is enough for 1,000, of several stores.
func race(t *testing.T, pick func(caller int) store) {
	t.Helper()
	const callers, calls, room, each = 64, 200, 1000, 777
	budget := amount("usd", ratelimit.Total, room*each)
	tag := fmt.Sprintf("race_%d", tags.Add(1))
	seedAll(t, pick(0), tag, []ratelimit.Take{{Limit: budget}}, time.Now())
	var taken, refused atomic.Int64
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range calls {
				h := ratelimit.Hold{ID: fmt.Sprintf("%d-%d", caller, i), Tag: tag, Takes: []ratelimit.Take{{Limit: budget, N: each}}}
				d, err := pick(caller).Take(t.Context(), &h)
				switch {
				case err != nil:
					t.Error(err)
					return
				case d.OK:
					taken.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != room || refused.Load() != callers*calls-room {
		t.Errorf("%d were taken and %d refused, want %d and %d", taken.Load(), refused.Load(), room, callers*calls-room)
	}
	u, err := pick(1).Uses(t.Context(), tag, []*ratelimit.Limit{budget})
	if err != nil || u[0].Held != room*each || u[0].Used != 0 {
		t.Errorf("%+v %v", u, err)
	}
}

func BenchmarkMemory(b *testing.B) {
	m := ratelimit.NewMemory(time.Now)
	names := ids(1 << 16)
	takes := everything()
	seedAll(b, m, "org", takes, time.Now())
	h := ratelimit.Hold{Tag: "org", Takes: takes}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.ID = names[i%len(names)]
		if d, err := m.Take(b.Context(), &h); err != nil || !d.OK {
			b.Fatalf("%+v %v", d, err)
		}
		m.Settle(&h, settlement)
	}
}

func BenchmarkMemoryParallel(b *testing.B) {
	m := ratelimit.NewMemory(time.Now)
	takes := everything()
	var workers atomic.Int64
	names := ids(1 << 16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		tag := fmt.Sprint("org_", workers.Add(1))
		seedAll(b, m, tag, takes, time.Now())
		h := ratelimit.Hold{Tag: tag, Takes: takes}
		for i := 0; pb.Next(); i++ {
			h.ID = names[i%len(names)]
			if d, err := m.Take(b.Context(), &h); err != nil || !d.OK {
				b.Errorf("%+v %v", d, err)
				return
			}
			m.Settle(&h, settlement)
		}
	})
}
