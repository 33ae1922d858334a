// Package collector is a collector of traces as Vel meets it: it takes OTLP/HTTP, keeps every span, and can be told to
// hang or to refuse.
package collector

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one span. Attributes are written as text, those of its resource too.
type Span struct {
	Name, Trace, ID, Parent string // ids in hexadecimal digits; Parent is empty at a root
	Kind                    tracepb.Span_SpanKind
	Failed                  bool
	Attributes, Resource    map[string]string
}

// Collector runs for the length of a test.
type Collector struct {
	URL    string
	Status atomic.Int64  // of every answer; 0: 200
	gone   chan struct{} // closed with the test
	hang   atomic.Bool

	mu    sync.Mutex // guards all below
	spans []Span
	raw   [][]byte // the bodies, for who looks for secrets
}

// Start starts one.
func Start(tb testing.TB) *Collector {
	c := &Collector{gone: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(c.take))
	tb.Cleanup(func() { close(c.gone); s.Close() })
	c.URL = s.URL
	return c
}

// Hang makes it take requests and never answer.
func (c *Collector) Hang() { c.hang.Store(true) }

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if c.hang.Load() {
		select {
		case <-c.gone:
		case <-r.Context().Done():
		}
		return
	}
	if status := int(c.Status.Load()); status != 0 {
		w.WriteHeader(status)
		return
	}
	var all tracepb.TracesData
	if err := proto.Unmarshal(body, &all); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, body)
	for _, resource := range all.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, Span{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Kind: s.Kind, Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					Attributes: texts(s.Attributes), Resource: texts(resource.Resource.GetAttributes()),
				})
			}
		}
	}
}

func texts(all []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		switch v := a.Value.GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.Key] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_DoubleValue:
			m[a.Key] = fmt.Sprint(v.DoubleValue)
		case *commonpb.AnyValue_BoolValue:
			m[a.Key] = fmt.Sprint(v.BoolValue)
		default:
			m[a.Key] = a.Value.String()
		}
	}
	return m
}

// Spans are those that came so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Bodies are the requests that brought them.
func (c *Collector) Bodies() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.raw...)
}
