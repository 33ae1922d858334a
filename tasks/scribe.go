package tasks

import (
	"context"
	"strings"
	"sync"
	"time"
)

// How often the tokens of a task are written down: the first at once, then so many together, or what came in this time.
const (
	tokensTogether = 10
	tokensWait     = 100 * time.Millisecond
)

// scribe writes down the tokens of a task while they come. The call never waits for the database: what that does not take yet
// is taken with what comes next.
type scribe struct {
	r      *Runner
	t      *Task
	stop   context.CancelCauseFunc
	answer *answer
	ready  chan struct{} // there is something to write at once
	ended  chan struct{}
	writes sync.WaitGroup

	mu     sync.Mutex
	text   strings.Builder // that is not written yet; guarded by mu
	tokens int64           // that came in all; guarded by mu
	taken  int64           // of them were taken to be written; guarded by mu

	unsaid []Progress // taken, and not known to be written; of run
}

func newScribe(r *Runner, t *Task, stop context.CancelCauseFunc) *scribe {
	s := &scribe{r: r, t: t, stop: stop, answer: &answer{endpoint: t.Endpoint, stream: t.followed()}, ready: make(chan struct{}, 1), ended: make(chan struct{})}
	if s.answer.stream {
		s.writes.Go(s.run)
	}
	return s
}

// take takes a piece of the answer. It runs on the goroutine of the call.
func (s *scribe) take(piece []byte) error {
	text, tokens, err := s.answer.feed(piece)
	if err != nil || text == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(text)
	s.tokens += tokens
	if s.taken == 0 || s.tokens-s.taken >= tokensTogether {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
	return nil
}

// run writes until close.
func (s *scribe) run() {
	tick := time.NewTicker(tokensWait)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-s.ready:
		case <-tick.C:
		}
		s.write()
	}
}

// write writes down what came since the last time. What the database did not take, or did not say that it took, is written again
// as it is: under its number it is kept once.
func (s *scribe) write() {
	if s.unsaid == nil {
		s.unsaid = s.next()
	}
	if s.unsaid == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLonger)
	defer cancel()
	ours, err := s.r.store.AppendProgress(ctx, s.t, s.unsaid)
	switch {
	case err != nil:
		return
	case !ours:
		s.stop(errLost)
		return
	}
	s.r.feed.Publish(s.t.ID, s.unsaid[0].Seq)
	s.unsaid = nil
}

// next takes what is to be written; nil: nothing.
func (s *scribe) next() []Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.Len() == 0 {
		return nil
	}
	text := s.text.String()
	s.text.Reset()
	s.taken = s.tokens
	s.t.Seq++
	sealed := s.r.vault.Seal([]byte(text), tokensPlace(s.t.Org, s.t.ID)...)
	return []Progress{{Seq: s.t.Seq, At: time.Now(), Kind: WasAnswered, Detail: sealed, Tokens: s.tokens}}
}

// close ends the writing, and gives what is not known to be written. After it the task is its caller's alone again.
func (s *scribe) close() []Progress {
	close(s.ended)
	s.writes.Wait()
	return append(s.unsaid, s.next()...)
}
