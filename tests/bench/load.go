package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loadSpec is what one load process shall do; it travels as one JSON argument.
type loadSpec struct {
	Addr    string
	Conns   int
	Warmup  time.Duration
	Window  time.Duration
	Stagger time.Duration    // the connections begin spread over this time
	Pace    time.Duration    // each connection starts a call this often; 0: at once after the last
	Script  *script          // nil: plain JSON calls
	Watch   map[string][]int // processes whose CPU time is read at both ends of the window, by a name
	Metrics string           // where to read Go's count of allocations; empty: nowhere

	Levels []int         // numbers of open streams to hold, growing; empty: a window of calls instead
	Hold   time.Duration // how long each level stands before memory is read
}

// loadResult is what was seen, printed as JSON. All counts are of the window only.
type loadResult struct {
	Calls, Events int64
	Seconds       float64
	Used          map[string]usage // by the names in Watch, and "load" for the client itself
	Busy          time.Duration    // CPU time of the whole machine, other programs included
	Latency       quantiles        // of a whole call
	FirstEvent    quantiles        // from the call's sending to its first content event
	EventDelay    quantiles        // of a content event, from the upstream's write to the client's read
	Mallocs       *float64         // allocations in the window, without those of reading them; nil: not told
	Reconnects    int
	Held          []heldSample // one per level, after one with no stream open
}

// quantiles of a set of durations, in nanoseconds.
type quantiles struct {
	N             int
	P50, P95, P99 time.Duration
}

// meter is shared by the connections of a load process.
type meter struct {
	measuring     atomic.Bool
	calls, events atomic.Int64
}

// reading is the state of all counters at one end of the window.
type reading struct {
	at            time.Time
	calls, events int64
	used          map[string]usage
	busy          time.Duration
}

func loadRole(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("bench load takes one JSON argument")}
	}
	var spec loadSpec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return usageError{fmt.Errorf("load spec: %w", err)}
	}
	var result *loadResult
	var err error
	if len(spec.Levels) > 0 {
		result, err = holdStreams(ctx, &spec)
	} else {
		result, err = loadWindow(ctx, &spec)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// loadWindow keeps all connections busy through the warm-up and the window. One wrong answer fails it.
func loadWindow(ctx context.Context, spec *loadSpec) (*loadResult, error) {
	spec.Watch = withSelf(spec.Watch)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var m meter
	var all sync.WaitGroup
	clients := make([]*client, spec.Conns)
	for i := range clients {
		c := newClient(spec, &m)
		clients[i] = c
		wait := spec.Stagger * time.Duration(i) / time.Duration(spec.Conns)
		all.Go(func() {
			if err := c.repeat(ctx, wait, spec.Pace); err != nil {
				cancel(err)
			}
		})
	}
	result, err := m.window(ctx, spec)
	cause := context.Cause(ctx)
	cancel(nil)
	all.Wait()
	if err = cmp.Or(cause, err); err != nil {
		return nil, err
	}
	result.summarise(clients)
	return result, nil
}

// window waits out the warm-up, then reads every counter, waits, and reads again.
func (m *meter) window(ctx context.Context, spec *loadSpec) (*loadResult, error) {
	if !pauseUntil(ctx, time.Now().Add(spec.Warmup)) {
		return nil, ctx.Err()
	}
	allocations, err := startMallocs(ctx, spec.Metrics)
	if err != nil {
		return nil, err
	}
	m.measuring.Store(true)
	first, err := m.read(spec)
	if err != nil {
		return nil, err
	}
	if !pauseUntil(ctx, first.at.Add(spec.Window)) {
		return nil, ctx.Err()
	}
	last, err := m.read(spec)
	if err != nil {
		return nil, err
	}
	m.measuring.Store(false)
	result := &loadResult{
		Calls:   last.calls - first.calls,
		Events:  last.events - first.events,
		Seconds: last.at.Sub(first.at).Seconds(),
		Used:    map[string]usage{},
		Busy:    last.busy - first.busy,
	}
	for name, u := range last.used {
		result.Used[name] = u.sub(first.used[name])
	}
	result.Mallocs, err = allocations.sinceStart(ctx)
	return result, err
}

func (m *meter) read(spec *loadSpec) (reading, error) {
	r := reading{at: time.Now(), calls: m.calls.Load(), events: m.events.Load(), used: map[string]usage{}}
	for name, pids := range spec.Watch {
		u, err := usageOf(pids)
		if err != nil {
			return r, fmt.Errorf("read the CPU time of %s: %w", name, err)
		}
		r.used[name] = u
	}
	busy, err := machineBusy()
	r.busy = busy
	return r, err
}

func (r *loadResult) summarise(clients []*client) {
	var latencies, firsts, delays []time.Duration
	for _, c := range clients {
		latencies = append(latencies, c.latencies...)
		firsts = append(firsts, c.firsts...)
		delays = append(delays, c.delays...)
		r.Reconnects += c.reconnects
	}
	r.Latency, r.FirstEvent, r.EventDelay = quantilesOf(latencies), quantilesOf(firsts), quantilesOf(delays)
}

func quantilesOf(d []time.Duration) quantiles {
	if len(d) == 0 {
		return quantiles{}
	}
	slices.Sort(d)
	return quantiles{N: len(d), P50: d[len(d)/2], P95: d[len(d)*95/100], P99: d[len(d)*99/100]}
}

func withSelf(watch map[string][]int) map[string][]int {
	watch = maps.Clone(watch)
	if watch == nil {
		watch = map[string][]int{}
	}
	watch["load"] = []int{os.Getpid()}
	return watch
}
