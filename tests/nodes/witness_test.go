package nodes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// witness is a provider that remembers which calls have reached it: those cost money, whatever became of Vel. A call is
// known by the word after the first one of its prompt. The first one says what to do: "say" answers, "hold" never does, "dawdle"
// does when it is asked for the second time.
type witness struct {
	url  string
	gone chan struct{} // closed with the test

	mu   sync.Mutex      // guards what follows
	seen map[string]int  // how often
	cut  map[string]bool // whose client left while it was held
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{gone: make(chan struct{}), seen: map[string]int{}, cut: map[string]bool{}}
	s := httptest.NewServer(w)
	t.Cleanup(func() { close(w.gone); s.Close() })
	w.url = s.URL
	return w
}

// options start a node whose calls have a price and go to the witness.
func (w *witness) options(more string, env ...string) vel.Options {
	o := optionsAt(w.url, more, env...)
	o.Config = strings.Replace(o.Config, "allow_private: true}", `allow_private: true, prices: {sim-echo: {input: "1", output: "2"}}}`, 1)
	return o
}

func (w *witness) has(call string) bool { return w.times(call) > 0 }

// left tells whether the client of a call that is held has left.
func (w *witness) left(call string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[call]
}

// times is how often a call has come.
func (w *witness) times(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[call]
}

// ServeHTTP answers a call as OpenAI does.
func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	var q struct {
		Stream   bool
		Messages []struct{ Content string }
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil || len(q.Messages) == 0 {
		out.WriteHeader(http.StatusBadRequest)
		return
	}
	what, call, _ := strings.Cut(q.Messages[0].Content, " ")
	w.mu.Lock()
	w.seen[call]++
	times := w.seen[call]
	w.mu.Unlock()
	const head, usage = `{"id":"chatcmpl-1","created":1,"model":"sim-echo","object":"chat.completion`, `"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}`
	piece := "data: " + head + `.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"x"},"finish_reason":null}]}` + "\n\n"
	switch {
	case what == "hold", what == "dawdle" && times == 1:
		if q.Stream {
			out.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(out, piece)
			_ = http.NewResponseController(out).Flush()
		}
		select {
		case <-r.Context().Done():
			w.mu.Lock()
			w.cut[call] = true
			w.mu.Unlock()
		case <-w.gone:
		}
	case q.Stream:
		out.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(out, piece+"data: "+head+`.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],`+usage+"}\n\ndata: [DONE]\n\n")
	default:
		out.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(out, head, `","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],`, usage, "}")
	}
}
