package simulator

import "strconv"

// begin begins an event of a response in the stream's buffer: its type and its number. Perplexity does not
// repeat the type beside the data.
func (r *responsesReply) begin(s *stream, kind string) []byte {
	name := kind
	if r.dialect.agent {
		name = ""
	}
	b := append(append(append(s.named(name), `{"type":"`...), kind...), '"')
	b = strconv.AppendInt(append(b, `,"sequence_number":`...), int64(r.seq), 10)
	r.seq++
	return b
}

// end ends an event and sends it, unless the client has it already.
func (r *responsesReply) end(s *stream, b []byte) error {
	b = append(b, '}')
	s.buf = b
	if r.seq-1 <= r.after {
		return nil
	}
	return s.event(b)
}

// value sends an event with one member that is not on the path of text.
func (r *responsesReply) value(s *stream, kind, name string, value []byte) error {
	b := append(append(append(r.begin(s, kind), `,"`...), name...), `":`...)
	return r.end(s, append(b, value...))
}

// events sends the whole response.
func (r *responsesReply) events(s *stream) error {
	s.total = len(r.choice.pieces)
	for _, call := range r.choice.calls {
		s.total += len(call.pieces)
	}
	for _, kind := range []string{"response.created", "response.in_progress"} {
		if err := r.value(s, kind, "response", r.snapshot("in_progress")); err != nil {
			return err
		}
	}
	for i := range r.items {
		it := &r.items[i]
		send := r.message
		switch it.kind {
		case "reasoning":
			send = r.think
		case "search_results":
			send = r.search
		case "function_call":
			send = r.function
		}
		if err := send(s, it, i); err != nil {
			return err
		}
	}
	if err := s.strike(true); err != nil {
		return err
	}
	if r.keep != nil {
		r.keep()
	}
	if s.call.faults.noDone {
		return nil // the stream ends without its last event
	}
	return r.value(s, "response."+r.status(), "response", r.snapshot(r.status()))
}

// framed sends an item's first event, what comes between, and its last.
func (r *responsesReply) framed(s *stream, it *outputItem, index int, between func() error) error {
	if err := r.edge(s, "response.output_item.added", it, index, false); err != nil {
		return err
	}
	if err := between(); err != nil {
		return err
	}
	return r.edge(s, "response.output_item.done", it, index, true)
}

func (r *responsesReply) edge(s *stream, kind string, it *outputItem, index int, done bool) error {
	b := append(appendInt(r.begin(s, kind), "output_index", index), `,"item":`...)
	return r.end(s, append(b, encode(r.item(it, done))...))
}

// of begins an event about a part of an item.
func (r *responsesReply) of(s *stream, kind string, it *outputItem, index int, part string) []byte {
	b := appendString(append(r.begin(s, kind), `,"item_id":`...), it.id)
	b = appendInt(b, "output_index", index)
	if part != "" {
		b = appendInt(b, part, 0)
	}
	return b
}

func (r *responsesReply) think(s *stream, it *outputItem, index int) error {
	return r.framed(s, it, index, func() error {
		if !r.q.summary {
			return nil
		}
		text := appendString(nil, r.thought())
		for _, e := range []struct{ kind, member, value string }{
			{"part.added", "part", `{"type":"summary_text","text":""}`},
			{"text.delta", "delta", string(text)},
			{"text.done", "text", string(text)},
			{"part.done", "part", `{"type":"summary_text","text":` + string(text) + `}`},
		} {
			b := r.of(s, "response.reasoning_summary_"+e.kind, it, index, "summary_index")
			if err := r.end(s, append(append(b, `,"`+e.member+`":`...), e.value...)); err != nil {
				return err
			}
		}
		return nil
	})
}

// search sends what Perplexity sends while it searches, with the empty line between that keeps a connection.
func (r *responsesReply) search(s *stream, it *outputItem, index int) error {
	results := appendSearchResults(nil, r.sources)
	query := appendStrings(nil, []string{r.q.chat.prompt})
	for _, e := range []struct {
		kind, member string
		value        []byte
	}{
		{"started", "thought", []byte(`""`)},
		{"search_queries", "queries", query},
		{"search_results", "results", results},
		{"stopped", "thought", []byte(`""`)},
	} {
		if err := r.value(s, "response.reasoning."+e.kind, e.member, e.value); err != nil {
			return err
		}
	}
	if err := s.bytes(append(s.buf[:0], s.eol...)); err != nil {
		return err
	}
	return r.edge(s, "response.output_item.done", it, index, true)
}

func (r *responsesReply) message(s *stream, it *outputItem, index int) error {
	return r.framed(s, it, index, func() error {
		if err := r.contentPart(s, "added", it, index, ""); err != nil {
			return err
		}
		for _, piece := range r.choice.pieces {
			if err := r.delta(s, it, index, piece); err != nil {
				return err
			}
		}
		if err := s.strike(true); err != nil {
			return err
		}
		b := appendString(append(r.of(s, "response.output_text.done", it, index, "content_index"), `,"text":`...), r.text())
		if !r.dialect.agent {
			b = append(b, `,"logprobs":[]`...)
		}
		if err := r.end(s, b); err != nil {
			return err
		}
		return r.contentPart(s, "done", it, index, r.text())
	})
}

// contentPart sends where a part begins and ends, which Perplexity does not.
func (r *responsesReply) contentPart(s *stream, edge string, it *outputItem, index int, text string) error {
	if r.dialect.agent {
		return nil
	}
	b := append(r.of(s, "response.content_part."+edge, it, index, "content_index"), `,"part":`...)
	return r.end(s, append(b, encode(r.part(text))...))
}

// delta sends a piece of text.
func (r *responsesReply) delta(s *stream, it *outputItem, index int, text string) error {
	if err := r.before(s); err != nil {
		return err
	}
	r.made += countTokens(text)
	s.sent++
	b := appendString(append(r.of(s, "response.output_text.delta", it, index, "content_index"), `,"delta":`...), text)
	if !r.dialect.agent {
		b = append(b, `,"logprobs":[]`...)
	}
	if s.call.faults.failure.truncate && s.sent == s.total {
		return s.broken(b[:len(b)/2])
	}
	return r.end(s, b)
}

// before waits for a piece's turn; what the client has already costs no time.
func (r *responsesReply) before(s *stream) error {
	if r.seq <= r.after {
		return nil
	}
	return s.before()
}

// function sends a call's arguments piece by piece; Perplexity has sent them with the item.
func (r *responsesReply) function(s *stream, it *outputItem, index int) error {
	r.made += countTokens(it.call.name)
	return r.framed(s, it, index, func() error {
		for _, piece := range it.call.pieces {
			if err := r.before(s); err != nil {
				return err
			}
			r.made++
			s.sent++
			if r.dialect.agent {
				continue
			}
			b := append(r.of(s, "response.function_call_arguments.delta", it, index, ""), `,"delta":`...)
			if err := r.end(s, appendString(b, piece)); err != nil {
				return err
			}
		}
		if r.dialect.agent {
			return nil
		}
		b := appendString(append(r.of(s, "response.function_call_arguments.done", it, index, ""), `,"name":`...), it.call.name)
		return r.end(s, appendJoined(append(b, `,"arguments":`...), it.call.pieces))
	})
}
