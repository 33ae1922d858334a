package gateway

import (
	"context"
	"math/rand/v2"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vel-gateway/vel/adapters"
)

// tracing gives a call a span, and every attempt of it one below. A call without a valid key gets none: strangers make
// nothing that is kept. No span holds a text of the client's or of the provider's, but for the name of the model that
// answered.
type tracing struct {
	spans trace.Tracer
	below uint64 // a call that begins a trace is sampled when 63 random bits are below
}

// Trace makes the pipeline trace calls: of those that begin a trace a share from 0 to 1, of those that continue a
// client's trace the ones that the client samples. It is called before the first call.
func (p *Pipeline) Trace(spans trace.Tracer, share float64) {
	p.tracing = &tracing{spans, uint64(share * (1 << 63))}
}

// callSpan is what is traced of a call. The zero value is a call that is not.
type callSpan struct {
	call   trace.Span // nil: the call is not traced
	try    trace.Span // of the attempt under way, or nil
	rooted bool       // the trace began here: what the client says of one is not of it
}

// trace begins the span of a call whose caller is known.
func (p *Pipeline) trace(c *Call) error {
	if p.tracing != nil {
		p.tracing.begin(c)
	}
	return nil
}

func (t *tracing) begin(c *Call) {
	parent := parentOf(c.Passed)
	continues := parent.IsValid()
	if continues && !parent.IsSampled() || !continues && rand.Uint64()>>1 >= t.below {
		return
	}
	ctx := context.Background()
	if continues {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	endpoint := c.Content.Endpoint.String()
	c.span.rooted = !continues
	_, c.span.call = t.spans.Start(ctx, c.Content.Method+" "+endpoint,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.begun), trace.WithAttributes(
			attribute.String(httpMethod, c.Content.Method), attribute.String(httpRoute, endpoint),
			attribute.String(velCall, c.ID), attribute.String(velOrg, string(c.Who.Org)),
		))
}

// traceAttempt begins the span of an attempt.
func (p *Pipeline) traceAttempt(c *Call) {
	if c.span.call == nil {
		return
	}
	t, operation, n := c.outcome.Target, operationOf(c.Content.Endpoint), len(c.record.Attempts)
	name := operation
	if t.Model != "" {
		name += " " + t.Model
	}
	about := []attribute.KeyValue{
		attribute.String(genaiOperation, operation), attribute.String(genaiProvider, t.Provider.Adapter.Kind),
		attribute.String(genaiRequestModel, t.Model), attribute.Bool(genaiStream, c.Content.Stream),
		attribute.String(serverAddress, t.Provider.Base.Hostname()),
		attribute.String(velProvider, t.Provider.Name), attribute.Int(velAttempt, n),
	}
	if n > 1 {
		about = append(about, attribute.Int(httpResend, n-1))
	}
	_, c.span.try = p.tracing.spans.Start(trace.ContextWithSpan(context.Background(), c.span.call), name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(c.tryBegun), trace.WithAttributes(about...))
}

// outgoing lets the provider continue the trace: the attempt takes the client's place in the head of the request.
// Where nothing is traced the client's own context passes as it is.
func (s *callSpan) outgoing(fields []adapters.Field) []adapters.Field {
	if s.try == nil {
		return fields
	}
	fields = slices.DeleteFunc(fields, func(f adapters.Field) bool {
		return f.Name == fieldTraceparent || s.rooted && f.Name == fieldTracestate
	})
	at := s.try.SpanContext()
	return append(fields, adapters.Field{Name: fieldTraceparent, Value: "00-" + at.TraceID().String() + "-" + at.SpanID().String() + "-01"})
}

// answering notes what the head and the beginning of an answer say.
func (s *callSpan) answering(c *Call) {
	if s.try == nil {
		return
	}
	s.try.SetAttributes(attribute.Int(httpStatus, c.exchange.Status()))
	if model := modelIn(c); model != "" {
		s.try.SetAttributes(attribute.String(genaiResponseModel, model))
	}
}

// attempted ends the span of the attempt under way, if there is one. status is the provider's, or 0.
func (s *callSpan) attempted(c *Call, class adapters.Class, status int) {
	if s.try == nil {
		return
	}
	s.try.SetAttributes(attribute.Bool(velSent, c.outcome.Sent))
	s.try.SetAttributes(measured(&c.usage)...)
	if status != 0 {
		s.try.SetAttributes(attribute.Int(httpStatus, status))
	}
	if c.stream != nil && c.outcome.Committed {
		s.try.SetAttributes(attribute.Float64(genaiFirstChunk, c.outcome.FirstByte.Seconds()))
	}
	fail(s.try, class, class.Elsewhere() || class == adapters.ClassInvalid || class == adapters.ClassInternal)
	s.try.End()
	s.try = nil
}

// ended ends the spans of a call whose record is complete, but for what is still to be counted, and gives the id of its
// trace; empty if it is not traced.
func (s *callSpan) ended(c *Call) (trace string) {
	if s.call == nil {
		return ""
	}
	r := &c.record
	s.attempted(c, r.Class, 0)
	s.call.SetAttributes(
		attribute.Int(httpStatus, r.Status), attribute.String(velRoute, r.Route), attribute.String(velProvider, r.Provider),
		attribute.String(velModel, r.Model), attribute.Int(velAttempts, len(r.Attempts)), attribute.Bool(genaiStream, r.Stream))
	if len(c.untoldTries) == 0 && anyExecuted(r) {
		s.call.SetAttributes(attribute.Float64(velCost, r.Cost.Dollars()), attribute.String(velUnpriced, r.Unpriced))
	}
	fail(s.call, r.Class, r.Status >= 500 || r.Status < 400 && r.Class != adapters.ClassGone) // what the client did wrong is no fault of a server
	s.call.End()
	trace = s.call.SpanContext().TraceID().String()
	*s = callSpan{}
	return trace
}

// fail gives a span the class of a failure. The class is a word of ours: what the failure says may quote a prompt or a key.
func fail(span trace.Span, class adapters.Class, ours bool) {
	if class == adapters.ClassNone {
		return
	}
	span.SetAttributes(attribute.String(errorType, class.String()))
	if ours {
		span.SetStatus(otelcodes.Error, class.String())
	}
}

// part is what a call that fetches a part of an answer begins with: its attempts are attempts of the whole.
func (s *callSpan) part() callSpan { return callSpan{call: s.call, rooted: s.rooted} }
