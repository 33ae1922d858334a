package responses

import (
	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/sse"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// DecodeStream makes chunks of a chat completion of the events of a response.
func (c *chat) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	return &chatStream{chat: c, header: h, usageAsked: in.UsageAsked}
}

// chatStream translates event by event and keeps nothing of the answer but what later chunks must repeat.
type chatStream struct {
	*chat
	header     adapters.Header
	usageAsked bool
	events     sse.Scanner
	w          writer // the chunks of this Feed

	front   []byte // what every chunk begins with, up to its choices
	begun   bool   // the client has a chunk
	said    bool   // some of its text has been sent
	shown   bool   // the sources have been sent
	ended   bool   // the last event came
	failed  *adapters.Error
	calls   []streamedCall
	found   sources
	usage   adapters.Usage
	counted bool
	texts   *adapters.Texts // nil: nobody wants to know
}

// Collect makes the stream add the text of its chunks.
func (s *chatStream) Collect(into *adapters.Texts) { s.texts = into }

// streamedCall is a function call under way. Its index is its place in the list.
type streamedCall struct {
	item string // the id of its output item
	sent bool   // arguments have been sent
	full bool   // all of them at once
}

// Feed appends the chunks that the events make.
func (s *chatStream) Feed(out [][]byte, p []byte) ([][]byte, error) {
	s.w.b = s.w.b[:0]
	if cap(s.w.b) > 64<<10 {
		s.w.b = nil
	}
	s.events.Feed(p)
	var ev sse.Event
	for s.events.Next(&ev) {
		if err := s.event(&ev); err != nil {
			return appendSome(out, s.w.b), err
		}
	}
	if s.events.Err() != nil {
		return out, garbage("The provider sent an event that is too large.")
	}
	return appendSome(out, s.w.b), nil
}

func appendSome(out [][]byte, b []byte) [][]byte {
	if len(b) == 0 {
		return out
	}
	return append(out, b)
}

func (s *chatStream) event(ev *sse.Event) error {
	if ev.Data == nil || s.ended || string(ev.Data) == "[DONE]" {
		return nil
	}
	if !strictjson.Valid(ev.Data) {
		return garbage("The provider sent an event that is not JSON.")
	}
	data := parse(ev.Data)
	kind := data.Get("type").Str
	switch {
	case kind == "error", kind == "response.failed", kind == "response.cancelled", string(ev.Type) == "error", kind == "" && openai.IsError(ev.Data):
		s.failed = openai.FailedEvent(s.header, ev.Data)
		return s.failed
	case kind == "" && s.front == nil:
		return garbage("The provider answered with a stream that is none of response events.")
	}
	s.translate(kind, data)
	return nil
}

// translate makes chunks of an event. Events that a chat has no words for are left out.
func (s *chatStream) translate(kind string, data gjson.Result) {
	switch kind {
	case "response.created", "response.in_progress", "response.queued":
		s.start(data.Get("response"))
	case "response.output_text.delta":
		s.said = true
		s.delta("content", data.Get("delta").Raw)
	case "response.refusal.delta":
		s.said = true
		s.delta("refusal", data.Get("delta").Raw)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		s.delta("reasoning_content", data.Get("delta").Raw)
	case "response.output_text.annotation.added":
		s.delta("annotations", "["+annotation(data.Get("annotation"), 0)+"]")
	case "response.output_item.added", "response.output_item.done":
		s.item(data.Get("item"), kind == "response.output_item.done")
	case "response.function_call_arguments.delta":
		s.arguments(data.Get("item_id").Str, data.Get("delta").Raw)
	case "response.reasoning.search_results":
		s.sources(data)
	case "response.completed", "response.incomplete":
		s.finish(data.Get("response"))
	}
}

// start remembers how chunks begin. OpenAI's chat says the role at once; where sources belong into the first chunk,
// it waits for the first word.
func (s *chatStream) start(response gjson.Result) {
	if s.front != nil {
		return
	}
	var w writer
	w.open('{')
	head(&w, "chat.completion.chunk", response)
	w.key("choices")
	w.open('[')
	s.front = w.b
	if !s.Sources {
		s.delta("content", `""`)
	}
}

// open begins a chunk with one choice, up to the members of its delta.
func (s *chatStream) open() {
	if s.front == nil {
		s.start(gjson.Result{})
	}
	s.w.b = append(append(s.w.b, "data: "...), s.front...)
	s.w.b = append(s.w.b, `{"index":0,"delta":{`...)
	if !s.begun {
		s.w.b = append(s.w.b, `"role":"assistant"`...)
		s.begun = true
	}
}

// close ends a chunk behind its delta.
func (s *chatStream) close(reason string) {
	s.w.b = append(s.w.b, `},"logprobs":null,"finish_reason":`...)
	if reason == "" {
		s.w.b = append(s.w.b, "null"...)
	} else {
		s.w.b = append(append(append(s.w.b, '"'), reason...), '"')
	}
	s.w.b = append(s.w.b, "}]"...)
	if s.usageAsked {
		s.w.raw("usage", "null")
	}
	if s.Sources && (reason != "" || !s.shown && len(s.found.urls) > 0) {
		s.found.write(&s.w)
		s.shown = true
	}
	s.w.b = append(s.w.b, "}\n\n"...)
}

// delta writes a chunk with one member. What says nothing makes no chunk, but for the first.
func (s *chatStream) delta(name, raw string) {
	if raw == "" || raw == `""` && s.begun {
		return
	}
	s.collect(name, raw)
	s.open()
	s.w.raw(name, raw)
	s.close("")
}

// collect adds the text of a member.
func (s *chatStream) collect(name, raw string) {
	if s.texts == nil || len(raw) < 2 || raw[0] != '"' {
		return
	}
	to := &s.texts.Said
	if name == "reasoning_content" {
		to = &s.texts.Thought
	}
	to.Add([]byte(raw[1 : len(raw)-1]))
}

// item takes the beginning and the end of an output item.
func (s *chatStream) item(item gjson.Result, done bool) {
	if item.Get("type").Str != "function_call" {
		s.sources(item)
		return
	}
	at := s.call(item.Get("id").Str, item.Get("call_id").Str)
	args := item.Get("arguments")
	if at < 0 {
		s.newCall(item, args.Str)
		return
	}
	if c := &s.calls[at]; done && !c.sent {
		raw := args.Raw
		if args.Str == "" {
			raw = `"{}"`
		}
		s.fragment(at, raw)
		c.sent = true
	}
}

func (s *chatStream) sources(item gjson.Result) {
	if s.Sources {
		s.found.fromItem(item)
	}
}

// newCall sends the first fragment of a call: its id and its name.
func (s *chatStream) newCall(item gjson.Result, args string) {
	id := item.Get("id").Str
	if id == "" {
		id = item.Get("call_id").Str
	}
	s.calls = append(s.calls, streamedCall{item: string([]byte(id)), sent: args != "", full: args != ""})
	s.open()
	s.w.key("tool_calls")
	s.w.open('[')
	s.w.open('{')
	s.w.number("index", int64(len(s.calls)-1))
	s.w.text("id", callID(item))
	s.w.raw("type", `"function"`)
	s.w.key("function")
	s.w.open('{')
	s.w.text("name", item.Get("name").String())
	s.w.text("arguments", args)
	s.w.b = append(s.w.b, "}}]"...)
	s.close("")
}

// call finds a call by the id of its item, or by its own.
func (s *chatStream) call(item, id string) int {
	for i := range s.calls {
		if it := s.calls[i].item; it == item && item != "" || it == id && id != "" {
			return i
		}
	}
	return -1
}

func (s *chatStream) arguments(item, raw string) {
	at := s.call(item, "")
	if at < 0 && item == "" {
		at = len(s.calls) - 1
	}
	if at < 0 || s.calls[at].full {
		return
	}
	s.calls[at].sent = true
	s.fragment(at, raw)
}

// fragment sends more arguments of a call.
func (s *chatStream) fragment(at int, raw string) {
	s.collect("arguments", raw)
	s.open()
	s.w.key("tool_calls")
	s.w.open('[')
	s.w.open('{')
	s.w.number("index", int64(at))
	s.w.key("function")
	s.w.open('{')
	s.w.raw("arguments", raw)
	s.w.b = append(s.w.b, "}}]"...)
	s.close("")
}

// finish sends the last chunks.
func (s *chatStream) finish(response gjson.Result) {
	s.ended = true
	s.start(response)
	if s.Sources {
		s.found.fromOutput(response.Get("output"))
	}
	s.usage, s.counted = openai.ResponseUsage(response.Raw)
	s.unsaid(response.Get("output"))
	s.open()
	s.close(finishReason(response, len(s.calls) > 0))
	if u := response.Get("usage"); s.usageAsked && u.IsObject() {
		s.w.b = append(append(s.w.b, "data: "...), s.front...)
		s.w.b = append(s.w.b, `],"usage":`...)
		chatUsage(&s.w, u)
		s.w.b = append(s.w.b, "}\n\n"...)
	}
	s.w.b = append(s.w.b, "data: [DONE]\n\n"...)
}

// unsaid sends what the last event has and no other brought: some providers send no pieces of short answers.
func (s *chatStream) unsaid(output gjson.Result) {
	var a answer
	output.ForEach(func(_, item gjson.Result) bool {
		if item.Get("type").Str == "function_call" {
			s.item(item, true)
		} else if !s.said {
			a.item(item)
		}
		return true
	})
	if len(a.text) > 0 {
		s.delta("content", string(gjson.AppendJSONString(nil, string(a.text))))
	}
	if len(a.refusal) > 0 {
		s.delta("refusal", string(gjson.AppendJSONString(nil, string(a.refusal))))
	}
}

// End takes a last event that lacks its empty line, and says whether the answer is whole.
func (s *chatStream) End(out [][]byte) ([][]byte, error) {
	var ev sse.Event
	s.w.b = nil
	if s.events.End(&ev); ev.Data != nil && s.failed == nil && !s.ended && strictjson.Valid(ev.Data) {
		if err := s.event(&ev); err != nil {
			return out, err
		}
	}
	switch {
	case s.failed != nil:
		return out, s.failed
	case s.ended:
		return appendSome(out, s.w.b), nil
	case s.front == nil && openai.IsError(ev.Raw):
		return out, openai.InBand(s.header, ev.Raw)
	case s.front == nil:
		return out, garbage("The provider answered with something that is not a stream of response events.")
	}
	return out, openai.Truncated()
}

// Usage is what the last event said.
func (s *chatStream) Usage() (adapters.Usage, bool) { return s.usage, s.counted }
