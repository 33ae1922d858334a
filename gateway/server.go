package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/gateway/upstream"
)

// How the server reads. A head must come within headTimeout; a body may take that and a second for each
// slowestBody of it.
const (
	headTimeout = 30 * time.Second
	idleTimeout = 75 * time.Second
	slowestBody = 64 << 10 // bytes a second
)

// cutBefore is how long before the end of a drain the calls that still run are ended, so that their clients get
// a proper end.
const cutBefore = 2 * time.Second

// Server serves the data plane on one port, and the operator's few paths with it or on a second one.
type Server struct {
	config   Config
	pipe     *Pipeline
	cors     cors
	gatherer prometheus.Gatherer
	log      *slog.Logger

	http  *fasthttp.Server
	admin *fasthttp.Server // nil: the same port
	ready atomic.Bool
	cert  *certificate // nil: plain HTTP

	listener      *listener
	adminListener net.Listener
	serving       sync.WaitGroup
}

// NewServer makes a server; Start starts it.
func NewServer(cfg Config, p *Pipeline, g prometheus.Gatherer, maxConns int, log *slog.Logger) *Server {
	fasthttp.SetBodySizePoolLimit(keepBelow, keepBelow) // else one large body stays in memory for ever
	s := &Server{config: cfg, pipe: p, cors: newCORS(cfg.Server.CORS), gatherer: g, log: log}
	s.http = s.newHTTP(s.serve, maxConns)
	if cfg.AdminListen != "" {
		s.admin = s.newHTTP(s.serveAdmin, maxConns)
	}
	return s
}

func (s *Server) newHTTP(handler fasthttp.RequestHandler, maxConns int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler: handler, ErrorHandler: s.refuseEarly, HeaderReceived: s.headReceived, Logger: silent{},
		Concurrency: maxConns, ReadBufferSize: 8192, WriteBufferSize: 4096, MaxRequestBodySize: int(s.config.Server.MaxBody),
		ReadTimeout: headTimeout, WriteTimeout: 0, IdleTimeout: idleTimeout, TCPKeepalive: true, TCPKeepalivePeriod: 15 * time.Second,
		CloseOnShutdown: true, NoDefaultServerHeader: true, NoDefaultContentType: true, SecureErrorLogMessage: true,
		DisablePreParseMultipartForm: true, StreamRequestBody: false,
	}
}

// silent drops what fasthttp would log: it quotes heads, and those hold keys. Every refusal has a line of ours.
type silent struct{}

func (silent) Printf(string, ...any) {}

// Start listens and serves until Stop. failed is called once if serving ends by itself.
func (s *Server) Start(w *upstream.Watcher, failed func(error)) error {
	if tls := s.config.Server.TLS; tls.Cert != "" {
		s.cert = &certificate{certFile: tls.Cert, keyFile: tls.Key}
		if err := s.cert.load(); err != nil {
			return err
		}
	}
	tcp, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.listener = newListener(tcp.(*net.TCPListener), w, s.cert, int64(s.config.Server.MaxBodyInFlight))
	if s.admin != nil {
		if s.adminListener, err = net.Listen("tcp", s.config.AdminListen); err != nil {
			return errors.Join(fmt.Errorf("listen for admin: %w", err), s.listener.Close())
		}
		s.run(s.admin, s.adminListener, failed)
	}
	s.run(s.http, s.listener, failed)
	s.ready.Store(true)
	return nil
}

func (s *Server) run(h *fasthttp.Server, ln net.Listener, failed func(error)) {
	s.serving.Go(func() {
		if err := h.Serve(ln); err != nil {
			failed(fmt.Errorf("serve %s: %w", ln.Addr(), err))
		}
	})
}

// Addr is where the data plane listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// AdminAddr is where the second port listens; the zero value if there is none.
func (s *Server) AdminAddr() netip.AddrPort {
	if s.adminListener == nil {
		return netip.AddrPort{}
	}
	return s.adminListener.Addr().(*net.TCPAddr).AddrPort()
}

// Connections is how many clients are connected to the data plane.
func (s *Server) Connections() int { return s.listener.open() }

// ReloadTLS reads the certificate again; on an error the old one stays.
func (s *Server) ReloadTLS() error {
	if s.cert == nil {
		return nil
	}
	return s.cert.load()
}

// Stop drains: no new calls, those under way may go on for the configured time, then they are ended, each with an
// event that says so. It waits for everything that Start began.
func (s *Server) Stop() error {
	s.ready.Store(false)
	whole := s.config.Server.Drain
	ctx, done := context.WithTimeout(context.Background(), whole+cutBefore)
	defer done()
	cut := time.AfterFunc(max(0, whole-cutBefore), s.listener.drain)
	defer cut.Stop()
	err := s.http.ShutdownWithContext(ctx)
	if s.admin != nil {
		err = errors.Join(err, s.admin.ShutdownWithContext(ctx))
	}
	if err == nil {
		s.listener.closing.Wait() // fasthttp counts a connection as gone just before it closes it
	}
	_ = s.listener.Close() // closed already, unless fasthttp had not begun to serve: then it would go on for ever
	if s.admin != nil {
		_ = s.adminListener.Close()
	}
	s.listener.wait()
	s.serving.Wait()
	return err
}
