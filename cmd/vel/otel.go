package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/vel-gateway/vel/config"
)

// traceCalls gives calls spans and sends them to the collector, if the configuration names one. Nothing of it is
// OpenTelemetry's global state, and no variable of the environment changes it.
func (a *App) traceCalls(cfg config.OTel) error {
	spans := spanCounts(a.registry)
	if cfg.Endpoint == "" {
		return nil
	}
	to, err := tracesAt(cfg.Endpoint)
	if err != nil {
		return err
	}
	collector := newCollector(to)
	a.onStop(func() error { return collector.Stop(context.Background()) })
	queue := newSpanQueue(otlptrace.NewUnstarted(collector), spans, a.log)
	a.onStop(queue.stop)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // the gateway asks for the spans of sampled calls only
		sdktrace.WithResource(thisProcess()), sdktrace.WithRawSpanLimits(spanLimits), sdktrace.WithSpanProcessor(queue))
	a.pipeline.Trace(provider.Tracer("github.com/vel-gateway/vel"), cfg.Sample)
	return nil
}

// spanLimits are above what a span of ours has; links and events have none.
var spanLimits = sdktrace.SpanLimits{AttributeValueLengthLimit: 512, AttributeCountLimit: 64}

// spanCounts counts spans by what became of them. All three series are there from the start, so that a rate is never
// missing.
func spanCounts(r prometheus.Registerer) *prometheus.CounterVec {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vel_spans_total", Help: "Spans that ended: sent to the collector, failed there, or dropped because too many waited.",
	}, []string{"result"})
	r.MustRegister(spans)
	for _, result := range []string{"sent", "failed", "dropped"} {
		spans.WithLabelValues(result)
	}
	return spans
}

// tracesAt is where a collector takes traces.
func tracesAt(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/v1/traces"
	return u.String(), nil
}

// thisProcess tells nodes and versions apart.
func thisProcess() *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.name", "vel"), attribute.String("service.version", thisBuild().Version),
		attribute.String("service.instance.id", uuid.NewString()))
}
