package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// exporting is an exporter that does what a test says.
type exporting func(ctx context.Context, n int) error

func (f exporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return f(ctx, len(spans))
}

// became reads one of the counters of vel_spans_total.
func became(t *testing.T, counts *prometheus.CounterVec, result string) int {
	t.Helper()
	var m dto.Metric
	if err := counts.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

var aSpan = tracetest.SpanStub{Name: "a span"}.Snapshot()

// Spans leave within a second, in batches, and what is left at a stop leaves then.
func TestSpansAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counts, batches := spanCounts(prometheus.NewRegistry()), []int{}
		q := newSpanQueue(exporting(func(_ context.Context, n int) error { batches = append(batches, n); return nil }), counts, slog.New(slog.DiscardHandler))
		for range spansAtOnce + 3 {
			q.OnEnd(aSpan)
		}
		time.Sleep(spansEvery + time.Millisecond) // of the bubble
		synctest.Wait()
		q.OnEnd(aSpan)
		if err := q.stop(); err != nil {
			t.Fatal(err)
		}
		if len(batches) != 3 || batches[0] != spansAtOnce || batches[1] != 3 || batches[2] != 1 || became(t, counts, "sent") != spansAtOnce+4 {
			t.Errorf("batches of %v, %d sent", batches, became(t, counts, "sent"))
		}
	})
}

// A collector that hangs holds nobody up: what does not fit is dropped, and a stop takes spansFarewell.
func TestSpansOfAHangingCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counts := spanCounts(prometheus.NewRegistry())
		q := newSpanQueue(exporting(func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }), counts, slog.New(slog.DiscardHandler))
		for range spansAtOnce {
			q.OnEnd(aSpan)
		}
		synctest.Wait() // the first batch is on its way
		before := time.Now()
		for range spansWaiting + 7 {
			q.OnEnd(aSpan)
		}
		if n := became(t, counts, "dropped"); n != 7 || time.Since(before) != 0 {
			t.Errorf("%d dropped, want 7, after %s", n, time.Since(before))
		}
		if err := q.stop(); err != nil || time.Since(before) != spansFarewell {
			t.Errorf("stopped after %s, error %v", time.Since(before), err)
		}
		if n := became(t, counts, "failed"); n != spansAtOnce+spansWaiting {
			t.Errorf("%d failed, want all that did not fit", n)
		}
	})
}

// An outage of the collector is two lines of log, however long it is.
func TestSpansLogAnOutageOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		var down error
		q := newSpanQueue(exporting(func(context.Context, int) error { return down }), spanCounts(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(&text, nil)))
		for _, down = range []error{nil, errors.New("connection refused"), errors.New("connection refused"), nil, nil} {
			q.OnEnd(aSpan)
			time.Sleep(2 * spansEvery) // of the bubble
			synctest.Wait()
		}
		if err := q.stop(); err != nil {
			t.Fatal(err)
		}
		if strings.Count(text.String(), "\n") != 2 || !strings.Contains(text.String(), "connection refused") || !strings.Contains(text.String(), "again") {
			t.Errorf("the log says:\n%s", text.String())
		}
	})
}

func TestTracesAt(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"http://collector:4318": "http://collector:4318/v1/traces", "https://otel.example/": "https://otel.example/v1/traces", "http://h/otlp": "http://h/otlp/v1/traces",
	} {
		if got, err := tracesAt(endpoint); err != nil || got != want {
			t.Errorf("%s: %s, error %v", endpoint, got, err)
		}
	}
}
