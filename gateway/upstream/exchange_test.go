package upstream

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

func TestBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		answer, want string
		length       int
		reused       bool
	}{
		"fixed":               {fixed("hello"), "hello", 5, true},
		"empty":               {fixed(""), "", 0, true},
		"no content":          {"HTTP/1.1 204 No Content\r\n\r\n", "", 0, true},
		"chunked":             {chunkedHead + chunk("hel") + chunk("lo") + "0\r\n\r\n", "hello", -1, true},
		"chunked, trailer":    {chunkedHead + chunk("hello") + "0\r\nA: b\r\n\r\n", "hello", -1, true},
		"both lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("hello") + "0\r\n\r\n", "hello", -1, false},
		"until close":         {"HTTP/1.1 200 OK\r\n\r\nhello", "hello", -1, false},
		"HTTP/1.0":            {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 5, false},
		"wish to close":       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", 5, false},
		"news before answer":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + fixed("hello"), "hello", 5, true},
		"longer than a piece": {fixed(long), long, 100_000, true},
		"long and chunked":    {chunkedHead + chunk(long) + chunk(long) + "0\r\n\r\n", long + long, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				for s.answer(c.answer) && c.reused {
				}
			})
			for range 3 {
				x := p.open(t)
				if got := x.Length(); got != c.length {
					t.Errorf("length %d, want %d", got, c.length)
				}
				got, err := readAll(x)
				if _, again := x.Next(); again != io.EOF {
					t.Errorf("behind the end: %v, want EOF again", again)
				}
				x.Finish(err)
				if err != nil || got != c.want {
					t.Fatalf("%d bytes, error %v; want %d bytes", len(got), err, len(c.want))
				}
			}
			want := int64(3)
			if c.reused {
				want = 1
			}
			if n := p.accepted.Load(); n != want {
				t.Errorf("%d connections for 3 exchanges, want %d", n, want)
			}
		})
	}
}

// Every way in which an answer is not whole is an error of a class, and the connection is never used again.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		class  adapters.Class
		open   bool // the fault shows before the body
	}{
		"nothing at all":        {"", adapters.ClassReset, true},
		"half a head":           {"HTTP/1.1 200 OK\r\nContent-Le", adapters.ClassReset, true},
		"no HTTP":               {"220 mail.example.com ESMTP\r\n\r\n", adapters.ClassGarbage, true},
		"a head that is no end": {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2*readBuffer) + "\r\n\r\n", adapters.ClassGarbage, true},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhello", adapters.ClassGarbage, true},
		"a length below zero":   {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", adapters.ClassGarbage, true},
		"shorter than said":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", adapters.ClassTruncated, false},
		"chunks without an end": {chunkedHead + chunk("hello"), adapters.ClassTruncated, false},
		"half a chunk":          {chunkedHead + "ff\r\nhello", adapters.ClassTruncated, false},
		"malformed chunks":      {chunkedHead + "5\nhello\r\n0\r\n\r\n", adapters.ClassTruncated, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				if s.number > 1 {
					s.answer(fixed("clean"))
					return
				}
				s.answer(c.answer)
			})
			x := p.acquire(t)
			sent, err := x.Open(ping(), ample, time.Time{})
			if !sent || (err != nil) != c.open {
				t.Fatalf("Open: sent %v, error %v", sent, err)
			}
			if err == nil {
				_, err = readAll(x)
			}
			if class := classOf(t, err); class != c.class {
				t.Errorf("class %s, want %s: %v", class, c.class, err)
			}
			if strings.Contains(err.Error(), "ESMTP") || strings.Contains(err.Error(), "aaaa") {
				t.Errorf("the error quotes the provider's bytes: %v", err)
			}
			x.Finish(err)
			if n := p.pool.Resends(); n != 0 {
				t.Errorf("%d requests were sent again; a fresh connection never is", n)
			}
			p.call(t, "clean")
			if n := p.accepted.Load(); n != 2 {
				t.Errorf("%d connections, want a second one for the next call", n)
			}
		})
	}
}

// An answer that nobody asked for must never become the next caller's.
func TestTwoAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"fixed":   fixed("mine"),
		"chunked": chunkedHead + chunk("mine") + "0\r\n\r\n",
		"empty":   fixed(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				if s.number > 1 {
					s.answer(fixed("clean"))
					return
				}
				s.answer(answer + fixed("of another caller"))
				s.gone()
			})
			x := p.open(t)
			_, err := readAll(x)
			x.Finish(err)
			if err != nil {
				t.Fatal(err)
			}
			p.call(t, "clean")
		})
	}
}

func TestStrayBytesWhileIdle(t *testing.T) {
	t.Parallel()
	stray, sent := make(chan struct{}), make(chan struct{})
	p := provide(t, func(s *peer) {
		if s.number > 1 {
			s.answer(fixed("clean"))
			return
		}
		s.answer(fixed("first"))
		<-stray
		s.send(fixed("stray"))
		close(sent)
		s.gone()
	})
	p.call(t, "first")
	if p.idle() != 1 {
		t.Fatalf("%d idle connections, want 1", p.idle())
	}
	close(stray)
	within(t, "the stray bytes", sent)
	c := p.idleConn(t)
	eventually(t, "the bytes are there", func() bool { return !c.quiet() })
	p.call(t, "clean")
	if n := p.pool.Resends(); n != 0 {
		t.Errorf("%d requests sent again, want none: the connection should not have been tried", n)
	}
}

// idleConn looks at the one idle connection and puts it back.
func (p *provider) idleConn(t *testing.T) *conn {
	t.Helper()
	cc, err := p.host().conns.AcquireConn(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.host().conns.ReleaseConn(cc)
	return cc.Conn().(*conn)
}

// quiet looks past what the watcher says.
func (c *conn) quiet() bool {
	seen := peekEnd
	return c.raw.Control(func(fd uintptr) { seen = peekFD(fd) }) == nil && seen == peekQuiet
}

func TestPeerClosesWhileIdle(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*peer){
		"close":      func(s *peer) { _ = s.Close() },
		"reset":      (*peer).reset,
		"half-close": func(s *peer) { _ = s.CloseWrite(); s.gone() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, written := make(chan struct{}), make(chan int64, 1)
			p := provide(t, func(s *peer) {
				s.answer(fixed("ok"))
				if s.number == 1 {
					<-now
					leave(s)
					n, _ := io.Copy(io.Discard, s.in)
					written <- n
				}
			})
			p.call(t, "ok")
			c := p.idleConn(t)
			close(now)
			eventually(t, "the watcher has marked the connection", c.left.Load)
			p.call(t, "ok")
			if n := within(t, "the old connection's end", written); n != 0 || p.pool.Resends() != 0 {
				t.Errorf("%d bytes written to the closed connection, %d resends", n, p.pool.Resends())
			}
		})
	}
}

// The provider closes just when the request arrives: sent once more, on a fresh connection, and counted.
func TestResend(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*peer){"closed": func(*peer) {}, "reset": (*peer).reset} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bodies := make(chan string, 2)
			p := provide(t, func(s *peer) {
				if s.number == 1 {
					s.answer(fixed("first"))
				}
				_, body, _ := s.request()
				bodies <- body
				if s.number == 1 {
					end(s)
					return
				}
				s.send(fixed("second"))
				s.answer(fixed("third")) // it stays, so that the next exchange has nothing to resend
			})
			p.call(t, "first")
			x := p.open(t)
			if !x.Resent() || p.pool.Resends() != 1 {
				t.Errorf("resent %v, counted %d", x.Resent(), p.pool.Resends())
			}
			got, err := readAll(x)
			x.Finish(err)
			if err != nil || got != "second" {
				t.Fatalf("body %q, error %v", got, err)
			}
			if a, b := <-bodies, <-bodies; a != b || a != `{"a":1}` {
				t.Errorf("bodies %q and %q", a, b)
			}
			y := p.open(t)
			defer y.Finish(io.EOF)
			if y.Resent() {
				t.Error("the mark stayed on the exchange's next use")
			}
		})
	}
}

func TestNeverSentTwiceMore(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		if s.number == 1 {
			s.answer(fixed("first"))
		}
		_, _, _ = s.request() // and no answer, ever
	})
	p.call(t, "first")
	x := p.acquire(t)
	sent, err := x.Open(ping(), ample, time.Time{})
	x.Finish(err)
	if !sent || classOf(t, err) != adapters.ClassReset || p.pool.Resends() != 1 || p.accepted.Load() != 2 {
		t.Errorf("sent %v, error %v, %d resends, %d connections", sent, err, p.pool.Resends(), p.accepted.Load())
	}
	x = p.acquire(t)
	_, err = x.Open(ping(), ample, time.Time{})
	x.Finish(err)
	if classOf(t, err) != adapters.ClassReset || p.pool.Resends() != 1 || p.accepted.Load() != 3 {
		t.Errorf("fresh connection: error %v, %d resends, %d connections", err, p.pool.Resends(), p.accepted.Load())
	}
}

// A reused connection that breaks off after a byte of the answer was executed: it is not sent again.
func TestNoResendAfterAByte(t *testing.T) {
	t.Parallel()
	p := provide(t, func(s *peer) {
		s.answer(fixed("first"))
		s.answer("H")
	})
	p.call(t, "first")
	x := p.acquire(t)
	sent, err := x.Open(ping(), ample, time.Time{})
	x.Finish(err)
	if !sent || classOf(t, err) != adapters.ClassReset || p.pool.Resends() != 0 || p.accepted.Load() != 1 {
		t.Errorf("sent %v, error %v, %d resends, %d connections", sent, err, p.pool.Resends(), p.accepted.Load())
	}
}

// The first write of a resent request may have arrived, whatever becomes of the second connection.
func TestSentStaysTrueWhenTheResendCanNotConnect(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	p := provide(t, func(s *peer) {
		s.answer(fixed("first"))
		_, _, _ = s.request()
		close(second)
	})
	p.call(t, "first")
	p.host().dialer.address = unusedAddress(t)
	x := p.acquire(t)
	sent, err := x.Open(ping(), ample, time.Time{})
	x.Finish(err)
	within(t, "the request", second)
	if !sent || classOf(t, err) != adapters.ClassConnect {
		t.Errorf("sent %v, error %v", sent, err)
	}
	if n := p.held(); n != 0 {
		t.Errorf("%d places still taken", n)
	}
}

// unusedAddress is one where nobody listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	p := provide(t, func(*peer) {})
	p.host().dialer.address = unusedAddress(t)
	for range 2 * 64 { // more often than there are places
		x := p.acquire(t)
		sent, err := x.Open(ping(), ample, time.Time{})
		if sent || classOf(t, err) != adapters.ClassConnect {
			t.Fatalf("sent %v, error %v", sent, err)
		}
		x.Finish(err)
	}
	if n := p.held(); n != 0 {
		t.Errorf("%d places still taken", n)
	}
}

// The request arrives byte for byte, small in one write and large from its slices.
func TestRequests(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 400_000)
	for name, c := range map[string]struct {
		r    adapters.Request
		body []byte
	}{
		"small": {adapters.Request{Method: "POST", Path: "/a", Body: [][]byte{[]byte("he"), nil, []byte("llo")}}, []byte("hello")},
		"large": {adapters.Request{Method: "POST", Path: "/a", Body: [][]byte{[]byte("<"), big, []byte(">")}}, append(append([]byte("<"), big...), '>')},
		"empty": {adapters.Request{Method: "POST", Path: "/a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			type seen struct{ host, uri, length, extra, body string }
			got := make(chan seen, 1)
			p := provide(t, func(s *peer) {
				for {
					r, body, ok := s.request()
					if !ok {
						return
					}
					got <- seen{r.Host, r.RequestURI, r.Header.Get("Content-Length"), r.Header.Get("X-Extra"), body}
					s.send(fixed("ok"))
				}
			})
			c.r.Header = []adapters.Field{{Name: "X-Extra", Value: "1"}}
			for range 2 { // the second on the same connection
				x := p.acquire(t)
				if _, err := x.Open(&c.r, ample, time.Time{}); err != nil {
					t.Fatal(err)
				}
				_, err := readAll(x)
				x.Finish(err)
				r := within(t, "the request", got)
				if r.host != p.Base.Host || r.uri != "/v1/a" || r.extra != "1" || r.body != string(c.body) {
					t.Fatalf("host %q, uri %q, extra %q, %d bytes of body", r.host, r.uri, r.extra, len(r.body))
				}
			}
			if p.accepted.Load() != 1 {
				t.Errorf("%d connections", p.accepted.Load())
			}
		})
	}
}
