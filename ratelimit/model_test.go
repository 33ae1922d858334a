package ratelimit_test

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/ratelimit"
)

// model is a limiter that is slow and obviously right. It keeps every hold for ever and adds everything up anew each time.
// A Rate is a bucket that holds exact fractions; it is the one thing that is carried on.
type model struct {
	clock   *clock
	buckets map[string]*bucket
	warm    map[string]bool
	seeded  map[string]int64 // by limit and window
	holds   map[string]*modelHold
}

type bucket struct {
	level *big.Rat // units
	at    time.Time
}

type modelHold struct {
	takes   []ratelimit.Take
	n       []int64
	windows []string // of the admission
	lost    []bool   // the slot was not there any more
	expires time.Time
	phase   string // held, swept or settled
	actual  []int64
}

func newModel(c *clock) *model {
	return &model{clock: c, buckets: map[string]*bucket{}, warm: map[string]bool{}, seeded: map[string]int64{}, holds: map[string]*modelHold{}}
}

// windowName names the window of a limit at a moment: what the calendar on the wall says in UTC.
func windowName(l *ratelimit.Limit, at time.Time) string {
	at = at.UTC()
	switch l.Per {
	case ratelimit.Hour:
		return l.Key + at.Format(" 2006-01-02 15h")
	case ratelimit.Day:
		return l.Key + at.Format(" 2006-01-02")
	case ratelimit.Week:
		year, week := at.ISOWeek()
		return fmt.Sprintf("%s %d-W%d", l.Key, year, week)
	case ratelimit.Month:
		return l.Key + at.Format(" 2006-01")
	}
	return l.Key + " for ever"
}

// bucket is the bucket of a Rate, drained until now.
func (m *model) bucket(l *ratelimit.Limit) *bucket {
	b, now := m.buckets[l.Key], m.clock.now()
	if b == nil {
		b = &bucket{new(big.Rat), now}
		m.buckets[l.Key] = b
	}
	per := big.NewRat(60_000, 1)
	if l.Per == ratelimit.Second {
		per = big.NewRat(1000, 1)
	}
	drained := new(big.Rat).Quo(big.NewRat(now.Sub(b.at).Milliseconds()*l.Max, 1), per)
	b.level.Sub(b.level, drained)
	b.add(0)
	b.at = now
	return b
}

func (b *bucket) add(n int64) {
	b.level.Add(b.level, big.NewRat(n, 1))
	if b.level.Sign() < 0 {
		b.level = new(big.Rat)
	}
}

// sums are what was used and is held in a window.
func (m *model) sums(l *ratelimit.Limit, window string) (spent, held int64) {
	spent = m.seeded[window]
	for _, h := range m.holds {
		for i, k := range h.takes {
			if k.Limit.Key != l.Key || h.windows[i] != window {
				continue
			}
			switch {
			case h.phase == "settled" || h.phase == "swept" && l.Kind == ratelimit.Amount:
				spent += h.actual[i]
			case l.Kind == ratelimit.Amount:
				held += h.n[i]
			default:
				spent += h.n[i]
			}
		}
	}
	return spent, held
}

// inUse counts the slots that are in use.
func (m *model) inUse(l *ratelimit.Limit) (n int64) {
	for _, h := range m.holds {
		for i, k := range h.takes {
			if k.Limit.Key == l.Key && h.n[i] > 0 && !h.lost[i] && h.phase == "held" && h.expires.After(m.clock.now()) {
				n++
			}
		}
	}
	return n
}

// fits tells whether there is room for more of one limit in a window.
func (m *model) fits(l *ratelimit.Limit, window string, more int64) bool {
	switch l.Kind {
	case ratelimit.Rate:
		after := new(big.Rat).Add(m.bucket(l).level, big.NewRat(more, 1))
		return after.Cmp(big.NewRat(l.Burst, 1)) <= 0
	case ratelimit.Slots:
		return more == 0 || m.inUse(l) < l.Max
	}
	spent, held := m.sums(l, window)
	return (l.Kind != ratelimit.Amount || m.warm[l.Key]) && more <= l.Max-spent-held
}

// find is a hold. One that holds no money is forgotten a minute after it has expired: what it took stays taken, under
// another name.
func (m *model) find(id string) *modelHold {
	h := m.holds[id]
	if h == nil || h.phase != "held" || holdsMoney(h.takes) || h.expires.After(m.clock.now().Add(-time.Minute)) {
		return h
	}
	delete(m.holds, id)
	m.holds[fmt.Sprint("forgotten ", len(m.holds), " ", id)] = h
	return nil
}

func holdsMoney(takes []ratelimit.Take) bool {
	return slices.ContainsFunc(takes, func(k ratelimit.Take) bool { return k.Limit.Kind == ratelimit.Amount })
}

// take is Take: taken, refused or ended.
func (m *model) take(id string, takes []ratelimit.Take) string {
	h, stands := m.find(id), true
	if h == nil {
		h, stands = &modelHold{phase: "held", n: make([]int64, len(takes)), lost: make([]bool, len(takes)), takes: takes}, false
		for _, k := range takes {
			h.windows = append(h.windows, windowName(k.Limit, m.clock.now()))
		}
	}
	if h.phase != "held" {
		return "ended"
	}
	m.lapse()
	more := make([]int64, len(takes))
	for i, k := range takes {
		more[i] = max(0, k.N-h.n[i])
		if k.Limit.Kind == ratelimit.Slots && h.lost[i] {
			more[i] = k.N
		}
		if (!stands || more[i] > 0) && !m.fits(k.Limit, h.windows[i], more[i]) {
			return "refused"
		}
	}
	for i, k := range takes {
		if k.Limit.Kind == ratelimit.Rate {
			m.bucket(k.Limit).add(more[i])
		}
		if k.Limit.Kind == ratelimit.Slots {
			h.n[i] = max(h.n[i], k.N)
			if more[i] > 0 {
				h.lost[i] = false
			}
		} else {
			h.n[i] += more[i]
		}
	}
	h.expires = m.clock.now().Add(ratelimit.Lifetime)
	m.holds[id] = h
	return "taken"
}

// lapse takes the slots of expired holds for good.
func (m *model) lapse() {
	for _, h := range m.holds {
		for i := range h.takes {
			if h.phase == "held" && !h.expires.After(m.clock.now()) {
				h.lost[i] = true
			}
		}
	}
}

func (m *model) settle(id string, takes []ratelimit.Take, actual []int64, phase string) {
	h := m.find(id)
	switch {
	case h == nil && phase == "swept", h != nil && h.phase == "settled", h != nil && h.phase == phase:
		return
	case h == nil:
		h = &modelHold{n: make([]int64, len(takes)), lost: make([]bool, len(takes)), takes: takes}
		for _, k := range takes {
			h.windows = append(h.windows, windowName(k.Limit, m.clock.now()))
		}
		m.holds[id] = h
	}
	if phase == "settled" {
		for i, k := range takes {
			if k.Limit.Kind == ratelimit.Rate {
				m.bucket(k.Limit).add(actual[i] - h.n[i])
			}
		}
	}
	h.phase, h.actual = phase, actual
}

func (m *model) renew(id string) {
	if h := m.find(id); h != nil && h.phase == "held" {
		h.expires = m.clock.now().Add(ratelimit.Lifetime)
		for i := range h.lost {
			h.lost[i] = false
		}
	}
}

// expired are the ids of the expired holds that hold money.
func (m *model) expired() (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(m.holds)) {
		h := m.holds[id]
		if holdsMoney(h.takes) && h.phase == "held" && !h.expires.After(m.clock.now()) {
			ids = append(ids, id)
		}
	}
	return ids
}

// world is a clock, a model, and the stores that are to be as right as it.
type world struct {
	*rapid.T
	clock  *clock
	tag    string
	model  *model
	stores map[string]store
	limits []*ratelimit.Limit
	drain  func()
	ids    int
	asked  map[string][]ratelimit.Take
}

// drawLimits draws limits that are small, so that everything happens often.
func drawLimits(t *rapid.T) []*ratelimit.Limit {
	all := []*ratelimit.Limit{
		rate("rpm", rapid.Int64Range(1, 100).Draw(t, "rpm"), rapid.Int64Range(1, 12).Draw(t, "burst")),
		rate("tpm", rapid.Int64Range(1, 100_000).Draw(t, "tpm"), rapid.Int64Range(2, 100).Draw(t, "burst of tokens")),
		slots("at once", rapid.Int64Range(0, 4).Draw(t, "slots")),
		window("rph", ratelimit.Hour, rapid.Int64Range(0, 50).Draw(t, "rph")),
		window("tpd", ratelimit.Day, rapid.Int64Range(0, 300).Draw(t, "tpd")),
		amount("hour", ratelimit.Hour, rapid.Int64Range(0, 200).Draw(t, "hour")),
		amount("week", ratelimit.Week, rapid.Int64Range(0, 500).Draw(t, "week")),
		amount("total", ratelimit.Total, rapid.Int64Range(0, 900).Draw(t, "total")),
	}
	all[1].Per = rapid.SampledFrom([]ratelimit.Per{ratelimit.Second, ratelimit.Minute}).Draw(t, "per")
	return all
}

// Random traces through every store come to the decisions of the model.
func TestStoresAreAsRightAsTheModel(t *testing.T) {
	t.Parallel()
	c := newClock(noon)
	r := limiter(t, "redis://"+shared.Addr(), ratelimit.RedisOptions{Clock: c.now, Timeout: patient})
	rapid.Check(t, func(rt *rapid.T) {
		c.ms.Store(newClock(noon).ms.Load())
		w := &world{T: rt, clock: c, tag: fmt.Sprintf("model_%d", tags.Add(1)), model: newModel(c), limits: drawLimits(rt), drain: func() { drain(t, r) }}
		w.stores, w.asked = map[string]store{"memory": ratelimit.NewMemory(c.now), "redis": r}, map[string][]ratelimit.Take{}
		rt.Repeat(map[string]func(*rapid.T){
			"take": w.take, "take ": w.take, "settle": w.settle, "renew": w.renew, "sweep": w.sweep, "seed": w.seed, "wait": w.wait, "": w.same,
		})
	})
}

func (w *world) drawTakes(t *rapid.T) []ratelimit.Take {
	var takes []ratelimit.Take
	for _, l := range w.limits {
		if !rapid.Bool().Draw(t, l.Key) {
			continue
		}
		most := int64(40)
		if l.Kind == ratelimit.Slots || l.Key == "rpm" {
			most = 1
		}
		takes = append(takes, ratelimit.Take{Limit: l, N: rapid.Int64Range(0, most).Draw(t, l.Key)})
	}
	return takes
}

// old draws a hold that was asked for, or a new one.
func (w *world) old(t *rapid.T) (string, []ratelimit.Take) {
	if len(w.asked) == 0 {
		w.ids++
		return fmt.Sprint("new", w.ids), w.drawTakes(t)
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(w.asked))).Draw(t, "id")
	return id, w.asked[id]
}

func (w *world) take(t *rapid.T) {
	w.ids++
	id, takes := fmt.Sprint("req", w.ids), w.drawTakes(t)
	if len(w.asked) > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
		id, takes = w.old(t)
		takes = slices.Clone(takes)
		for i := range takes {
			if takes[i].Limit.Kind != ratelimit.Slots && rapid.Bool().Draw(t, "more") {
				takes[i].N += rapid.Int64Range(1, 20).Draw(t, "n")
			}
		}
	}
	want := w.model.take(id, takes)
	if want == "taken" {
		w.asked[id] = takes
	}
	var left []ratelimit.Left
	for _, name := range slices.Sorted(maps.Keys(w.stores)) {
		h := ratelimit.Hold{ID: id, Tag: w.tag, Takes: takes}
		d, err := w.stores[name].Take(t.Context(), &h)
		got := "refused"
		switch {
		case err != nil:
			got = "ended"
		case d.OK:
			got = "taken"
		}
		if got != want {
			t.Fatalf("%s: %s was %s, want %s: %+v %v", name, id, got, want, d, err)
		}
		if left == nil {
			left = slices.Clone(d.Left)
		} else if !slices.Equal(left, d.Left) {
			t.Fatalf("%s says that %v is left, another %v", name, d.Left, left)
		}
	}
}

func (w *world) settle(t *rapid.T) {
	id, takes := w.old(t)
	actual := make([]int64, len(takes))
	for i := range takes {
		actual[i] = rapid.Int64Range(0, 60).Draw(t, "actual")
	}
	w.model.settle(id, takes, actual, "settled")
	w.asked[id] = takes
	for _, s := range w.stores {
		s.Settle(&ratelimit.Hold{ID: id, Tag: w.tag, Takes: takes}, actual)
	}
	w.drain()
}

func (w *world) renew(t *rapid.T) {
	id, takes := w.old(t)
	if w.model.find(id) == nil { // the model does not hold again what is forgotten; the suite looks at that
		return
	}
	w.model.renew(id)
	for name, s := range w.stores {
		if err := s.Renew(t.Context(), []ratelimit.Hold{{ID: id, Tag: w.tag, Takes: takes}}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func (w *world) sweep(t *rapid.T) {
	want := w.model.expired()
	for _, name := range slices.Sorted(maps.Keys(w.stores)) {
		all, err := w.stores[name].Holds(t.Context(), w.tag, true)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for i := range all {
			ids = append(ids, all[i].ID)
			if err := w.stores[name].Sweep(t.Context(), &all[i], estimates(all[i].Takes)); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(ids, want) {
			t.Fatalf("%s has the expired holds %v, want %v", name, ids, want)
		}
	}
	for _, id := range want {
		h := w.model.holds[id]
		held := make([]ratelimit.Take, len(h.takes))
		for i := range held {
			held[i].N = h.n[i]
		}
		w.model.settle(id, h.takes, estimates(held), "swept")
	}
}

// estimates take what is held to be used, and a little more.
func estimates(takes []ratelimit.Take) (n []int64) {
	for _, k := range takes {
		n = append(n, k.N+3)
	}
	return n
}

func (w *world) seed(t *rapid.T) {
	l := rapid.SampledFrom(w.limits[5:]).Draw(t, "budget")
	spent := rapid.Int64Range(0, 100).Draw(t, "spent")
	name := windowName(l, w.clock.now())
	if now, _ := w.model.sums(l, name); spent > now {
		w.model.seeded[name] += spent - now
	}
	w.model.warm[l.Key] = true
	for _, s := range w.stores {
		if err := s.Seed(t.Context(), w.tag, l, w.clock.now(), spent); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) wait(t *rapid.T) {
	w.clock.advance(rapid.OneOf(
		rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second, ratelimit.Lifetime}),
		rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(1, 3_600_000).Draw(t, "ms")) * time.Millisecond
		}),
	).Draw(t, "time"))
}

// same fails when a store counted something else, or when the law is broken.
func (w *world) same(t *rapid.T) {
	for _, name := range slices.Sorted(maps.Keys(w.stores)) {
		uses, err := w.stores[name].Uses(t.Context(), w.tag, w.limits)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range w.limits {
			spent, held := w.model.used(l)
			if uses[i].Used != spent || uses[i].Held != held {
				t.Fatalf("%s: of %s %d+%d are used, want %d+%d", name, l.Key, uses[i].Used, uses[i].Held, spent, held)
			}
		}
	}
}

// used is what is used of a limit now.
func (m *model) used(l *ratelimit.Limit) (spent, held int64) {
	switch l.Kind {
	case ratelimit.Rate:
		level := m.bucket(l).level
		up, rest := new(big.Int).QuoRem(level.Num(), level.Denom(), new(big.Int))
		if rest.Sign() > 0 {
			return up.Int64() + 1, 0
		}
		return up.Int64(), 0
	case ratelimit.Slots:
		return m.inUse(l), 0
	}
	return m.sums(l, windowName(l, m.clock.now()))
}
