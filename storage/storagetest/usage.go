package storagetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// house is what several nodes store, and what there must be of it.
type house struct {
	random *rand.Rand
	begin  time.Time
	nodes  [3]shipped
	calls  map[tenancy.ID]accounting.Record
}

// oneOf is one of few values, so that groups meet.
func (h *house) oneOf(prefix string, n int) string { return fmt.Sprint(prefix, h.random.IntN(n)) }

// record makes a call of the three days.
func (h *house) record(n int) accounting.Record {
	r := accounting.Record{
		State: accounting.Ended, ID: tenancy.ID(fmt.Sprintf("req_%06d", n)), Begun: h.begin.Add(time.Duration(h.random.Int64N(int64(72 * time.Hour)))).Truncate(time.Microsecond),
		Who:   tenancy.Identity{Org: tenancy.ID(h.oneOf("org_", 2)), Team: tenancy.ID(h.oneOf("team_", 2)), User: tenancy.ID(h.oneOf("user_", 2)), Key: tenancy.ID(h.oneOf("key_", 3))},
		Route: h.oneOf("route-", 2), Provider: h.oneOf("provider-", 2), Model: h.oneOf("model-", 2), Endpoint: adapters.ChatCompletions,
		Total: time.Duration(h.random.Int64N(int64(time.Minute))), FirstToken: time.Duration(h.random.Int64N(int64(time.Second))),
		Cost: money.Nano(h.random.Int64N(1e9)), Estimated: h.random.IntN(5) == 0, Status: 200,
	}
	r.Saved = r.Cost / 2
	for i := range r.Usage {
		r.Usage[i] = h.random.Int64N(1000)
	}
	switch h.random.IntN(8) {
	case 0:
		r.Class, r.Status, r.Attempts = adapters.ClassServer, 502, make([]accounting.Attempt, 1)
	case 1:
		r.Class, r.Status = adapters.ClassRate, 429
	case 2:
		r.Class, r.Status = adapters.ClassOverloaded, 503
	case 3:
		r.Class, r.Status, r.Attempts = adapters.ClassGone, 499, make([]accounting.Attempt, 1)
	case 4:
		r.Unpriced = "no_usage"
	case 5:
		r.State, r.Class, r.Cost = accounting.Interrupted, adapters.ClassInternal, 77
	}
	for range h.random.IntN(3) {
		r.Tags = append(r.Tags, accounting.Tag{Key: h.oneOf("tag-", 2), Value: h.oneOf("value ", 3)})
	}
	return r
}

// store lets a node append what it made, and some of what was stored before, as it is or as it ended after all.
func (h *house) store(t *testing.T, db *storage.DB, from, to int) {
	t.Helper()
	known := make([]accounting.Record, 0, len(h.calls))
	for _, r := range h.calls {
		known = append(known, r)
	}
	slices.SortFunc(known, func(a, b accounting.Record) int { return cmp.Compare(a.ID, b.ID) })
	var list []accounting.Record
	for n := from; n < to; n++ {
		list = append(list, h.record(n))
		if len(known) > 0 && h.random.IntN(4) == 0 {
			again := known[h.random.IntN(len(known))]
			again.State, again.Cost = accounting.Ended, again.Cost+1 // it must not count where it has ended already
			list = append(list, again)
		}
	}
	h.nodes[h.random.IntN(len(h.nodes))].append(t, db, list...)
	for _, r := range list {
		was, is := h.calls[r.ID]
		if !is || was.State == accounting.Interrupted && r.State == accounting.Ended {
			h.calls[r.ID] = r
		}
	}
}

// slow sums what was used from the calls themselves.
func (h *house) slow(q accounting.UsageQuery) []accounting.UsageRow {
	type group struct {
		accounting.UsageRow
		total, first []time.Duration
	}
	groups := map[string]*group{}
	for _, r := range h.calls {
		if q.Org != "" && r.Who.Org != q.Org || q.Key != "" && r.Who.Key != q.Key || q.Route != "" && r.Route != q.Route || r.Begun.Before(q.From) || !q.To.IsZero() && !r.Begun.Before(q.To) {
			continue
		}
		tags := []accounting.Tag{{}}
		for _, d := range q.By {
			if key, ok := strings.CutPrefix(string(d), "tag:"); ok {
				tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t accounting.Tag) bool { return t.Key != key })
			}
		}
		if q.Tag.Key != "" {
			tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t accounting.Tag) bool { return t.Key != q.Tag.Key || q.Tag.Value != "" && t.Value != q.Tag.Value })
		}
		slices.SortFunc(tags, func(a, b accounting.Tag) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value)) })
		for _, tag := range slices.Compact(tags) {
			row := accounting.UsageRow{From: spanOf(r.Begun, q.Grain)}
			for _, d := range q.By {
				value := map[accounting.Dimension]string{
					accounting.ByOrg: string(r.Who.Org), accounting.ByTeam: string(r.Who.Team), accounting.ByUser: string(r.Who.User), accounting.ByKey: string(r.Who.Key),
					accounting.ByRoute: r.Route, accounting.ByProvider: r.Provider, accounting.ByModel: r.Provider + "/" + r.Model,
				}[d]
				if strings.HasPrefix(string(d), "tag:") {
					value = tag.Value
				}
				row.Group = append(row.Group, value)
			}
			key := fmt.Sprint(row.From, row.Group)
			if groups[key] == nil {
				groups[key] = &group{UsageRow: row}
			}
			g := groups[key]
			g.Calls, g.Cost, g.Saved = g.Calls+1, g.Cost+r.Cost, g.Saved+r.Saved
			for i, n := range r.Usage {
				g.Usage[i] += n
			}
			refused := len(r.Attempts) == 0 && r.Class != adapters.ClassNone && r.State == accounting.Ended
			for _, c := range []struct {
				is bool
				n  *int64
			}{
				{refused, &g.Refused},
				{r.Estimated, &g.Estimated},
				{r.Unpriced != "", &g.Unpriced},
				{r.Status >= 500 || r.State == accounting.Interrupted, &g.Failed},
			} {
				if c.is {
					*c.n++
				}
			}
			if r.State == accounting.Ended && r.Class == adapters.ClassNone {
				g.total, g.first = append(g.total, r.Total), append(g.first, r.FirstToken)
			}
		}
	}
	var rows []accounting.UsageRow
	for _, g := range groups {
		for _, p := range []struct {
			into *time.Duration
			of   []time.Duration
			q    float64
		}{{&g.P50, g.total, 0.5}, {&g.P95, g.total, 0.95}, {&g.P99, g.total, 0.99}, {&g.FirstP50, g.first, 0.5}, {&g.FirstP95, g.first, 0.95}} {
			if len(p.of) > 0 {
				slices.Sort(p.of)
				*p.into = p.of[int(math.Ceil(p.q*float64(len(p.of))))-1] // the nearest rank
			}
		}
		rows = append(rows, g.UsageRow)
	}
	slices.SortFunc(rows, func(a, b accounting.UsageRow) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.Calls, a.Calls), slices.Compare(a.Group, b.Group))
	})
	return rows
}

func spanOf(at time.Time, grain accounting.Grain) time.Time {
	switch grain {
	case accounting.Minutes:
		return at.Truncate(time.Minute)
	case accounting.Hours:
		return at.Truncate(time.Hour)
	case accounting.Days:
		return at.Truncate(24 * time.Hour)
	case accounting.Months:
		return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

// near tells whether a quantile is within one percent of the true one.
func near(got, want time.Duration) bool {
	return max(got-want, want-got) <= want/99+2*time.Microsecond
}

// questions compares the answers to many questions with slow ones.
func (h *house) questions(t *testing.T, db *storage.DB, when string) {
	t.Helper()
	quantiles := func(r *accounting.UsageRow) (all [5]time.Duration) {
		for i, p := range []*time.Duration{&r.P50, &r.P95, &r.P99, &r.FirstP50, &r.FirstP95} {
			all[i], *p = *p, 0
		}
		return all
	}
	ragged := accounting.UsageQuery{From: h.begin.Add(5*time.Hour + 17*time.Minute), To: h.begin.Add(60*time.Hour + 3*time.Minute)}
	for _, grain := range []accounting.Grain{accounting.Whole, accounting.Minutes, accounting.Hours, accounting.Days, accounting.Months} {
		for _, by := range [][]accounting.Dimension{nil, {accounting.ByOrg}, {accounting.ByTeam, accounting.ByUser}, {accounting.ByKey, accounting.ByModel}, {"tag:tag-1"}, {accounting.ByRoute, "tag:tag-0", accounting.ByProvider}} {
			for name, q := range map[string]accounting.UsageQuery{
				"all": {}, "of one": {Org: "org_0"}, "of a key": {Org: "org_1", Key: "key_1", Route: "route-0"}, "ragged": ragged, "of a day": {From: h.begin.AddDate(0, 0, 1), To: h.begin.AddDate(0, 0, 2)},
				"tagged": {Org: "org_0", Tag: accounting.Tag{Key: "tag-1", Value: "value 1"}}, "nothing": {Org: "org_9"}, "nothing, ever": {From: h.begin.AddDate(-1, 0, 0), To: h.begin.AddDate(-1, 0, 3)},
			} {
				q.By, q.Grain = by, grain
				if h.random.IntN(3) > 0 { // there are very many
					continue
				}
				if q.Tag.Key != "" && slices.ContainsFunc(by, func(d accounting.Dimension) bool { return strings.HasPrefix(string(d), "tag:tag-0") }) {
					continue
				}
				what := fmt.Sprintf("%s: %s by %v and %s", when, name, by, grain)
				got, err := db.Usage(t.Context(), q)
				must(t, err)
				want := h.slow(q)
				if len(got) != len(want) {
					t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
				}
				for i := range got {
					g, w := quantiles(&got[i]), quantiles(&want[i])
					for n := range g {
						if !near(g[n], w[n]) {
							t.Fatalf("%s: quantile %d of row %d is %s, want %s", what, n, i, g[n], w[n])
						}
					}
				}
				same(t, what, got, want)
			}
		}
	}
}

// sums checks that what was used is the same whether it is summed or counted call by call: while calls come, when hours
// and days were made, and when some come late.
func sums(t *testing.T, db *storage.DB) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	h := &house{random: rand.New(rand.NewPCG(seed, 1)), begin: time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC), calls: map[tenancy.ID]accounting.Record{}}
	for i := range h.nodes {
		h.nodes[i].node = fmt.Sprint("node_", i)
	}
	h.store(t, db, 0, 150)
	h.questions(t, db, "at first")
	must(t, db.SumNow(t.Context(), h.begin.Add(50*time.Hour))) // two days and some hours are over
	h.questions(t, db, "when two days were summed")
	h.store(t, db, 150, 220)
	h.questions(t, db, "when some came late")
	must(t, db.SumNow(t.Context(), h.begin.Add(80*time.Hour)))
	must(t, db.SumNow(t.Context(), h.begin.Add(80*time.Hour))) // there is nothing to do
	h.questions(t, db, "when all was summed")

	list, err := db.Calls(t.Context(), accounting.CallQuery{Limit: 1000})
	must(t, err)
	if len(list) != len(h.calls) {
		t.Errorf("%d calls, want %d", len(list), len(h.calls))
	}
	rows, err := db.Usage(t.Context(), accounting.UsageQuery{By: []accounting.Dimension{accounting.ByKey}, Limit: 2})
	must(t, err)
	same(t, "rows, of two at most", len(rows), 2)
	plain, err := db.Usage(t.Context(), accounting.UsageQuery{By: []accounting.Dimension{accounting.ByKey}, Limit: 2, Plain: true})
	must(t, err)
	for i := range rows {
		rows[i].P50, rows[i].P95, rows[i].P99, rows[i].FirstP50, rows[i].FirstP95 = 0, 0, 0, 0, 0
	}
	same(t, "rows without latencies", plain, rows)
	for name, q := range map[string]accounting.UsageQuery{
		"two tags": {By: []accounting.Dimension{"tag:a"}, Tag: accounting.Tag{Key: "b"}}, "no dimension": {By: []accounting.Dimension{"colour"}}, "no grain": {Grain: "year"},
	} {
		if _, err := db.Usage(t.Context(), q); err == nil {
			t.Errorf("%s: it is answered", name)
		}
	}
}
