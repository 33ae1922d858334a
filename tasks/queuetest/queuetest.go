// Package queuetest proves that a queue does what package tasks promises of one: every implementation passes the same suite.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Bundle is a queue on a database of its own.
type Bundle struct {
	// Open makes a queue on the database, as a process does that starts.
	Open func(t *testing.T) tasks.Queue
	// Put puts jobs into the queue in one transaction, which is taken back if commit is false. A queue in memory gets them by Wake
	// of the queue that was opened last.
	Put func(t *testing.T, commit bool, jobs ...tasks.Job)
}

// patience is how long something may take that must happen. Nobody waits for it who need not.
const patience = time.Minute

// Run proves a queue. newBundle is called once for each test.
func Run(t *testing.T, newBundle func(t *testing.T) Bundle) {
	for name, f := range map[string]func(*testing.T, Bundle){
		"each job is done":        eachIsDone,
		"not before its time":     notBefore,
		"what is first":           priorities,
		"so many at once":         soManyAtOnce,
		"taken back":              takenBack,
		"failures stay alone":     failuresStayAlone,
		"a stop waits":            aStopWaits,
		"a stop ends contexts":    aStopEndsContexts,
		"what is left is done":    whatIsLeft,
		"woken twice is harmless": wokenTwice,
		"kinds do not wait":       kindsDoNotWait,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newBundle(t))
		})
	}
}

// job is one of a kind with a number.
func job(n int) tasks.Job {
	return tasks.Job{Kind: tasks.RunTask, ID: tenancy.ID(fmt.Sprintf("task_%d", n)), Org: "org_1", Rev: int64(n), Priority: 2}
}

// start starts a queue whose jobs come to done, and stops it at the end of the test.
func start(t *testing.T, b Bundle, workers tasks.Workers, h tasks.Handler) tasks.Queue {
	t.Helper()
	q := b.Open(t)
	if err := q.Start(t.Context(), workers, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q, patience) })
	return q
}

func stop(t *testing.T, q tasks.Queue, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := q.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// next waits for something that must come.
func next[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return v
}

func eachIsDone(t *testing.T, b Bundle) {
	const n = 2000
	var mu sync.Mutex
	seen := map[tenancy.ID]tasks.Job{}
	all := make(chan struct{})
	start(t, b, tasks.Workers{tasks.RunTask: 50}, func(_ context.Context, j tasks.Job) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[j.ID] = j; len(seen) == n {
			close(all)
		}
		return nil
	})
	var jobs []tasks.Job
	for i := range n {
		jobs = append(jobs, job(i))
	}
	b.Put(t, true, jobs[:n/2]...)
	for _, j := range jobs[n/2 : n/2+20] {
		b.Put(t, true, j)
	}
	b.Put(t, true, jobs[n/2+20:]...)
	next(t, "the last job", all)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range jobs {
		if got := seen[want.ID]; got.Kind != want.Kind || got.Rev != want.Rev || got.Org != want.Org {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func notBefore(t *testing.T, b Bundle) {
	type begun struct {
		tasks.Job
		at time.Time
	}
	done := make(chan begun, 10)
	start(t, b, tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error {
		done <- begun{j, time.Now()}
		return nil
	})
	due := time.Now().Add(1500 * time.Millisecond)
	later := job(1)
	later.Due = due
	b.Put(t, true, later, job(2))
	if first := next(t, "the job that is due", done); first.ID != "task_2" {
		t.Errorf("first came %s", first.ID)
	}
	// Two clocks: that of the database may be a little before ours.
	if last := next(t, "the job of later", done); last.ID != "task_1" || last.at.Before(due.Add(-50*time.Millisecond)) {
		t.Errorf("%s came %s before its time", last.ID, due.Sub(last.at))
	}
}

// holding is a handler whose first job waits, so that the others pile up behind it.
func holding() (h tasks.Handler, began chan tasks.Job, release chan struct{}) {
	began, release = make(chan tasks.Job, 100), make(chan struct{})
	return func(ctx context.Context, j tasks.Job) error {
		began <- j
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	}, began, release
}

func priorities(t *testing.T, b Bundle) {
	h, began, release := holding()
	start(t, b, tasks.Workers{tasks.RunTask: 1}, h)
	b.Put(t, true, job(0))
	next(t, "the first job", began)
	var jobs []tasks.Job
	for i, priority := range []int{4, 2, 3, 1, 2} {
		j := job(i + 1)
		j.Priority = priority
		jobs = append(jobs, j)
	}
	b.Put(t, true, jobs...)
	close(release)
	for _, want := range []int{1, 2, 2, 3, 4} {
		if got := next(t, "the next job", began); jobs[got.Rev-1].Priority != want {
			t.Errorf("got %s of priority %d, want one of %d", got.ID, jobs[got.Rev-1].Priority, want)
		}
	}
}

func soManyAtOnce(t *testing.T, b Bundle) {
	h, began, release := holding()
	start(t, b, tasks.Workers{tasks.RunTask: 3}, h)
	var jobs []tasks.Job
	for i := range 5 {
		jobs = append(jobs, job(i))
	}
	b.Put(t, true, jobs...)
	for range 3 {
		next(t, "one of the first jobs", began)
	}
	select {
	case j := <-began:
		t.Errorf("%s runs beside three others", j.ID)
	case <-time.After(300 * time.Millisecond): // nothing tells that nothing comes
	}
	close(release)
	for range 2 {
		next(t, "one of the last jobs", began)
	}
}

func takenBack(t *testing.T, b Bundle) {
	done := make(chan tasks.Job, 10)
	start(t, b, tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error { done <- j; return nil })
	b.Put(t, false, job(1))
	b.Put(t, true, job(2))
	if j := next(t, "a job", done); j.ID != "task_2" {
		t.Errorf("%s was woken by a transaction that was taken back", j.ID)
	}
}

func failuresStayAlone(t *testing.T, b Bundle) {
	done := make(chan tasks.Job, 10)
	start(t, b, tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error {
		done <- j
		switch j.Rev {
		case 1:
			panic("on purpose")
		case 2:
			return errors.New("on purpose")
		}
		return nil
	})
	for i := 1; i <= 3; i++ {
		b.Put(t, true, job(i))
		if j := next(t, "a job", done); j.Rev != int64(i) {
			t.Errorf("%s came, want number %d", j.ID, i)
		}
	}
}

func aStopWaits(t *testing.T, b Bundle) {
	h, began, release := holding()
	q := start(t, b, tasks.Workers{tasks.RunTask: 1}, h)
	b.Put(t, true, job(1))
	next(t, "the job", began)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t, q, patience) }()
	select {
	case <-stopped:
		t.Error("it did not wait for the job")
	case <-time.After(200 * time.Millisecond): // nothing tells that it waits
	}
	close(release)
	next(t, "the stop", stopped)
}

func aStopEndsContexts(t *testing.T, b Bundle) {
	h, began, _ := holding()
	q := start(t, b, tasks.Workers{tasks.RunTask: 1}, h)
	b.Put(t, true, job(1))
	next(t, "the job", began)
	stop(t, q, 50*time.Millisecond) // it returns, so the handler has
}

func whatIsLeft(t *testing.T, b Bundle) {
	h, began, release := holding()
	first := start(t, b, tasks.Workers{tasks.RunTask: 1}, h)
	b.Put(t, true, job(1))
	next(t, "the first job", began)
	b.Put(t, true, job(2), job(3))
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t, first, patience) }()
	time.AfterFunc(100*time.Millisecond, func() { close(release) }) // when it is stopping
	next(t, "the stop", stopped)
	done := make(chan tasks.Job, 10)
	start(t, b, tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error { done <- j; return nil })
	left := map[tenancy.ID]bool{"task_2": true, "task_3": true}
	for len(began) > 0 { // it was begun before the stop
		delete(left, (<-began).ID)
	}
	for len(left) > 0 {
		delete(left, next(t, "a job that was left", done).ID)
	}
}

func wokenTwice(t *testing.T, b Bundle) {
	done := make(chan tasks.Job, 10)
	q := start(t, b, tasks.Workers{tasks.RunTask: 1}, func(_ context.Context, j tasks.Job) error { done <- j; return nil })
	b.Put(t, true, job(1))
	q.Wake(job(1))
	q.Wake(job(1))
	b.Put(t, true, job(2))
	for next(t, "the second job", done).ID != "task_2" {
	}
}

func kindsDoNotWait(t *testing.T, b Bundle) {
	h, began, release := holding()
	start(t, b, tasks.Workers{tasks.RunTask: 1, tasks.RunBatch: 1}, h)
	b.Put(t, true, job(1))
	next(t, "the task", began)
	other := job(2)
	other.Kind = tasks.RunBatch
	b.Put(t, true, other)
	if j := next(t, "the batch", began); j.Kind != tasks.RunBatch {
		t.Errorf("a %s came", j.Kind)
	}
	close(release)
}
