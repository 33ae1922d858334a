package simulator

import (
	"strconv"
)

// chatReply is a chat completion on its way: what stands in every part of it, and the count of what was sent.
type chatReply struct {
	dialect    *dialect
	request    *chatRequest
	id, model  string
	groqID     string // the request's id, which Groq repeats in the body
	created    int64  // Unix seconds
	choices    []choice
	citations  []string
	thought    string // reasoning that is shown
	price      Price
	prompt     int
	cached     int
	reasoning  int
	completion int    // tokens sent so far
	keep       func() // stores the completion when it was asked for; may be nil
}

// fingerprint stands where OpenAI names the backend's configuration.
const fingerprint = "fp_5131a7edf0"

// units are the prompt's tokens and those made so far.
func (r *chatReply) units() (input, output int) { return r.prompt, r.completion + r.reasoning }

// appendHead writes the members that come first in an answer and in every chunk of one.
func (r *chatReply) appendHead(b []byte, object string) []byte {
	b = appendString(append(b, `{"id":`...), r.id)
	b = append(b, `,"object":"`+object+`","created":`...)
	b = strconv.AppendInt(b, r.created, 10)
	b = appendString(append(b, `,"model":`...), r.model)
	return b
}

// appendTail writes the members that come last.
func (r *chatReply) appendTail(b []byte) []byte {
	if len(r.citations) == 0 {
		return b
	}
	b = appendStrings(append(b, `,"citations":`...), r.citations)
	if r.dialect.searchResults {
		b = appendSearchResults(append(b, `,"search_results":`...), r.citations)
	}
	return b
}

// appendStrings writes an array of strings.
func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendUsage writes the usage object for what was sent so far.
func (r *chatReply) appendUsage(b []byte) []byte {
	input, output := r.units()
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), int64(input), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(output), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(input+output), 10)
	if own := r.dialect.chatUsage; own != nil {
		return append(own(b, r), '}')
	}
	b = strconv.AppendInt(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), int64(r.cached), 10)
	b = append(b, `,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`...)
	b = strconv.AppendInt(b, int64(r.reasoning), 10)
	return append(b, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// appendMark writes the members that name the backend.
func (r *chatReply) appendMark(b []byte) []byte {
	switch {
	case r.dialect.bareMark:
		return b
	case r.dialect.chatMark != "":
		return append(b, r.dialect.chatMark...)
	}
	return append(b, `,"service_tier":"default","system_fingerprint":"`+fingerprint+`"`...)
}

// whole renders the answer as one JSON object.
func (r *chatReply) whole(f *faults) (body []byte, pieces int) {
	for i := range r.choices {
		r.completion += r.choices[i].tokens
		pieces += len(r.choices[i].pieces)
		for _, call := range r.choices[i].calls {
			pieces += len(call.pieces)
		}
	}
	r.stored()
	return r.appendWhole(nil, f.usage != "none"), pieces
}

func (r *chatReply) stored() {
	if r.keep != nil {
		r.keep()
	}
}

// appendWhole writes the answer as one JSON object.
func (r *chatReply) appendWhole(b []byte, withUsage bool) []byte {
	b = append(r.appendHead(b, "chat.completion"), `,"choices":[`...)
	for i := range r.choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendMessage(b, i)
	}
	b = append(b, ']')
	if withUsage {
		b = r.appendUsage(append(b, `,"usage":`...))
	}
	b = r.appendMark(b)
	if r.dialect.groq {
		b = append(appendString(append(b, `,"usage_breakdown":null,"x_groq":{"id":`...), r.groqID), '}')
	}
	return append(r.appendTail(b), '}')
}

func (r *chatReply) appendMessage(b []byte, index int) []byte {
	c := &r.choices[index]
	b = strconv.AppendInt(append(b, `{"index":`...), int64(index), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	b = c.appendContent(b)
	if r.thought != "" {
		b = appendString(append(b, `,"reasoning":`...), r.thought)
	}
	if !r.dialect.bareMessage {
		b = append(b, `,"refusal":null,"annotations":[]`...)
	}
	b = append(b, `},"logprobs":null,"finish_reason":"`...)
	return append(append(b, c.finish...), `"}`...)
}

// appendContent writes the value of content and the calls of tools behind it.
func (c *choice) appendContent(b []byte) []byte {
	if len(c.calls) == 0 {
		return appendJoined(b, c.pieces)
	}
	b = append(b, `null,"tool_calls":[`...)
	for i, call := range c.calls {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), call.id)
		b = appendString(append(b, `,"type":"function","function":{"name":`...), call.name)
		b = appendJoined(append(b, `,"arguments":`...), call.pieces)
		b = append(b, "}}"...)
	}
	return append(b, ']')
}

// appendJoined writes the pieces as one JSON string.
func appendJoined(b []byte, pieces []string) []byte {
	b = append(b, '"')
	for _, p := range pieces {
		start := len(b)
		b = appendString(b, p)
		b = append(b[:start], b[start+1:len(b)-1]...) // without its own quotes
	}
	return append(b, '"')
}
