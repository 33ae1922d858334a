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
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// typist is a provider that streams the same words for the same call, one by one, and remembers which calls have reached it and
// which it has finished. A call is known by its whole prompt.
type typist struct {
	url    string
	gone   chan struct{} // closed with the test
	stamps bool          // the first word says when it was written

	mu       sync.Mutex
	begun    map[string]int // guarded by mu
	finished map[string]int // guarded by mu
}

// words is how many a call is answered, and between how long is between two of them.
const (
	words   = 25
	between = 8 * time.Millisecond
)

func newTypist(t *testing.T) *typist {
	t.Helper()
	p := &typist{gone: make(chan struct{}), begun: map[string]int{}, finished: map[string]int{}}
	s := httptest.NewServer(p)
	t.Cleanup(func() { close(p.gone); s.Close() })
	p.url = s.URL
	return p
}

// options start a node whose calls have a price and go to the typist.
func (p *typist) options(more string, env ...string) vel.Options {
	o := optionsAt(p.url, more, env...)
	o.Config = strings.Replace(o.Config, "allow_private: true}", `allow_private: true, prices: {sim-echo: {input: "1", output: "2"}}}`, 1)
	return o
}

// said is the answer to a call.
func said(call string) string {
	var text strings.Builder
	for i := range words {
		fmt.Fprintf(&text, "%s-%d ", call, i)
	}
	return text.String()
}

func (p *typist) times(call string) (begun, finished int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun[call], p.finished[call]
}

// ServeHTTP streams an answer.
func (p *typist) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	var q struct {
		Stream   bool
		Messages []struct{ Content string }
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil || len(q.Messages) == 0 || !q.Stream {
		out.WriteHeader(http.StatusBadRequest)
		return
	}
	call := q.Messages[0].Content
	p.mu.Lock()
	p.begun[call]++
	p.mu.Unlock()
	out.Header().Set("Content-Type", "text/event-stream")
	const head = `data: {"id":"chatcmpl-1","created":1,"model":"sim-echo","object":"chat.completion.chunk","choices":[`
	for i := range words {
		select {
		case <-r.Context().Done():
			return
		case <-p.gone:
			return
		case <-time.After(between):
		}
		word := fmt.Sprintf("%s-%d", call, i)
		if p.stamps && i == 0 {
			word += fmt.Sprintf("@%d", time.Now().UnixNano())
		}
		_, _ = fmt.Fprintf(out, head+`{"index":0,"delta":{"content":"%s "},"finish_reason":null}]}`+"\n\n", word)
		_ = http.NewResponseController(out).Flush()
	}
	_, _ = io.WriteString(out, head+`{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":25,"total_tokens":28}}`+"\n\ndata: [DONE]\n\n")
	p.mu.Lock()
	p.finished[call]++
	p.mu.Unlock()
}
