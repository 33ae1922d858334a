package admin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the room counts. The labels are bounded: operations are our own, statuses are classes.
type metrics struct {
	seconds *prometheus.HistogramVec
	signIns *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vel_admin_seconds", Help: "Requests below /api, by operation and class of status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"operation", "status"}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vel_sign_ins_total", Help: "Tries to sign in, by way and result."}, []string{"how", "result"}),
	}
	r.MustRegister(m.seconds, m.signIns)
	return m
}

func (m *metrics) note(operation string, status int, took time.Duration) {
	m.seconds.WithLabelValues(operation, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
}
