package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
)

// probes tries targets that are left alone, as often as their provider says, so that no client's call has to find out whether
// they are back.
type probes struct {
	app   *App
	count *prometheus.CounterVec
	tried map[string]time.Time // when a target was tried last, by its id; of the goroutine that runs
}

// probesEvery is how often is looked for a target that is due.
const probesEvery = time.Second

// probeTargets probes until stop.
func (a *App) probeTargets() (stop func() error) {
	p := &probes{app: a, tried: map[string]time.Time{}, count: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "vel_probes_total", Help: "Small calls of Vel's own that try a target which failed, by what they proved."}, []string{"provider", "model", "result"})}
	a.registry.MustRegister(p.count)
	return background(p.run)
}

func (p *probes) run(ctx context.Context) {
	tick := time.NewTicker(probesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.round(ctx, now)
		}
	}
}

// round tries what is due, all at once, and waits for it: a probe ends within seconds.
func (p *probes) round(ctx context.Context, now time.Time) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, t := range p.app.state.Suspects(p.app.pipeline.Snapshot().Routes, now) {
		if last, ok := p.tried[t.ID]; ok && now.Sub(last) < t.Provider.Probe {
			continue
		}
		p.tried[t.ID] = now
		if pass, ok := p.app.state.Begin(routing.Move{Target: t}, now); ok {
			running.Go(func() { p.try(ctx, t, pass) })
		}
	}
}

// try makes one probe, whose pass is its leave to.
func (p *probes) try(ctx context.Context, t *routing.Target, pass routing.Pass) {
	found := routing.Finding{Verdict: routing.Unproven}
	defer func() { p.app.state.Probed(t, pass, &found, time.Now()) }()
	found = gateway.Probe(ctx, p.app.pool, t.Provider, t.Model).Model
	if ctx.Err() != nil {
		found = routing.Finding{Verdict: routing.Unproven} // this process stops: that says nothing about the target
		return
	}
	p.count.WithLabelValues(t.Provider.Name, t.Model, found.Verdict.String()).Inc()
}
