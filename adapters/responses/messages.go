package responses

import (
	"github.com/tidwall/gjson"
)

// messages writes the input items that a list of chat messages stands for.
func (r *chatRequest) messages(list gjson.Result) error {
	r.key("input")
	r.open('[')
	var err error
	i := 0
	list.ForEach(func(_, message gjson.Result) bool {
		err = r.message(index("messages", i), message)
		i++
		return err == nil
	})
	r.close(']')
	return err
}

func (r *chatRequest) message(path string, m gjson.Result) error {
	role := m.Get("role").Str
	r.lost(path, m)
	switch role {
	case "system", "developer", "user":
		r.open('{')
		r.raw("type", `"message"`)
		r.text("role", role)
		r.key("content")
		err := r.content(path+".content", m.Get("content"))
		r.close('}')
		return err
	case "assistant":
		return r.assistant(path, m)
	case "tool":
		r.open('{')
		r.raw("type", `"function_call_output"`)
		r.raw("call_id", m.Get("tool_call_id").Raw)
		r.text("output", joined(m.Get("content")))
		r.close('}')
		return nil
	}
	return refuse(path+".role", notChat)
}

// lost lists the members of a message that have no place in an item.
func (r *chatRequest) lost(path string, m gjson.Result) {
	m.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "role", "content", "tool_calls", "tool_call_id", "refusal", "annotations", "function_call":
		default:
			if !isNull(value) {
				r.drop(path + "." + key.Str)
			}
		}
		return true
	})
}

// content writes a text, or parts of a message to the model.
func (r *chatRequest) content(path string, content gjson.Result) error {
	if !content.IsArray() {
		if content.Type != gjson.String {
			return refuse(path, "must be a string or an array of parts")
		}
		r.b = append(r.b, content.Raw...)
		return nil
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

func (r *chatRequest) part(path string, part gjson.Result) error {
	switch kind := part.Get("type").Str; {
	case kind == "text":
		r.open('{')
		r.raw("type", `"input_text"`)
		r.raw("text", part.Get("text").Raw)
		r.close('}')
	case kind == "image_url":
		r.open('{')
		r.raw("type", `"input_image"`)
		r.raw("image_url", part.Get("image_url.url").Raw)
		if detail := part.Get("image_url.detail"); detail.Exists() && !r.Strict {
			r.raw("detail", detail.Raw)
		} else if detail.Exists() && detail.Str != "auto" {
			r.drop(path + ".image_url.detail")
		}
		r.close('}')
	case kind == "file" && !r.Strict:
		r.open('{')
		r.raw("type", `"input_file"`)
		r.members(part.Get("file"))
		r.close('}')
	default:
		return refuse(path+".type", notChat)
	}
	return nil
}

// assistant writes what the model said and then what it called.
func (r *chatRequest) assistant(path string, m gjson.Result) error {
	if f := m.Get("function_call"); f.Exists() && !isNull(f) {
		return refuse(path+".function_call", notChat)
	}
	said := joined(m.Get("content")) + m.Get("refusal").String()
	if said != "" {
		r.open('{')
		r.raw("type", `"message"`)
		r.raw("role", `"assistant"`)
		r.text("content", said)
		r.close('}')
	}
	var err error
	i := 0
	m.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
		if f := call.Get("function"); f.IsObject() {
			r.open('{')
			r.raw("type", `"function_call"`)
			r.raw("call_id", call.Get("id").Raw)
			r.raw("name", f.Get("name").Raw)
			r.text("arguments", arguments(f))
			r.close('}')
		} else {
			err = refuse(index(path+".tool_calls", i)+".type", notChat)
		}
		i++
		return err == nil
	})
	return err
}

// joined is the text of a content: a string, or the texts of its parts one after the other.
func joined(content gjson.Result) string {
	if !content.IsArray() {
		return content.String()
	}
	var all []byte
	content.ForEach(func(_, part gjson.Result) bool {
		all = append(all, part.Get("text").Str...)
		all = append(all, part.Get("refusal").Str...)
		return true
	})
	return string(all)
}
