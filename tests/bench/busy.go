package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// busyRound is one round of managing keys on one house while calls go on.
type busyRound struct {
	house   string
	pace    time.Duration // of each connection that manages; 0: at full speed
	alone   *loadResult   // the calls without anybody who manages
	calls   *loadResult   // the calls meanwhile
	managed *manageResult
}

// measureAdmin uses the API of each house while calls go on at a fixed rate, in every round.
func (r *controlReport) measureAdmin(ctx context.Context, e *estate) error {
	for _, h := range e.houses {
		addr, p, err := e.launch(ctx, h.contender(), false)
		if err != nil {
			return err
		}
		defer p.stop()
		e.addr[h.name], e.running[h.name] = addr, p
	}
	for round := range r.o.rounds {
		for i := range e.houses {
			h := e.houses[(i+round)%len(e.houses)]
			alone, err := e.load(ctx, r.callsMeanwhile(e, h), e.running[h.name])
			if err != nil {
				return err
			}
			for _, pace := range []time.Duration{r.o.pace, 0} {
				b := busyRound{house: h.name, pace: pace, alone: alone}
				if b.calls, b.managed, err = r.manageAndCall(ctx, e, h, pace); err != nil {
					return err
				}
				r.busy = append(r.busy, b)
				progress("round %d/%d  admin     %-18s %s", round+1, r.o.rounds, h.name, b.brief())
			}
		}
	}
	return nil
}

func (b *busyRound) brief() string {
	m := b.managed
	return fmt.Sprintf("%.0f reads/s p95 %v  %.0f writes/s p95 %v  calls p50 %v p99 %v, alone %v %v", float64(m.Reads.N)/m.Seconds, m.Reads.P95,
		float64(m.Writes.N)/m.Seconds, m.Writes.P95, b.calls.Latency.P50, b.calls.Latency.P99, b.alone.Latency.P50, b.alone.Latency.P99)
}

// callsMeanwhile is the bounded load of the data plane.
func (r *controlReport) callsMeanwhile(e *estate, h *house) loadSpec {
	pace := time.Duration(r.o.conns) * time.Second / time.Duration(r.o.rate)
	return loadSpec{
		Addr: e.addr[h.name], Conns: r.o.conns, Pace: pace, Stagger: pace, Warmup: time.Second,
		Window: time.Duration(r.o.seconds * float64(time.Second)),
	}
}

// manageAndCall does both at the same time, in the same window.
func (r *controlReport) manageAndCall(ctx context.Context, e *estate, h *house, pace time.Duration) (*loadResult, *manageResult, error) {
	spec := r.callsMeanwhile(e, h)
	var managed manageResult
	done := make(chan error, 1)
	go func() {
		done <- runSelf(ctx, "", "manage", manageSpec{Addr: spec.Addr, Conns: r.o.admins, Pace: pace, Warmup: spec.Warmup, Window: spec.Window}, &managed)
	}()
	calls, err := e.load(ctx, spec, e.running[h.name])
	return calls, &managed, errors.Join(err, <-done)
}
