package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// promise is a key that is limited, and what docs/limits.md promises its callers while Redis is away.
type promise struct {
	what   string
	key    key
	model  string
	away   string   // its on_store_failure
	budget string   // its id; empty: its requests a day are limited
	tells  []string // the codes of all refusals that there may be

	mu    sync.Mutex     // guards what follows: every caller writes it
	made  int            // calls that were answered
	told  map[string]int // refusals by their code
	wrong []string       // at most a few
}

// What a caller waits after an answer and after a refusal: it does not come back when it was told to, but far sooner.
const (
	breath = 10 * time.Millisecond
	sigh   = 200 * time.Millisecond
)

// call calls a node again and again.
func (p *promise) call(ctx context.Context, n *node) {
	for ctx.Err() == nil {
		a, err := n.chat(context.WithoutCancel(ctx), p.key.secret, p.model, false)
		wait := sigh
		if p.note(a, err) {
			wait = breath
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// note notes what became of a call.
func (p *promise) note(a answer, err error) (made bool) {
	var body struct{ Error struct{ Code string } }
	_ = json.Unmarshal(a.body, &body) // then there is no code
	p.mu.Lock()
	defer p.mu.Unlock()
	switch code := body.Error.Code; {
	case err == nil && a.status == http.StatusOK:
		p.made++
		return true
	case err == nil && a.status == statusOf[code] && slices.Contains(p.tells, code):
		p.told[code]++
	case len(p.wrong) < mostTold:
		p.wrong = append(p.wrong, fmt.Sprint(a, err))
	}
	return false
}

// statusOf is the status that goes with a code.
var statusOf = map[string]int{
	"insufficient_quota":  http.StatusTooManyRequests,
	"rate_limit_exceeded": http.StatusTooManyRequests,
	"limits_unavailable":  http.StatusServiceUnavailable,
}

// so is how many calls were answered and refused so far.
func (p *promise) so() (made, refused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.told {
		refused += n
	}
	return p.made, refused
}

// answered is how many calls were answered so far.
func (p *promise) answered() int {
	made, _ := p.so()
	return made
}

// goOn waits until so many more calls of each promise were decided.
func goOn(t *testing.T, all []*promise, calls int) {
	t.Helper()
	enough := make([]int, len(all))
	for i, p := range all {
		made, refused := p.so()
		enough[i] = made + refused + calls
	}
	for i, p := range all {
		soon(t, patience, p.what+": calls go on", func() bool {
			made, refused := p.so()
			return made+refused >= enough[i]
		})
	}
}

// kept fails the test if a caller was told what it may not be told.
func (p *promise) kept(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Logf("%s: %d calls, and refusals %v", p.what, p.made, p.told)
	for _, w := range p.wrong {
		t.Errorf("%s: %s", p.what, w)
	}
}

// bound wants no more calls than these.
func (p *promise) bound(t *testing.T, when string, calls, most int) {
	t.Helper()
	if calls > most {
		t.Errorf("%s: %d calls %s, want at most %d", p.what, calls, when, most)
	}
}

// callFor lets so many call for some promises on all nodes, until stop.
func (h *house) callFor(t *testing.T, all []*promise, callers int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() { all[i%len(all)].call(ctx, h.nodes[i/len(all)%len(h.nodes)]) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}
