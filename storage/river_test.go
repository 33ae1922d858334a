package storage_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tasks/queuetest"
)

// The queue of Postgres does what the one in memory does, with a pooler in between too.
func TestRiver(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"postgres", "pgbouncer"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			queuetest.Run(t, func(t *testing.T) queuetest.Bundle {
				cfg := engines[engine](t)
				db := open(t, cfg)
				return queuetest.Bundle{
					Open: func(t *testing.T) tasks.Queue {
						q, err := open(t, cfg).Queue() // of another process than the one that wakes
						if err != nil {
							t.Fatal(err)
						}
						return q
					},
					Put: func(t *testing.T, commit bool, jobs ...tasks.Job) {
						var fails error
						if !commit {
							fails = errors.New("on purpose")
						}
						if err := storage.Wake(t.Context(), db, fails, jobs...); !errors.Is(err, fails) {
							t.Fatal(err)
						}
					},
				}
			})
		})
	}
}

// On SQLite what waits is found in the rows again.
func TestQueueOfSQLite(t *testing.T) {
	t.Parallel()
	db := open(t, engines["sqlite"](t))
	if err := storage.Wake(t.Context(), db, nil, tasks.Job{Kind: tasks.RunTask, ID: "nobody hears"}); err != nil {
		t.Fatal(err)
	}
	q, err := db.Queue()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan tasks.Job, 1)
	if err := q.Start(t.Context(), tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error { done <- j; return nil }); err != nil {
		t.Fatal(err)
	}
	want := tasks.Job{Kind: tasks.RunTask, ID: "task_1", Org: "org_1", Rev: 3, Priority: 2}
	if err := storage.Wake(t.Context(), db, nil, want); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := q.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// BenchmarkRiver is how fast a node gets through jobs that do nothing.
func BenchmarkRiver(b *testing.B) {
	db := open(b, engines["postgres"](b))
	q, err := db.Queue()
	if err != nil {
		b.Fatal(err)
	}
	var left sync.WaitGroup
	left.Add(b.N)
	for done := 0; done < b.N; {
		var jobs []tasks.Job
		for ; done < b.N && len(jobs) < 1000; done++ {
			jobs = append(jobs, tasks.Job{Kind: tasks.RunTask, ID: "task_1", Org: "org_1", Rev: int64(done)})
		}
		if err := storage.Wake(b.Context(), db, nil, jobs...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	if err := q.Start(b.Context(), tasks.Workers{tasks.RunTask: 64}, func(context.Context, tasks.Job) error { left.Done(); return nil }); err != nil {
		b.Fatal(err)
	}
	left.Wait()
	b.StopTimer()
	_ = q.Stop(b.Context())
}
