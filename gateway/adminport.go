package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// adminPort serves what is mounted, and the operators' paths, on a port of its own: that of admin.listen. It has no
// inference call to carry, so that it is net/http's, with the same handlers.
type adminPort struct {
	server   *Server
	mounts   mounts
	http     *http.Server
	listener net.Listener
	cut      context.CancelFunc // ends the context of every request
	open     atomic.Int64
}

func newAdminPort(s *Server) *adminPort {
	a := &adminPort{server: s}
	living, cut := context.WithCancel(context.Background())
	a.cut = cut
	a.http = &http.Server{
		Handler: a, ConnState: a.count, BaseContext: func(net.Listener) context.Context { return living },
		ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: readBuffer, // no WriteTimeout: it would cut streams
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	return a
}

// ServeHTTP answers one request.
func (a *adminPort) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if reason := recover(); reason != nil {
			if reason != http.ErrAbortHandler {
				a.server.handlerPanicked(r, reason)
			}
			panic(http.ErrAbortHandler) // net/http closes the connection without a word
		}
	}()
	a.server.believe(r)
	if h := a.mounts.find(r.RequestURI); h != nil {
		r.Body = http.MaxBytesReader(w, r.Body, int64(a.server.maxMounted(r.RequestURI)))
		h.ServeHTTP(w, r)
		return
	}
	if h, pattern := a.server.operators.Handler(r); pattern != "" {
		h.ServeHTTP(w, r)
		return
	}
	e, id := errUnknownPath(r.Method, r.URL.Path), newID()
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("Content-Type", string(typeProblem))
	w.WriteHeader(e.Status)
	_, _ = w.Write(appendProblem(nil, e.Status, id, e)) // the client may have left
}

// believe puts the client in the place of the trusted proxies before it.
func (s *Server) believe(r *http.Request) {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		s.distrust(r, peer.Addr().Unmap())
		client := s.behind(peer.Addr().Unmap(), strings.Join(r.Header.Values("X-Forwarded-For"), ","))
		r.RemoteAddr = net.JoinHostPort(client.String(), "0")
	}
}

// count closes connections that are more than the data plane's port would take.
func (a *adminPort) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if a.open.Add(1) > int64(a.server.maxConns) {
			_ = c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		a.open.Add(-1)
	}
}

func (a *adminPort) listen(address string) (err error) {
	if a.listener, err = net.Listen("tcp", address); err != nil {
		return fmt.Errorf("listen for admin: %w", err)
	}
	return nil
}

// serve serves until stop.
func (a *adminPort) serve() error {
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stop lets the requests under way end until ctx does; what is left then is cut off.
func (a *adminPort) stop(ctx context.Context) error {
	defer a.cut()
	err := a.http.Shutdown(ctx)
	if err != nil {
		_ = a.http.Close()
	}
	_ = a.listener.Close() // closed already, unless it was not served yet
	return err
}
