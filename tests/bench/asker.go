package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// asker makes the calls of the mix to one server, as an ordinary client does.
type asker struct {
	base string
	http *http.Client
}

func newAsker(base string) *asker {
	return &asker{base, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}}
}

// question is one call to be made.
type question struct {
	body   []byte
	header http.Header
}

// reply is what came back.
type reply struct {
	status   int
	provider string // as Vel says; empty without Vel
	body     []byte
}

func (a *asker) request(model string, d demand) question {
	body := fmt.Appendf(nil, `{"model":"%s","max_completion_tokens":%d,"messages":%s}`, model, d.output, d.messages)
	return question{body, http.Header{"Authorization": {"Bearer " + apiKey}, "Content-Type": {"application/json"}}}
}

func (a *asker) ask(ctx context.Context, q question) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+chatPath, bytes.NewReader(q.body))
	if err != nil {
		return reply{}, err
	}
	r.Header = q.header
	answer, err := a.http.Do(r)
	if err != nil {
		return reply{}, fmt.Errorf("ask: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return reply{}, fmt.Errorf("read the answer: %w", err)
	}
	return reply{answer.StatusCode, answer.Header.Get("x-vel-provider"), body}, nil
}

// way is one way through which the whole mix goes.
type way struct {
	name    string // also the tag of its calls
	model   string
	hint    bool // the client says what it asks for
	direct  bool // there is no Vel in between
	unlucky bool // a provider fails now and then: a call may come back without an answer
	of      *asker
}

// ending is how one request of the mix ended, with its repeat.
type ending struct {
	label    string
	took     time.Duration
	provider string // who had it first
	calls    int
	answered bool
}

// futile: what needs a strong model and came to one that is none has failed, whatever that one said.
func futile(label, provider string) bool {
	return (label == "reasoning" || label == "research") && (provider == "fast" || provider == "small")
}

// walk makes all requests on so many connections. An answer that is none ends it, but with a provider that fails.
func (w *way) walk(ctx context.Context, all []demand, conns int) ([]ending, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	endings := make([]ending, len(all))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range conns {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				e, err := w.serve(ctx, all[i])
				if err != nil {
					cancel(fmt.Errorf("%s, a request of %s: %w", w.name, all[i].label, err))
					return
				}
				endings[i] = e
			}
		})
	}
	workers.Wait()
	return endings, context.Cause(ctx)
}

// serve makes one request, and again on the strong model if it came to a weak one.
func (w *way) serve(ctx context.Context, d demand) (e ending, err error) {
	e.label = d.label
	began := time.Now()
	for model := w.model; ; model = strong {
		got, err := w.of.ask(ctx, w.question(model, d))
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("status %d: %.300s", got.status, got.body)
		}
		e.calls++
		e.took, e.answered = time.Since(began), err == nil
		if e.provider == "" {
			e.provider = got.provider
		}
		if err != nil && !w.unlucky {
			return e, err
		}
		if w.direct || err != nil || !futile(d.label, got.provider) || model == strong {
			return e, nil
		}
	}
}

func (w *way) question(model string, d demand) question {
	q := w.of.request(model, d)
	if !w.direct {
		q.header.Set("X-Vel-Tags", "way="+w.name)
	}
	if w.hint {
		q.header.Set("X-Vel-Task", d.label)
	}
	return q
}

// recorded is what Vel has written down of a way's calls, in nanodollars, once all of them are there.
func (w *way) recorded(ctx context.Context, calls int) (sum int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n, sum, err := w.export(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the records of %s: %w", w.name, err)
		}
		if n == calls {
			return sum, nil
		}
		if n > calls || !pauseUntil(ctx, time.Now().Add(200*time.Millisecond)) {
			return 0, fmt.Errorf("%d calls of %s are recorded and %d were made", n, w.name, calls)
		}
	}
}

// export counts and sums the calls whose end is recorded. It reads the oldest last, and all of them each time.
func (w *way) export(ctx context.Context) (n int, sum int64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.of.base+"/api/calls/export?tag=way:"+w.name, nil)
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	answer, err := w.of.http.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return 0, 0, fmt.Errorf("status %d: %.300s", answer.StatusCode, text)
	}
	lines := json.NewDecoder(answer.Body)
	for {
		var call struct {
			State string
			Cost  json.Number `json:"cost_usd"`
		}
		if err := lines.Decode(&call); err == io.EOF {
			return n, sum, nil
		} else if err != nil {
			return 0, 0, err
		}
		if call.State != "ended" {
			continue
		}
		cost, err := call.Cost.Float64()
		if err != nil && call.Cost != "" {
			return 0, 0, fmt.Errorf("cost %q: %w", call.Cost, err)
		}
		n, sum = n+1, sum+nanos(cost)
	}
}

// timesOf are the times of all, sorted, as the mix has them.
func timesOf(all []ending, scale int) []time.Duration {
	times := make([]time.Duration, len(all))
	for i, e := range all {
		times[i] = e.took * time.Duration(scale)
	}
	slices.Sort(times)
	return times
}
