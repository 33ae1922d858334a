package openai

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/sse"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// eventKind is what Vel knows of the typed events of an endpoint. Others pass.
type eventKind struct {
	last    []string // the answer is whole with one of these
	failed  []string // those of them that say that it failed
	endless bool     // there is no last one
	usage   func(u *adapters.Usage, data string) bool
	kept    func(out []adapters.Kept, data string, stored bool) []adapters.Kept // of the first and the last; nil: nothing
	says    func(t *adapters.Texts, kind string) *adapters.Text                 // where the text of an event belongs that has some; nil: none has
}

// eventStream passes a stream of typed events. It holds back only what comes before the end of the first event,
// since that may be an error. There is no [DONE]: the last event is known by its type.
type eventStream struct {
	header adapters.Header
	kind   *eventKind
	events sse.Scanner
	held   []byte
	begun  bool
	stored bool // the request asks for it

	done    bool
	failed  *adapters.Error
	usage   adapters.Usage
	counted bool
	kept    []adapters.Kept
	said    typed
}

// Collect makes the stream add the text of its events.
func (s *eventStream) Collect(into *adapters.Texts) {
	if s.kind.says != nil {
		s.said.into = into
	}
}

// largestHeld is how much of a first event is held back. An error is shorter; a picture is not.
const largestHeld = 64 << 10

// Feed appends p itself, once the stream has begun.
func (s *eventStream) Feed(out [][]byte, p []byte) ([][]byte, error) {
	s.events.Feed(p)
	var ev sse.Event
	for s.events.Next(&ev) {
		if err := s.event(&ev); err != nil {
			return out, err
		}
	}
	if s.events.Err() != nil {
		return out, garbage("The provider sent an event that is too large.")
	}
	if !s.begun {
		if s.held = append(s.held, p...); len(s.held) < largestHeld || !bytes.Contains(s.held, []byte("data:")) {
			return s.tooLong(out)
		}
		s.begun = true
		out = append(out, s.held) // p is the end of it
		s.held = nil
		return out, nil
	}
	if s.held != nil {
		out = append(out, s.held)
		s.held = nil
	}
	return append(out, p), nil
}

// tooLong refuses a beginning that is nothing but comments.
func (s *eventStream) tooLong(out [][]byte) ([][]byte, error) {
	if len(s.held) > sse.MaxEvent {
		return out, garbage("The provider sent an event that is too large.")
	}
	return out, nil
}

func (s *eventStream) event(ev *sse.Event) error {
	if ev.Data == nil {
		return nil
	}
	kind := eventType(ev)
	if !s.begun {
		if err := s.first(ev, kind); err != nil {
			return err
		}
	}
	s.watch(ev, kind)
	return nil
}

// first decides whether the stream begins: with an object that is no error.
func (s *eventStream) first(ev *sse.Event, kind string) error {
	switch {
	case kind == "error" || s.saysFailed(kind) || IsError(ev.Data):
		return s.failure(ev.Data)
	case !isDone(ev.Data) && (!isObject(ev.Data) || !strictjson.Valid(ev.Data)):
		return garbage("The provider answered with a stream that is none of events.")
	}
	s.begun = true
	s.learnKept(ev.Data)
	return nil
}

// eventType is the type of an event: its data says it, by custom in the first member, and mostly its event field too.
func eventType(ev *sse.Event) string {
	const front = `{"type":"`
	if data := ev.Data; len(data) > len(front) && string(data[:len(front)]) == front {
		if n := bytes.IndexByte(data[len(front):], '"'); n > 0 {
			return stringOf(data[len(front) : len(front)+n])
		}
	}
	if len(ev.Type) > 0 {
		return stringOf(ev.Type)
	}
	return gjson.Get(stringOf(ev.Data), "type").Str
}

func (s *eventStream) saysFailed(kind string) bool {
	return kind != "" && slices.Contains(s.kind.failed, kind)
}

// watch reads what Vel must know of an event. Almost every event is only compared by its type.
func (s *eventStream) watch(ev *sse.Event, kind string) {
	switch {
	case isDone(ev.Data):
		s.done = true // OpenAI sends none here, others do
	case kind == "error" || kind == "" && IsError(ev.Data):
		s.failed = s.failure(ev.Data)
		s.failed.Told = true
	case kind != "" && slices.Contains(s.kind.last, kind):
		s.done = true
		s.counted = s.kind.usage(&s.usage, stringOf(ev.Data)) || s.counted
		s.learnKept(ev.Data)
		if s.saysFailed(kind) {
			s.failed = s.failure(ev.Data)
			s.failed.Told = true
		}
	case s.said.into != nil && strings.HasSuffix(kind, ".delta"):
		s.said.take(s.kind, kind, ev.Data)
	}
}

// failure reads an error event, or the response in it that failed.
func (s *eventStream) failure(data []byte) *adapters.Error { return FailedEvent(s.header, data) }

// FailedEvent reads {"type":"error",…}, or an event that says that its response failed.
func FailedEvent(h adapters.Header, data []byte) *adapters.Error {
	event := gjson.Parse(stringOf(data))
	for _, path := range [...]string{"response.error", "error"} {
		if e := event.Get(path); e.IsObject() {
			return InBand(h, []byte(`{"error":`+e.Raw+`}`))
		}
	}
	if event.Get("type").Str == "response.cancelled" {
		return InBand(h, []byte(`{"error":{"message":"The provider cancelled the response.","type":"server_error"}}`))
	}
	return InBand(h, data)
}

// End completes the last event and says whether the answer is whole.
func (s *eventStream) End(out [][]byte) ([][]byte, error) {
	var ev sse.Event
	missing := s.events.End(&ev)
	whole := ev.Data == nil || isDone(ev.Data) || strictjson.Valid(ev.Data)
	if !s.begun {
		if ev.Data == nil || !whole {
			return out, s.noStream()
		}
		if err := s.first(&ev, eventType(&ev)); err != nil {
			return out, err
		}
		out = append(out, s.held)
		s.held = nil
	}
	if ev.Data != nil && whole {
		s.watch(&ev, eventType(&ev))
	}
	switch {
	case s.failed != nil:
		return complete(out, missing), s.failed
	case whole && (s.done || s.kind.endless):
		return complete(out, missing), nil
	}
	return out, Truncated()
}

// noStream says why a body without a single event is no answer.
func (s *eventStream) noStream() error {
	if IsError(s.held) {
		return InBand(s.header, s.held)
	}
	return garbage("The provider answered with something that is not a stream of events.")
}

// Usage is what the last event said.
func (s *eventStream) Usage() (adapters.Usage, bool) { return s.usage, s.counted }
