package gateway

import (
	"fmt"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// slow is a tokenizer that says when it is asked, and waits to be let go. Every text has a hundred tokens.
type slow struct {
	asked, let chan struct{}
	once       sync.Once
}

func newSlow() *slow { return &slow{asked: make(chan struct{}), let: make(chan struct{})} }

func (s *slow) Count(string, string) int64 {
	s.once.Do(func() { close(s.asked) })
	<-s.let
	return 100
}

// broken is a tokenizer with a bug.
type broken struct{}

func (broken) Count(_, text string) int64 { panic("can not count " + text) }

// countingBy makes the house count by a tokenizer; stop ends that.
func countingBy(t Tokenizer, stop *func() error) plan {
	return func(h *house) {
		h.before = append(h.before, func(s *Server) {
			*stop = s.pipe.CountTokens(t)
			h.t.Cleanup(func() { _ = (*stop)() })
		})
	}
}

// While something is counted the next calls wait for nothing; a stop counts what waits; what comes behind it is estimated by
// its length.
func TestStopCountsWhatWaits(t *testing.T) {
	t.Parallel()
	l, tokens := &ledger{}, newSlow()
	var stop func() error
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, unmetered))}, priced, l.into, countingBy(tokens, &stop))
	for range 3 {
		if g := h.call(chatBody); g.StatusCode != 200 {
			t.Fatalf("status %d", g.StatusCode)
		}
	}
	within(t, "the first one to be counted", tokens.asked)
	close(tokens.let)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.settled(3)
	h.call(chatBody)
	h.settled(4)
	want := adapters.Usage{adapters.Input: 107, adapters.Output: 100, adapters.Requests: 1}
	for i, r := range l.ended {
		if i == 3 {
			want[adapters.Input], want[adapters.Output] = 8, 2
		}
		if r.Usage != want || !r.Estimated {
			t.Errorf("record %d: usage %v, estimated %v; want %v", i, r.Usage, r.Estimated, want)
		}
	}
	if n := h.metric("vel_guessed_calls_total"); n != 1 {
		t.Errorf("%v calls were estimated by length", n)
	}
}

// What waits is bounded in number and in memory.
func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ held, fit int }{"in number": {0, mostWaiting}, "in memory": {4 << 20, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens := newSlow()
			h := newHouse(t, []func(*asked) bool{wellBehaved})
			stop := h.pipe.CountTokens(tokens)
			defer func() { close(tokens.let); _ = stop() }()
			offer := func() bool {
				m := &metering{record: &accounting.Record{Prompt: make([]byte, c.held)}}
				m.tries = []untold{} // nothing in it is counted but the first one
				return h.pipe.counter.offer(m)
			}
			first := &metering{record: &accounting.Record{Attempts: make([]accounting.Attempt, 1)}}
			r, _ := h.pipe.Snapshot().Routes.Route("m")
			u := untold{target: r.Targets[0]}
			u.answer.Reset(8)
			u.answer.Said.Add([]byte("text"))
			first.tries = append(first.tries, u)
			if !h.pipe.counter.offer(first) {
				t.Fatal("there is no room for one")
			}
			within(t, "the first one to be counted", tokens.asked)
			fit := 0
			for offer() {
				fit++
			}
			if fit != c.fit {
				t.Errorf("%d fit, want %d", fit, c.fit)
			}
		})
	}
}

// A bug in the counting costs one record its numbers and no more.
func TestACountThatPanics(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	var stop func() error
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, unmetered))}, priced, l.into, countingBy(broken{}, &stop))
	h.call(chatBody)
	_, r := l.only(t)
	if want := (adapters.Usage{adapters.Input: 8, adapters.Output: 2, adapters.Requests: 1}); r.Usage != want || !r.Estimated {
		t.Errorf("usage %v, estimated %v", r.Usage, r.Estimated)
	}
	if n := h.metric("vel_panics_total"); n != 2 { // of the prompt, and of the answer
		t.Errorf("%v panics are counted", n)
	}
	h.settled(1)
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{wellBehaved}, priced)
	r, _ := h.pipe.Snapshot().Routes.Route("m")
	picture := `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + fmt.Sprintf("%08000d", 0) + `"}}]}]`
	for name, c := range map[string]struct {
		endpoint adapters.Endpoint
		body     string
		in, out  int64
	}{
		"no limit":          {adapters.ChatCompletions, chatBody, 8, 4096},
		"a limit":           {adapters.ChatCompletions, `{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"hi"}]}`, 8, 7},
		"the newer one":     {adapters.ChatCompletions, `{"model":"m","max_completion_tokens":9,"messages":[]}`, 1, 9},
		"several answers":   {adapters.ChatCompletions, `{"model":"m","n":3,"max_tokens":7,"messages":[]}`, 1, 21},
		"a picture":         {adapters.ChatCompletions, `{"model":"m","messages":` + picture + `}`, 1022, 4096},
		"a response":        {adapters.Responses, `{"model":"m","input":"12345678","max_output_tokens":5}`, 3, 5},
		"embeddings":        {adapters.Embeddings, `{"model":"m","input":"12345678"}`, 3, 0},
		"what is not asked": {adapters.ResponsesInputTokens, `{"model":"m","input":"12345678"}`, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := &Call{Who: &tenancy.Principal{}}
			call.Content.Endpoint = c.endpoint
			if err := adapters.Parse([]byte(c.body), &call.Content, &call.question); err != nil {
				t.Fatal(err)
			}
			if got, want := int64(call.estimate(r.Targets[0]).Cost), c.in*2500+c.out*10000; got != want {
				t.Errorf("%d, want %d", got, want)
			}
		})
	}
}
