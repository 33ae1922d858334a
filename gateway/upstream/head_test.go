package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/valyala/fasthttp"
)

func TestHead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, head string
		status     int
		length     int
		close      bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", 200, 12, false},
		{"any case", "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:12\r\n\r\n", 200, 12, false},
		{"no reason", "HTTP/1.1 429\r\nContent-Length: 0\r\n\r\n", 429, 0, false},
		{"empty reason", "HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n", 429, 0, false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, lengthChunked, false},
		{"both", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 200, lengthChunked, true},
		{"neither", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", 200, lengthUntilClose, false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 1\r\n\r\n", 200, 1, true},
		{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 200, 1, true},
		{"1.0 kept", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n", 200, 1, false},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 200, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.head + "body"), iotest.OneByteReader(strings.NewReader(c.head + "body"))} {
				var h Head
				br := bufio.NewReader(r)
				if err := h.read(br); err != nil {
					t.Fatal(err)
				}
				if h.status != c.status || h.length != c.length || h.close != c.close {
					t.Errorf("status %d, length %d, close %v", h.status, h.length, h.close)
				}
				if rest, _ := io.ReadAll(br); string(rest) != "body" {
					t.Errorf("the body begins with %q", rest)
				}
			}
		})
	}
}

func TestHeadRefuses(t *testing.T) {
	t.Parallel()
	ok := "HTTP/1.1 200 OK\r\n"
	for name, head := range map[string]string{
		"not HTTP":               "SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"two digits":             "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":            "HTTP/1.1 2000 OK\r\n\r\n",
		"status below 100":       "HTTP/1.1 099 OK\r\n\r\n",
		"bare LF in the line":    "HTTP/1.1 200 O\nK\r\n\r\n",
		"bare LF":                ok + "A: b\nC: d\r\n\r\n",
		"bare CR":                ok + "A: b\rC: d\r\n\r\n",
		"NUL":                    ok + "A: b\x00\r\n\r\n",
		"folded":                 ok + "A: b\r\n c\r\n\r\n",
		"space before colon":     ok + "Content-Length : 1\r\n\r\n",
		"no colon":               ok + "nonsense\r\n\r\n",
		"no name":                ok + ": b\r\n\r\n",
		"two lengths":            ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"signed length":          ok + "Content-Length: +1\r\n\r\n",
		"length in a list":       ok + "Content-Length: 1, 1\r\n\r\n",
		"no length":              ok + "Content-Length:\r\n\r\n",
		"huge length":            ok + "Content-Length: 9223372036854775808\r\n\r\n",
		"another coding":         ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked twice":          ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"too many fields":        ok + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n",
		"larger than the buffer": ok + "A: " + strings.Repeat("b", 8192) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h Head
			if err := h.read(bufio.NewReaderSize(strings.NewReader(head), readBuffer)); !errors.Is(err, errHead) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHeadOfALostConnection(t *testing.T) {
	t.Parallel()
	var h Head
	if err := h.read(bufio.NewReader(strings.NewReader(""))); err != io.EOF {
		t.Errorf("nothing came: %v", err)
	}
	if err := h.read(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nA: b\r\n"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a head came: %v", err)
	}
}

func TestHeadPeek(t *testing.T) {
	t.Parallel()
	var h Head
	head := "HTTP/1.1 200 OK\r\nx-request-id: \t req_1 \r\nX-Request-Id: second\r\nEmpty:\r\ncontent-type: text/event-stream; charset=utf-8\r\nContent-Encoding: GZIP\r\n\r\n"
	if err := h.read(bufio.NewReader(strings.NewReader(head))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"X-Request-Id": "req_1", "X-REQUEST-ID": "req_1", "empty": "", "absent": "", "x-request": ""} {
		if got := string(h.Peek(name)); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := string(h.ContentType()); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
}

// FuzzHead compares with fasthttp: what we take, fasthttp takes too and reads the same.
func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 503 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours Head
		if ours.read(bufio.NewReaderSize(bytes.NewReader(data), readBuffer)) != nil || bytes.HasPrefix(data, []byte("HTTP/1.0")) {
			return // RFC 9112 §6.1 leaves a chunked answer of HTTP/1.0 open; either way the connection is closed behind it
		}
		var theirs fasthttp.ResponseHeader
		if err := theirs.Read(bufio.NewReaderSize(bytes.NewReader(data), readBuffer)); err != nil {
			return // it is stricter in places, such as the characters of a name
		}
		if ours.status != theirs.StatusCode() {
			t.Errorf("status %d, fasthttp reads %d", ours.status, theirs.StatusCode())
		}
		if length := theirs.ContentLength(); ours.length != length && ours.status != 204 && ours.status != 304 && ours.status >= 200 {
			t.Errorf("length %d, fasthttp reads %d", ours.length, length)
		}
	})
}

// BenchmarkHead guards what made us read the head ourselves: a provider's twenty fields cost fasthttp 2.5 µs.
func BenchmarkHead(b *testing.B) {
	head := []byte("HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 12:59:14 GMT\r\nContent-Type: application/json\r\nContent-Length: 812\r\n" +
		"Connection: keep-alive\r\nopenai-organization: org-a\r\nopenai-processing-ms: 512\r\nopenai-project: proj_a\r\nopenai-version: 2020-10-01\r\n" +
		"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n" +
		"x-ratelimit-remaining-tokens: 1999900\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 3ms\r\n" +
		"x-request-id: req_0123456789abcdef0123456789abcdef\r\nstrict-transport-security: max-age=31536000\r\ncf-cache-status: DYNAMIC\r\n" +
		"set-cookie: __cf_bm=abcdefghijklmnopqrstuvwxyz0123456789; path=/\r\nServer: cloudflare\r\nCF-RAY: 1-AMS\r\nalt-svc: h3\r\n\r\n")
	var h Head
	src := bytes.NewReader(head)
	r := bufio.NewReaderSize(src, readBuffer)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(head)
		r.Reset(src)
		if err := h.read(r); err != nil || len(h.Peek("X-Request-Id")) == 0 {
			b.Fatal(err)
		}
	}
}
