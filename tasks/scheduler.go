package tasks

import (
	"container/heap"
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Scheduler is the Queue of a process that has its database to itself. It keeps in memory what waits, and nothing else: what it
// does not know after a restart it is told by the rows.
//
//	Wake ──▶ later, by time ── due ──▶ ready, by priority and time ── a worker is free ──▶ the handler
type Scheduler struct {
	pending func(ctx context.Context) ([]Job, error)
	log     *slog.Logger

	mu     sync.Mutex
	later  timeline            // not due yet; guarded by mu
	lanes  map[Kind]*lane      // guarded by mu
	known  map[wakeup]struct{} // what waits, so that it waits once; guarded by mu
	timer  *time.Timer         // runs towards the first of later; guarded by mu
	next   uint64              // the order of arrival; guarded by mu
	closed bool                // guarded by mu
	handle Handler
	cancel context.CancelFunc // ends the contexts of the handlers
	living context.Context
	runs   sync.WaitGroup
}

// lane is what is due of one kind.
type lane struct {
	ready   line
	workers int // that are free
}

// wakeup is what makes two jobs the same.
type wakeup struct {
	kind Kind
	id   tenancy.ID
	rev  int64
}

func (j *Job) wakeup() wakeup { return wakeup{j.Kind, j.ID, j.Rev} }

// waiting is a job with its place.
type waiting struct {
	Job
	order uint64
}

// NewScheduler makes one that begins with what pending says is to be done.
func NewScheduler(pending func(ctx context.Context) ([]Job, error), log *slog.Logger) *Scheduler {
	return &Scheduler{pending: pending, log: log, lanes: map[Kind]*lane{}, known: map[wakeup]struct{}{}}
}

// Start begins with what is pending.
func (s *Scheduler) Start(ctx context.Context, workers Workers, h Handler) error {
	jobs, err := s.pending(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
	s.living, s.cancel = context.WithCancel(context.Background())
	for kind, n := range workers {
		s.lanes[kind] = &lane{workers: n}
	}
	s.timer = time.AfterFunc(time.Hour, s.ring)
	for _, j := range jobs {
		s.put(j)
	}
	s.work()
	return nil
}

// Wake takes jobs. What comes before Start or after Stop is forgotten: the rows have it.
func (s *Scheduler) Wake(jobs ...Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handle == nil || s.closed {
		return
	}
	for _, j := range jobs {
		s.put(j)
	}
	s.work()
}

// Stop waits for the handlers; when ctx ends it ends their contexts.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	started := s.handle != nil
	if started {
		s.timer.Stop()
	}
	s.mu.Unlock()
	if !started {
		return nil
	}
	stop := context.AfterFunc(ctx, s.cancel)
	s.runs.Wait()
	stop()
	s.cancel()
	return nil
}

// put makes a job wait. mu is held.
func (s *Scheduler) put(j Job) {
	if s.lanes[j.Kind] == nil {
		return
	}
	if _, waits := s.known[j.wakeup()]; waits {
		return
	}
	if j.Priority == 0 {
		j.Priority = 2
	}
	s.known[j.wakeup()] = struct{}{}
	s.next++
	heap.Push(&s.later, waiting{j, s.next})
}

// ring is called when the first of those that wait is due.
func (s *Scheduler) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work()
	}
}

// work lines up what is due, and gives it to the workers that are free. mu is held.
func (s *Scheduler) work() {
	now := time.Now()
	for len(s.later) > 0 && !s.later[0].Due.After(now) {
		w := heap.Pop(&s.later).(waiting)
		heap.Push(&s.lanes[w.Kind].ready, w)
	}
	if len(s.later) > 0 {
		s.timer.Reset(s.later[0].Due.Sub(now))
	}
	for _, l := range s.lanes {
		for l.workers > 0 && len(l.ready) > 0 && !s.closed {
			w := heap.Pop(&l.ready).(waiting)
			delete(s.known, w.wakeup())
			l.workers--
			s.runs.Go(func() { s.run(l, w.Job) })
		}
	}
}

// run does one job, and gives its worker free.
func (s *Scheduler) run(l *lane, j Job) {
	defer func() {
		if reason := recover(); reason != nil {
			s.log.Error("panic in a job", slog.String("kind", string(j.Kind)), slog.String("id", string(j.ID)), slog.Any("panic", reason), slog.String("stack", string(debug.Stack())))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		l.workers++
		if !s.closed {
			s.work()
		}
	}()
	if err := s.handle(s.living, j); err != nil {
		s.log.Error("a job failed", slog.String("kind", string(j.Kind)), slog.String("id", string(j.ID)), slog.Any("reason", err))
	}
}

// timeline is a heap of what is due first.
type timeline []waiting

func (t timeline) Len() int      { return len(t) }
func (t timeline) Swap(i, k int) { t[i], t[k] = t[k], t[i] }
func (t timeline) Less(i, k int) bool {
	if !t[i].Due.Equal(t[k].Due) {
		return t[i].Due.Before(t[k].Due)
	}
	return t[i].order < t[k].order
}

// Push and Pop are for container/heap.
func (t *timeline) Push(w any) { *t = append(*t, w.(waiting)) }

// Pop takes the last one away.
func (t *timeline) Pop() any { return popped((*[]waiting)(t)) }

// line is a heap of what comes first.
type line []waiting

func (l line) Len() int      { return len(l) }
func (l line) Swap(i, k int) { l[i], l[k] = l[k], l[i] }
func (l line) Less(i, k int) bool {
	if l[i].Priority != l[k].Priority {
		return l[i].Priority < l[k].Priority
	}
	return timeline(l).Less(i, k)
}

// Push and Pop are for container/heap.
func (l *line) Push(w any) { *l = append(*l, w.(waiting)) }

// Pop takes the last one away.
func (l *line) Pop() any { return popped((*[]waiting)(l)) }

func popped(list *[]waiting) waiting {
	n := len(*list) - 1
	w := (*list)[n]
	(*list)[n] = waiting{}
	*list = (*list)[:n]
	return w
}
