package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// seal seals the audit log, on one node at a time, until stop.
func (a *App) seal() (stop func() error) {
	sealed := prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_audit_sealed_total", Help: "Audit events that this node has sealed."})
	leads := prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_audit_leader", Help: "1 on the node that seals the audit log."})
	a.registry.MustRegister(sealed, leads)
	return background(func(ctx context.Context) {
		a.db.Seal(ctx, storage.Sealing{
			Signer: chain.NewSigner(a.keyring.SigningKey()), Keep: a.kept(func(r *config.Retention) time.Duration { return r.Audit }),
			Sealed: func(events int) { sealed.Add(float64(events)) },
			Leads: func(is bool) {
				leads.Set(0)
				if is {
					leads.Set(1)
				}
			},
		})
	})
}
