package routing

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// TestSticky: calls that belong together are answered where the first one was, for as long as the last one is not too
// long ago and the target is well.
func TestSticky(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 3, func(m *ModelConfig) { m.Sticky = &StickyConfig{"session", 10 * time.Minute} })
	a, now := ask(t), time.Now()
	a.Session = []byte("one")
	var p Plan
	_ = table.Plan(&p, a, s, now)
	answer(t, table, s, 2, Outcome{Stick: p.Stick}, now)
	for _, c := range []struct {
		name, session string
		at            time.Time
		want          string
	}{
		{"the same session", "one", now.Add(9 * time.Minute), "201"},
		{"too late", "one", now.Add(11 * time.Minute), "012"},
		{"another session", "two", now, "012"},
		{"no session", "", now, "012"},
	} {
		if a.Session = []byte(c.session); order(t, table, s, a, c.at) != c.want {
			t.Errorf("%s: %s, want %s", c.name, order(t, table, s, a, c.at), c.want)
		}
	}

	a.Session = []byte("one")
	r, _ := table.Route("m")
	fail(t, s, r.Targets[2], leastCalls-1, now) // after the one that was answered
	if got := order(t, table, s, a, now); got != "01" {
		t.Errorf("%s: a call sticks to a target that is out", got)
	}
}

func TestStickBy(t *testing.T) {
	t.Parallel()
	who := func(org, user, key tenancy.ID) *tenancy.Principal {
		return &tenancy.Principal{Identity: tenancy.Identity{Org: org, User: user, Key: key}}
	}
	long := func(rest string) []byte {
		return []byte(`[{"role":"system","content":"x, y"},{"role":"user","content":"[\"]"}` + rest)
	}
	same := func(r *Route, a, b *Ask) bool { return r.stick(a) == r.stick(b) && r.stick(a) != 0 }
	for _, c := range []struct {
		name string
		by   Sticky
		a, b Ask
		want bool
	}{
		{"a key", ByKey, Ask{Who: who("o", "u", "k")}, Ask{Who: who("o", "v", "k")}, true},
		{"two keys", ByKey, Ask{Who: who("o", "u", "k")}, Ask{Who: who("o", "u", "l")}, false},
		{"two keys of a user", ByUser, Ask{Who: who("o", "u", "k")}, Ask{Who: who("o", "u", "l")}, true},
		{"keys of nobody", ByUser, Ask{Who: who("o", "", "k")}, Ask{Who: who("o", "", "l")}, false},
		{"a session", BySession, Ask{Who: who("o", "", "k"), Session: []byte("s")}, Ask{Who: who("o", "", "l"), Session: []byte("s")}, true},
		{"a session of two organizations", BySession, Ask{Who: who("o", "", "k"), Session: []byte("s")}, Ask{Who: who("p", "", "k"), Session: []byte("s")}, false},
		{"no session", BySession, Ask{Who: who("o", "", "k")}, Ask{Who: who("o", "", "k")}, false},
		{"a conversation that grows", ByPrefix, Ask{Who: who("o", "", "k"), Input: long(`]`)}, Ask{Who: who("o", "", "k"), Input: long(`,{"role":"assistant","content":"z"}]`)}, true},
		{"two conversations", ByPrefix, Ask{Who: who("o", "", "k"), Input: long(`]`)}, Ask{Who: who("o", "", "k"), Input: []byte(`[{"role":"user"}]`)}, false},
		{"a text", ByPrefix, Ask{Who: who("o", "", "k"), Input: []byte(`"a"`)}, Ask{Who: who("o", "", "k"), Input: []byte(`"a"`)}, true},
		{"nothing asked", ByPrefix, Ask{Who: who("o", "", "k")}, Ask{Who: who("o", "", "k")}, false},
		{"nothing to stick by", ByNothing, Ask{Who: who("o", "", "k")}, Ask{Who: who("o", "", "k")}, false},
	} {
		if r := (&Route{Name: "m", StickBy: c.by}); same(r, &c.a, &c.b) != c.want {
			t.Errorf("%s: %x and %x, want the same: %v", c.name, r.stick(&c.a), r.stick(&c.b), c.want)
		}
	}
	if a := (&Ask{Who: who("o", "", "k")}); (&Route{Name: "m", StickBy: ByKey}).stick(a) == (&Route{Name: "n", StickBy: ByKey}).stick(a) {
		t.Error("two routes stick together")
	}
}

// TestStickyMemoryIsBounded: whatever clients say, only so much of it is remembered, and what is used last stays.
func TestStickyMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range uint64(memoryShards * perShard * 3) {
		m.put(Stick{blend(i), time.Hour}, "t", epoch)
	}
	n := 0
	for i := range m {
		n += len(m[i].young) + len(m[i].old)
	}
	if n > 2*memoryShards*perShard {
		t.Errorf("%d places are remembered", n)
	}
	m.put(Stick{7, time.Hour}, "last", epoch)
	if m.find(7, epoch) != "last" || m.find(7, epoch.Add(2*time.Hour)) != "" {
		t.Error("the last place is forgotten, or never")
	}
}

// TestStrategiesAllocateNothing, whatever the strategy and what calls stick by.
func TestStrategiesAllocateNothing(t *testing.T) {
	for _, strategy := range append(chosenBy, "optimize") {
		table, s := strategyForTest(t, 10, func(m *ModelConfig) {
			m.Sticky = &StickyConfig{"prefix", time.Hour}
			if m.Strategy = strategy; strategy == "optimize" {
				m.Strategy, m.Optimize = "", &OptimizeConfig{Cost: 1, Speed: 1}
			}
		})
		table.Price(func(*Provider, string) Pricer { return tariff{1, 1, 1} })
		a, now := ask(t), time.Now()
		a.Input = []byte(`[{"role":"user","content":"` + fmt.Sprint(now) + `"}]`)
		var p Plan
		_ = table.Plan(&p, a, s, now)
		answer(t, table, s, 3, Outcome{Stick: p.Stick, Class: adapters.ClassNone, Total: time.Second}, now)
		if n := testing.AllocsPerRun(100, func() { _ = table.Plan(&p, a, s, now) }); n != 0 {
			t.Errorf("%s allocates %v times", strategy, n)
		}
	}
}
