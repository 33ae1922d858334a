package simulator

import (
	"strconv"
)

// reply is one answer on its way: what stands in every part of it, and the count of what was sent.
type reply struct {
	id, model  string
	created    int64 // Unix seconds
	choices    []choice
	citations  []string
	prompt     int
	cached     int
	reasoning  int
	completion int // tokens sent so far
}

// fingerprint stands where OpenAI names the backend's configuration.
const fingerprint = "fp_5131a7edf0"

// appendHead writes the members that come first in an answer and in every chunk of one.
func (r *reply) appendHead(b []byte, object string) []byte {
	b = appendString(append(b, `{"id":`...), r.id)
	b = append(b, `,"object":"`+object+`","created":`...)
	b = strconv.AppendInt(b, r.created, 10)
	b = appendString(append(b, `,"model":`...), r.model)
	return b
}

// appendTail writes the members that come last.
func (r *reply) appendTail(b []byte) []byte {
	if len(r.citations) == 0 {
		return b
	}
	b = append(b, `,"citations":[`...)
	for i, c := range r.citations {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, c)
	}
	return append(b, ']')
}

// appendUsage writes the usage object for what was sent so far.
func (r *reply) appendUsage(b []byte) []byte {
	output := r.completion + r.reasoning
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), int64(r.prompt), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(output), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(r.prompt+output), 10)
	b = strconv.AppendInt(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), int64(r.cached), 10)
	b = append(b, `,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`...)
	b = strconv.AppendInt(b, int64(r.reasoning), 10)
	return append(b, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// appendWhole writes the answer as one JSON object.
func (r *reply) appendWhole(b []byte, withUsage bool) []byte {
	b = append(r.appendHead(b, "chat.completion"), `,"choices":[`...)
	for i := range r.choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.choices[i].appendMessage(b, i)
	}
	b = append(b, ']')
	if withUsage {
		b = r.appendUsage(append(b, `,"usage":`...))
	}
	b = append(b, `,"service_tier":"default","system_fingerprint":"`+fingerprint+`"`...)
	return append(r.appendTail(b), '}')
}

func (c *choice) appendMessage(b []byte, index int) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(index), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	if len(c.calls) > 0 {
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
		b = append(b, ']')
	} else {
		b = appendJoined(b, c.pieces)
	}
	b = append(b, `,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"`...)
	return append(append(b, c.finish...), `"}`...)
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

// bill is the answer's price, for what was sent of it.
func (r *reply) bill(p Price) int64 { return p.cost(r.prompt, r.completion+r.reasoning) }
