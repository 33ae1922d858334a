package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// slowShelf is a store of which a test sees every batch.
type slowShelf struct {
	shelf
	batches chan []routing.StoredObject
}

func (s *slowShelf) KeepObjects(ctx context.Context, made []routing.StoredObject) ([]routing.StoredObject, error) {
	if s.batches != nil {
		s.batches <- made
	}
	return s.shelf.KeepObjects(ctx, made)
}

func keeperForTest(store ObjectStore, shared bool) (*Keeper, *Metrics) {
	m := NewMetrics(prometheus.NewRegistry())
	return NewKeeper(store, shared, m, slog.New(slog.DiscardHandler)), m
}

func file(i int) routing.StoredObject {
	return routing.StoredObject{Org: "org", ID: fmt.Sprintf("file-%d", i), Provider: "p", Kind: "file"}
}

func lost(m *Metrics) float64 {
	var d dto.Metric
	if err := m.objectsLost.Write(&d); err != nil {
		panic(err)
	}
	return d.Counter.GetValue()
}

func away() error { return &tenancy.Unavailable{Cause: errors.New("down")} }

// The first object of a quiet time is written at once, and those of a busy one together.
func TestKeeperWritesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowShelf{batches: make(chan []routing.StoredObject)}
		k, m := keeperForTest(store, false)
		k.Start()
		begun := time.Now()
		k.Keep(file(0))
		if b := <-store.batches; len(b) != 1 || time.Since(begun) != 0 {
			t.Errorf("the first batch has %d, after %v", len(b), time.Since(begun))
		}
		for i := range objectsBatch + 1 {
			k.Keep(file(i)) // the first one is known already
		}
		if b := <-store.batches; len(b) != objectsBatch || time.Since(begun) != objectsPause {
			t.Errorf("the next batch has %d, after %v", len(b), time.Since(begun))
		}
		synctest.Wait()
		if n := len(store.all()); n != objectsBatch+1 || lost(m) != 0 {
			t.Errorf("%d are written, %v lost", n, lost(m))
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeeperWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowShelf{}
		k, m := keeperForTest(store, false)
		store.fail(away())
		k.Start()
		k.Keep(file(1))
		k.Forget(file(2))
		time.Sleep(10 * objectsRetry) // of the bubble's clock
		if owners, err := k.Owners("org", []string{"file-1"}); err != nil || owners["file-1"] != "p" {
			t.Errorf("%v, %v", owners, err)
		}
		if _, err := k.Owners("org", []string{"file-1", "file-3"}); !errors.As(err, new(*tenancy.Unavailable)) {
			t.Errorf("error %v", err)
		}
		if _, err := k.Page(routing.ObjectPage{Org: "org", Kind: "file", Limit: 1}); !errors.As(err, new(*tenancy.Unavailable)) {
			t.Errorf("error %v", err)
		}
		store.fail(nil)
		time.Sleep(objectsRetry)
		synctest.Wait()
		if list, err := k.Page(routing.ObjectPage{Org: "org", Kind: "file", Limit: 1}); err != nil || len(list) != 1 || lost(m) != 0 {
			t.Errorf("%v, %v, %v lost", list, err, lost(m))
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// A page shows what was made a moment before.
func TestPageWaitsForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowShelf{batches: make(chan []routing.StoredObject)}
		k, _ := keeperForTest(store, false)
		k.Start()
		page := make(chan int, 1)
		k.Keep(file(1))
		go func() {
			list, err := k.Page(routing.ObjectPage{Org: "org", Kind: "file", Limit: 9})
			if err != nil {
				t.Error(err)
			}
			page <- len(list)
		}()
		synctest.Wait()
		select {
		case n := <-page:
			t.Errorf("a page of %d came before the object was written", n)
		default:
		}
		<-store.batches
		if n := <-page; n != 1 {
			t.Errorf("a page of %d", n)
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// What is bounded is lost when the bound is reached, and counted; nobody waits.
func TestKeeperIsBounded(t *testing.T) {
	t.Parallel()
	store := &slowShelf{}
	k, m := keeperForTest(store, false) // not started: nothing is taken from the queue
	for i := range objectsWaiting + 10 {
		k.Keep(file(i))
	}
	if lost(m) != 10 || len(k.queue) != objectsWaiting {
		t.Errorf("%v lost, %d wait", lost(m), len(k.queue))
	}
	for i := range 3 * objectsKnown {
		k.Keep(file(-i))
	}
	if n := len(k.young) + len(k.old); n > 2*objectsKnown {
		t.Errorf("%d are known", n)
	}
	store.fail(away())
	k.Start()
	if err := k.Stop(); err != nil { // the database is away: they are given up, and that is counted as well
		t.Error(err)
	}
	if want := float64(10 + 3*objectsKnown - 1 + objectsWaiting); lost(m) != want {
		t.Errorf("%v lost, want %v", lost(m), want)
	}
}

func TestKeeperGivesUpWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowShelf{}
		k, m := keeperForTest(store, false)
		store.fail(errors.New("a bug"))
		k.Start()
		k.Keep(file(1))
		synctest.Wait()
		store.fail(nil)
		k.Keep(file(2))
		time.Sleep(objectsPause)
		synctest.Wait()
		if all := store.all(); len(all) != 1 || all[0].ID != "file-2" || lost(m) != 1 {
			t.Errorf("%v, %v lost", all, lost(m))
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeeperWritesTheRestAtItsEnd(t *testing.T) {
	t.Parallel()
	store := &slowShelf{}
	k, _ := keeperForTest(store, false)
	for i := range 3*objectsBatch + 1 {
		k.Keep(file(i))
	}
	k.Forget(file(0))
	k.Start()
	if err := k.Stop(); err != nil {
		t.Error(err)
	}
	if n := len(store.all()); n != 3*objectsBatch {
		t.Errorf("%d are written", n)
	}
}

// What another node has made may be on its way to the database: with several nodes it is looked for twice.
func TestKeeperOfSeveralNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for shared, want := range map[bool]int{false: 0, true: 1} {
			store := &slowShelf{}
			k, _ := keeperForTest(store, shared)
			time.AfterFunc(objectsOnWay/2, func() { _, _ = store.shelf.KeepObjects(t.Context(), []routing.StoredObject{file(1)}) })
			owners, err := k.Owners("org", []string{"file-1", "file-2"})
			if err != nil || len(owners) != want {
				t.Errorf("shared %v: %v, %v", shared, owners, err)
			}
			time.Sleep(objectsOnWay)
		}
	})
}

// The ids come out of bodies whose bytes are used again.
func TestKeeperCopies(t *testing.T) {
	t.Parallel()
	store := &slowShelf{}
	k, _ := keeperForTest(store, false)
	body := []byte("file-1,file-2,file-3")
	o := file(0)
	o.ID = view(body[:6])
	k.Keep(o)
	store.objects = []routing.StoredObject{file(2)}
	if owners, err := k.Owners("org", []string{view(body[7:13])}); err != nil || owners["file-2"] != "p" {
		t.Errorf("%v, %v", owners, err)
	}
	o.ID = view(body[14:])
	k.Forget(o)
	clear(body)
	owners, err := k.Owners("org", []string{"file-1", "file-2"})
	if err != nil || len(owners) != 2 || store.asked != 1 {
		t.Errorf("%v, %v, asked %d times", owners, err, store.asked)
	}
	if ids := []string{k.queue[0].ID, k.queue[1].ID}; !slices.Equal(ids, []string{"file-1", "file-3"}) {
		t.Errorf("queued %q", ids)
	}
}
