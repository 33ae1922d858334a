package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// replayedCalls checks that calls come once each in the order of time, in pages of any length, with their attempts and
// decisions; and every so many-th of them if not each is asked for.
func replayedCalls(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	var all []accounting.Record
	for i := range 23 {
		r := called([]tenancy.ID{"org_a", "org_b"}[i%2], i/4) // four at a time
		r.ID, r.Route, r.Decision = tenancy.ID(fmt.Sprintf("req_%02d", i)), fmt.Sprint("route-", i%3), fmt.Appendf(nil, `{"rev":%d}`, i)
		r.Mirror = accounting.Mirror{}
		all = append(all, r)
	}
	copied := called("org_a", 0) // is of no client's, and not gone through
	copied.ID, copied.Route = "mir_00", "route-1"
	(&shipped{node: "node_1"}).append(t, db, append(all, copied)...)
	for name, f := range map[string]struct {
		ask  accounting.CallFilter
		want func(r *accounting.Record) bool
	}{
		"everything":   {accounting.CallFilter{}, func(*accounting.Record) bool { return true }},
		"one's own":    {accounting.CallFilter{Org: "org_b"}, func(r *accounting.Record) bool { return r.Who.Org == "org_b" }},
		"a route":      {accounting.CallFilter{Route: "route-1"}, func(r *accounting.Record) bool { return r.Route == "route-1" }},
		"a time":       {accounting.CallFilter{From: at.Add(time.Second), To: at.Add(3 * time.Second)}, func(r *accounting.Record) bool { d := r.Begun.Sub(at); return d >= time.Second && d < 3*time.Second }},
		"what is none": {accounting.CallFilter{Route: "none"}, func(*accounting.Record) bool { return false }},
	} {
		var found []string
		for i := range all {
			if f.want(&all[i]) {
				found = append(found, string(all[i].ID)+string(all[i].Decision))
			}
		}
		n, err := db.CountCalls(ctx, f.ask)
		must(t, err)
		same(t, name+": how many", n, int64(len(found)))
		for _, every := range []int{0, 1, 3, 50} {
			var want []string
			for i := range found {
				if (i+1)%max(every, 1) == 0 {
					want = append(want, found[i])
				}
			}
			for _, limit := range []int{1, 2, 100} {
				var got []string
				for q := (accounting.ReplayQuery{CallFilter: f.ask, Every: every, Limit: limit}); ; {
					list, next, err := db.Replay(ctx, q)
					must(t, err)
					for i := range list {
						got = append(got, string(list[i].ID)+string(list[i].Decision))
						same(t, "attempts", len(list[i].Attempts), len(all[0].Attempts))
					}
					if next == (accounting.CallCursor{}) {
						break
					}
					q.After = next
				}
				same(t, fmt.Sprintf("%s, one of %d, in pages of %d", name, every, limit), got, want)
			}
		}
	}
}
