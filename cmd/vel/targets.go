package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
)

// targets counts for each route the targets that take calls now, and those that are left alone: their breaker is open,
// or the provider asked to wait. It looks when somebody reads the metrics.
type targets struct {
	desc     *prometheus.Desc
	snapshot func() *gateway.Snapshot
	state    *routing.State
}

func newTargets(p *gateway.Pipeline, s *routing.State) *targets {
	return &targets{
		prometheus.NewDesc("vel_route_targets", "Targets of a route: ready for calls, or away.", []string{"route", "state"}, nil), p.Snapshot, s,
	}
}

// Describe names the metric.
func (t *targets) Describe(to chan<- *prometheus.Desc) { to <- t.desc }

// Collect counts.
func (t *targets) Collect(to chan<- prometheus.Metric) {
	now, isAway := time.Now(), map[string]bool{}
	for _, s := range t.state.Status(now) {
		isAway[s.Target] = s.Breaker != "closed" || s.Until.After(now)
	}
	for route := range t.snapshot().Routes.All() {
		ready, away := 0.0, 0.0
		for _, target := range route.Targets {
			if isAway[target.ID] {
				away++
			} else {
				ready++
			}
		}
		to <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, ready, route.Name, "ready")
		to <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, away, route.Name, "away")
	}
}
