package simulator

import (
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
)

// toolCall is one call of a function, its arguments cut as they are streamed.
type toolCall struct {
	id, name string
	pieces   []string
}

// calls decides which tools the model calls: none after a tool has answered, the named one, and otherwise
// those that the last user message names; "required", or a message that speaks of tools, gets the first.
func (q *chatRequest) calls() []toolCall {
	if len(q.tools) == 0 || q.choice.mode == "none" || q.answersTool() {
		return nil
	}
	word := topicWord(q.prompt)
	var out []toolCall
	for _, t := range q.tools {
		if q.choice.mode == "named" && t.name == q.choice.name || q.choice.mode != "named" && q.mentions(t.name) {
			out = append(out, newCall(t, word))
		}
	}
	asked := q.choice.mode == "required" || strings.Contains(strings.ToLower(q.prompt), "tool")
	if len(out) == 0 && asked {
		out = append(out, newCall(q.tools[0], word))
	}
	if !q.parallel && len(out) > 1 {
		out = out[:1]
	}
	return out
}

func newCall(t tool, word string) toolCall {
	return toolCall{"call_" + randomName(24), t.name, slices.Collect(tokens(generate(t.parameters, word)))}
}

// answersTool tells whether the conversation waits for what the model makes of a tool's result.
func (q *chatRequest) answersTool() bool {
	role := q.messages[len(q.messages)-1].role
	return role == "tool" || role == "function"
}

// mentions tells whether the prompt names a tool, with its underscores or with spaces: get_weather is also
// named by "get weather" and, since people ask so, by "weather".
func (q *chatRequest) mentions(name string) bool {
	prompt := strings.ToLower(q.prompt)
	name = strings.ToLower(name)
	if strings.Contains(prompt, name) || strings.Contains(prompt, strings.ReplaceAll(name, "_", " ")) {
		return true
	}
	_, object, ok := strings.Cut(name, "_")
	return ok && len(object) > 3 && strings.Contains(prompt, strings.ReplaceAll(object, "_", " "))
}

// topicWord is the last word of a prompt, what questions tend to be about: "… the weather in Paris?".
func topicWord(prompt string) string {
	words := strings.FieldsFunc(prompt, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) == 0 {
		return "example"
	}
	return clip(words[len(words)-1], 64)
}

// randomName returns n random letters and digits. Ids are the one part of an answer that differs between
// equal requests, as they must.
func randomName(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	name := make([]byte, n)
	for i := range name {
		name[i] = letters[rand.IntN(len(letters))]
	}
	return string(name)
}
