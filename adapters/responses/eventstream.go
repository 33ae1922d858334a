package responses

import (
	"errors"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/sse"
)

// DecodeStream makes events of a response of the chunks of a chat completion. The provider's own stream is below it:
// that one knows errors, the end and usage, and this one reads what comes out of it.
func (o *overChat) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	return &eventStream{
		inner: o.chat.DecodeStream(&adapters.Content{Endpoint: adapters.ChatCompletions, Stream: true, UsageAsked: true}, h),
		shell: shell{request: parse(in.Body)},
	}
}

// eventStream must keep the whole answer, since the last event repeats it.
type eventStream struct {
	inner   adapters.Stream
	shell   shell
	chunks  sse.Scanner
	pieces  [][]byte
	w       writer // the events of this Feed
	started bool
	done    bool
	number  int64 // of the next event
	size    int   // bytes kept of the answer

	items     [][]byte // by output index; whole ones are done
	reasoning openItem
	message   openItem
	calls     []openItem
	reason    string
	usage     string
}

// openItem is an output item under way.
type openItem struct {
	open     bool
	at       int // its output index
	call     int // chat's index of a call
	id, name string
	text     []byte // text, arguments
	refusal  []byte
	part     string // the kind of part that is open, of a message
	parts    int
}

// Feed appends the events that the chunks make.
func (s *eventStream) Feed(out [][]byte, p []byte) ([][]byte, error) {
	s.w.b = s.w.b[:0]
	if cap(s.w.b) > 64<<10 {
		s.w.b = nil
	}
	var err error
	s.pieces, err = s.inner.Feed(s.pieces[:0], p)
	if err != nil {
		return out, err
	}
	if err := s.read(); err != nil {
		return out, err
	}
	return appendSome(out, s.w.b), nil
}

// read translates what came out of the stream below.
func (s *eventStream) read() error {
	var ev sse.Event
	for _, piece := range s.pieces {
		s.chunks.Feed(piece)
		for s.chunks.Next(&ev) {
			s.chunk(ev.Data)
		}
	}
	if s.chunks.Err() != nil || s.size > sse.MaxEvent {
		return garbage("The provider sent an answer that is too large.")
	}
	return nil
}

// End finishes the response, if the chat is whole.
func (s *eventStream) End(out [][]byte) ([][]byte, error) {
	s.w.b = nil
	rest, err := s.inner.End(s.pieces[:0])
	if s.pieces = rest; err != nil {
		return out, told(err)
	}
	if err := s.read(); err != nil {
		return out, err
	}
	s.finish()
	return appendSome(out, s.w.b), nil
}

// told makes an error one that the client does not know of: the chunk that said so was not passed on.
func told(err error) error {
	if e, ok := errors.AsType[*adapters.Error](err); ok && e.Told {
		untold := *e
		untold.Told = false
		return &untold
	}
	return err
}

// Usage is that of the stream below.
func (s *eventStream) Usage() (adapters.Usage, bool) { return s.inner.Usage() }

// Collect makes the stream below add the text of its chunks.
func (s *eventStream) Collect(into *adapters.Texts) {
	if below, ok := s.inner.(adapters.TextStream); ok {
		below.Collect(into)
	}
}

func (s *eventStream) chunk(data []byte) {
	if s.done || len(data) == 0 {
		return
	}
	if data[0] == '[' { // [DONE]
		s.finish()
		return
	}
	chunk := parse(data)
	s.start(chunk)
	if u := chunk.Get("usage"); u.IsObject() {
		s.usage = string([]byte(u.Raw))
	}
	choice := chunk.Get("choices.0")
	delta := choice.Get("delta")
	if text := reasoningOf(delta); text != "" {
		s.think(text)
	}
	if text := delta.Get("content").Str; text != "" {
		s.say("output_text", text)
	}
	if text := delta.Get("refusal").Str; text != "" {
		s.say("refusal", text)
	}
	delta.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
		s.callPiece(call)
		return true
	})
	if reason := choice.Get("finish_reason"); reason.Type == gjson.String {
		s.reason = string([]byte(reason.Str))
	}
}

// event begins an event; its other members follow, then end.
func (s *eventStream) event(kind string) {
	s.w.b = append(append(append(append(append(s.w.b, "event: "...), kind...), "\ndata: {\"type\":\""...), kind...), `","sequence_number":`...)
	s.w.b = strconv.AppendInt(s.w.b, s.number, 10)
	s.number++
}

func (s *eventStream) end() { s.w.b = append(s.w.b, "}\n\n"...) }

// start says that there is a response, once.
func (s *eventStream) start(chunk gjson.Result) {
	if s.started {
		return
	}
	s.started = true
	s.shell.id, s.shell.created = chunk.Get("id").String(), chunk.Get("created").Int()
	s.shell.model = string([]byte(chunk.Get("model").String()))
	s.shell.id = string([]byte(s.shell.id))
	for _, kind := range [...]string{"response.created", "response.in_progress"} {
		s.event(kind)
		s.w.key("response")
		s.shell.write(&s.w, "", nil, gjson.Result{})
		s.end()
	}
}

// add begins an output item.
func (s *eventStream) add(item *openItem, whole []byte) {
	item.open, item.at = true, len(s.items)
	s.items = append(s.items, nil)
	s.event("response.output_item.added")
	s.w.number("output_index", int64(item.at))
	s.w.raw("item", string(whole))
	s.end()
}

// finishItem ends an output item.
func (s *eventStream) finishItem(item *openItem, whole []byte) {
	item.open = false
	s.items[item.at] = whole
	s.event("response.output_item.done")
	s.w.number("output_index", int64(item.at))
	s.w.raw("item", string(whole))
	s.end()
}

// place says which item, and which part of it, an event is about.
func (s *eventStream) place(item *openItem, part string, n int) {
	s.w.text("item_id", item.id)
	s.w.number("output_index", int64(item.at))
	if part != "" {
		s.w.number(part, int64(n))
	}
}

// finish ends everything that is open, and says how it went.
func (s *eventStream) finish() {
	if s.done {
		return
	}
	s.done = true
	s.closeReasoning()
	s.closeMessage()
	for i := range s.calls {
		s.closeCall(&s.calls[i])
	}
	if s.reason == "" {
		s.reason = "stop"
	}
	kind := "response.completed"
	if status, _ := statusOf(s.reason); status == "incomplete" {
		kind = "response.incomplete"
	}
	s.event(kind)
	s.w.key("response")
	s.shell.write(&s.w, s.reason, s.items, gjson.Parse(s.usage))
	s.end()
}
