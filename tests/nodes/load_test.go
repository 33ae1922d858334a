package nodes

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// load makes calls on nodes with keys, a bounded number a second, and keeps what was wrong with them.
type load struct {
	nodes []*node
	keys  []key
	model string // empty: one of the file

	mu       sync.Mutex // guards what follows: every caller writes it
	calls    int
	failures []string // at most a few
	failed   int
	slowest  time.Duration
}

// callers is how many call a node at the same time, and pace how often each of them begins a call: 100 a second and node.
const (
	callers   = 4
	pace      = 40 * time.Millisecond
	mostTold  = 10
	callLimit = 20 * time.Second
)

// begin lets the calls begin. They end with stop, or with the test.
func (l *load) begin(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, n := range l.nodes {
		for i := range callers {
			running.Go(func() { l.repeat(ctx, n, i) })
		}
	}
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (l *load) repeat(ctx context.Context, n *node, from int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := from; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.call(n, l.keys[i%len(l.keys)], i%2 == 0)
	}
}

// call makes one call, to its end: only what Vel does may break it.
func (l *load) call(n *node, k key, stream bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	began := time.Now()
	a, err := n.chat(ctx, k.secret, cmp.Or(l.model, "sim-echo"), stream)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.slowest = max(l.slowest, took)
	if err == nil && a.status == http.StatusOK {
		return
	}
	l.failed++
	if len(l.failures) < mostTold {
		l.failures = append(l.failures, fmt.Sprintf("%s %s: %v %v", began.Format(time.TimeOnly), n.URL, a, err))
	}
}

// made is how many calls were made so far.
func (l *load) made() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// judge fails the test if a call has failed.
func (l *load) judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d calls, the slowest %s", l.calls, l.slowest.Round(time.Millisecond))
	for _, f := range l.failures {
		t.Error(f)
	}
	if l.failed > 0 {
		t.Errorf("%d of %d calls failed", l.failed, l.calls)
	}
}
