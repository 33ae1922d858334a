package adapters

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// What a prompt is charged for beside its text. A message, and the beginning of the answer, cost as many tokens as OpenAI
// says (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken): three for each message, one for its role
// and one for a name. What something that is no text costs depends on its size, which Vel does not look at.
const (
	tokensPerMessage = 3 + 1
	tokensPerName    = 1
	tokensPerAnswer  = 3
	tokensPerMedium  = 1000 // a picture, a sound or a file
)

// Countable tells whether the tokens of a call can be counted by its texts. Those of sound and pictures can not.
func (e Endpoint) Countable() bool {
	switch e {
	case ChatCompletions, Completions, Responses, ResponsesCompact, Embeddings:
		return true
	}
	return false
}

// Prompt adds what the model reads of the request: contents and names of messages, calls of tools and what came of them,
// instructions, and of tools the names, descriptions and everything that is written in their schemas. An endpoint that is
// not Countable has none.
func (c *Content) Prompt(into *Text) {
	if !c.Endpoint.Countable() || c.Boundary != nil {
		return
	}
	gjson.Parse(stringOf(c.Body)).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "messages":
			into.items(value)
		case "input":
			if c.Endpoint == Embeddings {
				into.plain(value, 0)
			} else {
				into.items(value)
			}
		case "prompt":
			into.plain(value, 0)
		case "instructions":
			into.add(value)
			into.AddTokens(tokensPerMessage)
		case "tools", "functions", "response_format", "text":
			into.schema(value, 0)
		}
		return true
	})
	if c.Endpoint != Embeddings && c.Endpoint != Completions {
		into.AddTokens(tokensPerAnswer)
	}
}

// mediumMark is in front of what is no text and stands in a body all the same.
const mediumMark = ";base64,"

// GuessInput is how many tokens what is asked has, by its length alone, where it stands in the body. Sound and pictures in
// there count like one that is fetched from elsewhere.
func (c *Content) GuessInput(at Span) int64 {
	if at.Empty() {
		return 0
	}
	rest, size, tokens := c.Body[at.Start:at.End], 0, int64(0)
	for {
		i := bytes.Index(rest, []byte(mediumMark))
		if i < 0 {
			break
		}
		size, rest = size+i, rest[i+len(mediumMark):]
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			break
		}
		rest, tokens = rest[end:], tokens+tokensPerMedium
	}
	return tokens + int64(size+len(rest)+bytesOfToken-1)/bytesOfToken
}

// How deep, and in how many bytes, texts are looked for. Each level is read once more, and nobody's request may take the time
// of others'; what lies deeper is taken as it stands.
const (
	deepestPlain  = 2 // lists of tokens in a list
	deepestSchema = 16
	largestSchema = 256 << 10
)

// plain adds a text, a list of them, or tokens, which need not be counted.
func (t *Text) plain(v gjson.Result, depth int) {
	switch {
	case v.IsArray() && depth == deepestPlain:
		t.Unread(len(v.Raw))
	case v.IsArray():
		v.ForEach(func(_, one gjson.Result) bool { t.plain(one, depth+1); return true })
	case v.Type == gjson.Number:
		t.AddTokens(1)
	default:
		t.add(v)
	}
}

// items adds messages, or items of a response; one text alone is one message.
func (t *Text) items(v gjson.Result) {
	if !v.IsArray() {
		t.AddTokens(tokensPerMessage)
		t.add(v)
		return
	}
	v.ForEach(func(_, item gjson.Result) bool {
		t.AddTokens(tokensPerMessage)
		t.item(item)
		return true
	})
}

// item adds the members of a message or an item that a model reads.
func (t *Text) item(item gjson.Result) {
	item.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "name":
			t.AddTokens(tokensPerName)
			t.add(value)
		case "refusal", "reasoning_content", "reasoning", "arguments", "input":
			t.add(value)
		case "content", "output", "summary":
			t.content(value)
		case "tool_calls":
			value.ForEach(func(_, call gjson.Result) bool { t.call(call.Get("function")); return true })
		case "function_call":
			t.call(value)
		}
		return true
	})
}

// call adds the call of a function.
func (t *Text) call(function gjson.Result) {
	t.add(function.Get("name"))
	t.add(function.Get("arguments"))
}

// content adds a text or parts of several kinds.
func (t *Text) content(v gjson.Result) {
	if !v.IsArray() {
		t.add(v)
		return
	}
	v.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "image_url", "input_image", "input_audio", "file", "input_file":
			t.AddTokens(tokensPerMedium)
		default:
			t.add(part.Get("text"))
			t.add(part.Get("refusal"))
		}
		return true
	})
}

// schema adds the names and texts in a description of tools or of the answer's form.
func (t *Text) schema(v gjson.Result, depth int) {
	object := v.IsObject()
	switch {
	case !object && !v.IsArray():
		t.add(v)
		return
	case depth == deepestSchema || len(v.Raw) > largestSchema:
		t.Unread(len(v.Raw))
		return
	}
	v.ForEach(func(key, value gjson.Result) bool {
		if object {
			t.add(key)
		}
		t.schema(value, depth+1)
		return true
	})
}

// Answer adds what an answer says that is no stream, in the form in which the client gets it.
func (c *Content) Answer(into *Texts, body []byte) {
	if !c.Endpoint.Countable() {
		return
	}
	whole := gjson.Parse(stringOf(body))
	whole.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		into.Said.add(choice.Get("text"))
		into.message(choice.Get("message"))
		return true
	})
	whole.Get("output").ForEach(func(_, item gjson.Result) bool {
		if item.Get("type").Str == "reasoning" {
			into.Thought.item(item)
		} else {
			into.Said.item(item)
		}
		return true
	})
}

// message adds the message of a choice.
func (t *Texts) message(m gjson.Result) {
	m.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "content":
			t.Said.content(value)
		case "refusal":
			t.Said.add(value)
		case "reasoning_content", "reasoning":
			t.Thought.add(value)
		case "tool_calls":
			value.ForEach(func(_, call gjson.Result) bool { t.Said.call(call.Get("function")); return true })
		case "function_call":
			t.Said.call(value)
		}
		return true
	})
}
