package gateway

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
)

// newOperators answers the paths for operators and their machines, on either port.
func (s *Server) newOperators(g prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.readiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true}))
	return mux
}

// operate answers them on the data plane's port.
func (s *Server) operate(ctx *fasthttp.RequestCtx, kind pathKind) {
	if kind == pathMetrics && !s.mayReadMetrics(ctx) {
		s.refuse(ctx, errUnknownPath("GET", "/metrics"))
		return
	}
	s.bridge(ctx, s.operators)
}

// mayReadMetrics: whoever is on this machine, and whoever has an operator's credential.
func (s *Server) mayReadMetrics(ctx *fasthttp.RequestCtx) bool {
	if addr, err := netip.ParseAddr(s.clientOf(ctx)); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	credential := presentedKey(&ctx.Request.Header)
	return s.Operator != nil && len(credential) > 0 && s.Operator(credential)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) { writeState(w, http.StatusOK, "ok") }

// readiness tells a balancer whether to send calls, and notes that one is there.
func (s *Server) readiness(w http.ResponseWriter, _ *http.Request) {
	s.asked.Store(time.Now().UnixNano())
	if s.ready.Load() {
		s.looks.Add(1)
		writeState(w, http.StatusOK, "ready")
		return
	}
	writeState(w, http.StatusServiceUnavailable, "stopping")
	select {
	case s.told <- struct{}{}:
	default: // it was told before
	}
}

func writeState(w http.ResponseWriter, status int, state string) {
	w.Header().Set("X-Request-Id", newID())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"status":"`+state+`"}`) // the client may have left
}

// clientOf is the client's address: the peer's, or what a trusted proxy says of the one before it.
func (s *Server) clientOf(ctx *fasthttp.RequestCtx) string {
	c := connOf(ctx)
	if !s.trusts(c.peer) {
		return c.client
	}
	// A proxy may write a line of its own below the one that the client sent: all of them are one list.
	return s.behind(c.peer, string(bytes.Join(ctx.Request.Header.PeekAll("X-Forwarded-For"), []byte(",")))).String()
}

// behind is the last hop before the peer that we do not trust.
func (s *Server) behind(peer netip.Addr, forwarded string) netip.Addr {
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0 && s.trusts(peer); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = hop.Unmap()
	}
	return peer
}

func (s *Server) trusts(addr netip.Addr) bool {
	for _, network := range s.config.Server.TrustedProxies {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
