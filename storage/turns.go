package storage

import (
	"context"
	"sync"
)

// turns lets one writer in at a time: first those who wait for an answer, then those who append in the background, each
// in the order in which they came.
type turns struct {
	mu      sync.Mutex
	taken   bool
	waiting [2][]chan struct{} // the urgent ones, and the others
}

// take waits for a turn, which give or giveUrgent gives back.
func (q *turns) take(ctx context.Context, background bool) error {
	line := &q.waiting[0]
	if background {
		line = &q.waiting[1]
	}
	q.mu.Lock()
	if !q.taken {
		q.taken = true
		q.mu.Unlock()
		return nil
	}
	called := make(chan struct{})
	*line = append(*line, called)
	q.mu.Unlock()
	select {
	case <-called:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, c := range *line {
		if c == called {
			*line = append((*line)[:i], (*line)[i+1:]...)
			return ctx.Err()
		}
	}
	return nil // the turn came just now, with what whoever had it has left to do
}

// give gives the turn to whoever is next.
func (q *turns) give() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass()
}

// giveUrgent gives the turn to one who waits for an answer. If there is none it stays where it is: false.
func (q *turns) giveUrgent() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting[0]) == 0 {
		return false
	}
	q.pass()
	return true
}

// pass calls the next one. Its caller holds mu.
func (q *turns) pass() {
	for i := range q.waiting {
		if len(q.waiting[i]) > 0 {
			next := q.waiting[i][0]
			q.waiting[i] = q.waiting[i][1:]
			close(next)
			return
		}
	}
	q.taken = false
}
