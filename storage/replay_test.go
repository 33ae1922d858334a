package storage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// A page of a replay is read by an index in its order, wherever it begins: of very many calls there are very many pages.
func TestReplayIsReadInOrder(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		db := open(t, p.Config)
		begun, at := time.Now().Add(-2*time.Hour), spool.Cursor{}
		for n := range 10 {
			records := make([]accounting.Record, 1000)
			for i := range records {
				records[i] = accounting.Record{
					State: accounting.Ended, ID: tenancy.NewID("req"), Begun: begun.Add(time.Duration(1000*n+i) * 500 * time.Millisecond), Who: tenancy.Identity{Org: tenancy.ID(fmt.Sprint("org_", i%3))},
				}
			}
			to := spool.Cursor{Segment: 1, Offset: at.Offset + 1000}
			if err := db.Append(t.Context(), "node", at, to, records); err != nil {
				t.Fatal(err)
			}
			at = to
		}
		explain := "explain query plan "
		if p.engine == "postgres" {
			p.exec(t, "analyze")
			explain = "explain "
		}
		for _, org := range []tenancy.ID{"", "org_1"} {
			q := accounting.ReplayQuery{CallFilter: accounting.CallFilter{Org: org, From: begun, To: time.Now()}, Limit: 50}
			for _, q.After = range []accounting.CallCursor{{}, {Begun: begun.Add(20 * time.Minute), ID: "req_x"}} {
				query, args := storage.PageOfReplay(q)
				if plan := p.plan(t, explain+query, args...); strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort  (") || strings.Contains(plan, "Seq Scan on calls_d") {
					t.Errorf("%s, of %q after %s:\n%s", p.engine, org, q.After.ID, plan)
				}
			}
		}
	}
}
