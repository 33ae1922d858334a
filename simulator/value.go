package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// obj is a JSON object that is made once and never on the path of a stream's text.
type obj map[string]any

// encode writes a value of ours as JSON, < > & as they are. Such values always encode.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// with returns a copy of an object with some members set.
func (o obj) with(more obj) obj {
	out := make(obj, len(o)+len(more))
	for name, v := range o {
		out[name] = v
	}
	for name, v := range more {
		out[name] = v
	}
	return out
}

// fixed is an answer that is ready: one body, no model's tokens.
type fixed struct {
	body          []byte
	pieces        int // in how many a model would have spoken it
	input, output int
}

func (r *fixed) whole(*faults) (body []byte, pieces int) { return r.body, r.pieces }

func (r *fixed) events(s *stream) error { return s.bytes(r.body) }

func (r *fixed) units() (input, output int) { return r.input, r.output }

// answered makes a job's answer of a value.
func answered(v any) (reply, *apiError) { return &fixed{body: encode(v)}, nil }

// readObject parses a body that must be a JSON object; an empty one counts as {}.
func readObject(body []byte) (members, *apiError) {
	if len(bytes.TrimSpace(body)) == 0 {
		return members{}, nil
	}
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return nil, errNotJSON()
	}
	return m, nil
}

// orNull is a member's value as it came, or null.
func (m members) orNull(name string) any { return m.or(name, nil) }

// or is a member's value as it came, or another when it is absent or null.
func (m members) or(name string, other any) any {
	if raw, ok := m.has(name); ok {
		return raw
	}
	return other
}

// text reads a member that must be a string when it is there.
func (m members) text(name string) (string, *apiError) {
	var s string
	return s, m.read(name, name, "a string", &s)
}

// required reads a member that must be there and be a string.
func (m members) required(name string) (string, *apiError) {
	if _, ok := m.has(name); !ok {
		return "", errMissing(name)
	}
	return m.text(name)
}

// wordsIn takes the fault words out of the values of a request's metadata, for calls that have no prompt.
func (m members) wordsIn() []string {
	var values map[string]string
	_ = json.Unmarshal(m["metadata"], &values) // of another shape: no words
	var given []string
	for _, v := range values {
		words, _ := markers(v)
		given = append(given, words...)
	}
	return given
}
