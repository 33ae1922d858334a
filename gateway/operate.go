package gateway

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"
)

// operate answers the paths for operators and their machines.
func (s *Server) operate(ctx *fasthttp.RequestCtx, kind pathKind) {
	switch kind {
	case pathHealth:
		writeJSON(ctx, []byte(`{"status":"ok"}`))
	case pathReady:
		s.readiness(ctx)
	case pathMetrics:
		if addr, err := netip.ParseAddr(s.clientOf(ctx)); err != nil || !addr.Unmap().IsLoopback() {
			s.refuse(ctx, errUnknownPath("GET", "/metrics")) // no credential exists yet that would open it from afar
			return
		}
		s.writeMetrics(ctx)
	}
}

// readiness tells a balancer whether to send calls, and notes that one is there.
func (s *Server) readiness(ctx *fasthttp.RequestCtx) {
	s.asked.Store(time.Now().UnixNano())
	if s.ready.Load() {
		s.looks.Add(1)
		writeJSON(ctx, []byte(`{"status":"ready"}`))
		return
	}
	ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	writeJSON(ctx, []byte(`{"status":"stopping"}`))
	select {
	case s.told <- struct{}{}:
	default: // it was told before
	}
}

// serveAdmin answers on the second port, where metrics are open.
func (s *Server) serveAdmin(ctx *fasthttp.RequestCtx) {
	to := match(ctx.Request.Header.RequestURI())
	switch {
	case to.kind != pathMetrics && to.kind != pathHealth && to.kind != pathReady:
		s.refuse(ctx, errUnknownPath(string(ctx.Method()), string(ctx.Path())))
	case !to.allows(&ctx.Request.Header):
		s.refuse(ctx, errMethod(string(ctx.Method()), string(ctx.Path()), to.methods))
	case to.kind == pathMetrics:
		s.writeMetrics(ctx)
	default:
		s.operate(ctx, to.kind)
	}
}

func (s *Server) writeMetrics(ctx *fasthttp.RequestCtx) {
	families, err := s.gatherer.Gather()
	if err != nil && len(families) == 0 {
		s.refuse(ctx, err)
		return
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	ctx.Response.Header.SetContentType(string(format))
	encoder := expfmt.NewEncoder(ctx, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			ctx.Response.Reset()
			s.refuse(ctx, err)
			return
		}
	}
}

// clientOf is the client's address: the peer's, or what a trusted proxy says of the one before it.
func (s *Server) clientOf(ctx *fasthttp.RequestCtx) string {
	c := connOf(ctx)
	if c == nil { // of the second port
		return ctx.RemoteIP().String()
	}
	if len(s.config.Server.TrustedProxies) == 0 || !s.trusts(c.peer) {
		return c.client
	}
	peer := c.peer
	// A proxy may write a line of its own below the one that the client sent: all of them are one list.
	hops := strings.Split(string(bytes.Join(ctx.Request.Header.PeekAll("X-Forwarded-For"), []byte(","))), ",")
	for i := len(hops) - 1; i >= 0; i-- { // the last hop that we do not trust is the client
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if peer = hop.Unmap(); !s.trusts(peer) {
			break
		}
	}
	return peer.String()
}

func (s *Server) trusts(addr netip.Addr) bool {
	for _, network := range s.config.Server.TrustedProxies {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
