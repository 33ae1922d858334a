package faultproxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/faultproxy"
)

const whole = "a body of some length, long enough to be cut in the middle"

// through starts an HTTP server that answers whole, and a proxy before it.
func through(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, whole)
	}))
	t.Cleanup(server.Close)
	return faultproxy.New(t, strings.TrimPrefix(server.URL, "http://"))
}

// ask sends one request over c and returns as much of the answer's body as came, and how it ended.
func ask(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestFaults(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		fault faultproxy.Fault
		body  string
		ended error // nil: the answer was whole
	}{
		{"none", faultproxy.Fault{}, whole, nil},
		{"cut before the head", faultproxy.Fault{Kind: faultproxy.Cut, After: faultproxy.BeforeHead}, "", io.ErrUnexpectedEOF},
		{"cut after the head", faultproxy.Fault{Kind: faultproxy.Cut}, "", io.ErrUnexpectedEOF},
		{"cut in the body", faultproxy.Fault{Kind: faultproxy.Cut, After: 9}, whole[:9], io.ErrUnexpectedEOF},
		{"reset in the body", faultproxy.Fault{Kind: faultproxy.Reset, After: faultproxy.BeforeHead}, "", syscall.ECONNRESET},
		{"half-closed in the body", faultproxy.Fault{Kind: faultproxy.HalfClose, After: 9}, whole[:9], io.ErrUnexpectedEOF},
		{"promised too much", faultproxy.Fault{Kind: faultproxy.LongLength, After: len(whole)}, whole, io.ErrUnexpectedEOF},
		{"slow", faultproxy.Fault{Kind: faultproxy.Slow, Pace: time.Millisecond}, whole, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := through(t)
			p.Set(t, c.fault)
			body, err := ask(dial(t, p.Addr()))
			if body != c.body || !errors.Is(err, c.ended) {
				t.Errorf("got %q and %v, want %q and %v", body, err, c.body, c.ended)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{
		"stall":     {Kind: faultproxy.Stall, After: 4},
		"blackhole": {Kind: faultproxy.Blackhole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := through(t)
			p.Set(t, f)
			c := dial(t, p.Addr())
			if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			var timeout net.Error
			if _, err := ask(c); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("the answer ended with %v, want silence", err)
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	p := through(t)
	p.Set(t, faultproxy.Fault{Kind: faultproxy.Garbage, After: faultproxy.BeforeHead})
	if body, err := ask(dial(t, p.Addr())); err == nil {
		t.Errorf("garbage was read as an answer: %q", body)
	}
}

func TestCloseReused(t *testing.T) {
	t.Parallel()
	p := through(t)
	p.Set(t, faultproxy.Fault{Kind: faultproxy.CloseReused})
	c := dial(t, p.Addr())
	if body, err := ask(c); body != whole || err != nil {
		t.Fatalf("first request: %q, %v", body, err)
	}
	if body, err := ask(c); err == nil {
		t.Errorf("second request was answered: %q", body)
	}
	if body, err := ask(dial(t, p.Addr())); body != whole || err != nil {
		t.Errorf("a fresh connection: %q, %v", body, err)
	}
}

func TestRefuseAndBack(t *testing.T) {
	t.Parallel()
	p := through(t)
	open := dial(t, p.Addr())
	if _, err := ask(open); err != nil {
		t.Fatal(err)
	}
	p.Set(t, faultproxy.Fault{Kind: faultproxy.Refuse})
	if body, err := ask(open); err == nil {
		t.Errorf("an open connection outlived the server: %q", body)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = c.Close()
		t.Error("a refusing proxy accepted a connection")
	}
	p.Set(t, faultproxy.Fault{})
	if body, err := ask(dial(t, p.Addr())); body != whole || err != nil {
		t.Errorf("after the server came back: %q, %v", body, err)
	}
}

// A fault that strikes one answer of three leaves the others whole.
func TestEvery(t *testing.T) {
	t.Parallel()
	p := through(t)
	p.Set(t, faultproxy.Fault{Kind: faultproxy.Cut, After: faultproxy.BeforeHead, Every: 3})
	for n := 1; n <= 9; n++ {
		body, err := ask(dial(t, p.Addr()))
		if struck := err != nil; struck != (n%3 == 0) || !struck && body != whole {
			t.Errorf("answer %d: %q, %v", n, body, err)
		}
	}
}
