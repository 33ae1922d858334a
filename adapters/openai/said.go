package openai

import (
	"bytes"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// saying collects the text of chunks while they pass. The chunks of a stream are alike but for their text, so that of
// almost every one only the bytes before and behind it are compared; the others are parsed.
type saying struct {
	into *adapters.Texts // nil: nobody wants to know
	part *adapters.Text  // of into: where the text of the last chunk that was parsed belongs

	// How that chunk went from its choices on: up to its text, and behind it to the end of the choices. Nothing in there
	// says anything.
	front, back         [128]byte
	frontSize, backSize int
}

// alike takes the text out of a chunk that goes like the last one, and gives what is behind its choices.
func (s *saying) alike(chunk []byte) (rest []byte, ok bool) {
	n := s.frontSize
	if n == 0 || len(chunk) < n+s.backSize || string(chunk[:n]) != string(s.front[:n]) {
		return nil, false
	}
	chunk = chunk[n:]
	end := endOfText(chunk)
	if end < 0 || len(chunk) < end+s.backSize || string(chunk[end:end+s.backSize]) != string(s.back[:s.backSize]) {
		return nil, false
	}
	s.part.Add(chunk[:end])
	return chunk[end+s.backSize:], true
}

// endOfText is where the JSON string ends in which s begins.
func endOfText(s []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(s[at:], '"')
		if i < 0 {
			return -1
		}
		at += i
		escapes := 0
		for escapes < at && s[at-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
		at++
	}
}

// read parses a chunk. If it says nothing but one text, the next ones may go like it.
func (s *saying) read(chunk []byte, silent bool) {
	choices := gjson.Get(stringOf(chunk), "choices")
	found, texts := gjson.Result{}, 0
	add := func(to *adapters.Text, text gjson.Result) {
		if text.Type == gjson.String && len(text.Raw) > 2 {
			to.Add(bytesOf(text.Raw[1 : len(text.Raw)-1]))
			s.part, found = to, text
			texts++
		}
	}
	choices.ForEach(func(_, choice gjson.Result) bool {
		add(&s.into.Said, choice.Get("text"))
		s.delta(choice.Get("delta"), add)
		return true
	})
	if s.frontSize = 0; texts == 1 && silent {
		s.learn(chunk, choices.Raw, found.Raw)
	}
}

// delta adds what the next piece of a message says.
func (s *saying) delta(delta gjson.Result, add func(*adapters.Text, gjson.Result)) {
	said := &s.into.Said
	var thought gjson.Result
	delta.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "content", "refusal":
			add(said, value)
		case "reasoning_content", "reasoning": // some send both, and mean the same
			if thought.Str == "" {
				thought = value
			}
		case "function_call":
			add(said, value.Get("name"))
			add(said, value.Get("arguments"))
		case "tool_calls":
			value.ForEach(func(_, call gjson.Result) bool {
				add(said, call.Get("function.name"))
				add(said, call.Get("function.arguments"))
				return true
			})
		}
		return true
	})
	add(&s.into.Thought, thought)
}

// learn remembers how a chunk goes.
func (s *saying) learn(chunk []byte, choices, text string) {
	from := bytes.Index(chunk, bytesOf(choicesKey))
	begin, known := offsetIn(chunk, bytesOf(text))
	end, _ := offsetIn(chunk, bytesOf(choices))
	if from < 0 || !known || from > begin {
		return
	}
	front, back := chunk[from:begin+1], chunk[begin+len(text)-1:end+len(choices)]
	if len(front) <= len(s.front) && len(back) <= len(s.back) {
		s.frontSize, s.backSize = copy(s.front[:], front), copy(s.back[:], back)
	}
}

// typed collects the text of typed events, which have it in the member delta. Of an event that goes like the last one
// it is at the same place.
type typed struct {
	into *adapters.Texts // nil: nobody wants to know
	part *adapters.Text  // of into: where the text of events of this kind belongs; nil: they have none
	kind [64]byte
	size int // bytes of kind
	at   int // where the last text began
}

const deltaKey = `"delta":"`

// take adds the text of an event whose kind ends with delta.
func (t *typed) take(of *eventKind, kind string, data []byte) {
	if string(t.kind[:t.size]) != kind {
		t.part, t.size = of.says(t.into, kind), copy(t.kind[:], kind)
	}
	if t.part == nil {
		return
	}
	if at := t.at; at == 0 || len(data) < at || string(data[at-len(deltaKey):at]) != deltaKey {
		i := bytes.Index(data, bytesOf(deltaKey))
		if i < 0 {
			t.parse(data)
			return
		}
		t.at = i + len(deltaKey)
	}
	if end := endOfText(data[t.at:]); end >= 0 {
		t.part.Add(data[t.at : t.at+end])
	}
}

// parse adds the text of an event that is written otherwise.
func (t *typed) parse(data []byte) {
	if text := gjson.Get(stringOf(data), "delta"); text.Type == gjson.String {
		t.part.Add(bytesOf(text.Raw[1 : len(text.Raw)-1]))
	}
}
