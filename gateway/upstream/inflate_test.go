package upstream

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

type flusher interface {
	io.WriteCloser
	Flush() error
}

// squeeze compresses pieces, flushed one by one as a provider does that streams.
func squeeze(w flusher, out *bytes.Buffer, pieces ...string) (flushed []string) {
	for _, p := range pieces {
		_, _ = io.WriteString(w, p)
		_ = w.Flush()
		flushed = append(flushed, out.String())
		out.Reset()
	}
	_ = w.Close()
	return append(flushed, out.String())
}

func gzipped(pieces ...string) []string {
	var b bytes.Buffer
	return squeeze(gzip.NewWriter(&b), &b, pieces...)
}

func deflated(pieces ...string) []string {
	var b bytes.Buffer
	return squeeze(zlib.NewWriter(&b), &b, pieces...)
}

func encoded(encoding string, chunks ...string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + "\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, c := range chunks {
		if c != "" {
			b.WriteString(chunk(c))
		}
	}
	return b.String() + "0\r\n\r\n"
}

func TestCompressedAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("all work and no play ", 20_000)
	zipped := strings.Join(gzipped(long), "")
	for name, c := range map[string]struct {
		answer, want string
		length       int
	}{
		"gzip":         {encoded("gzip", gzipped("hello")...), "hello", -1},
		"x-gzip":       {encoded("x-gzip", gzipped("hello")...), "hello", -1},
		"deflate":      {encoded("deflate", deflated("hel", "lo")...), "hello", -1},
		"two members":  {encoded("gzip", append(gzipped("hel"), gzipped("lo")...)...), "hello", -1},
		"identity":     {"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", "hello", 5},
		"with length":  {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zipped), zipped), long, -1},
		"byte by byte": {encoded("gzip", strings.Split(strings.Join(gzipped("hello"), ""), "")...), "hello", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				for s.answer(c.answer) {
				}
			})
			for range 2 {
				x := p.open(t)
				if n := x.Length(); n != c.length {
					t.Errorf("length %d, want %d", n, c.length)
				}
				got, err := readAll(x)
				x.Finish(err)
				if err != nil || got != c.want {
					t.Fatalf("%d bytes, error %v; want %d bytes", len(got), err, len(c.want))
				}
			}
			if n := p.accepted.Load(); n != 1 {
				t.Errorf("%d connections, want one that is used again", n)
			}
		})
	}
}

func TestCompressedAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	whole := strings.Join(gzipped("hello hello hello"), "")
	for name, c := range map[string]struct {
		answer string
		class  adapters.Class
	}{
		"unknown encoding": {encoded("br", "hello"), adapters.ClassGarbage},
		"two encodings":    {encoded("gzip, gzip", "hello"), adapters.ClassGarbage},
		"no gzip at all":   {encoded("gzip", "hello hello hello"), adapters.ClassTruncated},
		"no zlib at all":   {encoded("deflate", "hello hello hello"), adapters.ClassTruncated},
		"empty":            {encoded("gzip"), adapters.ClassTruncated},
		"cut":              {encoded("gzip", whole[:len(whole)-4]), adapters.ClassTruncated},
		"a wrong checksum": {encoded("gzip", whole[:len(whole)-8]+"\x00\x00\x00\x00"+whole[len(whole)-4:]), adapters.ClassTruncated},
		"broken transfer":  {strings.TrimSuffix(encoded("gzip", whole[:9]), "0\r\n\r\n") + "x\r\n", adapters.ClassTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				for s.answer(c.answer) {
				}
			})
			x := p.acquire(t)
			_, err := x.Open(ping(), ample, time.Time{})
			if err == nil {
				_, err = readAll(x)
				if _, again := x.Next(); again == nil || again == io.EOF {
					t.Errorf("after the error: %v, want an error again", again)
				}
			}
			if class := classOf(t, err); class != c.class {
				t.Errorf("class %s, want %s: %v", class, c.class, err)
			}
			x.Finish(err)
			if n := p.held(); n != 0 {
				t.Errorf("%d places still taken", n)
			}
		})
	}
}

// What the provider flushed comes out before it sends more, else a compressed stream would be held back.
func TestCompressedEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{"gzip": gzipped("data: 1\n\n", "data: 2\n\n"), "deflate": deflated("data: 1\n\n", "data: 2\n\n")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			p := provide(t, func(s *peer) {
				s.answer("HTTP/1.1 200 OK\r\nContent-Encoding: " + name + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(parts[0]))
				<-next
				s.send(chunk(parts[1]))
				<-next
				s.send(chunk(parts[2]) + "0\r\n\r\n")
				s.gone()
			})
			x := p.open(t)
			for _, want := range []string{"data: 1\n\n", "data: 2\n\n"} {
				got, err := x.Next()
				if err != nil || string(got) != want {
					t.Fatalf("piece %q, error %v; want %q", got, err, want)
				}
				next <- struct{}{}
			}
			if _, err := x.Next(); err != io.EOF {
				t.Fatalf("end: %v", err)
			}
			x.Finish(nil)
			if p.idle() != 1 {
				t.Error("the connection did not go back to the pool")
			}
		})
	}
}
