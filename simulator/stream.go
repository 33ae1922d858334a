package simulator

import (
	"strconv"
	"time"
)

// stream sends a reply as server-sent events. Its buffers are made once: an event allocates nothing.
type stream struct {
	call  *call
	reply *reply
	out   *sink
	paced bool // wait between chunks
	eol   string
	head  []byte // the beginning of each chunk, up to the opening bracket of choices
	tail  []byte // from the closing bracket of choices to the end, when usage does not change
	buf   []byte
	sent  int // content chunks
	total int
	start time.Time
	delay time.Duration
}

func newStream(c *call, r *reply, out *sink, paced bool) *stream {
	f := &c.faults
	s := &stream{call: c, reply: r, out: out, paced: paced, eol: "\n", delay: f.delay.or(c.profile.perToken())}
	if f.crlf {
		s.eol = "\r\n"
	} else if f.cr {
		s.eol = "\r"
	}
	s.head = r.appendHead(s.head, "chat.completion.chunk")
	s.head = append(s.head, `,"service_tier":"default","system_fingerprint":"`+fingerprint+`","choices":[`...)
	s.tail = append(s.tail, ']')
	if c.request.includeUsage && f.usage == "" {
		s.tail = append(s.tail, `,"usage":null`...)
	}
	for i := range r.choices {
		s.total += len(r.choices[i].pieces)
		for _, call := range r.choices[i].calls {
			s.total += len(call.pieces)
		}
	}
	return s
}

// run sends the whole stream. The error is errBroken when a fault struck, or why the client got no more.
func (s *stream) run() error {
	for _, part := range []func() error{s.first, s.roles, s.content, s.finish} {
		if err := part(); err != nil {
			return err
		}
	}
	return s.out.end()
}

// first sends what is asked to come instead of a stream's beginning.
func (s *stream) first() error {
	f := &s.call.faults.failure
	s.start = time.Now()
	switch {
	case f.errorFirst:
		return s.errorEvent()
	case f.garbage:
		return s.broken(append(s.line(), "<html>this is not JSON}"...))
	}
	return s.strike(false)
}

func (s *stream) roles() error {
	for i := range s.reply.choices {
		b := s.choice(i)
		b = append(b, `{"role":"assistant","content":`...)
		if len(s.reply.choices[i].calls) > 0 {
			b = append(b, `null`...)
		} else {
			b = append(b, `""`...)
		}
		if err := s.delta(append(b, `,"refusal":null}`...), ""); err != nil {
			return err
		}
	}
	return nil
}

// content sends the chunks of all choices in turn: the first of each, the second of each, and so on.
func (s *stream) content() error {
	for round, more := 0, true; more; round++ {
		more = false
		for i := range s.reply.choices {
			c := &s.reply.choices[i]
			if round < len(c.pieces) {
				more = true
				if err := s.chunk(i, c.pieces[round]); err != nil {
					return err
				}
			}
		}
	}
	for i := range s.reply.choices {
		for j := range s.reply.choices[i].calls {
			if err := s.toolCall(i, j); err != nil {
				return err
			}
		}
	}
	return s.strike(true)
}

// before waits for a chunk's turn and lets a fault strike that stands before it.
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

func (s *stream) chunk(i int, text string) error {
	if err := s.before(); err != nil {
		return err
	}
	s.reply.completion += countTokens(text)
	s.sent++
	b := appendString(append(s.choice(i), `{"content":`...), text)
	b = append(b, '}')
	if s.call.faults.failure.truncate && s.sent == s.total {
		return s.broken(b[:len(b)-len(text)/2-2])
	}
	return s.delta(b, "")
}

// toolCall sends the j-th call of a choice: first who is called, then the arguments piece by piece.
func (s *stream) toolCall(i, j int) error {
	call := &s.reply.choices[i].calls[j]
	b := s.toolHead(i, j)
	b = appendString(append(b, `,"id":`...), call.id)
	b = appendString(append(b, `,"type":"function","function":{"name":`...), call.name)
	s.reply.completion += countTokens(call.name)
	if err := s.delta(append(b, `,"arguments":""}}]}`...), ""); err != nil {
		return err
	}
	for _, piece := range call.pieces {
		if err := s.before(); err != nil {
			return err
		}
		s.reply.completion++
		s.sent++
		b := appendString(append(s.toolHead(i, j), `,"function":{"arguments":`...), piece)
		if err := s.delta(append(b, `}}]}`...), ""); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) toolHead(i, j int) []byte {
	return strconv.AppendInt(append(s.choice(i), `{"tool_calls":[{"index":`...), int64(j), 10)
}

func (s *stream) finish() error {
	for i := range s.reply.choices {
		if err := s.delta(append(s.choice(i), "{}"...), s.reply.choices[i].finish); err != nil {
			return err
		}
	}
	f := &s.call.faults
	if s.call.request.includeUsage && f.usage != "none" {
		b := append(s.line(), s.head...)
		b = s.reply.appendUsage(append(b, `],"usage":`...))
		if err := s.event(append(b, '}')); err != nil {
			return err
		}
	}
	if f.noDone {
		return nil
	}
	return s.event(append(s.line(), "[DONE]"...))
}

// line begins an event in the buffer, up to its data.
func (s *stream) line() []byte {
	f := &s.call.faults
	b := s.buf[:0]
	if f.comment {
		b = append(append(b, ": keep-alive"...), s.eol...)
		b = append(b, s.eol...)
	}
	b = append(b, "data:"...)
	if !f.tight {
		b = append(b, ' ')
	}
	return b
}

// choice begins a chunk in the buffer, up to the value of delta.
func (s *stream) choice(i int) []byte {
	b := append(append(s.line(), s.head...), `{"index":`...)
	return append(strconv.AppendInt(b, int64(i), 10), `,"delta":`...)
}

// delta ends a chunk behind its delta and sends it; an empty finish is sent as null.
func (s *stream) delta(b []byte, finish string) error {
	b = appendNullable(append(b, `,"logprobs":null,"finish_reason":`...), finish)
	b = append(append(b, '}'), s.tail...)
	if s.call.faults.usage == "every" {
		b = s.reply.appendUsage(append(b, `,"usage":`...))
	}
	if finish != "" {
		b = s.reply.appendTail(b)
	}
	return s.event(append(b, '}'))
}

// event ends an event with its empty line and sends it.
func (s *stream) event(b []byte) error {
	b = append(append(b, s.eol...), s.eol...)
	s.buf = b
	if err := s.call.ctx.Err(); err != nil {
		return err
	}
	s.call.sent = true
	return s.out.write(b)
}

// errorEvent sends an error where a chunk was due; nothing comes after it.
func (s *stream) errorEvent() error {
	e := errStatus(500, s.reply.model)
	return s.broken(e.appendJSON(s.line()))
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

// strike lets the fault strike that was asked for after as many chunks as were sent; after the last chunk
// also one that was asked for later, so that no fault is passed over.
func (s *stream) strike(last bool) error {
	f := &s.call.faults.failure
	if due(f.errorMid, s.sent, last) {
		return s.errorEvent()
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
