package gateway

import (
	"sync"

	"github.com/vel-gateway/vel/gateway/replay"
)

// tape holds what a client gets, as long as it is not too much. The call that is answered writes it; others that ask the same
// with the same Idempotency-Key read it meanwhile.
type tape struct {
	limit int

	mu       sync.Mutex // guards all below
	begun    bool       // the head is known
	over     bool       // nothing more comes
	whole    bool       // and it is all that there was
	torn     bool       // it was too much
	status   int
	kind     string // Content-Type
	stream   bool
	provider string
	model    string // the provider's name of it
	bytes    []byte
	news     chan struct{} // closed when something comes; nil: nobody waits for that
}

// start notes what the head of the answer says. A nil tape holds nothing.
func (t *tape) start(c *Call) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun, t.status, t.kind, t.stream = true, c.exchange.Status(), string(c.typeOf()), c.stream != nil
	t.provider, t.model = c.outcome.Target.Provider.Name, c.outcome.Target.Model
	t.tell()
}

// put adds what the client gets next.
func (t *tape) put(piece []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.torn:
		return
	case len(t.bytes)+len(piece) > t.limit:
		t.bytes, t.torn = nil, true
	default:
		t.bytes = append(t.bytes, piece...)
	}
	t.tell()
}

// end says that nothing more comes, and whether that was all.
func (t *tape) end(whole bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over, t.whole = true, whole && !t.torn
	t.tell()
}

// tell wakes whoever waits. The caller holds mu.
func (t *tape) tell() {
	if t.news != nil {
		close(t.news)
		t.news = nil
	}
}

// next is what came after a place, and where to wait for more. The bytes stay as they are.
func (t *tape) next(from int) (piece []byte, over, torn bool, news <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news == nil {
		t.news = make(chan struct{})
	}
	if from < len(t.bytes) {
		piece = t.bytes[from:]
	}
	return piece, t.over, t.torn, t.news
}

// fill takes an answer that was kept.
func (t *tape) fill(a *replay.Answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun, t.status, t.kind, t.stream, t.provider, t.model, t.bytes = true, a.Status, a.Type, a.Stream, a.Provider, a.Model, a.Body
}

// tapeState is what others can do with what is on a tape.
type tapeState uint8

const (
	tapeSilent tapeState = iota // nothing yet
	tapeRuns                    // follow it: it is a stream
	tapeWhole                   // take it
	tapeFailed                  // it came to nothing
	tapeTorn                    // it was too much
)

// answer is what others get of the tape, and where to wait for more.
func (t *tape) answer() (*replay.Answer, tapeState, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.news == nil {
		t.news = make(chan struct{})
	}
	a := &replay.Answer{Status: t.status, Type: t.kind, Stream: t.stream, Provider: t.provider, Model: t.model}
	switch {
	case t.torn:
		return nil, tapeTorn, t.news
	case t.over && !t.whole:
		return nil, tapeFailed, t.news
	case t.over:
		a.Body = t.bytes
		return a, tapeWhole, t.news
	case t.begun && t.stream:
		return a, tapeRuns, t.news
	}
	return nil, tapeSilent, t.news
}
