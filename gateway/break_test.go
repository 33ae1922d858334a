package gateway

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// A stream that breaks off ends with an event that every SDK raises, without [DONE] and without a second attempt.
func TestStreamBreaksOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script  func(*asked) bool
		brief   bool
		relayed string
		code    string
		class   string
	}{
		"closed":          {script: func(a *asked) bool { a.send(streamHead + chunk(piece)); return false }, relayed: piece, code: "provider_answer_truncated", class: "truncated"},
		"ended too early": {script: answers(streamHead + chunk(piece) + lastChunk), relayed: piece, code: "provider_answer_truncated", class: "truncated"},
		"half an event":   {script: answers(streamHead + chunk(piece) + chunk(`data: {"id`) + lastChunk), relayed: piece + `data: {"id`, code: "provider_answer_truncated", class: "truncated"},
		"silent":          {script: func(a *asked) bool { a.send(streamHead + chunk(piece)); a.gone(); return false }, brief: true, relayed: piece, code: "provider_timeout", class: "timeout"},
		"error event":     {script: answers(streamHead + chunk(piece) + chunk(errorEvent) + lastChunk), relayed: piece, code: "overloaded_error", class: "overloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{c.script, wellBehaved}, func(h *house) {
				if c.brief {
					h.routing.Defaults.Timeouts.Idle = new(100 * time.Millisecond)
				}
			})
			conn := h.dial()
			conn.post(streamBody)
			g := conn.answer()
			if g.err != nil || g.StatusCode != 200 || !strings.HasPrefix(g.body, c.relayed) || strings.Contains(g.body, "[DONE]") || strings.Contains(g.body, `"finish_reason":"`) {
				t.Fatalf("status %d, error %v, body %q", g.StatusCode, g.err, g.body)
			}
			if n := strings.Count(g.body, `data: {"error"`); n != 1 || !strings.HasSuffix(g.body, "}\n\n") {
				t.Fatalf("%d error events in %q", n, g.body)
			}
			last := g.body[strings.LastIndex(g.body, "data: {")+len("data: "):]
			if e := errorOf(t, strings.TrimSpace(last)); e.code() != c.code {
				t.Errorf("last event %s, want the code %s", last, c.code)
			}
			if n := h.backends[1].calls.Load(); n != 0 {
				t.Errorf("another target was called %d times after the answer had begun", n)
			}
			line := h.settled(1)
			if line["status"] != 200.0 || line["class"] != c.class || line["attempts"] != 1.0 {
				t.Errorf("line %v", line)
			}
			conn.write(request("GET", "/healthz", "")) // the connection goes on
			if g := conn.answer(); g.StatusCode != 200 {
				t.Errorf("the next answer has status %d", g.StatusCode)
			}
		})
	}
}

// large is an answer that flows, because it is too large to be gathered.
var large = strings.Repeat("0123456789abcdef", 200_000)

func TestLargeAnswersFlow(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"fixed":   strings.TrimSuffix(jsonAnswer(200, large), large),
		"chunked": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			half, rest := large[:len(large)/2], large[len(large)/2:]
			going := make(chan struct{})
			h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
				if name == "chunked" {
					a.send(head + chunk(half))
					<-going
					a.send(chunk(rest) + lastChunk)
					return true
				}
				a.send(head + half)
				<-going
				a.send(rest)
				return true
			}})
			c := h.dial()
			for range 2 {
				c.post(chatBody)
				r := c.head("POST") // it comes while the provider holds half of the answer back
				if r.StatusCode != 200 || r.ContentLength != map[string]int64{"fixed": int64(len(large)), "chunked": -1}[name] {
					t.Fatalf("status %d, length %d", r.StatusCode, r.ContentLength)
				}
				going <- struct{}{}
				if all, err := io.ReadAll(r.Body); err != nil || string(all) != large {
					t.Fatalf("%d bytes, error %v", len(all), err)
				}
			}
			if line := h.settled(2); line["class"] != "none" || h.backends[0].open.Load() != 1 {
				t.Errorf("line %v, %d connections to the provider", line, h.backends[0].open.Load())
			}
		})
	}
}

// A large answer that breaks off must not look whole: the client's connection breaks too.
func TestLargeAnswersBreak(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"fixed":   strings.TrimSuffix(jsonAnswer(200, large), large),
		"chunked": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + "1000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{func(a *asked) bool { a.send(head + large[:len(large)/2]); return false }, wellBehaved})
			g := h.call(chatBody)
			if g.StatusCode != 200 || !errors.Is(g.err, io.ErrUnexpectedEOF) || len(g.body) > len(large)/2 {
				t.Errorf("status %d, %d bytes, error %v", g.StatusCode, len(g.body), g.err)
			}
			if line := h.settled(1); line["class"] != "truncated" || h.backends[1].calls.Load() != 0 {
				t.Errorf("line %v, %d calls of the second target", line, h.backends[1].calls.Load())
			}
		})
	}
}

// fault is a codec that panics at one verb.
type fault struct {
	adapters.Codec
	at string
}

func (f *fault) now(verb string) {
	if f.at == verb {
		panic("a bug in " + verb)
	}
}

func (f *fault) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	f.now("EncodeRequest")
	return f.Codec.EncodeRequest(dst, in, model)
}

func (f *fault) DecodeResponse(out [][]byte, in *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	f.now("DecodeResponse")
	return f.Codec.DecodeResponse(out, in, h, body)
}

func (f *fault) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	f.now("DecodeError")
	return f.Codec.DecodeError(status, h, body)
}

func (f *fault) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	f.now("DecodeStream")
	return &faultStream{Stream: f.Codec.DecodeStream(in, h), fault: f}
}

type faultStream struct {
	adapters.Stream
	fault *fault
	fed   int
}

func (s *faultStream) Feed(out [][]byte, p []byte) ([][]byte, error) {
	if s.fed++; s.fed == 1 {
		s.fault.now("Feed")
	} else {
		s.fault.now("Feed again")
	}
	return s.Stream.Feed(out, p)
}

func (s *faultStream) End(out [][]byte) ([][]byte, error) {
	s.fault.now("End")
	return s.Stream.End(out)
}

// A panic fails one call, which is settled like any other; the process and the connection's neighbours go on.
func TestPanics(t *testing.T) {
	t.Parallel()
	for at, c := range map[string]struct {
		body      string
		script    func(*asked) bool
		committed bool
	}{
		"EncodeRequest":  {body: chatBody},
		"DecodeResponse": {body: chatBody},
		"DecodeError":    {body: chatBody, script: answers(jsonAnswer(500, "{}"))},
		"DecodeStream":   {body: streamBody},
		"Feed":           {body: streamBody},
		"Feed again":     {body: streamBody, committed: true},
		"End":            {body: streamBody, committed: true},
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{}, 8)
			script := func(a *asked) bool {
				if c.script != nil {
					return c.script(a)
				}
				if c.body == chatBody {
					return wellBehaved(a)
				}
				a.send(streamHead + chunk(piece))
				if at == "Feed again" || at == "End" {
					within(t, "the client to have the first piece", left)
				}
				a.send(chunk(finish) + lastChunk)
				return true
			}
			f := &fault{at: at}
			h := newHouse(t, []func(*asked) bool{script}, func(h *house) {
				honest := h.kinds["openai"]
				f.Codec = honest.Codecs[adapters.ChatCompletions]
				bad := *honest
				bad.Codecs = map[adapters.Endpoint]adapters.Codec{adapters.ChatCompletions: f}
				h.kinds["openai"] = &bad
			})
			conn := h.dial()
			conn.post(c.body)
			r := conn.head("POST")
			if c.committed {
				first := make([]byte, len(piece))
				if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != piece {
					t.Fatalf("first piece %q, error %v", first, err)
				}
				left <- struct{}{}
			}
			rest, err := io.ReadAll(r.Body)
			if c.committed {
				if r.StatusCode != 200 || err == nil {
					t.Errorf("status %d, then %q without an error: it looks whole", r.StatusCode, rest)
				}
			} else if e := errorOf(t, string(rest)); r.StatusCode != 500 || e.code() != "internal_error" || strings.Contains(string(rest), "bug") {
				t.Errorf("status %d, body %s", r.StatusCode, rest)
			}
			line := h.settled(1)
			if line["class"] != "internal" || h.metric("vel_panics_total") != 1 {
				t.Errorf("line %v, %v panics counted", line, h.metric("vel_panics_total"))
			}
			if n := h.metric("vel_attempts_total", "outcome", "internal"); n != 1 || h.metric("vel_attempts_total") != 1 {
				t.Errorf("%v internal attempts of %v, want one of one", n, h.metric("vel_attempts_total"))
			}
			if n := len(h.log.lines(t, "panic in a call")); n != 1 {
				t.Errorf("%d lines about the panic", n)
			}
		})
	}
}
