package openai

import (
	"bytes"
	"math/bits"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/sse"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// stream passes a stream and watches it pass. It holds back only what comes before the end of the first event
// with data, since that may be an error, which then can become a status or another attempt.
type stream struct {
	header adapters.Header
	events sse.Scanner
	asked  int    // answers that the client asked for
	held   []byte // what came before the first event was whole
	begun  bool   // the first event was good, and the client has it
	stored bool   // the provider is asked to keep the answer

	ended   choiceSet // answers that have their finish_reason
	done    bool      // [DONE] came
	failed  *adapters.Error
	alike   [256]byte // how the chunks begin
	same    int       // bytes of it
	usage   adapters.Usage
	counted bool
	kept    []adapters.Kept
	said    saying
}

// Collect makes the stream add the text of its chunks.
func (s *stream) Collect(into *adapters.Texts) { s.said.into = into }

const (
	doneMark   = "[DONE]"
	doneEvent  = "data: [DONE]\n\n"
	choicesKey = `"choices"`
)

// Feed appends p itself, once the stream has begun.
func (s *stream) Feed(out [][]byte, p []byte) ([][]byte, error) {
	s.events.Feed(p)
	var ev sse.Event
	for s.events.Next(&ev) {
		if ev.Data == nil {
			continue
		}
		if !s.begun {
			if err := s.first(&ev); err != nil {
				return out, err
			}
		}
		s.watch(&ev)
	}
	switch {
	case s.events.Err() != nil || !s.begun && len(s.held)+len(p) > sse.MaxEvent:
		return out, garbage("The provider sent an event that is too large.")
	case !s.begun:
		s.held = append(s.held, p...)
		return out, nil
	case s.held != nil:
		out = append(out, s.held)
		s.held = nil
	}
	return append(out, p), nil
}

// first decides whether the stream begins: with an object that is no error.
func (s *stream) first(ev *sse.Event) error {
	switch {
	case string(ev.Type) == "error" || IsError(ev.Data):
		return InBand(s.header, ev.Data)
	case !isObject(ev.Data) || !strictjson.Valid(ev.Data):
		return garbage("The provider answered with a stream that is none of chat completion chunks.")
	}
	s.begun = true
	if s.stored {
		s.kept = keptCompletion(nil, string(ev.Data), true)
	}
	return nil
}

// watch reads what Vel must know of an event. It runs for every event of every stream, so it looks for the few
// keys that matter before anything is parsed.
func (s *stream) watch(ev *sse.Event) {
	data := ev.Data
	fresh := s.fresh(data)
	rest, alike := s.said.alike(fresh)
	if alike {
		fresh = rest
	}
	silent := false
	switch {
	case isDone(data):
		s.done = true
	case says(fresh, finishKey), says(fresh, usageKey), says(fresh, errorKey):
		s.inspect(data)
	default:
		if silent = true; len(fresh) == len(data) {
			s.learn(data)
		}
	}
	if s.said.into != nil && !alike {
		s.said.read(data, silent)
	}
	if s.failed == nil && string(ev.Type) == "error" {
		s.failed = InBand(s.header, data) // no SDK raises on it without an error member: the client is not told
	}
}

func isDone(data []byte) bool {
	return len(data) >= len(doneMark) && data[0] == '[' && string(data[:len(doneMark)]) == doneMark
}

// fresh is what has to be looked through. All chunks of a stream begin alike, with id, created and model; what
// has been found to say nothing once is only compared.
func (s *stream) fresh(data []byte) []byte {
	if len(data) > s.same && string(data[:s.same]) == string(s.alike[:s.same]) {
		return data[s.same:]
	}
	return data
}

// learn remembers how an event that says nothing begins. Where the key of the choices begins, no other key that
// matters is cut in two, nor cut from its value.
func (s *stream) learn(data []byte) {
	if n := bytes.Index(data, bytesOf(choicesKey)); 0 < n && n <= len(s.alike) {
		s.same = copy(s.alike[:], data[:n])
	}
}

// inspect reads an event that says something.
func (s *stream) inspect(data []byte) {
	gjson.Parse(stringOf(data)).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "choices":
			s.choices(value)
		case "usage":
			s.counted = ReadUsage(&s.usage, value.Raw) || s.counted
		case "x_groq":
			s.counted = ReadUsage(&s.usage, value.Get("usage").Raw) || s.counted
		case "error":
			if truthy(value) {
				s.failed = InBand(s.header, data)
				s.failed.Told = !value.IsObject() || value.Get("@keys.#").Int() > 0 // Python's SDK overlooks {}
			}
		}
		return true
	})
}

func (s *stream) choices(list gjson.Result) {
	list.ForEach(func(_, choice gjson.Result) bool {
		if choice.Get("finish_reason").Type == gjson.String {
			s.ended.add(choice.Get("index").Int())
		}
		return true
	})
}

// End completes the stream as the SDKs need it. They take a connection that just ends for a good end, so
// whoever calls must not let a truncated stream look like one.
func (s *stream) End(out [][]byte) ([][]byte, error) {
	var ev sse.Event
	missing := s.events.End(&ev)
	whole := true
	if ev.Data != nil {
		whole = isDone(ev.Data) || strictjson.Valid(ev.Data)
	}
	if !s.begun {
		if ev.Data == nil || !whole {
			return out, s.noStream()
		}
		if err := s.first(&ev); err != nil {
			return out, err
		}
		out = append(out, s.held)
		s.held = nil
	}
	if ev.Data != nil && whole {
		s.watch(&ev)
	}
	switch {
	case s.failed != nil:
		return complete(out, missing), s.failed
	case s.done && whole:
		return complete(out, missing), nil
	case s.finished() && whole:
		return append(complete(out, missing), bytesOf(doneEvent)), nil
	}
	return out, Truncated()
}

// complete closes an event that lacks its empty line.
func complete(out [][]byte, missing string) [][]byte {
	if missing == "" {
		return out
	}
	return append(out, bytesOf(missing))
}

// finished tells whether every answer that was asked for has its finish_reason.
func (s *stream) finished() bool { return s.ended.len() >= s.asked }

// noStream says why a body without a single event is no answer. It may be a plain JSON error under a 200.
func (s *stream) noStream() error {
	if IsError(s.held) {
		return InBand(s.header, s.held)
	}
	return garbage("The provider answered with something that is not a stream of events.")
}

// Usage is what was seen last: some send what they have counted so far in every event.
func (s *stream) Usage() (adapters.Usage, bool) { return s.usage, s.counted }

// choiceSet holds the indexes of answers; n is at most 128.
type choiceSet [2]uint64

func (c *choiceSet) len() int { return bits.OnesCount64(c[0]) + bits.OnesCount64(c[1]) }

func (c *choiceSet) add(index int64) {
	if 0 <= index && index < 128 {
		c[index/64] |= 1 << (index % 64)
	}
}
