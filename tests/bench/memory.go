package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// heldSample is the memory of the watched processes while so many streams are open.
type heldSample struct {
	Streams int
	Bytes   map[string]int64
}

// openers is how many streams are being opened at the same time: enough to be quick, too few to overflow a listen queue.
const openers = 64

// holdStreams opens streams up to each level, lets every one carry events for a while, and reads the memory.
// All must still be alive at the end.
func holdStreams(ctx context.Context, spec *loadSpec) (*loadResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	h := holder{spec: spec, fail: cancel}
	defer h.all.Wait()
	defer cancel(nil)

	samples := make([]heldSample, 0, len(spec.Levels)+1)
	for _, level := range append([]int{0}, spec.Levels...) {
		if err := h.grow(ctx, level); err != nil {
			return nil, err
		}
		before := h.meter.events.Load()
		if !pauseUntil(ctx, time.Now().Add(spec.Hold)) {
			return nil, context.Cause(ctx)
		}
		if seen := h.meter.events.Load() - before; seen < int64(level) {
			return nil, fmt.Errorf("%d streams got %d events in %s: %w", level, seen, spec.Hold, errShape)
		}
		sample := heldSample{Streams: level, Bytes: map[string]int64{}}
		for name, pids := range spec.Watch {
			n, err := proportionalSize(pids)
			if err != nil {
				return nil, fmt.Errorf("read the memory of %s: %w", name, err)
			}
			sample.Bytes[name] = n
		}
		samples = append(samples, sample)
	}
	return &loadResult{Held: samples}, context.Cause(ctx)
}

// holder keeps streams open, each on a goroutine of its own.
type holder struct {
	spec  *loadSpec
	meter meter
	fail  context.CancelCauseFunc
	all   sync.WaitGroup
	open  int
}

// grow opens streams until there are n, and returns when each has had its first event.
func (h *holder) grow(ctx context.Context, n int) error {
	slots := make(chan struct{}, openers)
	for ; h.open < n; h.open++ {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c := newClient(h.spec, &h.meter)
		var once sync.Once
		opened := func() { once.Do(func() { <-slots }) }
		c.timeout = time.Hour // the context ends it
		c.scanner.onContent = func(time.Duration) {
			h.meter.events.Add(1)
			opened()
		}
		h.all.Go(func() {
			defer opened()
			if err := c.repeat(ctx, 0, 0); err != nil {
				h.fail(err)
			}
		})
	}
	for range openers { // all slots free again: nobody is opening any more
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// proportionalSize is the resident memory in bytes, pages shared by several processes counted once: Pss of
// /proc/PID/smaps_rollup, see proc_pid_smaps(5).
func proportionalSize(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		kib, err := numberAfter(string(text), "Pss:")
		if err != nil {
			return 0, err
		}
		sum += int64(kib) << 10
	}
	return sum, nil
}

// numberAfter finds the number that follows a label.
func numberAfter(text, label string) (float64, error) {
	_, rest, found := strings.Cut(text, label)
	if !found {
		return 0, fmt.Errorf("no %q", strings.TrimSpace(label))
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("nothing after %q", strings.TrimSpace(label))
	}
	return strconv.ParseFloat(fields[0], 64)
}
