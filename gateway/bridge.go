package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// bridge lets an http.Handler answer one request on fasthttp's port. Both want to be the one that calls: the handler
// writes when it likes, and fasthttp asks for a body. So the handler runs on a goroutine of its own, which fasthttp's
// waits for on every path.
//
//	handler's goroutine                      fasthttp's goroutine
//	Write, Flush → bridgeWriter ── lent ──▶  the head, then WriteTo → client
//	                            ◀── taken ──
//	returns                     ── ended ──▶ CloseWithError
//
// What is lent is the handler's own memory: it waits until the client took it, so that nothing piles up between them.
type bridge struct {
	conn   *conn
	out    *bridgeWriter // the handler's, and fasthttp's while it holds a piece and after the end
	cancel context.CancelFunc
	lent   chan []byte   // a piece for the client; an empty one brings the head alone
	taken  chan error    // what became of it; has room, so that an answer to it never waits
	left   chan struct{} // closed when nobody takes pieces any more
	leave  func()        // closes left; may be called twice
	ended  chan struct{} // closed when the handler has returned
	failed error         // why its answer is not whole; written before ended

	piece []byte // what fasthttp holds
	holds bool
}

// errLeft is what a handler's writes say when nobody takes them any more.
var errLeft = errors.New("the client left")

// bridge answers a request by an http.Handler.
func (s *Server) bridge(ctx *fasthttp.RequestCtx, h http.Handler) {
	r, err := s.standard(ctx)
	if err != nil {
		s.refuse(ctx, errMalformed)
		return
	}
	living, cancel := context.WithCancel(context.Background())
	b := newBridge(connOf(ctx), cancel, ctx.IsHead())
	b.conn.attach(b)
	go b.run(h, r.WithContext(living), s.handlerPanicked)
	select {
	case b.piece = <-b.lent:
		b.holds = true
		b.begin(&ctx.Response)
	case <-b.ended:
		s.finish(ctx, b)
	}
}

func newBridge(c *conn, cancel context.CancelFunc, headOnly bool) *bridge {
	b := &bridge{
		conn: c, cancel: cancel,
		lent: make(chan []byte), taken: make(chan error, 1), left: make(chan struct{}), ended: make(chan struct{}),
	}
	b.leave = sync.OnceFunc(func() { close(b.left) })
	b.out = &bridgeWriter{bridge: b, header: http.Header{}, headOnly: headOnly}
	return b
}

// run is the handler's goroutine.
func (b *bridge) run(h http.Handler, r *http.Request, panicked func(*http.Request, any)) {
	defer close(b.ended)
	defer func() {
		if reason := recover(); reason == http.ErrAbortHandler {
			b.failed = http.ErrAbortHandler
		} else if reason != nil {
			panicked(r, reason)
			b.failed = fmt.Errorf("panic: %v", reason)
		}
	}()
	b.failed = http.ErrAbortHandler // should the handler end its goroutine
	h.ServeHTTP(b.out, r)
	b.failed = b.out.end()
}

// handlerPanicked notes a panic of a handler: one request may fail, the process goes on.
func (s *Server) handlerPanicked(r *http.Request, reason any) {
	s.pipe.metrics.panics.Inc()
	s.log.Error("panic in a handler", slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Any("panic", reason), slog.String("stack", string(debug.Stack())))
}

// begin starts an answer whose end is not known: the handler has flushed, or written more than it may keep.
func (b *bridge) begin(r *fasthttp.Response) {
	b.out.writeHead(r, b.piece)
	if b.out.headOnly { // the head is the whole answer
		if b.out.length >= 0 {
			r.Header.SetContentLength(b.out.length)
		}
		b.took(http.ErrBodyNotAllowed)
		b.close()
		return
	}
	r.ImmediateHeaderFlush = len(b.piece) == 0
	r.SetBodyStream(b, b.out.length)
}

// finish writes the answer of a handler that has returned and has neither flushed nor written much.
func (s *Server) finish(ctx *fasthttp.RequestCtx, b *bridge) {
	out, r := b.out, &ctx.Response
	switch {
	case b.failed == http.ErrAbortHandler, b.failed == errLeft:
		r.SetBodyStream(b, -1) // WriteTo fails at once, and the connection is closed without an answer
		return
	case b.failed != nil:
		s.refuse(ctx, errInternal)
	case !out.headOnly:
		out.writeHead(r, out.kept)
		r.SetBodyRaw(out.kept)
	default:
		out.writeHead(r, out.kept)
		if n := max(out.length, out.written); n > 0 {
			r.Header.SetContentLength(n)
		}
	}
	b.close()
}

// end ends the handler's context from outside. When the client left, its writes fail too; in a drain it may still
// say goodbye.
func (b *bridge) end(why adapters.Class) {
	if why == adapters.ClassGone {
		b.leave()
	}
	b.cancel()
}

// close ends the handler, if it runs, and waits for it.
func (b *bridge) close() {
	b.cancel()
	b.leave()
	b.took(errLeft)
	<-b.ended
	b.conn.detach()
}

// took answers the piece that fasthttp holds, if any.
func (b *bridge) took(err error) {
	if b.holds {
		b.holds, b.piece = false, nil
		b.taken <- err
	}
}

// SupportsBodyWriteTo lets fasthttp call WriteTo instead of Read.
func (b *bridge) SupportsBodyWriteTo() bool { return true }

// Read is never called; fasthttp asks for an io.Reader.
func (b *bridge) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// WriteTo brings the client each piece as it comes, until the handler returns. An error closes the connection, so
// that the client does not take what it has for the whole answer.
func (b *bridge) WriteTo(w io.Writer) (n int64, err error) {
	for {
		m, err := b.pass(w)
		if n += int64(m); err != nil {
			return n, err
		}
		select {
		case b.piece = <-b.lent:
			b.holds = true
		case <-b.left:
			return n, errLeft
		case <-b.ended:
			return n, b.failed
		}
	}
}

// pass writes the piece that fasthttp holds, through fasthttp's buffer to the client.
func (b *bridge) pass(w io.Writer) (n int, err error) {
	if !b.holds {
		return 0, nil
	}
	if n, err = w.Write(b.piece); err == nil {
		if buffer, ok := w.(interface{ Flush() error }); ok { // an answer of a known length; chunks are flushed
			err = buffer.Flush()
		}
	}
	b.took(err)
	return n, err
}

// CloseWithError comes when the answer was written, or will not be.
func (b *bridge) CloseWithError(error) error {
	b.close()
	return nil
}

// hopByHop are the fields that are the connection's business; fasthttp writes those that are needed.
var hopByHop = map[string]bool{
	"Connection": true, "Content-Length": true, "Date": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true,
}

// writeHead writes the head that the handler decided on. sample is the beginning of the body, by which a type is
// guessed where the handler names none, as net/http does.
func (w *bridgeWriter) writeHead(r *fasthttp.Response, sample []byte) {
	r.SetStatusCode(w.status)
	for name, values := range w.head {
		if hopByHop[http.CanonicalHeaderKey(name)] || strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	if _, named := w.head["Content-Type"]; !named && len(sample) > 0 && w.head.Get("Content-Encoding") == "" {
		r.Header.SetContentType(http.DetectContentType(sample))
	}
}
