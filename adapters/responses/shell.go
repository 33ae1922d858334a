package responses

import (
	"strings"

	"github.com/tidwall/gjson"
)

// shell is what a response has around its output: what the provider said of itself, and the request given back.
type shell struct {
	request   gjson.Result
	id, model string
	created   int64
}

// write writes a whole response object. reason is chat's finish_reason, or "" while the response is under way.
func (s *shell) write(w *writer, reason string, items [][]byte, usage gjson.Result) {
	status, incomplete := statusOf(reason)
	w.open('{')
	w.text("id", "resp_"+s.id)
	w.raw("object", `"response"`)
	w.number("created_at", s.created)
	w.text("status", status)
	w.raw("background", "false")
	w.raw("error", "null")
	w.raw("incomplete_details", incomplete)
	w.text("model", s.model)
	w.key("output")
	w.open('[')
	for _, item := range items {
		w.comma()
		w.b = append(w.b, item...)
	}
	w.close(']')
	w.raw("previous_response_id", "null")
	w.raw("store", "false")
	for _, field := range [...][2]string{
		{"instructions", "null"},
		{"max_output_tokens", "null"},
		{"metadata", "{}"},
		{"parallel_tool_calls", "true"},
		{"reasoning", `{"effort":null,"summary":null}`},
		{"temperature", "1"},
		{"text", `{"format":{"type":"text"}}`},
		{"tool_choice", `"auto"`},
		{"top_p", "1"},
		{"truncation", `"disabled"`},
	} {
		if v := s.request.Get(field[0]); v.Exists() && !isNull(v) {
			w.raw(field[0], v.Raw)
		} else {
			w.raw(field[0], field[1])
		}
	}
	w.key("tools")
	tools(w, s.request.Get("tools"))
	if user := s.request.Get("user"); user.Exists() && !isNull(user) {
		w.raw("user", user.Raw)
	}
	if usage.IsObject() { // it may be absent, but it is never null
		w.key("usage")
		responseUsage(w, usage)
	}
	w.close('}')
}

// tools gives the request's tools back. A function has all its members there, also those that the request left out.
func tools(w *writer, asked gjson.Result) {
	w.open('[')
	asked.ForEach(func(_, tool gjson.Result) bool {
		w.comma()
		if tool.Get("type").Str != "function" {
			w.b = append(w.b, tool.Raw...)
			return true
		}
		w.b = append(w.b, tool.Raw[:strings.LastIndexByte(tool.Raw, '}')]...)
		for _, name := range [...]string{"parameters", "strict"} {
			if !tool.Get(name).Exists() {
				w.b = append(w.b, `,"`+name+`":null`...)
			}
		}
		w.b = append(w.b, '}')
		return true
	})
	w.close(']')
}

// statusOf says in the words of Responses how a chat ended.
func statusOf(reason string) (status, incomplete string) {
	switch reason {
	case "":
		return "in_progress", "null"
	case "length":
		return "incomplete", `{"reason":"max_output_tokens"}`
	case "content_filter":
		return "incomplete", `{"reason":"content_filter"}`
	}
	return "completed", "null"
}

// responseUsage writes usage in the names of Responses.
func responseUsage(w *writer, u gjson.Result) {
	in, out := u.Get("prompt_tokens").Int(), u.Get("completion_tokens").Int()
	w.open('{')
	w.number("input_tokens", in)
	w.key("input_tokens_details")
	w.open('{')
	w.number("cached_tokens", u.Get("prompt_tokens_details.cached_tokens").Int())
	w.close('}')
	w.number("output_tokens", out)
	w.key("output_tokens_details")
	w.open('{')
	w.number("reasoning_tokens", u.Get("completion_tokens_details.reasoning_tokens").Int())
	w.close('}')
	w.number("total_tokens", max(u.Get("total_tokens").Int(), in+out))
	w.close('}')
}

func messageItem(id, status, text, refusal, annotations string) []byte {
	var w writer
	w.open('{')
	w.text("id", id)
	w.raw("type", `"message"`)
	w.text("status", status)
	w.raw("role", `"assistant"`)
	w.key("content")
	w.open('[')
	if text != "" {
		w.open('{')
		w.raw("type", `"output_text"`)
		w.text("text", text)
		w.raw("annotations", annotations)
		w.raw("logprobs", "[]")
		w.close('}')
	}
	if refusal != "" {
		w.open('{')
		w.raw("type", `"refusal"`)
		w.text("refusal", refusal)
		w.close('}')
	}
	w.close(']')
	w.close('}')
	return w.b
}

func reasoningItem(id, text string) []byte {
	var w writer
	w.open('{')
	w.text("id", id)
	w.raw("type", `"reasoning"`)
	w.key("summary")
	w.open('[')
	if text != "" {
		w.open('{')
		w.raw("type", `"summary_text"`)
		w.text("text", text)
		w.close('}')
	}
	w.close(']')
	w.close('}')
	return w.b
}

func callItem(id, name, args, status string) []byte {
	var w writer
	w.open('{')
	w.text("id", "fc_"+id)
	w.raw("type", `"function_call"`)
	w.text("status", status)
	w.text("call_id", id)
	w.text("name", name)
	w.text("arguments", args)
	w.close('}')
	return w.b
}
