package storagetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// oneBatch is a batch without items.
func oneBatch(org, user tenancy.ID, parallel int) *tasks.Batch {
	return &tasks.Batch{
		ID: tenancy.NewID("batch"), Org: org, Name: "nightly", As: tenancy.Identity{Org: org, Team: "team_1", User: user}, Endpoint: adapters.ChatCompletions,
		Parallel: parallel, Labels: map[string]string{"env": "prod"}, Retry: tasks.DefaultRetry(), Created: at,
	}
}

// filled stores a batch with so many items.
func filled(t *testing.T, db *storage.DB, b *tasks.Batch, n int) {
	t.Helper()
	must(t, db.CreateBatch(t.Context(), by, b))
	total, err := db.AddItems(t.Context(), b.Org, b.ID, 0, itemsOf(b, 0, n))
	must(t, err)
	same(t, "the items", total, int64(n))
}

func itemsOf(b *tasks.Batch, from, n int) (items []tasks.NewItem) {
	for i := range n {
		items = append(items, tasks.NewItem{Task: b.Item(int64(from+i), fmt.Sprint("custom ", from+i), "m"), Request: "sealed", Bytes: 10, Cost: 3, Priced: i%2 == 0})
	}
	return items
}

// active are the items of a batch that have begun and not ended.
func active(t *testing.T, db *storage.DB, b *tasks.Batch) (list []tasks.Task) {
	t.Helper()
	all, err := db.Tasks(t.Context(), tasks.Query{Org: b.Org, Batch: b.ID, State: tasks.Pending, Limit: 100})
	must(t, err)
	for i := range all {
		if !all[i].Due.IsZero() {
			list = append(list, all[i])
		}
	}
	slices.SortFunc(list, func(a, b tasks.Task) int { return int(a.Item - b.Item) })
	return list
}

// end ends an item as if a node had run it.
func end(t *testing.T, db *storage.DB, k tasks.Task, state tasks.State) {
	t.Helper()
	k.State, k.Seq = tasks.Running, k.Seq+1
	advances(t, db, &k, true, "", tasks.Progress{Seq: k.Seq, At: at, Kind: tasks.WasBegun, Detail: "{}"})
	k.State, k.Seq, k.Ended, k.Outcome.Cost, k.Outcome.Usage = state, k.Seq+1, at, 5, adapters.Usage{7}
	advances(t, db, &k, true, "answer", tasks.Progress{Seq: k.Seq, At: at, Kind: tasks.Happened(state), Detail: "{}"})
}

// So many items of a batch run at a time; the end of one begins the next, and the last one's ends the batch.
func batchLives(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	b := oneBatch(o, user, 3)
	filled(t, db, b, 7)
	stored, err := db.Batch(ctx, o, b.ID)
	must(t, err)
	same(t, "what it is", stored.Labels, b.Labels)
	if stored.Total != 7 || stored.Bytes != 70 || stored.Estimate != 21 || stored.Unpriced != 3 || stored.State != tasks.Draft || stored.As != b.As {
		t.Errorf("%+v", stored)
	}
	if n := len(active(t, db, b)); n != 0 {
		t.Errorf("%d items of a draft have begun", n)
	}
	started, err := db.StartBatch(ctx, by, o, b.ID)
	must(t, err)
	same(t, "it is", started.State, tasks.BatchRunning)
	_, err = db.StartBatch(ctx, by, o, b.ID) // again changes nothing
	must(t, err)
	for n := range 7 {
		items := active(t, db, b)
		if len(items) != min(3, 7-n) || items[0].Item != int64(n) || items[0].Custom != fmt.Sprint("custom ", n) {
			t.Fatalf("after %d: %+v", n, items)
		}
		state := tasks.Succeeded
		if n == 2 {
			state = tasks.Failed
		}
		end(t, db, items[0], state)
	}
	stored, err = db.Batch(ctx, o, b.ID)
	must(t, err)
	if stored.State != tasks.BatchCompleted || stored.Succeeded != 6 || stored.Failed != 1 || stored.Cost != 35 || stored.TokensIn != 49 || stored.Ended.IsZero() {
		t.Errorf("%+v", stored)
	}
	// Those that failed begin anew, and nothing else.
	again, err := db.RetryBatch(ctx, by, o, b.ID)
	must(t, err)
	if again.State != tasks.BatchRunning || again.Failed != 0 {
		t.Errorf("%+v", again)
	}
	items := active(t, db, b)
	if len(items) != 1 || items[0].Item != 2 {
		t.Fatalf("%+v", items)
	}
	_, err = db.RetryBatch(ctx, by, o, b.ID)
	wants(t, "again while it runs", err, tasks.ErrRunning)
	end(t, db, items[0], tasks.Succeeded)
	var results []tasks.ItemResult
	for after := int64(-1); ; after = results[len(results)-1].Item {
		page, err := db.Items(ctx, tasks.ItemQuery{Org: o, Batch: b.ID, After: after, Limit: 3})
		must(t, err)
		if results = append(results, page...); len(page) < 3 {
			break
		}
	}
	for i, r := range results {
		if r.Item != int64(i) || r.Answer != "answer" || r.State != tasks.Succeeded {
			t.Errorf("item %d: %+v", i, r)
		}
	}
	same(t, "results", len(results), 7)
	list, err := db.Tasks(ctx, tasks.Query{Org: o, Limit: 10})
	must(t, err)
	same(t, "items in the list of tasks", len(list), 0)
	must(t, db.CreateTask(ctx, by, oneTask(o, user), "r", 1)) // items are not counted against their owner
}

// What is added twice is there once, and what has begun takes no more.
func batchItems(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	b := oneBatch(o, user, 1)
	must(t, db.CreateBatch(ctx, by, b))
	_, err := db.StartBatch(ctx, by, o, b.ID)
	wants(t, "a start without items", err, tasks.ErrNoItems)
	add := func(from, n int) (int64, error) { return db.AddItems(ctx, o, b.ID, int64(from), itemsOf(b, from, n)) }
	for _, c := range []struct {
		from, n int
		total   int64
		err     error
	}{{0, 3, 3, nil}, {0, 3, 3, nil}, {1, 2, 3, nil}, {2, 3, 3, tasks.ErrGap}, {5, 1, 3, tasks.ErrGap}, {3, 2, 5, nil}} {
		total, err := add(c.from, c.n)
		if c.err != nil {
			wants(t, "a gap", err, c.err)
			continue
		}
		must(t, err)
		same(t, "the items", total, c.total)
	}
	_, err = db.StartBatch(ctx, by, o, b.ID)
	must(t, err)
	_, err = add(5, 1)
	wants(t, "items of one that has begun", err, tasks.ErrBegun)
	twice := oneBatch(o, user, 1)
	twice.Once = "request"
	must(t, db.CreateBatch(ctx, by, twice))
	other := oneBatch(o, user, 1)
	other.Once = "request"
	must(t, db.CreateBatch(ctx, by, other))
	same(t, "a request that is repeated", other.ID, twice.ID)
	list, err := db.Batches(ctx, tasks.BatchQuery{Org: o, Owner: user, Limit: 1})
	must(t, err)
	same(t, "the newest", list[0].ID, twice.ID)
	list, err = db.Batches(ctx, tasks.BatchQuery{Org: o, State: tasks.Draft, Before: twice.ID, Limit: 5})
	must(t, err)
	same(t, "drafts before it", len(list), 0)
}

// A batch that is cancelled begins nothing more; what runs is found by its node, and ends it.
func stoppedBatch(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	b := oneBatch(o, user, 2)
	filled(t, db, b, 6)
	_, err := db.StartBatch(ctx, by, o, b.ID)
	must(t, err)
	runs := active(t, db, b)[0]
	runs.State, runs.Node, runs.Seq = tasks.Running, "node_1", runs.Seq+1
	advances(t, db, &runs, true, "", tasks.Progress{Seq: runs.Seq, At: at, Kind: tasks.WasBegun, Detail: "{}"})
	for range 2 {
		stopped, err := db.StopBatch(ctx, by, o, b.ID)
		must(t, err)
		if stopped.State != tasks.BatchRunning || stopped.Cancelled != 5 || stopped.Stopping.IsZero() {
			t.Errorf("%+v", stopped)
		}
	}
	ids, err := db.Stopping(ctx, "node_1")
	must(t, err)
	same(t, "what its node finds", ids, []tenancy.ID{runs.ID})
	runs.State, runs.Seq, runs.Ended = tasks.Cancelled, runs.Seq+1, at
	advances(t, db, &runs, true, "", tasks.Progress{Seq: runs.Seq, At: at, Kind: tasks.WasCancelled, Detail: "{}"})
	is, err := db.Batch(ctx, o, b.ID)
	must(t, err)
	if is.State != tasks.BatchCancelled || is.Cancelled != 6 {
		t.Errorf("%+v", is)
	}
	waits, err := db.Tasks(ctx, tasks.Query{Org: o, Batch: b.ID, State: tasks.Cancelled, Limit: 10})
	must(t, err)
	history, err := db.Progress(ctx, o, waits[0].ID, 0, true, 10)
	must(t, err)
	if len(waits) != 6 || history[len(history)-1].Kind != tasks.WasCancelled || history[len(history)-1].Seq != waits[0].Seq {
		t.Errorf("%d are cancelled, the history of one is %+v", len(waits), history)
	}
	again, err := db.RetryBatch(ctx, by, o, b.ID)
	must(t, err)
	same(t, "cancelled items that begin anew", len(active(t, db, b)), 2)
	same(t, "it is", again.State, tasks.BatchRunning)
	draft := oneBatch(o, user, 2)
	filled(t, db, draft, 2)
	ended, err := db.StopBatch(ctx, by, o, draft.ID)
	must(t, err)
	same(t, "a draft that is cancelled is", ended.State, tasks.BatchCancelled)
}

// However many items end at the same time, none is begun twice, and the numbers are right.
func batchAtOnce(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	const n, parallel = 60, 6
	b := oneBatch(o, user, parallel)
	filled(t, db, b, n)
	_, err := db.StartBatch(ctx, by, o, b.ID)
	must(t, err)
	for {
		items := active(t, db, b)
		if len(items) == 0 {
			break
		}
		if len(items) > parallel {
			t.Fatalf("%d items at once", len(items))
		}
		var ending sync.WaitGroup
		for _, k := range items {
			ending.Go(func() { end(t, db, k, tasks.Succeeded) })
		}
		ending.Wait()
	}
	is, err := db.Batch(ctx, o, b.ID)
	must(t, err)
	if is.State != tasks.BatchCompleted || is.Succeeded != n || is.Cost != 5*n {
		t.Errorf("%+v", is)
	}
}

// Who looks after all batches hears which ones run, and of none when that is over.
func runningBatches(t *testing.T, db *storage.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	o, user := someone(t, db)
	runs, draft, stopping := oneBatch(o, user, 1), oneBatch(o, user, 1), oneBatch(o, user, 1)
	for _, b := range []*tasks.Batch{runs, draft, stopping} {
		filled(t, db, b, 2)
		if b != draft {
			_, err := db.StartBatch(ctx, by, o, b.ID)
			must(t, err)
		}
	}
	claimed := active(t, db, stopping)[0]
	claimed.State, claimed.Node, claimed.Seq = tasks.Running, "node_me", claimed.Seq+1
	advances(t, db, &claimed, true, "", tasks.Progress{Seq: claimed.Seq, At: at, Kind: tasks.WasBegun, Detail: "{}"})
	_, err := db.StopBatch(ctx, by, o, stopping.ID)
	must(t, err)
	heard := make(chan []tasks.Batch, 1)
	var patrolling sync.WaitGroup
	patrolling.Go(func() {
		db.Patrol(ctx, storage.Patrol{
			Node: "node_me", Runs: func(tenancy.ID) bool { return true }, Told: func(tenancy.ID, int64) {}, Keep: func() time.Duration { return time.Hour },
			Running: func(_ context.Context, list []tasks.Batch) { heard <- list },
		})
		close(heard)
	})
	list := <-heard
	cancel()
	is := map[tenancy.ID]bool{}
	for i := range list {
		is[list[i].ID] = true
		if list[i].ID == runs.ID {
			same(t, "what is heard of one", list[i].Estimate, runs.Estimate+3*2)
		}
	}
	if !is[runs.ID] || is[draft.ID] || is[stopping.ID] {
		t.Errorf("%v run", is)
	}
	last := list
	for list := range heard {
		last = list
	}
	patrolling.Wait()
	same(t, "batches that are heard of at the end", len(last), 0)
}
