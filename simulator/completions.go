package simulator

import (
	"encoding/json"
	"strconv"
	"time"
)

// legacyTokens is max_tokens of a completion that names none.
const legacyTokens = 16

// readPrompts reads a string, strings, tokens or lists of tokens; a list of tokens reads as their numbers.
func readPrompts(m members, name string) (texts []string, tokens int, e *apiError) {
	value, ok := m.has(name)
	if !ok {
		return nil, 0, errMissing(name)
	}
	var one string
	var many, strings []string
	var ids []int
	var lists, all [][]int
	switch {
	case json.Unmarshal(value, &one) == nil:
		many = []string{one}
	case json.Unmarshal(value, &strings) == nil:
		many = strings
	case json.Unmarshal(value, &ids) == nil:
		lists = [][]int{ids}
	case json.Unmarshal(value, &all) == nil:
		lists = all
	default:
		return nil, 0, errType(name, "a string, an array of strings, an array of integers, or an array of integer arrays", kindOf(value))
	}
	for _, list := range lists {
		tokens += len(list)
		text := ""
		for i, id := range list {
			if i > 0 {
				text += " "
			}
			text += strconv.Itoa(id)
		}
		texts = append(texts, text)
	}
	for _, text := range many {
		tokens += countTokens(text)
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return nil, 0, &apiError{status: 400, param: name, code: "empty_array", message: "Invalid '" + name + "': input cannot be an empty array."}
	}
	return texts, tokens, nil
}

// legacyRequest is a request for text completions.
type legacyRequest struct {
	chatRequest
	prompts []string // markers removed
	echo    bool
	suffix  string
}

// readCompletion understands POST /v1/completions.
func readCompletion(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	q := &legacyRequest{chatRequest: chatRequest{raw: m, n: 1, format: format{kind: "text"}, choice: toolChoice{mode: "none"}}}
	for _, step := range []func(members) *apiError{q.readModel, q.readPlain, q.readLimits, q.readStop} {
		if e := step(m); e != nil {
			return job{}, e
		}
	}
	if e := m.read("echo", "echo", "a boolean", &q.echo); e != nil {
		return job{}, e
	}
	if q.suffix, e = m.text("suffix"); e != nil {
		return job{}, e
	}
	if _, ok := m.has("prompt"); !ok {
		m["prompt"] = json.RawMessage(`""`)
	}
	texts, tokens, e := readPrompts(m, "prompt")
	if e != nil {
		return job{}, e
	}
	q.promptTokens = tokens
	for _, text := range texts {
		words, rest := markers(text)
		q.words = append(q.words, words...)
		q.prompts = append(q.prompts, rest)
	}
	if !q.maxTokens.ok {
		q.maxTokens = opt[int]{legacyTokens, true}
	}
	return job{
		model: q.model, words: q.words, param: "prompt", tokens: tokens, stream: q.stream,
		make: func(c *call) (reply, *apiError) { return c.completion(q), nil },
	}, nil
}

// completion composes n answers to each prompt, as chat would answer it.
func (c *call) completion(q *legacyRequest) reply {
	r := &legacyReply{
		q: q, id: "cmpl-" + randomName(29), model: c.profile.Model, created: time.Now().Unix(), noUsage: c.faults.usage == "none",
	}
	if _, shaped := q.raw.has("max_tokens"); !shaped && (c.faults.chunks.ok || c.faults.size.ok) {
		q.maxTokens = opt[int]{} // the marker says how long the answer is
	}
	for _, prompt := range q.prompts {
		one := q.chatRequest
		one.prompt, one.messages = prompt, []message{{"user", prompt}}
		choices := compose(&one, c.profile, &c.faults)
		for i := range choices {
			if q.echo {
				choices[i].pieces = append([]string{prompt}, choices[i].pieces...)
			}
		}
		r.choices = append(r.choices, choices...)
	}
	return r
}

// legacyReply is an answer of text completions on its way.
type legacyReply struct {
	q         *legacyRequest
	id, model string
	created   int64
	choices   []choice
	made      int
	noUsage   bool
}

func (r *legacyReply) units() (input, output int) { return r.q.promptTokens, r.made }

func (r *legacyReply) usage() obj {
	return obj{"prompt_tokens": r.q.promptTokens, "completion_tokens": r.made, "total_tokens": r.q.promptTokens + r.made}
}

func (r *legacyReply) whole(*faults) (body []byte, pieces int) {
	choices := make([]obj, len(r.choices))
	for i := range r.choices {
		ch := &r.choices[i]
		r.made += ch.tokens
		pieces += len(ch.pieces)
		choices[i] = obj{"text": rawJSON(appendJoined(nil, ch.pieces)), "index": i, "logprobs": nil, "finish_reason": ch.finish}
	}
	doc := obj{
		"id": r.id, "object": "text_completion", "created": r.created, "model": r.model, "choices": choices, "system_fingerprint": fingerprint,
	}
	if !r.noUsage {
		doc["usage"] = r.usage()
	}
	return encode(doc), pieces
}

func (r *legacyReply) head(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), r.id)
	b = strconv.AppendInt(append(b, `,"object":"text_completion","created":`...), r.created, 10)
	return append(appendString(append(b, `,"model":`...), r.model), `,"choices":[`...)
}

func (r *legacyReply) events(s *stream) error {
	for i := range r.choices {
		s.total += len(r.choices[i].pieces)
	}
	for round, more := 0, true; more; round++ {
		more = false
		for i := range r.choices {
			if pieces := r.choices[i].pieces; round < len(pieces) {
				more = true
				if err := s.before(); err != nil {
					return err
				}
				r.made += countTokens(pieces[round])
				s.sent++
				if err := s.piece(r.chunk(s, i, pieces[round], "")); err != nil {
					return err
				}
			}
		}
	}
	if err := s.strike(true); err != nil {
		return err
	}
	for i := range r.choices {
		if err := s.event(r.chunk(s, i, "", r.choices[i].finish)); err != nil {
			return err
		}
	}
	if r.q.includeUsage && !r.noUsage {
		b := append(append(r.head(s.line()), `],"usage":`...), encode(r.usage())...)
		if err := s.event(append(b, '}')); err != nil {
			return err
		}
	}
	return s.done()
}

func (r *legacyReply) chunk(s *stream, i int, text, finish string) []byte {
	b := appendString(append(r.head(s.line()), `{"text":`...), text)
	b = appendInt(b, "index", i)
	b = append(appendNullable(append(b, `,"logprobs":null,"finish_reason":`...), finish), "}]"...)
	if r.q.includeUsage && !r.noUsage {
		b = append(b, `,"usage":null`...)
	}
	return append(b, '}')
}
