package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// read takes a whole message through head and body, however the bytes arrive.
func read(t *testing.T, r io.Reader) (head, string, error) {
	t.Helper()
	br := bufio.NewReaderSize(r, 64)
	h, err := readHead(br)
	if err != nil {
		return h, "", err
	}
	body, err := newBodyReader(br, h)
	if err != nil {
		return h, "", err
	}
	var text strings.Builder
	for {
		b, err := body.next()
		if errors.Is(err, io.EOF) {
			return h, text.String(), nil
		}
		if err != nil {
			return h, text.String(), err
		}
		text.Write(b)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 20)
	tests := []struct {
		name, wire string
		want       head
		body       string
	}{
		{"length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Other: a\r\n\r\nhello", head{status: 200, length: 5}, "hello"},
		{"empty", "HTTP/1.1 204 No\r\nContent-Length:0\r\n\r\n", head{status: 204, length: 0}, ""},
		{"closing", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", head{status: 200, length: 1, close: true}, "x"},
		{"request", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", head{length: 2}, "ab"},
		{
			"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nC8\r\n" + long + "\r\n0\r\n\r\n",
			head{status: 200, length: -1, chunked: true},
			"abc" + long,
		},
	}
	for _, tt := range tests {
		for how, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				h, body, err := read(t, wrap(strings.NewReader(tt.wire)))
				if err != nil || h != tt.want || body != tt.body {
					t.Errorf("got %+v, %q, %v; want %+v, %q", h, body, err, tt.want, tt.body)
				}
			})
		}
	}
}

func TestBrokenMessages(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]string{
		"cut head":        "HTTP/1.1 200 OK\r\nContent-Le",
		"cut length":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		"cut chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"no last chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"no chunk size":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"chunk too long":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
		"neither of them": "HTTP/1.1 200 OK\r\n\r\nhello",
		"no status":       "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
		"no colon":        "HTTP/1.1 200 OK\r\nrubbish\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if h, body, err := read(t, strings.NewReader(wire)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("got %+v, %q, %v; want an error that is no clean end", h, body, err)
			}
		})
	}
}
