package tests

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// patience bounds every wait on a socket: long enough for a loaded machine, short enough to name the guilty test.
const patience = 20 * time.Second

func itoa(n int) string { return strconv.Itoa(n) }

// socket is one TCP connection on which a test writes bytes as it likes and reads HTTP answers.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial connects for the length of the test.
func dial(t *testing.T, addr string) *socket {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	x := &socket{c, bufio.NewReader(c)}
	x.extend(t)
	return x
}

// extend gives the connection its full patience again.
func (x *socket) extend(t *testing.T) {
	t.Helper()
	if err := x.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

// write writes all of s.
func (x *socket) write(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(x.conn, s); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// send writes s and reads one answer.
func (x *socket) send(t *testing.T, s string) answer {
	t.Helper()
	x.write(t, s)
	return x.read(t)
}

// sendBody writes a head and as much of a large body as the server takes, then reads the answer.
func (x *socket) sendBody(t *testing.T, head string, body []byte) answer {
	t.Helper()
	x.write(t, head)
	if _, err := x.conn.Write(body); err != nil {
		t.Logf("writing the body ended with %v", err) // allowed: the answer counts
	}
	return x.read(t)
}

// read reads one answer, behind those that only say 100 Continue.
func (x *socket) read(t *testing.T) answer {
	t.Helper()
	res, err := http.ReadResponse(x.in, nil)
	for err == nil && res.StatusCode == http.StatusContinue {
		res, err = http.ReadResponse(x.in, nil)
	}
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body, err}
}

// rest reads until the server closes and returns what came; a reset counts as closed.
func (x *socket) rest(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(x.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server kept the connection open")
	}
	return string(b)
}

// dialTLS connects by TLS for the length of the test.
func dialTLS(t *testing.T, a *authority, addr string) *socket {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	x := &socket{c, bufio.NewReader(c)}
	x.extend(t)
	return x
}
