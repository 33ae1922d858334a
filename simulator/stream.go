package simulator

import (
	"strconv"
	"time"
)

// stream sends an answer piece by piece: server-sent events, or bytes as they are. Its buffer is made once:
// an event of text allocates nothing.
type stream struct {
	call  *call
	reply reply
	out   *sink
	paced bool // wait between pieces
	eol   string
	buf   []byte
	sent  int // pieces of content
	total int // pieces that there will be; the reply says so before it sends the first
	start time.Time
	delay time.Duration
}

func newStream(c *call, out *sink, paced bool) *stream {
	f := &c.faults
	s := &stream{call: c, out: out, paced: paced, eol: "\n", delay: f.delay.or(c.profile.perToken())}
	if f.crlf {
		s.eol = "\r\n"
	} else if f.cr {
		s.eol = "\r"
	}
	return s
}

// run sends the whole stream. The error is errBroken when a fault struck, or why the client got no more.
func (s *stream) run(r reply) error {
	s.reply = r
	if err := s.first(); err != nil {
		return err
	}
	if err := r.events(s); err != nil {
		return err
	}
	return s.out.end()
}

// first sends what is asked to come instead of a stream's beginning.
func (s *stream) first() error {
	f := &s.call.faults.failure
	s.start = time.Now()
	switch {
	case f.errorFirst:
		return s.errorEvent(true)
	case f.garbage:
		return s.broken(append(s.line(), "<html>this is not JSON}"...))
	}
	return s.strike(false)
}

// before waits for a piece's turn and lets a fault strike that stands before it.
func (s *stream) before() error {
	if s.sent > 0 {
		if err := s.strike(false); err != nil {
			return err
		}
	}
	if s.paced {
		return pause(s.call.ctx, s.start.Add(time.Duration(s.sent)*s.delay))
	}
	return nil
}

// piece sends an event of content, which was counted before; the last one is cut where that was asked for.
func (s *stream) piece(b []byte) error {
	if s.call.faults.failure.truncate && s.sent == s.total {
		return s.broken(b[:len(b)/2])
	}
	return s.event(b)
}

// line begins an event in the buffer, up to its data.
func (s *stream) line() []byte { return s.named("") }

// named begins an event that says its type beside its data, unless the name is empty.
func (s *stream) named(name string) []byte {
	f := &s.call.faults
	b := s.buf[:0]
	if f.comment {
		b = append(append(b, ": keep-alive"...), s.eol...)
		b = append(b, s.eol...)
	}
	if name != "" {
		b = append(append(append(b, "event: "...), name...), s.eol...)
	}
	b = append(b, "data:"...)
	if !f.tight {
		b = append(b, ' ')
	}
	return b
}

// event ends an event with its empty line and sends it.
func (s *stream) event(b []byte) error {
	return s.bytes(append(append(b, s.eol...), s.eol...))
}

// bytes sends bytes that are no event.
func (s *stream) bytes(b []byte) error {
	s.buf = b
	if err := s.call.ctx.Err(); err != nil {
		return err
	}
	s.call.sent = true
	return s.out.write(b)
}

// done sends the sentinel that ends a stream of completions.
func (s *stream) done() error {
	if s.call.faults.noDone {
		return nil
	}
	return s.event(append(s.line(), "[DONE]"...))
}

// errorEvent sends an error where a piece was due; nothing comes after it.
func (s *stream) errorEvent(first bool) error {
	if own, ok := s.reply.(failing); ok {
		return s.broken(own.failedEvent(s, first))
	}
	d := s.call.server.dialect
	return s.broken(d.appendError(s.line(), d.status(500, s.call.profile.Model)))
}

// broken sends an event after which the answer ends early, as if it were whole.
func (s *stream) broken(b []byte) error {
	if err := s.event(b); err != nil {
		return err
	}
	if err := s.out.end(); err != nil {
		return err
	}
	return errBroken
}

// strike lets the fault strike that was asked for after as many pieces as were sent; after the last piece
// also one that was asked for later, so that no fault is passed over.
func (s *stream) strike(last bool) error {
	f := &s.call.faults.failure
	if due(f.errorMid, s.sent, last) {
		return s.errorEvent(false)
	}
	if due(f.cut, s.sent, last) {
		if err := s.out.end(); err != nil {
			return err
		}
		return errBroken
	}
	return s.call.strike(s.sent, last)
}

func due(at opt[int], sent int, last bool) bool {
	return at.ok && (at.v == sent || last && at.v > sent)
}

// appendInt writes a member whose value is a whole number.
func appendInt(b []byte, name string, n int) []byte {
	return strconv.AppendInt(append(append(append(b, `,"`...), name...), `":`...), int64(n), 10)
}
