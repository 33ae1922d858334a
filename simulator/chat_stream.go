package simulator

import "strconv"

// chatStream sends a chat completion in chunks.
type chatStream struct {
	*stream
	reply *chatReply
	head  []byte // the beginning of each chunk, up to the opening bracket of choices
	tail  []byte // from the closing bracket of choices to the end, when usage does not change
	first bool   // the next chunk is the first
	every bool   // usage stands in every chunk
}

func newChatStream(s *stream, r *chatReply) *chatStream {
	f := &s.call.faults
	c := &chatStream{stream: s, reply: r, first: true}
	c.head = r.appendHead(c.head, "chat.completion.chunk")
	c.head = r.appendMark(c.head)
	c.head = append(c.head, `,"choices":[`...)
	c.tail = append(c.tail, ']')
	c.every = f.usage == "every" || f.usage == "" && r.dialect.usageEvery
	if r.request.includeUsage && f.usage == "" && !c.every {
		c.tail = append(c.tail, `,"usage":null`...)
	}
	for i := range r.choices {
		s.total += len(r.choices[i].pieces)
		for _, call := range r.choices[i].calls {
			s.total += len(call.pieces)
		}
	}
	return c
}

// events sends the whole stream.
func (r *chatReply) events(s *stream) error {
	c := newChatStream(s, r)
	for _, part := range []func() error{c.roles, c.thought, c.content, c.finish} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (s *chatStream) roles() error {
	for i := range s.reply.choices {
		b := s.choice(i)
		b = append(b, `{"role":"assistant","content":`...)
		if len(s.reply.choices[i].calls) > 0 {
			b = append(b, `null`...)
		} else {
			b = append(b, `""`...)
		}
		if !s.reply.dialect.bareMessage {
			b = append(b, `,"refusal":null`...)
		}
		if err := s.delta(append(b, '}'), ""); err != nil {
			return err
		}
	}
	return nil
}

// thought sends what the model thought, where the dialect shows it.
func (s *chatStream) thought() error {
	if s.reply.thought == "" {
		return nil
	}
	b := appendString(append(s.choice(0), `{"reasoning":`...), s.reply.thought)
	return s.delta(append(b, '}'), "")
}

// content sends the chunks of all choices in turn: the first of each, the second of each, and so on.
func (s *chatStream) content() error {
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

func (s *chatStream) chunk(i int, text string) error {
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
func (s *chatStream) toolCall(i, j int) error {
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

func (s *chatStream) toolHead(i, j int) []byte {
	return strconv.AppendInt(append(s.choice(i), `{"tool_calls":[{"index":`...), int64(j), 10)
}

func (s *chatStream) finish() error {
	for i := range s.reply.choices {
		if err := s.delta(append(s.choice(i), "{}"...), s.reply.choices[i].finish); err != nil {
			return err
		}
	}
	r := s.reply
	r.stored()
	f := &s.call.faults
	if r.dialect.bareLast && f.usage != "none" {
		// The chunk without choices that Sonar's clients stumble over.
		b := append(r.appendHead(s.line(), "chat.completion.chunk"), `,"usage":`...)
		if err := s.event(append(r.appendTail(r.appendUsage(b)), '}')); err != nil {
			return err
		}
	} else if r.request.includeUsage && f.usage != "none" && !r.dialect.usageEvery {
		b := append(s.line(), s.head...)
		b = r.appendUsage(append(b, `],"usage":`...))
		if err := s.event(append(s.appendGroq(b, true), '}')); err != nil {
			return err
		}
	}
	if s.call.profile.NoDone {
		return nil
	}
	return s.done()
}

// choice begins a chunk in the buffer, up to the value of delta.
func (s *chatStream) choice(i int) []byte {
	b := append(append(s.line(), s.head...), `{"index":`...)
	return append(strconv.AppendInt(b, int64(i), 10), `,"delta":`...)
}

// delta ends a chunk behind its delta and sends it; an empty finish is sent as null.
func (s *chatStream) delta(b []byte, finish string) error {
	b = appendNullable(append(b, `,"logprobs":null,"finish_reason":`...), finish)
	b = append(append(b, '}'), s.tail...)
	if s.every {
		b = s.reply.appendUsage(append(b, `,"usage":`...))
	}
	if s.first || finish != "" {
		b = s.appendGroq(b, finish != "")
	}
	s.first = false
	if finish != "" || s.reply.dialect.tailEvery {
		b = s.reply.appendTail(b)
	}
	return s.event(append(b, '}'))
}

// appendGroq writes what Groq adds to a stream's first chunk, and to its last ones with the usage.
func (s *chatStream) appendGroq(b []byte, last bool) []byte {
	if !s.reply.dialect.groq {
		return b
	}
	b = appendString(append(b, `,"x_groq":{"id":`...), s.reply.groqID)
	if last && s.call.faults.usage != "none" {
		b = s.reply.appendUsage(append(b, `,"usage":`...))
	}
	return append(b, '}')
}
