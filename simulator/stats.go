package simulator

import (
	"context"
	"fmt"
	"maps"
	"sync"
)

// Stats is what a server saw since it started or since the counters were reset. Every API call that was
// read whole is in exactly one of Open, Completed, Refused, Broken, Left and Stopped.
type Stats struct {
	Calls     int64 `json:"calls"`     // requests that arrived whole, with a key that is accepted; not those for models
	Streams   int64 `json:"streams"`   // of these, accepted ones that asked for a stream
	Executed  int64 `json:"executed"`  // accepted ones: a model began to work, so a repeat would be billed twice
	Completed int64 `json:"completed"` // answered to the last byte
	Refused   int64 `json:"refused"`   // answered with an error status
	Broken    int64 `json:"broken"`    // ended by a fault that was asked for
	Left      int64 `json:"left"`      // the client went away before the answer's end
	// LeftBeforeFirstByte are those of Left that had not seen a byte of the answer.
	LeftBeforeFirstByte int64 `json:"left_before_first_byte"`
	Stopped             int64 `json:"stopped"`      // cut because this server stopped
	Open                int64 `json:"open"`         // being answered now
	OpenStreams         int64 `json:"open_streams"` // of these, streams

	Connections Connections           `json:"connections"`
	ByModel     map[string]ModelStats `json:"by_model"`
	// ByEndpoint counts Calls by method and path, ids written as *: "POST /files", "GET /files/*".
	ByEndpoint map[string]int64 `json:"by_endpoint"`
}

// Connections counts TCP connections.
type Connections struct {
	Accepted int64 `json:"accepted"`
	Open     int64 `json:"open"`
}

// ModelStats is one model's share of the executed calls, with what a provider would bill for it: the whole
// prompt, and the completion tokens that were made before the end.
type ModelStats struct {
	Executed         int64 `json:"executed"`
	Completed        int64 `json:"completed"`
	Left             int64 `json:"left"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	BilledNano       int64 `json:"billed_nanodollars"`
}

// outcome is how a call ended.
type outcome uint8

const (
	completed outcome = iota
	refused
	broken
	left
	stopped
)

// tally counts. One mutex is enough: a call takes it three times, and no event of a stream does.
type tally struct {
	mu      sync.Mutex
	stats   Stats
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func newTally() *tally {
	return &tally{stats: Stats{ByModel: map[string]ModelStats{}, ByEndpoint: map[string]int64{}}}
}

// update changes the counters and wakes who waits for a change.
func (t *tally) update(change func(*Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.stats)
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

func (t *tally) connected(n int64) {
	t.update(func(s *Stats) {
		s.Connections.Open += n
		s.Connections.Accepted += max(n, 0)
	})
}

// reset counts from zero; what is open now stays open.
func (t *tally) reset() {
	t.update(func(s *Stats) {
		*s = Stats{
			Calls: s.Open, Open: s.Open, Streams: s.OpenStreams, OpenStreams: s.OpenStreams,
			Connections: Connections{Open: s.Connections.Open},
			ByModel:     map[string]ModelStats{},
			ByEndpoint:  map[string]int64{},
		}
	})
}

// read returns a copy of the counters and the channel that is closed at the next change.
func (t *tally) read(watch bool) (Stats, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if watch && t.changed == nil {
		t.changed = make(chan struct{})
	}
	s := t.stats
	s.ByModel = maps.Clone(s.ByModel)
	s.ByEndpoint = maps.Clone(s.ByEndpoint)
	return s, t.changed
}

// await returns as soon as the condition holds, with the counters for which it did or with the last ones.
func (t *tally) await(ctx context.Context, ok func(Stats) bool) (Stats, error) {
	for {
		s, changed := t.read(true)
		if ok(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, fmt.Errorf("wait for the simulator's counters: %w", context.Cause(ctx))
		}
	}
}

// counters names the plain counters as the JSON does, for conditions in a query.
func (s *Stats) counters() map[string]int64 {
	return map[string]int64{
		"calls": s.Calls, "streams": s.Streams, "executed": s.Executed, "completed": s.Completed,
		"refused": s.Refused, "broken": s.Broken, "left": s.Left,
		"left_before_first_byte": s.LeftBeforeFirstByte, "stopped": s.Stopped,
		"open": s.Open, "open_streams": s.OpenStreams,
	}
}
