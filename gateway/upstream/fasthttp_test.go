package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// What Vel relies on in fasthttp and its documentation does not promise. A new version must pass here first.

// fastServer serves on a real socket and returns its address.
func fastServer(t *testing.T, s *fasthttp.Server, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Logger = silent{}
	done := make(chan error, 1)
	go func() { done <- s.Serve(&wrapping{ln, wrap}) }()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

type silent struct{}

func (silent) Printf(string, ...any) {}

type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (w *wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil || w.wrap == nil {
		return c, err
	}
	return w.wrap(c), nil
}

func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, bufio.NewReader(c)
}

// ask sends a request and reads the answer.
func ask(t *testing.T, c net.Conn, in *bufio.Reader, request string, skipBody bool) *fasthttp.Response {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	var r fasthttp.Response
	r.SkipBody = skipBody
	if err := r.Read(in); err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return &r
}

// streamBody counts what fasthttp calls on a body.
type streamBody struct {
	wrote, closed atomic.Int64
	cause         atomic.Pointer[error]
	write         func(io.Writer) (int64, error)
}

func (b *streamBody) SupportsBodyWriteTo() bool { return true }
func (b *streamBody) Read([]byte) (int, error)  { panic("Read must not be called") }
func (b *streamBody) WriteTo(w io.Writer) (int64, error) {
	b.wrote.Add(1)
	return b.write(w)
}

func (b *streamBody) CloseWithError(err error) error {
	b.cause.Store(&err)
	b.closed.Add(1)
	return nil
}

func TestFasthttpClosesABodyOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	hello := func(w io.Writer) (int64, error) { n, err := io.WriteString(w, "hello"); return int64(n), err }
	for name, c := range map[string]struct {
		method string
		status int
		length int
		write  func(io.Writer) (int64, error)
		wrote  int64
		cause  error
	}{
		"chunked":        {"GET", 200, -1, hello, 1, nil},
		"fixed":          {"GET", 200, 5, hello, 1, nil},
		"HEAD":           {"HEAD", 200, -1, hello, 0, nil},
		"HEAD, fixed":    {"HEAD", 200, 5, hello, 0, nil},
		"no content":     {"GET", 204, -1, hello, 0, nil},
		"broken chunked": {"GET", 200, -1, func(io.Writer) (int64, error) { return 0, broken }, 1, broken},
		"broken fixed":   {"GET", 200, 5, func(io.Writer) (int64, error) { return 0, broken }, 1, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &streamBody{write: c.write}
			address := fastServer(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetStatusCode(c.status)
				ctx.SetBodyStream(body, c.length)
			}}, nil)
			conn, in := dial(t, address)
			if _, err := io.WriteString(conn, c.method+" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, in)
			if body.wrote.Load() != c.wrote || body.closed.Load() != 1 {
				t.Fatalf("WriteTo ran %d times, CloseWithError %d times", body.wrote.Load(), body.closed.Load())
			}
			if err := *body.cause.Load(); !errors.Is(err, c.cause) {
				t.Errorf("cause %v, want %v", err, c.cause)
			}
		})
	}
}

// An error out of WriteTo must leave the chunked body without its end, so that no client takes it for whole.
func TestFasthttpLeavesABrokenBodyOpen(t *testing.T) {
	t.Parallel()
	body := &streamBody{write: func(w io.Writer) (int64, error) {
		n, _ := io.WriteString(w, "hello")
		return int64(n), errors.New("broken")
	}}
	address := fastServer(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyStream(body, -1) }}, nil)
	c, in := dial(t, address)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	all, err := io.ReadAll(in)
	if err != nil || !bytes.HasSuffix(all, []byte("5\r\nhello\r\n")) {
		t.Errorf("%q, error %v", all, err)
	}
}

// A body limit of one byte out of HeaderReceived is how Vel refuses before the body came.
func TestFasthttpRefusesByABodyLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, field string }{
		"length, and no body yet": {"Content-Length: 15000000\r\n\r\n", "b"},
		"chunked":                 {"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ""}, // the head is forgotten
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handled, refused := atomic.Int64{}, atomic.Int64{}
			address := fastServer(t, &fasthttp.Server{
				Handler:            func(*fasthttp.RequestCtx) { handled.Add(1) },
				MaxRequestBodySize: 20 << 20,
				HeaderReceived: func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
					return fasthttp.RequestConfig{MaxRequestBodySize: 1}
				},
				ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
					refused.Add(1)
					ctx.SetStatusCode(418)
					if !errors.Is(err, fasthttp.ErrBodyTooLarge) || string(ctx.Request.Header.Peek("X-A")) != c.field {
						ctx.SetStatusCode(500)
					}
				},
			}, nil)
			conn, in := dial(t, address)
			r := ask(t, conn, in, "POST / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n"+c.body, false)
			if r.StatusCode() != 418 || !r.ConnectionClose() || handled.Load() != 0 || refused.Load() != 1 {
				t.Errorf("status %d, close %v, handled %d, refused %d", r.StatusCode(), r.ConnectionClose(), handled.Load(), refused.Load())
			}
		})
	}
}

// fasthttp takes both framings at once and keeps the connection: Vel has to refuse it.
func TestFasthttpTakesTwoFramings(t *testing.T) {
	t.Parallel()
	var length atomic.Int64
	address := fastServer(t, &fasthttp.Server{
		HeaderReceived: func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			length.Store(int64(h.ContentLength()))
			return fasthttp.RequestConfig{}
		},
		Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) },
	}, nil)
	c, in := dial(t, address)
	r := ask(t, c, in, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false)
	if string(r.Body()) != "hi" || r.ConnectionClose() || length.Load() != -1 {
		t.Errorf("body %q, close %v, length %d: if this fails, Vel's own refusal may not be needed any more", r.Body(), r.ConnectionClose(), length.Load())
	}
}

// deadlines records what is done to a connection's write deadline.
type deadlines struct {
	net.Conn
	set atomic.Int64
}

func (d *deadlines) SetDeadline(t time.Time) error { d.set.Add(1); return d.Conn.SetDeadline(t) }

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set.Add(1)
	return d.Conn.SetWriteDeadline(t)
}

// With WriteTimeout 0 fasthttp never touches the write deadline: whoever sets one has to move it as well.
func TestFasthttpLeavesTheWriteDeadlineAlone(t *testing.T) {
	t.Parallel()
	conns := make(chan *deadlines, 1)
	address := fastServer(t, &fasthttp.Server{
		ReadTimeout: patience, IdleTimeout: patience, WriteTimeout: 0, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") },
	}, func(c net.Conn) net.Conn { d := &deadlines{Conn: c}; conns <- d; return d })
	c, in := dial(t, address)
	for range 3 {
		ask(t, c, in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false)
	}
	if n := within(t, "the connection", conns).set.Load(); n != 0 {
		t.Errorf("the write deadline was set %d times", n)
	}
}

// Above the limit a body's memory is given back instead of waiting in a pool for the next request.
func TestFasthttpBodyPoolLimit(t *testing.T) { // not in parallel: the limit is the process's
	fasthttp.SetBodySizePoolLimit(64<<10, 64<<10)
	for range 32 {
		var large, next fasthttp.Request
		large.SetBody(make([]byte, 1<<20))
		large.Reset()
		next.SetBodyString("small")
		if n := cap(next.Body()); n > 64<<10 {
			t.Fatalf("a small body has %d bytes of memory, which was another one's", n)
		}
	}
}

// unconnected is what Vel's Dial returns: a connection that is opened later, by the exchange that uses it.
type unconnected struct {
	net.Conn
	closed int
}

func (u *unconnected) Close() error { u.closed++; return nil }

func TestFasthttpPoolOfUnconnectedConns(t *testing.T) {
	t.Parallel()
	dials := 0
	client := &fasthttp.HostClient{
		Addr: "127.0.0.1:1", MaxConns: 2, ConnPoolStrategy: fasthttp.LIFO, MaxIdleConnDuration: time.Millisecond,
		Dial: func(string) (net.Conn, error) { dials++; return &unconnected{}, nil },
	}
	first, err := client.AcquireConn(0, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.AcquireConn(0, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AcquireConn(0, false); !errors.Is(err, fasthttp.ErrNoFreeConns) {
		t.Errorf("the third of two: %v", err)
	}
	a, b := first.Conn().(*unconnected), second.Conn().(*unconnected)
	client.ReleaseConn(first)
	client.ReleaseConn(second)
	again, err := client.AcquireConn(0, false)
	if err != nil || again.Conn() != net.Conn(b) && again.Conn() != net.Conn(a) {
		t.Fatalf("not one of the two came back: %v", err)
	}
	client.CloseConn(again)
	if a.closed+b.closed < 1 || dials != 2 {
		t.Errorf("closed %d and %d times, %d dials", a.closed, b.closed, dials)
	}
	client.CloseIdleConnections()
	if client.ConnsCount() != 0 || a.closed != 1 || b.closed != 1 {
		t.Errorf("%d connections counted, closed %d and %d times", client.ConnsCount(), a.closed, b.closed)
	}
}

// The parts of fasthttp that Vel uses send nothing by themselves: what repeats a request is Client.Do alone, and a
// request that is lost after its last byte is written once.
func TestFasthttpPoolNeverWrites(t *testing.T) {
	t.Parallel()
	read := make(chan string, 4)
	p := provide(t, func(s *peer) {
		all, _ := io.ReadAll(s.in)
		read <- string(all)
	})
	client := p.host().conns
	cc, err := client.AcquireConn(0, false)
	if err != nil {
		t.Fatal(err)
	}
	c := cc.Conn().(*conn)
	if err := c.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.ReleaseConn(cc)
	client.CloseIdleConnections()
	if got := within(t, "the connection's end", read); got != "" {
		t.Errorf("fasthttp wrote %q", got)
	}
}

// v1.73 gave a connection whose streamed answer was closed early to the next caller, who read the first one's
// tokens. Vel does not use Client.Do, but whoever does one day must not bring that back.
func TestFasthttpClientDiscardsStreamsClosedEarly(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*fasthttp.Response) error{
		"closed": (*fasthttp.Response).CloseBodyStream,
		"closed with error": func(r *fasthttp.Response) error {
			return r.BodyStream().(fasthttp.ReadCloserWithError).CloseWithError(io.EOF)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				if s.number == 1 {
					s.answer(chunkedHead + chunk("of the first caller") + chunk("more of the first caller"))
					s.gone()
					return
				}
				s.answer(fixed("clean"))
			})
			client := &fasthttp.HostClient{
				Addr: p.Base.Host, MaxIdemponentCallAttempts: 1, Dial: func(a string) (net.Conn, error) { return net.Dial("tcp", a) },
			}
			var q fasthttp.Request
			q.SetRequestURI(p.Base.String())
			var first, second fasthttp.Response
			first.StreamBody = true
			if err := client.Do(&q, &first); err != nil {
				t.Fatal(err)
			}
			if _, err := first.BodyStream().Read(make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			_ = end(&first)
			if err := client.Do(&q, &second); err != nil || string(second.Body()) != "clean" {
				t.Errorf("body %q, error %v", second.Body(), err)
			}
			client.CloseIdleConnections()
		})
	}
}
