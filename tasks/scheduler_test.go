package tasks_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tasks/queuetest"
)

var quiet = slog.New(slog.DiscardHandler)

// rows are what a database knows is to be done.
type rows struct {
	mu   sync.Mutex
	jobs []tasks.Job // guarded by mu
	last *tasks.Scheduler
}

func (r *rows) pending(context.Context) ([]tasks.Job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs, nil
}

func TestScheduler(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Bundle {
		r := &rows{}
		return queuetest.Bundle{
			Open: func(*testing.T) tasks.Queue {
				r.last = tasks.NewScheduler(r.pending, quiet)
				return r.last
			},
			Put: func(_ *testing.T, commit bool, jobs ...tasks.Job) {
				if !commit {
					return
				}
				r.mu.Lock()
				r.jobs = append(r.jobs, jobs...)
				r.mu.Unlock()
				r.last.Wake(jobs...)
			},
		}
	})
}

// What waits twice is there once, and what was never started or has stopped takes nothing.
func TestSchedulerForgets(t *testing.T) {
	t.Parallel()
	s := tasks.NewScheduler((&rows{}).pending, quiet)
	s.Wake(tasks.Job{Kind: tasks.RunTask, ID: "early"})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = tasks.NewScheduler((&rows{}).pending, quiet)
	done, release := make(chan tasks.Job, 10), make(chan struct{})
	if err := s.Start(t.Context(), tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error {
		done <- j
		<-release
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	first := tasks.Job{Kind: tasks.RunTask, ID: "first"}
	again := tasks.Job{Kind: tasks.RunTask, ID: "again", Rev: 1}
	s.Wake(first)
	<-done
	s.Wake(again, again, tasks.Job{Kind: tasks.RunBatch, ID: "nobody runs this"})
	s.Wake(again)
	close(release)
	<-done
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Wake(again)
	if len(done) > 0 {
		t.Errorf("%+v came once more", <-done)
	}
}

func BenchmarkScheduler(b *testing.B) {
	s := tasks.NewScheduler((&rows{}).pending, quiet)
	var left sync.WaitGroup
	if err := s.Start(b.Context(), tasks.Workers{tasks.RunTask: 64}, func(context.Context, tasks.Job) error { left.Done(); return nil }); err != nil {
		b.Fatal(err)
	}
	left.Add(b.N)
	for i := range b.N {
		s.Wake(tasks.Job{Kind: tasks.RunTask, ID: "t", Rev: int64(i), Due: time.Now()})
	}
	left.Wait()
	_ = s.Stop(b.Context())
}
