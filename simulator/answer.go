package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// choice is one answer, cut in the chunks in which it is streamed.
type choice struct {
	pieces []string   // of the content; none when tools are called
	calls  []toolCall // of tools
	finish string     // stop, length or tool_calls
	tokens int
}

// compose makes the answers to a request. They depend on nothing but the request and the model; only the
// ids of tool calls are drawn.
func compose(q *chatRequest, p *Profile, f *faults) []choice {
	choices := make([]choice, q.n)
	for i := range choices {
		if calls := q.calls(); len(calls) > 0 {
			choices[i] = choice{calls: calls, finish: "tool_calls"}
			for _, call := range calls {
				choices[i].tokens += countTokens(call.name) + len(call.pieces)
			}
			continue
		}
		pieces := f.shape(q.stopped(q.text(p, i)))
		choices[i] = q.limited(pieces)
	}
	return choices
}

// topicRunes is how much of the prompt an answer quotes.
const topicRunes = 160

// text is what the model says as its i-th choice.
func (q *chatRequest) text(p *Profile, i int) string {
	switch q.format.kind {
	case "json_schema":
		return generate(q.format.schema, topicWord(q.prompt))
	case "json_object":
		return `{"answer":` + string(appendString(nil, clip(q.prompt, topicRunes))) + `,"model":` + string(appendString(nil, p.Model)) + `}`
	}
	if p.Echo {
		return q.prompt
	}
	again := ""
	if i > 0 {
		again = fmt.Sprintf("Answer %d. ", i+1)
	}
	topic := strings.Join(strings.Fields(clip(q.prompt, topicRunes)), " ")
	if last := q.messages[len(q.messages)-1]; q.answersTool() {
		return fmt.Sprintf("%sThe tool answered %q to your question %q.", again, clip(last.text, topicRunes), topic)
	}
	if topic == "" {
		return again + "Hello! I am " + p.Model + ", a simulated model. You said nothing that I could answer."
	}
	return fmt.Sprintf("%sYou asked: %q. I am %s, a simulated model, so I can only tell you that your request has %d tokens by my count. "+
		"The same request always gets these same words, one token at a time, as a real provider would send them.",
		again, topic, p.Model, q.promptTokens)
}

// stopped cuts a text before the first stop sequence in it.
func (q *chatRequest) stopped(text string) string {
	for _, s := range q.stop {
		if s != "" {
			text, _, _ = strings.Cut(text, s)
		}
	}
	return text
}

// limited counts the tokens of the pieces, each on its own, and cuts them at max_tokens.
func (q *chatRequest) limited(pieces []string) choice {
	c := choice{pieces: pieces, finish: "stop"}
	for i, piece := range pieces {
		n := countTokens(piece)
		if q.maxTokens.ok && c.tokens+n > q.maxTokens.v {
			c.pieces, c.finish = pieces[:i], "length"
			var rest strings.Builder
			for t := range tokens(piece) {
				if c.tokens == q.maxTokens.v {
					break
				}
				rest.WriteString(t)
				c.tokens++
			}
			if rest.Len() > 0 {
				c.pieces = append(slices.Clip(c.pieces), rest.String())
			}
			return c
		}
		c.tokens += n
	}
	return c
}

// shape cuts a text in chunks: tokens, or as chunks=… and size=… ask, repeating the text as needed.
func (f *faults) shape(text string) []string {
	switch {
	case f.size.ok:
		return sized(text, max(f.size.v, 1), f.chunks)
	case f.chunks.ok:
		all := slices.Collect(tokens(text))
		if len(all) == 0 {
			all = []string{"."}
		}
		out := make([]string, f.chunks.v)
		for i := range out {
			out[i] = all[i%len(all)]
		}
		return out
	}
	return slices.Collect(tokens(text))
}

// sized cuts a text in pieces of so many bytes, whole runes only. With a count the text is repeated and each
// piece is filled up with dots to the exact size; without one the last piece may be shorter.
func sized(text string, size int, chunks opt[int]) []string {
	if text == "" {
		text = "."
	}
	rest := text
	var out []string
	for !chunks.ok && rest != "" || len(out) < chunks.v {
		var b strings.Builder
		for b.Len() < size {
			if rest == "" {
				if !chunks.ok {
					break
				}
				rest = text
			}
			part := fit(rest, size-b.Len())
			if part == "" {
				if b.Len() == 0 && !chunks.ok {
					part = clip(rest, 1) // a rune wider than the size goes alone
				} else {
					break
				}
			}
			b.WriteString(part)
			rest = rest[len(part):]
		}
		for chunks.ok && b.Len() < size {
			b.WriteByte('.')
		}
		out = append(out, b.String())
	}
	return out
}

// fit returns the longest beginning of a text that has at most n bytes and ends with a whole rune.
func fit(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n]
}
