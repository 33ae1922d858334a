package responses

import (
	"github.com/tidwall/gjson"
)

// messages writes the chat messages that instructions and input items stand for.
func (r *responsesRequest) messages(root gjson.Result) error {
	r.key("messages")
	r.open('[')
	if text := root.Get("instructions"); text.Type == gjson.String {
		r.said("system", text.Raw)
	} else if text.Exists() && !isNull(text) {
		return refuse("instructions", notResponses)
	}
	input := root.Get("input")
	if input.Type == gjson.String {
		r.said("user", input.Raw)
		r.close(']')
		return nil
	}
	var turn turn
	var err error
	i := 0
	input.ForEach(func(_, item gjson.Result) bool {
		err = r.item(index("input", i), item, &turn)
		i++
		return err == nil
	})
	turn.write(&r.writer)
	r.close(']')
	return err
}

// said is a message with a text, given as JSON.
func (r *responsesRequest) said(role, raw string) {
	r.open('{')
	r.text("role", role)
	r.raw("content", raw)
	r.close('}')
}

// turn gathers what the model said and called in one go: a chat has that in one message.
type turn struct {
	text  string
	calls []gjson.Result
}

func (t *turn) write(w *writer) {
	if t.text == "" && len(t.calls) == 0 {
		return
	}
	w.open('{')
	w.raw("role", `"assistant"`)
	if t.text != "" {
		w.text("content", t.text)
	} else {
		w.raw("content", "null")
	}
	if len(t.calls) > 0 {
		w.key("tool_calls")
		w.open('[')
		for _, call := range t.calls {
			w.open('{')
			w.text("id", callID(call))
			w.raw("type", `"function"`)
			w.key("function")
			w.open('{')
			w.raw("name", call.Get("name").Raw)
			w.text("arguments", arguments(call))
			w.close('}')
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
	*t = turn{}
}

// item carries one input item.
func (r *responsesRequest) item(path string, item gjson.Result, t *turn) error {
	role := item.Get("role").Str
	switch kind := item.Get("type").Str; {
	case (kind == "" || kind == "message") && role == "assistant":
		if len(t.calls) > 0 || t.text != "" {
			t.write(&r.writer)
		}
		t.text = joined(item.Get("content"))
		return nil
	case kind == "function_call":
		t.calls = append(t.calls, item)
		return nil
	case kind == "reasoning":
		r.drop(path)
		return nil
	}
	t.write(&r.writer)
	switch kind := item.Get("type").Str; {
	case kind == "function_call_output":
		r.open('{')
		r.raw("role", `"tool"`)
		r.raw("tool_call_id", item.Get("call_id").Raw)
		r.text("content", joined(item.Get("output")))
		r.close('}')
		return nil
	case kind != "" && kind != "message":
		return refuse(path+".type", notResponses)
	case role == "developer": // few know the word
		role = "system"
	case role != "user" && role != "system":
		return refuse(path+".role", notResponses)
	}
	r.open('{')
	r.text("role", role)
	r.key("content")
	err := r.content(path+".content", item.Get("content"))
	r.close('}')
	return err
}

func (r *responsesRequest) content(path string, content gjson.Result) error {
	if content.Type == gjson.String {
		r.b = append(r.b, content.Raw...)
		return nil
	}
	if !content.IsArray() {
		return refuse(path, "must be a string or an array of parts")
	}
	r.open('[')
	var err error
	i := 0
	content.ForEach(func(_, part gjson.Result) bool {
		err = r.part(index(path, i), part)
		i++
		return err == nil
	})
	r.close(']')
	return err
}

func (r *responsesRequest) part(path string, part gjson.Result) error {
	switch part.Get("type").Str {
	case "input_text", "output_text", "text":
		r.open('{')
		r.raw("type", `"text"`)
		r.raw("text", part.Get("text").Raw)
		r.close('}')
	case "input_image":
		url := part.Get("image_url")
		if url.Type != gjson.String {
			return refuse(path+".file_id", notResponses)
		}
		r.open('{')
		r.raw("type", `"image_url"`)
		r.key("image_url")
		r.open('{')
		r.raw("url", url.Raw)
		if detail := part.Get("detail"); detail.Type == gjson.String {
			r.raw("detail", detail.Raw)
		}
		r.close('}')
		r.close('}')
	case "input_file":
		if part.Get("file_data").Type != gjson.String {
			return refuse(path+".type", notResponses)
		}
		r.open('{')
		r.raw("type", `"file"`)
		r.key("file")
		r.open('{')
		r.members(part, "type")
		r.close('}')
		r.close('}')
	case "input_audio":
		r.value(part.Raw)
	default:
		return refuse(path+".type", notResponses)
	}
	return nil
}
