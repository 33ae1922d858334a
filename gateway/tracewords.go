package gateway

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/vel-gateway/vel/adapters"
)

// The header fields of W3C Trace Context.
const (
	fieldTraceparent = "Traceparent"
	fieldTracestate  = "Tracestate"
)

// Attributes of OpenTelemetry's conventions. Those of GenAI still change; these are the names of November 2026.
// https://github.com/open-telemetry/semantic-conventions-genai
const (
	genaiOperation     = "gen_ai.operation.name"
	genaiProvider      = "gen_ai.provider.name"
	genaiRequestModel  = "gen_ai.request.model"
	genaiStream        = "gen_ai.request.stream"
	genaiResponseModel = "gen_ai.response.model"
	genaiFirstChunk    = "gen_ai.response.time_to_first_chunk" // seconds
	genaiInput         = "gen_ai.usage.input_tokens"           // all of the prompt
	genaiOutput        = "gen_ai.usage.output_tokens"          // all of the answer
	genaiCacheRead     = "gen_ai.usage.cache_read.input_tokens"
	genaiCacheWrite    = "gen_ai.usage.cache_write.input_tokens"
	genaiReasoning     = "gen_ai.usage.reasoning.output_tokens"

	httpMethod    = "http.request.method"
	httpRoute     = "http.route"
	httpStatus    = "http.response.status_code"
	httpResend    = "http.request.resend_count"
	serverAddress = "server.address"
	errorType     = "error.type"
)

// Attributes of our own.
const (
	velCall     = "vel.call.id" // the x-request-id
	velOrg      = "vel.org.id"
	velRoute    = "vel.route"
	velProvider = "vel.provider"
	velModel    = "vel.model"
	velAttempts = "vel.attempts"
	velAttempt  = "vel.attempt" // from 1
	velSent     = "vel.sent"    // a byte of the request may have reached the provider
	velCost     = "vel.cost_usd"
	velUnpriced = "vel.unpriced"
)

// operationOf is the convention's word for what an endpoint does, or, where it has none, the path.
func operationOf(e adapters.Endpoint) string {
	switch e {
	case adapters.ChatCompletions, adapters.Responses:
		return "chat"
	case adapters.Completions:
		return "text_completion"
	}
	return e.String()
}

// measured are the tokens that a provider told of. The convention's sums contain their parts.
func measured(u *adapters.Usage) (all []attribute.KeyValue) {
	in, out := u.Tokens()
	for _, m := range [...]struct {
		name string
		n    int64
	}{
		{genaiInput, in},
		{genaiOutput, out},
		{genaiCacheRead, u[adapters.CacheRead]},
		{genaiCacheWrite, u[adapters.CacheWrite]},
		{genaiReasoning, u[adapters.Reasoning]},
	} {
		if m.n > 0 {
			all = append(all, attribute.Int64(m.name, m.n))
		}
	}
	return all
}

// parentOf reads the client's traceparent; the zero value if there is none, or none that the standard allows.
// https://www.w3.org/TR/trace-context/#traceparent-header
func parentOf(fields []adapters.Field) (parent trace.SpanContext) {
	for i := range fields {
		if fields[i].Name == fieldTraceparent {
			return parseParent(fields[i].Value)
		}
	}
	return parent
}

// The parts of a traceparent: 00-(32 digits)-(16 digits)-(2 digits). A later version may go on behind a hyphen.
const (
	traceFrom, traceTo = 3, 35
	spanFrom, spanTo   = 36, 52
	flagsFrom, parent0 = 53, 55
)

func parseParent(s string) (none trace.SpanContext) {
	if len(s) < parent0 || s[2] != '-' || s[traceTo] != '-' || s[spanTo] != '-' || !lowerHex(s[:2]) || !lowerHex(s[flagsFrom:parent0]) {
		return none
	}
	if version := s[:2]; version == "ff" || version == "00" && len(s) > parent0 || len(s) > parent0 && s[parent0] != '-' {
		return none
	}
	id, err := trace.TraceIDFromHex(s[traceFrom:traceTo])
	if err != nil {
		return none
	}
	span, err := trace.SpanIDFromHex(s[spanFrom:spanTo])
	if err != nil {
		return none
	}
	var flags trace.TraceFlags
	if strings.IndexByte("13579bdf", s[parent0-1]) >= 0 {
		flags = trace.FlagsSampled
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: flags, Remote: true})
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// longestModel is far above every model's name.
const longestModel = 128

// modelIn is the model that the beginning of an answer names. It is the provider's text, so it must look like a name.
func modelIn(c *Call) string {
	text := c.whole
	if c.stream != nil && len(c.pieces) > 0 {
		_, text, _ = bytes.Cut(c.pieces[0], []byte("data:"))
	}
	if len(text) == 0 || operationOf(c.Content.Endpoint) == c.Content.Endpoint.String() && c.Content.Endpoint != adapters.Embeddings {
		return ""
	}
	name := gjson.Get(view(text), "model")
	if !name.Exists() {
		name = gjson.Get(view(text), "response.model") // in the first event of a response
	}
	if name.Type != gjson.String || len(name.Str) > longestModel || strings.ContainsFunc(name.Str, notOfName) {
		return ""
	}
	return c.snapshot.Redactor.Scrub(strings.Clone(name.Str))
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:/@+", r)
}
