package storage_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// realistic makes records as a busy node leaves them: about 1 KB each, three tags on a third of them, 2 % failed.
func realistic(n int, begun time.Time) []accounting.Record {
	list := make([]accounting.Record, n)
	for i := range list {
		r := rand.IntN
		org, model := r(10), r(6)
		a := accounting.Attempt{
			Provider: "openai", Model: fmt.Sprint("gpt-4o-2024-08-0", model), FirstByte: time.Duration(200+r(400)) * time.Millisecond, Total: time.Duration(900+r(4000)) * time.Millisecond,
			Status: 200, Executed: true, Usage: adapters.Usage{adapters.Input: int64(r(4000)), adapters.CacheRead: 512, adapters.Output: int64(r(900)), adapters.Requests: 1},
			Cost: 1_234_567, Price: "openai/gpt-4o 2026-09-23",
		}
		list[i] = accounting.Record{
			State: accounting.Ended, ID: tenancy.NewID("req"), Begun: begun.Add(time.Duration(i) * time.Millisecond),
			Who: tenancy.Identity{
				Org: tenancy.ID(fmt.Sprintf("org_%032x", org)), Team: tenancy.ID(fmt.Sprintf("team_%032x", org)), User: tenancy.ID(fmt.Sprintf("user_%032x", org)),
				Key: tenancy.ID(fmt.Sprintf("key_%032x", 20*org+r(20))),
			},
			Route: fmt.Sprint("gpt-4o-", model), Provider: a.Provider, Model: a.Model, Endpoint: adapters.ChatCompletions, Stream: true, Status: 200,
			Attempts: []accounting.Attempt{a}, Waiting: time.Millisecond, FirstToken: a.FirstByte, Total: a.Total, Usage: a.Usage, Cost: a.Cost, Estimate: 4 * a.Cost,
			Decision: []byte(`{"strategy":"priority","candidates":["openai/gpt-4o-2024-08-06","azure/gpt-4o"],"chosen":0,"because":"first that is well"}`),
			Holds:    []byte(`[{"budget":"budget_0190","window":"2027-01","nano":4938268}]`), Dropped: []string{"seed"}, Agent: "OpenAI/Python 1.51.0",
		}
		if i%3 == 0 {
			list[i].Tags = []accounting.Tag{{Key: "env", Value: []string{"prod", "staging", "dev"}[r(3)]}, {Key: "customer", Value: fmt.Sprint("customer-", r(500))}, {Key: "job", Value: fmt.Sprint("job-", r(100_000))}}
		}
		if i%50 == 0 {
			list[i].Status, list[i].Class, list[i].Error = 502, adapters.ClassServer, "the provider openai answered with status 500: internal error, please retry later"
		}
	}
	return list
}

// BenchmarkAppend stores what a node has spooled, batch by batch: calls that cost no budget anything, and calls of which each
// is an entry in the ledger of two.
func BenchmarkAppend(b *testing.B) {
	for _, p := range places(b) {
		db := open(b, p.Config)
		for _, name := range []string{p.engine, p.engine + ", with budgets"} {
			b.Run(name, func(b *testing.B) {
				var at spool.Cursor
				node, begun := string(tenancy.NewID("node")), time.Now()
				n := db.BatchSize()
				for b.Loop() {
					b.StopTimer()
					records := realistic(n, begun)
					if name != p.engine {
						book(records)
					}
					begun = begun.Add(time.Duration(n) * time.Millisecond)
					b.StartTimer()
					to := spool.Cursor{Segment: 1, Offset: at.Offset + int64(n)}
					if err := db.Append(b.Context(), node, at, to, records); err != nil {
						b.Fatal(err)
					}
					at = to
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// book lets each call cost a budget of its organization and one of its key.
func book(records []accounting.Record) {
	month := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range records {
		r := &records[i]
		for _, id := range []tenancy.ID{r.Who.Org, r.Who.Key} {
			r.Bookings = append(r.Bookings, accounting.Booking{Budget: "budget_" + id, Window: month, Held: r.Estimate})
		}
	}
}
