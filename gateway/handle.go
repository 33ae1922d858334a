package gateway

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"log/slog"
	"net/url"
	"strconv"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// newID makes the id of a request: it sorts by time and says nothing about who called.
func newID() string {
	id := uuid.Must(uuid.NewV7())
	text := [36]byte{'r', 'e', 'q', '_'}
	hex.Encode(text[4:], id[:])
	return string(text[:])
}

// serve answers one request on the data plane's port.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	if h := s.mounted(&ctx.Request.Header); h != nil {
		s.serveMounted(ctx, h)
		return
	}
	to := match(&ctx.Request.Header)
	if to.kind == pathCall && to.allows(&ctx.Request.Header) && !marked(&ctx.Request.Header) {
		s.call(ctx, &to)
		return
	}
	s.plain(ctx, &to)
}

// call takes an inference call through the pipeline. A stream, and every other answer, is written after this
// returns: the call is then the body of the answer.
func (s *Server) call(ctx *fasthttp.RequestCtx, to *path) {
	c := s.pipe.acquire(newID())
	defer func() {
		if reason := recover(); reason != nil {
			s.fail(ctx, c, s.pipe.panicked(c, reason))
		}
	}()
	h := &ctx.Request.Header
	c.Key, c.Agent = presentedKey(h), h.UserAgent()
	c.Client, c.Passed = s.clientOf(ctx), passing(c.Passed, h)
	c.Account, c.Session = view(h.Peek("X-Vel-Provider")), h.Peek("X-Vel-Session")
	c.Header, c.Explain = h, string(h.Peek("X-Vel-Explain")) == "1"
	c.Tags = append(c.Tags, h.PeekAll(nameTags)...)
	c.Content = adapters.Content{
		Endpoint: to.endpoint, Method: string(h.Method()), Path: to.rest, Query: to.query, ContentType: h.ContentType(), Body: ctx.Request.Body(),
	}
	if c.conn = connOf(ctx); c.conn != nil {
		c.conn.attach(c)
	}
	err := to.address(&c.Content)
	if err == nil {
		err = s.pipe.Open(c)
	}
	if err != nil {
		s.fail(ctx, c, err)
		return
	}
	s.cors.allow(ctx)
	writeHead(&ctx.Response, c)
	ctx.Response.SetBodyStream(c, c.length)
}

// address checks and reads what the path itself says.
func (p *path) address(c *adapters.Content) error {
	if p.deployment != nil && p.endpoint == adapters.Objects {
		return errUnknownPath(c.Method, string(p.rest)) // an object is of no model
	}
	if p.deployment != nil {
		model, err := url.PathUnescape(string(p.deployment))
		if err != nil {
			return errUnknownPath(c.Method, string(p.rest))
		}
		c.Deployment = model
	}
	if !plainQuery(p.query) || p.endpoint == adapters.Objects && !plainSegments(p.rest) {
		return errUnknownPath(c.Method, string(p.rest))
	}
	c.Query = withoutVersion(p.query)
	return nil
}

// withoutVersion takes the version of Azure's API out of a query.
func withoutVersion(query []byte) []byte {
	if !bytes.Contains(query, []byte("api-version=")) {
		return query
	}
	var kept [][]byte
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		if !bytes.HasPrefix(pair, []byte("api-version=")) {
			kept = append(kept, pair)
		}
	}
	return bytes.Join(kept, []byte("&"))
}

// fail writes the answer of a call that brought none and ends it.
func (s *Server) fail(ctx *fasthttp.RequestCtx, c *Call, err error) {
	c.failed = err
	ctx.Response.Reset()
	s.cors.allow(ctx)
	a := refuse(c, err)
	c.refusal = a.status
	if t := c.outcome.Target; t != nil && len(c.record.Attempts) > 0 {
		writeRouted(&ctx.Response.Header, c)
	}
	writeLimits(&ctx.Response.Header, &c.reservation)
	writeDecision(&ctx.Response.Header, c)
	writeRefusal(&ctx.Response, c.ID, &a)
	s.pipe.Settle(c, err)
	s.pipe.release(c)
}

// plain answers everything that is no inference call.
func (s *Server) plain(ctx *fasthttp.RequestCtx, to *path) {
	if c := connOf(ctx); c != nil {
		c.served()
	}
	s.cors.allow(ctx)
	method, uri := string(ctx.Request.Header.Method()), string(ctx.Path())
	switch {
	case marked(&ctx.Request.Header):
		s.refuse(ctx, cmp.Or(s.earlier(&ctx.Request.Header).why, error(errMalformed)))
		ctx.SetConnectionClose()
	case method == fasthttp.MethodOptions && s.cors.preflight(ctx):
	case s.admin != nil && to.kind == pathMetrics, to.kind == pathUnknown:
		s.refuse(ctx, errUnknownPath(method, uri))
	case to.kind == pathUnserved:
		s.refuse(ctx, errNotServed(uri))
	case !to.allows(&ctx.Request.Header):
		allowed := cmp.Or(to.methods, "GET, POST, DELETE")
		ctx.Response.Header.Set("Allow", allowed)
		s.refuse(ctx, errMethod(method, uri, allowed))
	case to.kind == pathModels, to.kind == pathModel:
		s.models(ctx, to)
	default:
		s.operate(ctx, to.kind)
	}
}

// refuseHeld answers a request that limits refused.
func (s *Server) refuseHeld(ctx *fasthttp.RequestCtx, id string, held *accounting.Reservation, err error) {
	s.refuseAs(ctx, id, err)
	writeLimits(&ctx.Response.Header, held)
}

// refuse answers a request that became no call.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) { s.refuseAs(ctx, newID(), err) }

func (s *Server) refuseAs(ctx *fasthttp.RequestCtx, id string, err error) {
	c := Call{ID: id}
	a := refuse(&c, err)
	writeRefusal(&ctx.Response, c.ID, &a)
	if s.mounted(&ctx.Request.Header) != nil {
		ctx.Response.Header.SetContentTypeBytes(typeProblem)
		ctx.Response.SetBodyRaw(appendProblem(nil, a.status, c.ID, inWords(&c, err)))
	}
	s.pipe.metrics.refused.Inc()
	s.log.Info("refused", slog.String("id", c.ID), slog.Int("status", a.status), slog.String("class", classOf(err).String()),
		slog.String("method", string(ctx.Method())), slog.String("path", string(ctx.Path())), slog.String("client", s.clientOf(ctx)))
}

// writeRefusal writes an error as an answer.
func writeRefusal(r *fasthttp.Response, id string, a *answer) {
	h := &r.Header
	r.SetStatusCode(a.status)
	h.SetContentType("application/json")
	h.Set("x-request-id", id)
	if a.retryAfter > 0 {
		h.Set("retry-after", retryAfterSeconds(a.retryAfter))
		h.Set("retry-after-ms", strconv.FormatInt(a.retryAfter.Milliseconds(), 10))
	}
	if a.shouldRetry != "" {
		h.Set("x-should-retry", a.shouldRetry)
	}
	r.SetBodyRaw(a.body)
}
