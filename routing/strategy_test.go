package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

// strategyForTest has the route "m" with a strategy over n targets.
func strategyForTest(t testing.TB, n int, alter func(*ModelConfig)) (*Table, *State) {
	t.Helper()
	table, s := tableForTest(t, configForTest(n, func(c *Config) { change(c.Models, "m", alter) })), &State{}
	s.Retain(table)
	return table, s
}

// order is the plan of a call as the numbers of its targets.
func order(t testing.TB, table *Table, s *State, a *Ask, now time.Time) string {
	t.Helper()
	var p Plan
	if err := table.Plan(&p, a, s, now); err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(p.Targets))
	for i, target := range p.Targets {
		names[i] = target.Provider.Name[1:]
	}
	return strings.Join(names, "")
}

// answer lets a target answer a call.
func answer(t testing.TB, table *Table, s *State, i int, o Outcome, now time.Time) {
	t.Helper()
	r, _ := table.Route("m")
	pass, ok := s.Begin(Move{Target: r.Targets[i]}, now)
	if !ok {
		t.Fatalf("target %d can not be asked", i)
	}
	o.Target, o.Pass = r.Targets[i], pass
	s.Observe(&o, now)
}

func TestWeighted(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 4, func(m *ModelConfig) {
		m.Strategy = "weighted"
		for i, w := range []int{90, 9, 1, 0} {
			m.Targets[i].Weight = new(w)
		}
	})
	const calls = 20_000
	a, first, without := ask(t), [4]int{}, *table
	r := *table.routes[0]
	r.Targets = r.Targets[1:]
	without.byName = map[string]*Route{"m": &r}
	for i := range calls {
		a.Seed = SeedOf(fmt.Sprint(i))
		walk := order(t, table, s, a, epoch)
		if len(walk) != 3 || strings.Contains(walk, "3") {
			t.Fatalf("%s: a target with weight 0 is asked, or one is missing", walk)
		}
		first[walk[0]-'0']++
		if left := order(t, &without, s, a, epoch); left != strings.ReplaceAll(walk, "0", "") {
			t.Fatalf("%s became %s when one target was taken out", walk, left)
		}
	}
	for i, want := range []int{calls * 90 / 100, calls * 9 / 100, calls / 100} {
		if off := first[i] - want; off*off > 9*want { // three standard deviations; the seeds are always the same
			t.Errorf("target %d is first in %d of %d calls, want about %d", i, first[i], calls, want)
		}
	}
	var p Plan
	if _ = table.Plan(&p, a, s, epoch); p.Why[3].Reason != NoWeight {
		t.Errorf("%s", p.Why)
	}
}

// TestCanaryIsStable: with sticky the share is one of users, and each stays where it is, on every node.
func TestCanaryIsStable(t *testing.T) {
	t.Parallel()
	alter := func(m *ModelConfig) {
		m.Strategy, m.Sticky = "weighted", &StickyConfig{"session", time.Minute}
		m.Targets[0].Weight, m.Targets[1].Weight = new(95), new(5)
	}
	table, s := strategyForTest(t, 2, alter)
	otherTable, otherNode := strategyForTest(t, 2, alter)
	a, canaries := ask(t), 0
	const users = 2000
	for user := range users {
		a.Session, a.Seed = []byte(fmt.Sprint("user", user)), 1
		walk := order(t, table, s, a, epoch)
		if walk[0] == '1' {
			canaries++
		}
		for a.Seed = range uint64(5) {
			if again := order(t, otherTable, otherNode, a, epoch.Add(time.Hour)); again != walk {
				t.Fatalf("user %d: %s, then %s", user, walk, again)
			}
		}
	}
	if canaries < users/40 || canaries > users/13 {
		t.Errorf("%d of %d users are canaries, want about 5 %%", canaries, users)
	}
}

func TestFastest(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 3, func(m *ModelConfig) { m.Strategy = "fastest" })
	a, now := ask(t), time.Now()
	a.Seed = 1 // one that does not explore
	if blend(a.Seed)%exploring == 0 {
		t.Fatal("the seed explores")
	}
	stream := func(first, each time.Duration) Outcome {
		o := Outcome{Streamed: true, FirstByte: first, Total: first + 100*each}
		o.Usage[adapters.Output] = 100
		return o
	}
	answer(t, table, s, 0, stream(500*time.Millisecond, 30*time.Millisecond), now)
	answer(t, table, s, 1, stream(900*time.Millisecond, 2*time.Millisecond), now)
	if got := order(t, table, s, a, now); got != "210" {
		t.Errorf("%s, want the unknown one, then the one that flows faster", got)
	}
	answer(t, table, s, 2, stream(time.Second, 20*time.Millisecond), now)
	if got := order(t, table, s, a, now); got != "120" {
		t.Errorf("%s", got)
	}
	if a.MaxOutput = 10; order(t, table, s, a, now) != "012" {
		t.Errorf("a short answer goes %s, want the one that begins first", order(t, table, s, a, now))
	}
	a.MaxOutput = 0
	for range 20 { // the fast one becomes slow
		now = now.Add(time.Second)
		answer(t, table, s, 1, stream(9*time.Second, 50*time.Millisecond), now)
	}
	if got := order(t, table, s, a, now); got != "201" {
		t.Errorf("%s, want the slow one last", got)
	}

	now = now.Add(time.Hour)
	answer(t, table, s, 2, stream(time.Second, 20*time.Millisecond), now)
	explored := 0
	for a.Seed = range uint64(1000) {
		if got := order(t, table, s, a, now); got == "021" {
			explored++
		} else if got != "201" {
			t.Fatalf("seed %d: %s", a.Seed, got)
		}
	}
	if explored < 15 || explored > 60 {
		t.Errorf("%d of 1000 calls explore, want about one in %d", explored, exploring)
	}
	answer(t, table, s, 0, stream(time.Millisecond, time.Millisecond), now)
	a.Seed = 1
	if got := order(t, table, s, a, now); got != "021" {
		t.Errorf("%s: the one that recovered does not come back", got)
	}
}

// TestFailuresMakeSlow: what fails often is not the fastest, however soon it fails.
func TestFailuresMakeSlow(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 2, func(m *ModelConfig) { m.Strategy = "fastest" })
	a, now := ask(t), time.Now()
	a.Seed = 1
	answer(t, table, s, 0, Outcome{Total: time.Second}, now)
	answer(t, table, s, 1, Outcome{Total: 1100 * time.Millisecond}, now)
	for range 3 {
		answer(t, table, s, 0, Outcome{Class: adapters.ClassServer, Total: time.Millisecond}, now)
		answer(t, table, s, 1, Outcome{Class: adapters.ClassInvalid, Total: time.Millisecond}, now)
	}
	if got := order(t, table, s, a, now); got != "10" {
		t.Errorf("%s", got)
	}
}

// tariff is a price in nano-dollars for a token.
type tariff struct{ in, cached, out int64 }

func (p tariff) Cost(u *adapters.Usage, _ time.Time) (money.Nano, bool) {
	return money.Nano(u[adapters.Input]*p.in + u[adapters.CacheRead]*p.cached + u[adapters.Output]*p.out), true
}

func (tariff) Version() string { return "test" }

func TestCheapest(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 4, func(m *ModelConfig) {
		m.Strategy, m.Sticky = "cheapest", &StickyConfig{"session", time.Hour}
	})
	table.Price(func(p *Provider, _ string) Pricer {
		return map[string]Pricer{"p0": tariff{10, 10, 10}, "p1": tariff{2, 2, 60}, "p3": tariff{30, 1, 1}}[p.Name]
	})
	a := ask(t)
	a.Session, a.Input = []byte("s"), make([]byte, 4000) // about a thousand tokens
	if got := order(t, table, s, a, epoch); got != "0132" {
		t.Errorf("%s", got)
	}
	if a.MaxOutput = 10; order(t, table, s, a, epoch) != "1032" {
		t.Errorf("a short answer goes %s", order(t, table, s, a, epoch))
	}

	var p Plan
	now := time.Now()
	_ = table.Plan(&p, a, s, now)
	warm := Outcome{Stick: p.Stick, Total: time.Second}
	warm.Usage[adapters.Input], warm.Usage[adapters.CacheRead], warm.Usage[adapters.Output] = 10, 990, 10
	answer(t, table, s, 3, warm, now)
	if _ = table.Plan(&p, a, s, now); p.Targets[0].Provider.Name != "p3" || p.Why[3].Reason != Stuck || p.Why[3].Score > 2000 {
		t.Errorf("a warm cache is not taken into account: %s", p.Why)
	}
	a.Session = []byte("another")
	if got := order(t, table, s, a, now); got != "1032" {
		t.Errorf("%s: the cache is taken to be warm for others", got)
	}
}

func TestLeastRequest(t *testing.T) {
	t.Parallel()
	table, s := strategyForTest(t, 3, func(m *ModelConfig) { m.Strategy = "least_request" })
	a, now, first := ask(t), time.Now(), map[byte]int{}
	for a.Seed = range uint64(300) {
		first[order(t, table, s, a, now)[0]]++
	}
	if first['0'] < 60 || first['1'] < 60 || first['2'] < 60 {
		t.Errorf("idle targets are not asked alike: %v", first)
	}
	r, _ := table.Route("m")
	var passes []Pass
	for i, n := range []int{2, 0, 1} {
		for range n {
			pass, _ := s.Begin(Move{Target: r.Targets[i]}, now)
			passes = append(passes, pass)
		}
	}
	if got := order(t, table, s, a, now); got != "120" {
		t.Errorf("%s", got)
	}
	for i := range passes {
		o := Outcome{Target: r.Targets[0], Pass: passes[i]}
		s.Observe(&o, now)
		s.Observe(&o, now) // a second one counts nowhere
	}
	for i, target := range r.Targets {
		if n := s.inFlight(target); n != 0 {
			t.Errorf("%d calls are under way at target %d", n, i)
		}
	}
}

func TestOptimize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights OptimizeConfig
		want    string
	}{
		{OptimizeConfig{Cost: 1}, "012"},
		{OptimizeConfig{Speed: 1}, "120"},
		{OptimizeConfig{Quality: 1}, "210"},
		{OptimizeConfig{Cost: 1, Speed: 1}, "102"},
		{OptimizeConfig{Cost: 1, Quality: 5}, "210"},
	} {
		table, s := strategyForTest(t, 3, func(m *ModelConfig) {
			m.Optimize = &c.weights
			for i, q := range []int{10, 20, 80} {
				m.Targets[i].Quality = new(q)
			}
		})
		table.Price(func(p *Provider, _ string) Pricer {
			return map[string]Pricer{"p0": tariff{1, 1, 1}, "p1": tariff{2, 2, 2}, "p2": tariff{16, 16, 16}}[p.Name]
		})
		a, now := ask(t), time.Now()
		a.Seed = 1
		for i, took := range []time.Duration{8 * time.Second, time.Second, 2 * time.Second} {
			answer(t, table, s, i, Outcome{Total: took}, now)
		}
		if got := order(t, table, s, a, now); got != c.want {
			t.Errorf("%+v: %s, want %s", c.weights, got, c.want)
		}
	}
}
