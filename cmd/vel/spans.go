package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// How spans leave. A call never waits for the collector: what does not fit is dropped, and a batch is sent once.
const (
	spansWaiting  = 4096
	spansAtOnce   = 512
	spansEvery    = time.Second
	spansWithin   = 5 * time.Second // one batch
	spansFarewell = 3 * time.Second // all that is left at a stop
)

// spanExporter sends spans away.
type spanExporter interface {
	ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error
}

// spanQueue holds spans that ended until one goroutine has sent them.
type spanQueue struct {
	waiting               chan sdktrace.ReadOnlySpan
	exporter              spanExporter
	sent, failed, dropped prometheus.Counter
	log                   *slog.Logger
	broken                bool // the last batch did not arrive; of run

	ctx    context.Context // ends what is under way at the end of a stop
	cancel context.CancelFunc
	quit   chan struct{}
	done   chan struct{}
}

func newSpanQueue(e spanExporter, counts *prometheus.CounterVec, log *slog.Logger) *spanQueue {
	q := &spanQueue{
		waiting: make(chan sdktrace.ReadOnlySpan, spansWaiting), exporter: e, log: log, quit: make(chan struct{}), done: make(chan struct{}),
		sent: counts.WithLabelValues("sent"), failed: counts.WithLabelValues("failed"), dropped: counts.WithLabelValues("dropped"),
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

// OnStart has nothing to do.
func (q *spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues a span, or drops it.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	select {
	case q.waiting <- s:
	default:
		q.dropped.Inc()
	}
}

// Shutdown and ForceFlush are of the provider, which nobody shuts down: stop does.

// Shutdown does nothing.
func (q *spanQueue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (q *spanQueue) ForceFlush(context.Context) error { return nil }

func (q *spanQueue) run() {
	defer close(q.done)
	tick := time.NewTicker(spansEvery)
	defer tick.Stop()
	batch := make([]sdktrace.ReadOnlySpan, 0, spansAtOnce)
	for {
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); len(batch) == spansAtOnce {
				batch = q.send(batch)
			}
		case <-tick.C:
			batch = q.send(batch)
		case <-q.quit:
			q.sendRest(batch)
			return
		}
	}
}

// sendRest sends what has ended by now.
func (q *spanQueue) sendRest(batch []sdktrace.ReadOnlySpan) {
	for {
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); len(batch) == spansAtOnce {
				batch = q.send(batch)
			}
		default:
			q.send(batch)
			return
		}
	}
}

// send sends a batch and gives its memory back.
func (q *spanQueue) send(batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	if len(batch) == 0 {
		return batch
	}
	ctx, done := context.WithTimeout(q.ctx, spansWithin)
	defer done()
	err := q.exporter.ExportSpans(ctx, batch)
	counter := q.sent
	if err != nil {
		counter = q.failed
	}
	counter.Add(float64(len(batch)))
	q.report(err)
	clear(batch)
	return batch[:0]
}

// report writes down that spans begin to be lost, and that they arrive again.
func (q *spanQueue) report(err error) {
	switch {
	case err != nil && !q.broken:
		q.log.Warn("traces do not reach the collector", slog.Any("reason", err))
	case err == nil && q.broken:
		q.log.Info("traces reach the collector again")
	}
	q.broken = err != nil
}

// stop sends what is left, within a bound, and waits for it.
func (q *spanQueue) stop() error {
	bound := time.AfterFunc(spansFarewell, q.cancel)
	defer bound.Stop()
	close(q.quit)
	<-q.done
	q.cancel()
	return nil
}

// collector takes spans over OTLP/HTTP, as protobuf. OpenTelemetry's own client brings gRPC along, 5 MiB that never run.
type collector struct {
	url  string
	http *http.Client
}

func newCollector(url string) *collector {
	return &collector{url, &http.Client{
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start has nothing to do: the first batch connects.
func (c *collector) Start(context.Context) error { return nil }

// Stop closes what is open.
func (c *collector) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans. TracesData has the bytes of the collector's request: one field with the same number.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "vel")
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // what it says is not needed, but the connection is
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("send spans: the collector answers %d", answer.StatusCode)
	}
	return nil
}
