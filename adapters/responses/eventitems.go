package responses

import (
	"github.com/tidwall/gjson"
)

// think passes a piece of what the model thinks.
func (s *eventStream) think(text string) {
	r := &s.reasoning
	if !r.open {
		s.closeMessage()
		*r = openItem{id: s.nextID("rs_")}
		s.add(r, reasoningItem(r.id, ""))
		s.event("response.reasoning_summary_part.added")
		s.place(r, "summary_index", 0)
		s.w.raw("part", `{"type":"summary_text","text":""}`)
		s.end()
	}
	r.text = append(r.text, text...)
	s.size += len(text)
	s.event("response.reasoning_summary_text.delta")
	s.place(r, "summary_index", 0)
	s.w.text("delta", text)
	s.end()
}

func (s *eventStream) closeReasoning() {
	r := &s.reasoning
	if !r.open {
		return
	}
	s.event("response.reasoning_summary_text.done")
	s.place(r, "summary_index", 0)
	s.w.text("text", string(r.text))
	s.end()
	s.event("response.reasoning_summary_part.done")
	s.place(r, "summary_index", 0)
	s.w.key("part")
	s.w.open('{')
	s.w.raw("type", `"summary_text"`)
	s.w.text("text", string(r.text))
	s.w.close('}')
	s.end()
	s.finishItem(r, reasoningItem(r.id, string(r.text)))
}

// nextID makes an id of an item that no other item of the response has.
func (s *eventStream) nextID(prefix string) string {
	if len(s.items) == 0 {
		return prefix + s.shell.id
	}
	return index(prefix+s.shell.id, len(s.items))
}

// say passes a piece of the answer, or of a refusal of one.
func (s *eventStream) say(kind, text string) {
	m := &s.message
	if !m.open {
		s.closeReasoning()
		*m = openItem{id: s.nextID("msg_")}
		s.add(m, messageItem(m.id, "in_progress", "", "", "[]"))
	}
	if m.part != kind {
		s.closePart()
		m.part = kind
		s.event("response.content_part.added")
		s.place(m, "content_index", m.parts)
		s.w.key("part")
		s.partOf(kind, "")
		s.end()
	}
	s.size += len(text)
	if kind == "refusal" {
		m.refusal = append(m.refusal, text...)
	} else {
		m.text = append(m.text, text...)
	}
	s.event("response." + kind + ".delta")
	s.place(m, "content_index", m.parts)
	s.w.text("delta", text)
	if kind != "refusal" {
		s.w.raw("logprobs", "[]")
	}
	s.end()
}

// partOf writes a part of a message.
func (s *eventStream) partOf(kind, text string) {
	s.w.open('{')
	s.w.text("type", kind)
	if kind == "refusal" {
		s.w.text("refusal", text)
	} else {
		s.w.text("text", text)
		s.w.raw("annotations", "[]")
		s.w.raw("logprobs", "[]")
	}
	s.w.close('}')
}

// closePart ends the open part of the message.
func (s *eventStream) closePart() {
	m := &s.message
	if m.part == "" {
		return
	}
	text, name := string(m.text), "text"
	if m.part == "refusal" {
		text, name = string(m.refusal), "refusal"
	}
	s.event("response." + m.part + ".done")
	s.place(m, "content_index", m.parts)
	s.w.text(name, text)
	if name == "text" {
		s.w.raw("logprobs", "[]")
	}
	s.end()
	s.event("response.content_part.done")
	s.place(m, "content_index", m.parts)
	s.w.key("part")
	s.partOf(m.part, text)
	s.end()
	m.part = ""
	m.parts++
}

func (s *eventStream) closeMessage() {
	m := &s.message
	if !m.open {
		return
	}
	s.closePart()
	s.finishItem(m, messageItem(m.id, "completed", string(m.text), string(m.refusal), "[]"))
}

// callPiece passes a fragment of a function call. Calls are told apart by chat's index, whatever order they come in.
func (s *eventStream) callPiece(call gjson.Result) {
	n := int(call.Get("index").Int())
	at := -1
	for i := range s.calls {
		if s.calls[i].call == n {
			at = i
		}
	}
	f := call.Get("function")
	if at < 0 {
		s.closeReasoning()
		s.closeMessage()
		id := string([]byte(call.Get("id").Str))
		if id == "" {
			id = s.nextID("call_")
		}
		s.calls = append(s.calls, openItem{call: n, id: "fc_" + id, name: string([]byte(f.Get("name").Str))})
		at = len(s.calls) - 1
		s.add(&s.calls[at], callItem(id, s.calls[at].name, "", "in_progress"))
	}
	c := &s.calls[at]
	args := f.Get("arguments").Str
	if args == "" {
		return
	}
	c.text = append(c.text, args...)
	s.size += len(args)
	s.event("response.function_call_arguments.delta")
	s.place(c, "", 0)
	s.w.text("delta", args)
	s.end()
}

func (s *eventStream) closeCall(c *openItem) {
	args := string(c.text)
	if args == "" {
		args = "{}"
	}
	s.event("response.function_call_arguments.done")
	s.place(c, "", 0)
	s.w.text("arguments", args)
	s.end()
	s.finishItem(c, callItem(c.id[len("fc_"):], c.name, args, "completed"))
}
