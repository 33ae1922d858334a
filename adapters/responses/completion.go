package responses

import (
	"github.com/tidwall/gjson"
)

// completion makes a chat completion of a response.
func (c *chat) completion(response gjson.Result) []byte {
	var a answer
	response.Get("output").ForEach(func(_, item gjson.Result) bool {
		a.item(item)
		return true
	})
	w := writer{make([]byte, 0, len(response.Raw)+256)}
	w.open('{')
	head(&w, "chat.completion", response)
	w.key("choices")
	w.open('[')
	w.open('{')
	w.number("index", 0)
	w.key("message")
	a.message(&w)
	w.raw("logprobs", "null")
	w.text("finish_reason", finishReason(response, len(a.calls) > 0))
	w.close('}')
	w.close(']')
	if u := response.Get("usage"); u.IsObject() {
		w.key("usage")
		chatUsage(&w, u)
	}
	if tier := response.Get("service_tier"); tier.Type == gjson.String {
		w.raw("service_tier", tier.Raw)
	}
	if c.Sources {
		var s sources
		s.fromOutput(response.Get("output"))
		s.write(&w)
	}
	w.close('}')
	return w.b
}

// head writes what a completion and each of its chunks begin with.
func head(w *writer, object string, response gjson.Result) {
	w.text("id", response.Get("id").String())
	w.text("object", object)
	w.number("created", response.Get("created_at").Int())
	w.text("model", response.Get("model").String())
}

// answer gathers what the items of an output say.
type answer struct {
	text, refusal, reasoning []byte
	said                     bool
	annotations              []string
	calls                    []gjson.Result
}

func (a *answer) item(item gjson.Result) {
	switch item.Get("type").Str {
	case "message":
		item.Get("content").ForEach(func(_, part gjson.Result) bool {
			a.part(part)
			return true
		})
	case "function_call":
		a.calls = append(a.calls, item)
	case "reasoning":
		item.Get("summary").ForEach(func(_, part gjson.Result) bool {
			if len(a.reasoning) > 0 {
				a.reasoning = append(a.reasoning, "\n\n"...)
			}
			a.reasoning = append(a.reasoning, part.Get("text").Str...)
			return true
		})
	}
}

func (a *answer) part(part gjson.Result) {
	switch part.Get("type").Str {
	case "output_text":
		start := int64(len([]rune(string(a.text))))
		a.said = true
		a.text = append(a.text, part.Get("text").Str...)
		part.Get("annotations").ForEach(func(_, note gjson.Result) bool {
			a.annotations = append(a.annotations, annotation(note, start))
			return true
		})
	case "refusal":
		a.refusal = append(a.refusal, part.Get("refusal").Str...)
	}
}

// annotation writes a note in chat's form. Its places count characters of the whole text.
func annotation(note gjson.Result, start int64) string {
	kind := note.Get("type").Str
	if kind != "url_citation" {
		return note.Raw
	}
	var w writer
	w.open('{')
	w.raw("type", `"url_citation"`)
	w.key("url_citation")
	w.open('{')
	w.number("start_index", note.Get("start_index").Int()+start)
	w.number("end_index", note.Get("end_index").Int()+start)
	w.text("url", note.Get("url").String())
	w.text("title", note.Get("title").String())
	w.close('}')
	w.close('}')
	return string(w.b)
}

// message writes the message of a completion.
func (a *answer) message(w *writer) {
	w.open('{')
	w.raw("role", `"assistant"`)
	if a.said || len(a.calls) == 0 && len(a.refusal) == 0 {
		w.text("content", string(a.text))
	} else {
		w.raw("content", "null")
	}
	if len(a.refusal) > 0 {
		w.text("refusal", string(a.refusal))
	} else {
		w.raw("refusal", "null")
	}
	if len(a.reasoning) > 0 {
		w.text("reasoning_content", string(a.reasoning))
	}
	w.key("annotations")
	w.open('[')
	for _, note := range a.annotations {
		w.value(note)
	}
	w.close(']')
	if len(a.calls) > 0 {
		w.key("tool_calls")
		w.open('[')
		for _, call := range a.calls {
			w.open('{')
			w.text("id", callID(call))
			w.raw("type", `"function"`)
			w.key("function")
			w.open('{')
			w.text("name", call.Get("name").String())
			w.text("arguments", arguments(call))
			w.close('}')
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
}

func callID(call gjson.Result) string {
	if id := call.Get("call_id").Str; id != "" {
		return id
	}
	return call.Get("id").Str
}

// arguments are always a string of JSON; none are an empty object.
func arguments(call gjson.Result) string {
	if s := call.Get("arguments").String(); s != "" {
		return s
	}
	return "{}"
}

// finishReason says in chat's words why a response ended.
func finishReason(response gjson.Result, called bool) string {
	switch response.Get("incomplete_details.reason").Str {
	case "max_output_tokens":
		return "length"
	case "content_filter":
		return "content_filter"
	}
	switch {
	case response.Get("status").Str == "incomplete":
		return "length"
	case called:
		return "tool_calls"
	}
	return "stop"
}

// chatUsage writes usage in chat's names. What a provider counts beside the tokens stays, its cost too.
func chatUsage(w *writer, u gjson.Result) {
	w.open('{')
	in, out := u.Get("input_tokens").Int(), u.Get("output_tokens").Int()
	total := u.Get("total_tokens").Int()
	if total == 0 {
		total = in + out
	}
	w.number("prompt_tokens", in)
	w.number("completion_tokens", out)
	w.number("total_tokens", total)
	if d := u.Get("input_tokens_details"); d.IsObject() {
		w.key("prompt_tokens_details")
		w.open('{')
		w.number("cached_tokens", max(d.Get("cached_tokens").Int(), d.Get("cache_read_input_tokens").Int()))
		w.members(d, "cached_tokens")
		w.close('}')
	}
	if d := u.Get("output_tokens_details"); d.IsObject() {
		w.raw("completion_tokens_details", d.Raw)
	}
	if cost := u.Get("cost"); cost.IsObject() {
		w.key("cost")
		chatCost(w, cost)
	}
	if n := u.Get("tool_calls_details.search_web.invocation"); n.Exists() {
		w.number("num_search_queries", n.Int())
	}
	w.members(u, "input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details", "cost")
	w.close('}')
}

// chatCost keeps what a provider says that it charges, and says it in the names that Sonar had, too.
func chatCost(w *writer, cost gjson.Result) {
	w.open('{')
	w.members(cost)
	for _, name := range [...][2]string{
		{"input_tokens_cost", "input_cost"}, {"output_tokens_cost", "output_cost"}, {"request_cost", "tool_calls_cost"},
	} {
		if v := cost.Get(name[1]); v.Exists() && !cost.Get(name[0]).Exists() {
			w.raw(name[0], v.Raw)
		}
	}
	w.close('}')
}
