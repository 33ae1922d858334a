package nodes

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wire is a connection to a Redis that a test asks by itself. It has one owner.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

// answerLimit is how long a Redis that is there may take on a busy machine.
const answerLimit = 10 * time.Second

func connect(t *testing.T, port int) *wire {
	t.Helper()
	c, err := net.DialTimeout("tcp", address(port), answerLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &wire{c, bufio.NewReader(c)}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ask sends a command and reads its answer: a string, an int64, nil, or a list of these.
func (w *wire) ask(words ...string) (any, error) {
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if err := w.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w.conn, command.String()); err != nil {
		return nil, err
	}
	return w.read()
}

// read reads one value of Redis's protocol.
func (w *wire) read() (any, error) {
	line, err := w.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	kind, rest := line[:1], line[1:]
	if kind == "+" {
		return rest, nil
	}
	if kind == "-" {
		return nil, fmt.Errorf("redis says: %s", rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("redis says %q: %w", line, err)
	case kind == ":":
		return n, nil
	case n < 0:
		return nil, nil
	case kind == "$":
		text := make([]byte, n+int64(len("\r\n")))
		_, err := io.ReadFull(w.in, text)
		return string(text[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = w.read(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// must asks for what must be answered.
func (w *wire) must(t *testing.T, words ...string) any {
	t.Helper()
	a, err := w.ask(words...)
	if err != nil {
		t.Fatalf("%.5q: %v", words, err)
	}
	return a
}
