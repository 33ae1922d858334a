package storagetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// idsOf are the ids of an organization's calls, the newest first.
func idsOf(t *testing.T, db *storage.DB, q accounting.CallQuery) (ids []string) {
	t.Helper()
	q.Limit = 1000
	list, err := db.Calls(t.Context(), q)
	must(t, err)
	for i := range list {
		ids = append(ids, string(list[i].ID))
	}
	return ids
}

// replays checks that a batch is stored once, however often it is tried, and whoever tries it.
func replays(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	q := accounting.CallQuery{CallFilter: accounting.CallFilter{Org: "org_a"}}
	first := []accounting.Record{called("org_a", 1), called("org_a", 2), called("org_a", 2)}
	one, two := spool.Cursor{Segment: 1, Offset: 100}, spool.Cursor{Segment: 1, Offset: 200}
	wants(t, "from where nothing is", db.Append(ctx, "node_1", one, two, first), accounting.ErrCursor)
	must(t, db.Append(ctx, "node_1", spool.Cursor{}, one, first))
	// The answer was lost, and it is sent again.
	wants(t, "again", db.Append(ctx, "node_1", spool.Cursor{}, one, first), accounting.ErrCursor)
	must(t, db.Append(ctx, "node_1", one, two, []accounting.Record{called("org_a", 3)}))
	wants(t, "from behind", db.Append(ctx, "node_1", one, two, first), accounting.ErrCursor)
	same(t, "calls", idsOf(t, db, q), []string{"req_0003", "req_0002", "req_0001"})

	// Another node has found the same spool: what is there is not counted again, and what is new is.
	must(t, db.Append(ctx, "node_2", spool.Cursor{}, one, append(first, called("org_a", 4))))
	same(t, "calls", idsOf(t, db, q), []string{"req_0004", "req_0003", "req_0002", "req_0001"})
	must(t, db.Append(ctx, "node_2", one, two, first)) // nothing of it is new
	must(t, db.Append(ctx, "node_2", two, spool.Cursor{Segment: 2}, nil))
	for node, want := range map[string]spool.Cursor{"node_1": two, "node_2": {Segment: 2}, "node_3": {}} {
		c, err := db.Cursor(ctx, node)
		must(t, err)
		same(t, "the cursor of "+node, c, want)
	}
	same(t, "sums", usageOf(t, db, "org_a").Calls, 4)

	if err := db.Append(ctx, "node_3", spool.Cursor{}, spool.Cursor{Segment: 1 << 63}, first); !errors.As(err, new(*accounting.Rejected)) {
		t.Errorf("a segment beyond all: %v", err)
	}
}

// usageOf is all that an organization used.
func usageOf(t *testing.T, db *storage.DB, org tenancy.ID) accounting.UsageRow {
	t.Helper()
	rows, err := db.Usage(t.Context(), accounting.UsageQuery{Org: org, Limit: 10})
	must(t, err)
	if len(rows) > 1 {
		t.Fatalf("%d sums of the whole", len(rows))
	}
	if len(rows) == 0 {
		return accounting.UsageRow{}
	}
	return rows[0]
}

// interruptions checks that how a call ended takes the place of what was believed, in the sums too, and never the other
// way round.
func interruptions(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	ended := called("org_a", 1)
	ended.Prompt, ended.Answer = nil, []byte("01234567.answer")
	believed := ended
	believed.State, believed.Status, believed.Class, believed.Error = accounting.Interrupted, 0, adapters.ClassInternal, "the process ended"
	believed.Cost, believed.Estimated, believed.Usage, believed.Attempts = ended.Estimate, true, adapters.Usage{}, nil
	believed.Prompt, believed.Answer, believed.Tags = []byte("01234567.prompt"), nil, []accounting.Tag{{Key: "env", Value: "test"}}
	one, two := shipped{node: "node_1"}, shipped{node: "node_2"}

	one.append(t, db, believed, called("org_a", 2))
	before := usageOf(t, db, "org_a")
	same(t, "the cost before", before.Cost, ended.Estimate+ended.Cost)
	same(t, "failed, estimated", [2]int64{before.Failed, before.Estimated}, [2]int64{1, 1})
	two.append(t, db, ended, called("org_a", 3))
	after := usageOf(t, db, "org_a")
	same(t, "the cost after", after.Cost, 3*ended.Cost)
	same(t, "calls, failed, estimated", [3]int64{after.Calls, after.Failed, after.Estimated}, [3]int64{3, 0, 0})
	got, err := db.Call(ctx, "org_a", ended.ID)
	must(t, err)
	same(t, "how it ended", got, ended)
	for value, want := range map[string]int{"test": 0, "prod": 3} {
		q := accounting.CallQuery{CallFilter: accounting.CallFilter{Org: "org_a", Tag: accounting.Tag{Key: "env", Value: value}}}
		same(t, "calls by the tag "+value, len(idsOf(t, db, q)), want)
	}
	one.append(t, db, believed)
	same(t, "after it was believed again", usageOf(t, db, "org_a"), after)

	// Both in one batch, in whichever order.
	believed.ID, ended.ID = "req_x", "req_x"
	two.append(t, db, believed, ended)
	got, err = db.Call(ctx, "org_a", "req_x")
	must(t, err)
	same(t, "how it ended", got.State, accounting.Ended)
}

// batches checks that the audit log has the hash of each batch, and that it proves the batch.
func batches(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	since := time.Now().Truncate(time.Microsecond)
	believed := called("org_a", 3)
	believed.State = accounting.Interrupted
	unpriced := called("org_b", 2)
	unpriced.Unpriced, unpriced.Attempts[1].Unpriced, unpriced.Attempts[1].Model = "no_price", "no_price", "new"
	unpriced.Saved, unpriced.Mirror = 0, accounting.Mirror{} // of the first form; the others have the second one
	one := shipped{node: "node_1"}
	one.append(t, db, called("org_a", 1), unpriced, believed)
	one.append(t, db, called("org_a", 3), unpriced)
	one.append(t, db, called("org_a", 3)) // nothing new

	list := events(t, db, since, tenancy.Platform)
	var actions []string
	for _, e := range list {
		actions = append(actions, fmt.Sprint(e.Action, " ", e.Object.ID, " ", e.Count))
	}
	same(t, "events", actions, []string{"prices.missing openai/new 1", "calls.record node_1 3", "calls.record node_1 1"})
	for i, want := range []storage.BatchProof{{Records: 3, Found: 3, Intact: true}, {Records: 1, Found: 1, Intact: true}} {
		got, err := db.ProveBatch(ctx, list[i+1])
		must(t, err)
		same(t, "the proof of a batch", got, want)
	}
	other := list[1]
	var said map[string]any
	must(t, json.Unmarshal([]byte(other.After), &said))
	other.After = strings.Replace(other.After, said["sha256"].(string), strings.Repeat("0", 64), 1)
	got, err := db.ProveBatch(ctx, other)
	must(t, err)
	same(t, "another hash", got, storage.BatchProof{Records: 3, Found: 3})
	if _, err := db.ProveBatch(ctx, list[0]); err == nil {
		t.Error("an event of something else is proved")
	}
}

// strangeRecords checks that there is no text, number or time in a record that a database does not take.
func strangeRecords(t *testing.T, db *storage.DB) {
	ship := shipped{node: "node\x00\xff"}
	long := strings.Repeat("ü", 100_000)
	for i, text := range []string{"a\x00b", "\xff\xfe", "é" + "\xc3", long, "'; drop table calls; --", "\u2028\ud7ff", "\\u0000"} {
		r := called("org_a", i)
		id := r.ID
		r.Who = tenancy.Identity{Org: "org_a", Team: tenancy.ID(text), User: tenancy.ID(text), Key: tenancy.ID(text)}
		r.Route, r.Provider, r.Model, r.Error, r.Unpriced, r.Agent, r.Cache = text, text, text, text, "no_price", text, text
		r.Task, r.Run, r.Dropped, r.Decision, r.Holds = tenancy.ID(text), tenancy.ID(text), []string{text}, []byte(text), []byte(text)
		r.Prompt, r.Answer, r.Tags = []byte(text), []byte(text), []accounting.Tag{{Key: text, Value: text}, {Key: text, Value: text}}
		r.Attempts[0].Provider, r.Attempts[1].Model, r.Attempts[1].Unpriced, r.Attempts[1].Price = text, text, "no_price", text
		r.Status, r.Cost, r.Total, r.FirstToken = -1, 1<<62, 1<<63-1, -1
		r.Usage[adapters.Searches] = -1 << 62
		ship.append(t, db, r)
		got, err := db.Call(t.Context(), "org_a", id)
		must(t, err)
		same(t, "bytes", string(got.Prompt)+string(got.Decision), text+text)
	}
	for i, begun := range []time.Time{{}, time.Unix(0, 1), time.Date(1, 1, 1, 1, 1, 1, 1, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		r := called("org_b", 100+i)
		r.Begun, r.ID = begun, tenancy.ID(fmt.Sprintf("req_time_%d", i))
		ship.append(t, db, r)
		_, err := db.Call(t.Context(), "org_b", r.ID)
		must(t, err)
	}
}
