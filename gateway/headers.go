package gateway

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// Header fields cross the gateway by allow-lists in both directions. What else a provider needs is written by
// Pipeline.send, and the credential by the adapter's signer.
var (
	toProvider = [...]string{"Idempotency-Key", "Openai-Beta", fieldTraceparent, fieldTracestate}
	toClient   = [...]string{"Openai-Processing-Ms", "Openai-Version", "Content-Disposition"}
)

// passing collects what passes to the provider. The values alias the request.
func passing(fields []adapters.Field, h *fasthttp.RequestHeader) []adapters.Field {
	for _, name := range toProvider {
		if v := h.Peek(name); len(v) > 0 {
			fields = append(fields, adapters.Field{Name: name, Value: view(v)})
		}
	}
	return fields
}

// view shows bytes of the request as a string, without a copy. The request outlives every attempt.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Names and values that every answer has, as bytes, because setting them must cost nothing.
var (
	nameUpstreamID = []byte("X-Upstream-Request-Id")
	nameProvider   = []byte("X-Vel-Provider")
	nameModel      = []byte("X-Vel-Model")
	nameAttempts   = []byte("X-Vel-Attempts")
	nameDecision   = []byte("X-Vel-Decision")
	nameCost       = []byte("X-Vel-Cost")
	nameVelCache   = []byte("X-Vel-Cache")
	nameReplayed   = []byte("Idempotency-Replayed")
	nameCache      = []byte("Cache-Control")
	nameBuffering  = []byte("X-Accel-Buffering")
	typeStream     = []byte("text/event-stream; charset=utf-8")
	typeJSON       = []byte("application/json")
	typeProblem    = []byte("application/problem+json")
	valueNoCache   = []byte("no-cache")
	valueNoStore   = []byte("no-store")
	valueNo        = []byte("no")
)

// presentedKey finds the client's key in the first carrier that has one. It aliases the request.
func presentedKey(h *fasthttp.RequestHeader) []byte {
	if v := h.Peek("Authorization"); len(v) > 7 && bytes.EqualFold(v[:7], []byte("Bearer ")) {
		return bytes.TrimSpace(v[7:])
	}
	for _, name := range [...]string{"Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
		if v := h.Peek(name); len(v) > 0 {
			return v
		}
	}
	return nil
}

// writeHead writes the head of a call's answer.
func writeHead(r *fasthttp.Response, c *Call) {
	to := &r.Header
	writeDecision(to, c)
	if c.list != nil {
		to.SetContentTypeBytes(typeJSON)
		to.SetBytesV("X-Request-Id", []byte(c.ID))
		writeLimits(to, &c.reservation)
		return
	}
	if c.kept != nil {
		writeKeptHead(r, c)
		return
	}
	from := c.exchange.Header()
	r.SetStatusCode(c.exchange.Status())
	to.SetContentTypeBytes(c.typeOf())
	if c.stream != nil {
		to.SetCanonical(nameCache, valueNoCache)
		to.SetCanonical(nameBuffering, valueNo)
	}
	to.SetBytesV("X-Request-Id", []byte(c.ID))
	writeRouted(to, c)
	writeLimits(to, &c.reservation)
	if c.stream == nil && c.charged && c.record.Unpriced == "" && len(c.untoldTries) == 0 && !c.loser.begun() {
		to.SetCanonical(nameCost, c.record.Cost.Append(c.cost[:0]))
	}
	if c.record.Cache != "" {
		to.SetCanonical(nameVelCache, []byte(c.record.Cache))
	}
	for _, name := range toClient {
		if v := from.Peek(name); len(v) > 0 {
			to.SetBytesV(name, v)
		}
	}
}

// writeKeptHead writes the head of an answer that was kept.
func writeKeptHead(r *fasthttp.Response, c *Call) {
	to, k := &r.Header, c.kept
	r.SetStatusCode(k.Status)
	to.SetContentType(k.Type)
	if k.Stream {
		to.SetCanonical(nameCache, valueNoCache)
		to.SetCanonical(nameBuffering, valueNo)
	} else {
		to.SetCanonical(nameCost, c.record.Cost.Append(c.cost[:0]))
	}
	to.SetBytesV("X-Request-Id", []byte(c.ID))
	to.SetCanonical(nameProvider, []byte(k.Provider))
	to.SetCanonical(nameModel, []byte(k.Model))
	to.SetCanonical(nameAttempts, []byte("0"))
	if c.record.Cache == cacheReplay {
		to.SetCanonical(nameReplayed, []byte("true"))
	} else {
		to.SetCanonical(nameVelCache, []byte(cacheHit))
	}
	writeLimits(to, &c.reservation)
}

// typeOf is the Content-Type of the answer.
func (c *Call) typeOf() []byte {
	switch t := c.exchange.Header().ContentType(); {
	case c.stream != nil:
		return typeStream
	case len(t) > 0:
		return t
	}
	return typeJSON // an SDK makes a string of what has no type
}

// writeRouted says where the call went.
func writeRouted(to *fasthttp.ResponseHeader, c *Call) {
	if len(c.foreign) > 0 {
		to.SetCanonical(nameUpstreamID, c.foreign)
	}
	t := c.outcome.Target
	to.SetCanonical(nameProvider, []byte(t.Provider.Name))
	if t.Model != "" { // a call on an object has none
		to.SetCanonical(nameModel, []byte(t.Model))
	}
	if len(c.request.Dropped) > 0 {
		to.Set("X-Vel-Dropped", strings.Join(c.request.Dropped, ", "))
	}
	attempts := len(c.record.Attempts)
	if c.loser.begun() {
		attempts++
	}
	to.SetCanonical(nameAttempts, strconv.AppendInt(nil, int64(attempts), 10))
}

// writeDecision says under which id the reasons for the way of the call can be read, if that was asked for.
func writeDecision(to *fasthttp.ResponseHeader, c *Call) {
	if c.Explain && c.plan.Decided() {
		to.SetCanonical(nameDecision, []byte(c.ID))
	}
}
