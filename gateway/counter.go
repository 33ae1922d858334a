package gateway

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Tokenizer counts the tokens that a text has for a model. accounting.Tokens is one. It is safe for concurrent use.
type Tokenizer interface {
	Count(model, text string) int64
}

// How much may wait to be counted, and how much of the time may be spent on it. To count costs more than to relay: what
// does not fit is estimated by its length at once, so that a provider that never tells usage does not take the cores from
// the calls.
const (
	mostWaiting  = 1024
	mostMemory   = 16 << 20
	restPerCount = 3 // for each second of counting
)

// counter counts beside the calls what providers did not tell, on one goroutine.
type counter struct {
	pipe   *Pipeline
	tokens Tokenizer
	queue  chan *metering
	ending chan struct{} // closed when nothing more may be offered
	ended  sync.WaitGroup

	mu     sync.Mutex // guards what follows, so that nothing is offered to a closed queue
	memory int64      // of all that waits
	closed bool
}

// CountTokens makes the pipeline count what providers do not tell, instead of estimating it by length. It is called before
// the first call. The function that it returns counts what waits and ends that; it is called after the last call.
func (p *Pipeline) CountTokens(t Tokenizer) (stop func() error) {
	c := &counter{pipe: p, tokens: t, queue: make(chan *metering, mostWaiting), ending: make(chan struct{})}
	p.counter = c
	c.ended.Go(c.run)
	return c.stop
}

func (c *counter) stop() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.ending)
		close(c.queue)
	}
	c.mu.Unlock()
	c.ended.Wait()
	return nil
}

// offer takes a call over, if there is room for it.
func (c *counter) offer(m *metering) bool {
	size := m.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.memory+size > mostMemory {
		return false
	}
	select {
	case c.queue <- m:
		c.memory += size
		return true
	default:
		return false
	}
}

func (c *counter) run() {
	for m := range c.queue {
		begun := time.Now()
		size := m.size()
		c.pipe.settleMetered(m, c.count)
		c.mu.Lock()
		c.memory -= size
		c.mu.Unlock()
		c.rest(restPerCount * time.Since(begun))
	}
}

// rest leaves the cores to the calls.
func (c *counter) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ending:
	}
}

// count counts the tokens of a text. A text with which that is not possible is estimated by its length.
func (c *counter) count(model string, t *adapters.Text) (n int64) {
	defer func() {
		if reason := recover(); reason != nil { // it may quote the text
			c.pipe.metrics.panics.Inc()
			c.pipe.log.Error("panic in counting tokens", slog.String("model", model), slog.String("stack", string(debug.Stack())))
			n = t.Guess()
		}
	}()
	return t.Count(func(text string) int64 { return c.tokens.Count(model, text) })
}
