package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/storage"
)

// sum sums what was used and removes what has had its time, on one node at a time, until stop.
func (a *App) sum() (stop func() error) {
	leads := prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_usage_leader", Help: "1 on the node that sums what was used, and removes old calls."})
	a.registry.MustRegister(leads)
	return background(func(ctx context.Context) {
		a.db.Sum(ctx, storage.Summing{
			KeepCalls:   a.kept(func(r *config.Retention) time.Duration { return r.Calls }),
			KeepContent: a.kept(func(r *config.Retention) time.Duration { return r.Content }),
			KeepSums:    a.kept(func(r *config.Retention) time.Duration { return r.Rollups }),
			Leads: func(is bool) {
				leads.Set(0)
				if is {
					leads.Set(1)
				}
			},
		})
	})
}

// kept is how long the configuration of now says that something is kept.
func (a *App) kept(of func(r *config.Retention) time.Duration) func() time.Duration {
	return func() time.Duration {
		a.mu.Lock()
		defer a.mu.Unlock()
		return of(&a.config.Retention)
	}
}
