package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// observer is a series of a histogram whose samples can lead to a trace.
type observer struct {
	plain  prometheus.Observer
	traced prometheus.ExemplarObserver
}

// observerOf takes a series of client_golang's, which are both.
func observerOf(o prometheus.Observer) observer {
	traced, _ := o.(prometheus.ExemplarObserver)
	return observer{o, traced}
}

// observe takes a sample; trace is the id of the call's trace, or empty.
func (o *observer) observe(d time.Duration, trace string) {
	if trace == "" || o.traced == nil {
		o.plain.Observe(d.Seconds())
		return
	}
	o.traced.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": trace})
}
