package gateway

import (
	"bytes"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// saying is what an answer says, and why it ends.
type saying struct {
	text   string
	finish string
	known  bool // it has a text
}

// said reads an answer as its client got it.
func said(e adapters.Endpoint, stream bool, answer []byte) (s saying) {
	switch e {
	case adapters.ChatCompletions, adapters.Completions, adapters.Responses:
	default:
		return s // of others there is no text to compare
	}
	s.known = true
	if !stream {
		s.whole(gjson.ParseBytes(answer))
		return s
	}
	for line := range bytes.Lines(answer) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			s.event(gjson.ParseBytes(bytes.TrimSpace(data)))
		}
	}
	return s
}

// whole takes an answer that is no stream.
func (s *saying) whole(a gjson.Result) {
	for _, path := range []string{"choices.#.message.content", "choices.#.text", "output.#.content.#.text|@flatten"} {
		for _, text := range a.Get(path).Array() {
			s.text += text.String()
		}
	}
	s.ends(a.Get("choices.0.finish_reason"))
	s.ends(a.Get("status"))
	s.ends(a.Get("incomplete_details.reason"))
}

// event takes an event of a stream.
func (s *saying) event(e gjson.Result) {
	switch e.Get("type").Str {
	case "response.output_text.delta":
		s.text += e.Get("delta").String()
		return
	case "response.completed", "response.incomplete", "response.failed":
		s.ends(e.Get("response.status"))
		s.ends(e.Get("response.incomplete_details.reason"))
		return
	}
	for _, path := range []string{"choices.#.delta.content", "choices.#.text"} {
		for _, text := range e.Get(path).Array() {
			s.text += text.String()
		}
	}
	s.ends(e.Get("choices.0.finish_reason"))
}

// longestFinish bounds a word of the provider's.
const longestFinish = 64

func (s *saying) ends(why gjson.Result) {
	if why.Type == gjson.String && why.Str != "" {
		s.finish = readable(why.Str, longestFinish)
	}
}

// compare says of a copy how its answer differs from the original's.
func compare(m *accounting.Mirror, original, copied saying) {
	m.Finish, m.CopyFinish = original.finish, copied.finish
	m.Compared = original.known && copied.known
	m.Same = m.Compared && original.text == copied.text
}
