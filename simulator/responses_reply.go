package simulator

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// responsesReply is a response on its way.
type responsesReply struct {
	dialect   *dialect
	q         *responsesRequest
	id, model string
	created   time.Time
	ready     time.Time // when a background response is done
	price     Price
	choice    choice
	items     []outputItem
	sources   []string
	cached    int
	reasoning int
	made      int // tokens of text sent so far
	noUsage   bool
	keep      func() // keeps the response once it is made; nil: it is kept, or needs no keeping

	seq   int // number of the next event
	after int // events up to this number are not sent: a stream that is taken up again
}

// outputItem is one entry of the output.
type outputItem struct {
	kind string // reasoning, search_results, message, function_call
	id   string
	call *toolCall
}

// copied returns the reply as it was before anything was sent, for a stream that is taken up again.
func (r *responsesReply) copied() *responsesReply {
	again := *r
	again.keep, again.made, again.seq, again.after = nil, 0, 0, -1
	return &again
}

func (r *responsesReply) units() (input, output int) {
	return r.q.chat.promptTokens, r.made + r.reasoning
}

// makeItems lays out the output: reasoning, a search, then a message or calls of functions.
func (r *responsesReply) makeItems(thinks bool) []outputItem {
	var items []outputItem
	_, asked := r.q.raw.has("reasoning")
	if !r.dialect.agent && (thinks || asked || r.reasoning > 0) {
		items = append(items, outputItem{kind: "reasoning", id: "rs_" + randomName(48)})
		if r.reasoning == 0 {
			r.reasoning = countTokens(r.thought())
		}
	}
	if r.q.searches && r.dialect.agent {
		items = append(items, outputItem{kind: "search_results"})
	}
	for i := range r.choice.calls {
		items = append(items, outputItem{kind: "function_call", id: "fc_" + randomName(48), call: &r.choice.calls[i]})
	}
	if len(r.choice.calls) == 0 {
		items = append(items, outputItem{kind: "message", id: "msg_" + randomName(48)})
	}
	return items
}

func (r *responsesReply) thought() string {
	return "The user asked about " + topicWord(r.q.chat.prompt) + ", so I answer that."
}

func (r *responsesReply) text() string { return strings.Join(r.choice.pieces, "") }

// conversation is what was said up to now, for a response that continues this one.
func (r *responsesReply) conversation() []message {
	said := r.text()
	if len(r.choice.calls) > 0 {
		said = "function calls"
	}
	return append(slices.Clone(r.q.chat.messages), message{"assistant", said})
}

// item renders an entry of the output; text and arguments are empty unless it is done.
func (r *responsesReply) item(it *outputItem, done bool) obj {
	status := "in_progress"
	if done {
		status = r.status()
	}
	switch it.kind {
	case "reasoning":
		out := obj{"id": it.id, "type": "reasoning", "summary": []obj{}}
		if r.q.summary && done {
			out["summary"] = []obj{{"type": "summary_text", "text": r.thought()}}
		}
		if r.q.encrypted {
			out["encrypted_content"] = nil
			if done {
				out["encrypted_content"] = base64.StdEncoding.EncodeToString([]byte(r.id + r.thought()))
			}
		}
		return out
	case "search_results":
		return obj{"type": it.kind, "queries": []string{r.q.chat.prompt}, "results": rawJSON(appendSearchResults(nil, r.sources))}
	case "function_call":
		arguments := ""
		if done || r.dialect.agent {
			arguments = strings.Join(it.call.pieces, "")
		}
		return obj{"id": it.id, "type": it.kind, "status": status, "arguments": arguments, "call_id": it.call.id, "name": it.call.name}
	}
	content := []obj{}
	if done {
		content = append(content, r.part(r.text()))
	}
	return obj{"id": it.id, "type": "message", "status": status, "role": "assistant", "content": content}
}

// part renders the message's one part.
func (r *responsesReply) part(text string) obj {
	out := obj{"type": "output_text", "annotations": []obj{}, "text": text}
	if !r.dialect.agent {
		out["logprobs"] = []obj{}
	}
	return out
}

// status is how the response ends.
func (r *responsesReply) status() string {
	if r.choice.finish == "length" {
		return "incomplete"
	}
	return "completed"
}

// snapshot renders the response object in a status: queued, in_progress, completed, incomplete, failed or
// cancelled. Output and usage are there only at the end.
func (r *responsesReply) snapshot(status string) []byte { return encode(r.document(status)) }

func (r *responsesReply) document(status string) obj {
	m := r.q.raw
	doc := obj{
		"id": r.id, "object": "response", "created_at": r.created.Unix(), "status": status, "background": r.q.background, "error": nil,
		"incomplete_details": nil, "instructions": m.orNull("instructions"), "max_output_tokens": m.orNull("max_output_tokens"),
		"max_tool_calls": m.orNull("max_tool_calls"), "metadata": m.or("metadata", obj{}), "model": r.model, "output": []obj{},
		"parallel_tool_calls": r.q.chat.parallel, "previous_response_id": m.orNull("previous_response_id"),
		"prompt_cache_key": m.orNull("prompt_cache_key"), "reasoning": m.or("reasoning", obj{"effort": nil, "summary": nil}),
		"safety_identifier": m.orNull("safety_identifier"), "service_tier": "default", "store": r.q.store,
		"temperature": m.or("temperature", 1.0), "text": m.or("text", obj{"format": obj{"type": "text"}, "verbosity": "medium"}),
		"tool_choice": m.or("tool_choice", "auto"), "tools": m.or("tools", []obj{}), "top_logprobs": 0, "top_p": m.or("top_p", 1.0),
		"truncation": m.or("truncation", "disabled"), "usage": nil, "user": m.orNull("user"),
	}
	if r.dialect.agent {
		doc["presence_penalty"], doc["frequency_penalty"], doc["completed_at"] = 0, 0, nil
	}
	switch status {
	case "completed", "incomplete":
		output := make([]obj, len(r.items))
		for i := range r.items {
			output[i] = r.item(&r.items[i], true)
		}
		doc["output"] = output
		if status == "incomplete" {
			doc["incomplete_details"] = obj{"reason": "max_output_tokens"}
		}
		if !r.noUsage && (!r.q.noUsage || !r.dialect.agent) {
			doc["usage"] = r.usage()
		}
		if r.dialect.agent {
			doc["completed_at"] = r.created.Unix()
		}
	case "failed":
		doc["error"] = r.failure()
	}
	return doc
}

func (r *responsesReply) failure() obj {
	e := r.dialect.status(500, r.model)
	out := obj{"code": "server_error", "message": e.message}
	if r.dialect.agent {
		out = obj{"code": "500", "message": e.message, "type": "internal_error"}
	}
	return out
}

// usage renders the tokens of the whole response.
func (r *responsesReply) usage() obj {
	input, output := r.q.chat.promptTokens, r.choice.tokens+r.reasoning
	out := obj{"input_tokens": input, "output_tokens": output, "total_tokens": input + output}
	if !r.dialect.agent {
		out["input_tokens_details"] = obj{"cached_tokens": r.cached}
		out["output_tokens_details"] = obj{"reasoning_tokens": r.reasoning}
		return out
	}
	out["input_tokens_details"] = obj{"cache_creation_input_tokens": 0, "cache_read_input_tokens": r.cached}
	if r.reasoning > 0 {
		out["output_tokens_details"] = obj{"reasoning_tokens": r.reasoning}
	}
	in, made, tools := r.price.Input*int64(input)/1_000_000, r.price.Output*int64(output)/1_000_000, int64(0)
	if r.q.searches {
		tools = r.price.Request
		out["tool_calls_details"] = obj{"search_web": obj{"invocation": 1}}
	}
	out["cost"] = obj{
		"currency": "USD", "input_cost": dollars(in), "output_cost": dollars(made), "tool_calls_cost": dollars(tools),
		"total_cost": dollars(in + made + tools),
	}
	return out
}

// whole renders the response as one body.
func (r *responsesReply) whole(*faults) (body []byte, pieces int) {
	r.made = r.choice.tokens
	if r.keep != nil {
		r.keep()
	}
	pieces = len(r.choice.pieces)
	for _, call := range r.choice.calls {
		pieces += len(call.pieces)
	}
	return r.snapshot(r.status()), pieces
}

// failedWhole is a response that failed: 200, as it comes from both providers.
func (r *responsesReply) failedWhole() []byte { return r.snapshot("failed") }

// failedEvent is an error instead of the first event, later the event that ends a failed response.
func (r *responsesReply) failedEvent(s *stream, first bool) []byte {
	if first {
		e := r.dialect.status(500, r.model)
		b := appendString(append(r.begin(s, "error"), `,"code":"server_error","message":`...), e.message)
		return append(b, `,"param":null}`...)
	}
	b := r.begin(s, "response.failed")
	if r.dialect.agent {
		b = append(append(b, `,"error":`...), encode(r.failure())...)
	}
	b = append(append(b, `,"response":`...), r.snapshot("failed")...)
	return append(b, '}')
}

// dollars renders nanodollars as a JSON number of dollars.
func dollars(nano int64) rawJSON { return appendDollars(nil, nano) }

// rawJSON is JSON that stands in a value as it is.
type rawJSON []byte

// MarshalJSON returns the bytes.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
