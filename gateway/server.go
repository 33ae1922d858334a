package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/gateway/upstream"
)

// readBuffer holds a request's head, and a small request whole. It is held only while a request is read: see
// conn.Read.
const readBuffer = 8192

// How the server reads. A head must come within headTimeout; a body may take that and a second for each
// slowestBody of it.
const (
	headTimeout = 30 * time.Second
	idleTimeout = 75 * time.Second
	slowestBody = 64 << 10 // bytes a second
)

// endWithin is how long the calls that a drain ended may take to give their clients a proper end.
const endWithin = 2 * time.Second

// Server serves the data plane on one port, and what is mounted and the operators' few paths with it or on a second
// one.
type Server struct {
	// Operator tells whether a credential opens /metrics from another machine. It may be nil; it is set before Start.
	Operator func(credential []byte) bool
	// Uploads tells whether a mounted path takes files of up to server.max_upload. It may be nil; it is set before Start.
	Uploads func(path string) bool

	config   Config
	pipe     *Pipeline
	cors     cors
	maxConns int
	log      *slog.Logger

	http      *fasthttp.Server
	mounts    mounts // on the data plane's port
	operators *http.ServeMux
	admin     *adminPort // nil: the same port
	ready     atomic.Bool
	heads     sync.Map      // address of a *fasthttp.RequestHeader → early: see early.go
	looks     atomic.Int64  // at /readyz, while we were ready
	asked     atomic.Int64  // unix nanoseconds of the last one
	told      chan struct{} // a look at /readyz saw that we stop
	cert      *certificate  // nil: plain HTTP

	listener *listener
	serving  sync.WaitGroup
}

// NewServer makes a server; Start starts it.
func NewServer(cfg Config, p *Pipeline, g prometheus.Gatherer, maxConns int, log *slog.Logger) *Server {
	fasthttp.SetBodySizePoolLimit(keepBelow, keepBelow) // else one large body stays in memory for ever
	s := &Server{config: cfg, pipe: p, cors: newCORS(cfg.Server.CORS), maxConns: maxConns, log: log, told: make(chan struct{}, 1)}
	s.http, s.operators = s.newHTTP(), s.newOperators(g)
	if cfg.AdminListen != "" {
		s.admin = newAdminPort(s)
	}
	return s
}

func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler: s.serve, ErrorHandler: s.refuseEarly, HeaderReceived: s.headReceived, Logger: silent{},
		Concurrency:    2 * s.maxConns, // the listener turns away before: fasthttp would answer in plain text
		ReadBufferSize: readBuffer, ReduceMemoryUsage: true, WriteBufferSize: 4096, MaxRequestBodySize: int(s.config.Server.MaxBody),
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
	s.listener = newListener(tcp.(*net.TCPListener), w, s.cert, int64(s.config.Server.MaxBodyInFlight), s.maxConns, s.turnedAway)
	if s.admin != nil {
		if err := s.admin.listen(s.config.AdminListen); err != nil {
			return errors.Join(err, s.listener.Close())
		}
		s.run(s.admin.listener.Addr(), s.admin.serve, failed)
	}
	s.run(s.listener.Addr(), func() error { return s.http.Serve(s.listener) }, failed)
	s.ready.Store(true)
	return nil
}

func (s *Server) run(at net.Addr, serve func() error, failed func(error)) {
	s.serving.Go(func() {
		if err := serve(); err != nil {
			failed(fmt.Errorf("serve %s: %w", at, err))
		}
	})
}

// Addr is where the data plane listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// AdminAddr is where the second port listens; the zero value if there is none.
func (s *Server) AdminAddr() netip.AddrPort {
	if s.admin == nil || s.admin.listener == nil {
		return netip.AddrPort{}
	}
	return s.admin.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Connections is how many clients are connected to the data plane.
func (s *Server) Connections() int { return s.listener.open() }

// BodyBytes is what request bodies over 64 KiB take now.
func (s *Server) BodyBytes() int64 { return s.listener.bodies.used.Load() }

// CertificateExpires is when the certificate in use expires; the zero time if there is none.
func (s *Server) CertificateExpires() time.Time {
	if s.cert == nil {
		return time.Time{}
	}
	return s.cert.pair.Load().Leaf.NotAfter
}

// ReloadTLS reads the certificate again; on an error the old one stays.
func (s *Server) ReloadTLS() error {
	if s.cert == nil {
		return nil
	}
	return s.cert.load()
}

// turnedAway is told of a client that got no connection.
func (s *Server) turnedAway(client net.Addr) {
	s.pipe.metrics.refused.Inc()
	s.log.Warn("no connection left", slog.Int("max", s.maxConns), slog.String("client", client.String()))
}

// Whoever balances load by /readyz is told of a stop before the port closes: if somebody has looked askedTimes, and
// within askedWithin, the next look is waited for, at most tellWithin.
const (
	askedTimes  = 3
	askedWithin = time.Minute
	tellWithin  = 5 * time.Second
)

// farewell turns readiness off and waits until the balancer, if there is one, has seen it.
func (s *Server) farewell() {
	s.ready.Store(false)
	if s.looks.Load() < askedTimes || time.Since(time.Unix(0, s.asked.Load())) > askedWithin {
		return
	}
	select {
	case <-s.told:
	case <-time.After(tellWithin):
	}
}

// cut ends what a drain has left.
func (s *Server) cut() {
	s.listener.drain()
	if s.admin != nil {
		s.admin.cut()
	}
}

// Stop drains: no new calls, those under way may go on for the configured time, then they are ended, each with an
// event that says so. It waits for everything that Start began.
func (s *Server) Stop() error {
	s.farewell()
	drain := s.config.Server.Drain
	ctx, done := context.WithTimeout(context.Background(), drain+endWithin)
	defer done()
	cut := time.AfterFunc(drain, s.cut)
	defer cut.Stop()
	err := s.http.ShutdownWithContext(ctx)
	if s.admin != nil {
		err = errors.Join(err, s.admin.stop(ctx))
	}
	if err == nil {
		s.listener.closing.Wait() // fasthttp counts a connection as gone just before it closes it
	}
	_ = s.listener.Close() // closed already, unless fasthttp had not begun to serve: then it would go on for ever
	s.listener.wait()
	s.serving.Wait()
	return err
}
