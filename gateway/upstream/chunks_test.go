package upstream

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestDechunker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, payload, extra string
		done               bool
	}{
		"one chunk":                {in: "5\r\nhello\r\n0\r\n\r\n", payload: "hello", done: true},
		"chunks move together":     {in: "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", payload: "hello", done: true},
		"empty":                    {in: "0\r\n\r\n", done: true},
		"upper case, leading zero": {in: "00A\r\n0123456789\r\n000\r\n\r\n", payload: "0123456789", done: true},
		"extension":                {in: "2;a=\"b;c\"\r\nhi\r\n0;x\r\n\r\n", payload: "hi", done: true},
		"blanks behind the size":   {in: "2 \t\r\nhi\r\n0\r\n\r\n", payload: "hi", done: true},
		"trailer":                  {in: "2\r\nhi\r\n0\r\nX: y\r\nZ: 0\r\n\r\n", payload: "hi", done: true},
		"line ends in the payload": {in: "4\r\n\r\n\r\n\r\n0\r\n\r\n", payload: "\r\n\r\n", done: true},
		"bytes behind the end":     {in: "2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200", payload: "hi", extra: "HTTP/1.1 200", done: true},
		"not at the end yet":       {in: "2\r\nhi\r\n0\r\nX: y\r\n", payload: "hi"},
		"in the middle of a chunk": {in: "ff\r\nhi", payload: "hi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(c.in); size++ {
				got, extra, d, err := feedBy(c.in, size)
				if err != nil || got != c.payload || extra != c.extra || d.done() != c.done {
					t.Fatalf("cut every %d bytes: payload %q, extra %q, done %v, error %v", size, got, extra, d.done(), err)
				}
			}
		})
	}
}

func TestDechunkerRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"no size":                  "\r\nhi\r\n",
		"no number":                "xyz\r\n",
		"a sign":                   "+2\r\nhi\r\n",
		"a minus":                  "-2\r\nhi\r\n",
		"a prefix":                 "0x2\r\nhi\r\n",
		"a blank before the size":  " 2\r\nhi\r\n",
		"only an extension":        ";a\r\nhi\r\n",
		"a bare LF":                "2\nhi\r\n",
		"a bare LF in extension":   "2;a\nhi\r\n",
		"CR without LF":            "2\rhi\r\n",
		"a chunk that is longer":   "2\r\nhii\r\n0\r\n\r\n",
		"a chunk ended by LF":      "2\r\nhi\n0\r\n\r\n",
		"CR CR behind a chunk":     "2\r\nhi\r\r\n",
		"more than a terabyte":     "10000000001\r\n",
		"a size that overflows":    "ffffffffffffffffff\r\n",
		"a second size that fails": "2\r\nhi\r\nz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(in); size++ {
				if _, _, _, err := feedBy(in, size); !errors.Is(err, errFraming) {
					t.Fatalf("cut every %d bytes: error %v", size, err)
				}
			}
		})
	}
}

// feedBy decodes with reads of at most size bytes.
func feedBy(in string, size int) (payload, extra string, d dechunker, err error) {
	var out strings.Builder
	for rest := []byte(in); len(rest) > 0; {
		n := min(size, len(rest))
		p, used, err := d.feed(rest[:n:n])
		out.Write(p)
		if err != nil {
			return out.String(), "", d, err
		}
		if used < n || d.done() {
			return out.String(), string(rest[used:]), d, nil
		}
		rest = rest[n:]
	}
	return out.String(), "", d, nil
}

// slowDechunk is the grammar of RFC 9112 §7.1 once more, over the whole body and without a state: what the
// decoder must give, however its input is cut.
func slowDechunk(in string) (payload, rest string, done, malformed bool) {
	for {
		digits := 0
		var size int64
		for digits < len(in) && strings.IndexByte("0123456789abcdefABCDEF", in[digits]) >= 0 {
			size = size*16 + int64(strings.IndexByte("0123456789abcdef", in[digits]|0x20))
			if digits++; size > maxChunk {
				return payload, "", false, true
			}
		}
		if digits == len(in) {
			return payload, "", false, false
		}
		if digits == 0 || strings.IndexByte("; \t\r", in[digits]) < 0 {
			return payload, "", false, true
		}
		end := strings.IndexAny(in[digits:], "\r\n")
		if end < 0 || in[digits+end] == '\r' && digits+end+1 == len(in) {
			return payload, "", false, false
		}
		if in = in[digits+end:]; in[0] == '\n' || in[1] != '\n' {
			return payload, "", false, true
		}
		if in = in[2:]; size == 0 {
			rest, done = slowTrailer(in)
			return payload, rest, done, false
		}
		if int64(len(in)) <= size {
			return payload + in, "", false, false
		}
		payload, in = payload+in[:size], in[size:]
		if in[0] != '\r' || len(in) > 1 && in[1] != '\n' {
			return payload, "", false, true
		}
		if len(in) < 2 {
			return payload, "", false, false
		}
		in = in[2:]
	}
}

// slowTrailer finds the first line without a character.
func slowTrailer(in string) (rest string, done bool) {
	for {
		line, after, ok := strings.Cut(in, "\n")
		if !ok {
			return "", false
		}
		if strings.Trim(line, "\r") == "" {
			return after, true
		}
		in = after
	}
}

func FuzzDechunker(f *testing.F) {
	for _, in := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\nmore", "2\nhi\r\n", "ffffffffffffffff\r\n", "0\r\n\r\n", "1 \r\na\r\n",
	} {
		f.Add([]byte(in), []byte{1, 3})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		want, wantRest, wantDone, malformed := slowDechunk(string(in))
		var got bytes.Buffer
		var d dechunker
		var failed error
		rest := bytes.Clone(in)
		for i := 0; len(rest) > 0 && failed == nil && !d.done(); i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			piece := rest[:n:n]
			p, used, err := d.feed(piece)
			if len(p) > 0 && &p[0] != &piece[cap(piece)-cap(p)] {
				t.Fatal("the payload lies outside of what was fed")
			}
			got.Write(p)
			rest, failed = rest[used:], err
			if err == nil && used < n && !d.done() {
				t.Fatalf("stopped at %q without an end or an error", rest)
			}
		}
		if (failed != nil) != malformed {
			t.Fatalf("error %v, malformed %v", failed, malformed)
		}
		if malformed {
			// What was decoded in the read that failed is not given out; nothing else may be.
			if !strings.HasPrefix(want, got.String()) {
				t.Fatalf("payload %q, want a beginning of %q", got.String(), want)
			}
			return
		}
		if got.String() != want || d.done() != wantDone || d.done() && string(rest) != wantRest {
			t.Fatalf("payload %q, done %v, rest %q; want %q, %v, %q", got.String(), d.done(), rest, want, wantDone, wantRest)
		}
	})
}
