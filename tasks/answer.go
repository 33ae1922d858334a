package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/sse"
)

// longestAnswer is how many bytes the answer of a task may have.
const longestAnswer = 8 << 20

var errTooLong = &adapters.Error{
	Class: adapters.ClassInvalid, Code: "answer_too_long", Message: "The answer has more than 8 MiB, which is the most that a task keeps.",
}

// answer puts the answer of a call together while it comes. What a stream brought in pieces becomes what the same call answers
// without one.
type answer struct {
	endpoint adapters.Endpoint
	stream   bool // it comes in events
	size     int
	whole    bytes.Buffer // of an answer that comes as one
	events   sse.Scanner
	object   map[string]any // of a chat or a completion: all chunks in one
	response json.RawMessage
	text     strings.Builder // of a response that has not ended
}

// feed takes the next bytes, and gives the text that they bring and how many tokens that is.
func (a *answer) feed(piece []byte) (text string, tokens int64, err error) {
	if a.size += len(piece); a.size > longestAnswer {
		return "", 0, errTooLong
	}
	if !a.stream {
		a.whole.Write(piece)
		return "", 0, nil
	}
	var said strings.Builder
	var e sse.Event
	a.events.Feed(piece)
	for a.events.Next(&e) {
		if len(e.Data) == 0 || bytes.Equal(e.Data, []byte("[DONE]")) {
			continue
		}
		if t := a.event(e.Data); t != "" {
			said.WriteString(t)
			tokens++
		}
	}
	if err := a.events.Err(); err != nil && !errors.Is(err, sse.ErrTooLarge) {
		return "", 0, err
	}
	return said.String(), tokens, nil
}

// event takes one event, and gives the text in it.
func (a *answer) event(data []byte) string {
	if a.endpoint == adapters.Responses {
		return a.responseEvent(data)
	}
	var chunk map[string]any
	if err := json.Unmarshal(data, &chunk); err != nil || chunk["error"] != nil {
		return "" // the call fails by it, or has
	}
	if a.object == nil {
		a.object = map[string]any{}
	}
	choices, _ := chunk["choices"].([]any)
	delete(chunk, "choices")
	for member, value := range chunk {
		if value != nil {
			a.object[member] = value
		}
	}
	kept, _ := a.object["choices"].([]any)
	a.object["choices"] = mergeList(kept, choices)
	return firstText(choices)
}

// firstText is the text that the first choice of a chunk brings.
func firstText(choices []any) string {
	for _, c := range choices {
		choice, _ := c.(map[string]any)
		if at, _ := choice["index"].(float64); at != 0 {
			continue
		}
		if delta, ok := choice["delta"].(map[string]any); ok {
			text, _ := delta["content"].(string)
			return text
		}
		text, _ := choice["text"].(string)
		return text
	}
	return ""
}

// responseEvent takes one event of a response.
func (a *answer) responseEvent(data []byte) string {
	var e struct {
		Type     string          `json:"type"`
		Delta    json.RawMessage `json:"delta"`
		Response json.RawMessage `json:"response"`
	}
	if json.Unmarshal(data, &e) != nil {
		return ""
	}
	if e.Response != nil {
		a.response = bytes.Clone(e.Response)
	}
	if e.Type != "response.output_text.delta" {
		return ""
	}
	var text string
	if json.Unmarshal(e.Delta, &text) != nil {
		return ""
	}
	a.text.WriteString(text)
	return text
}

// body is the answer as far as it has come; nil: nothing has. Nothing is fed after it.
func (a *answer) body(ended bool) []byte {
	switch {
	case !a.stream:
		return a.whole.Bytes()
	case a.endpoint == adapters.Responses:
		return a.responseBody(ended)
	case a.object == nil:
		return nil
	}
	if a.object["object"] = "text_completion"; a.endpoint == adapters.ChatCompletions {
		a.object["object"] = "chat.completion"
		a.complete()
	}
	b, err := json.Marshal(a.object)
	if err != nil {
		return nil // what came from JSON goes back into it
	}
	return b
}

// complete makes messages of the deltas. Only in those have calls of tools an index.
func (a *answer) complete() {
	choices, _ := a.object["choices"].([]any)
	for _, c := range choices {
		choice, ok := c.(map[string]any)
		if !ok {
			continue
		}
		message, _ := choice["delta"].(map[string]any)
		delete(choice, "delta")
		if message == nil {
			message = map[string]any{}
		}
		calls, _ := message["tool_calls"].([]any)
		for _, call := range calls {
			if m, ok := call.(map[string]any); ok {
				delete(m, "index")
			}
		}
		choice["message"] = message
	}
}

// responseBody is the response of the last event that had one: the whole one when it has ended, else with the text so far.
func (a *answer) responseBody(ended bool) []byte {
	if ended || a.response == nil {
		return a.response
	}
	var r map[string]any
	if json.Unmarshal(a.response, &r) != nil {
		return nil
	}
	r["status"] = "cancelled"
	r["output"] = []any{map[string]any{
		"type": "message", "role": "assistant", "status": "incomplete",
		"content": []any{map[string]any{"type": "output_text", "text": a.text.String(), "annotations": []any{}}},
	}}
	b, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return b
}

// merge joins what a chunk says of an object with what earlier ones said: texts go on, numbers and the rest are replaced, lists are
// merged by the index of their elements. What names something is said once, by some providers again and again.
func merge(into, more map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for member, value := range more {
		switch v := value.(type) {
		case nil:
			if _, there := into[member]; !there {
				into[member] = nil
			}
		case string:
			before, _ := into[member].(string)
			if names(member) {
				before = ""
			}
			into[member] = before + v
		case map[string]any:
			before, _ := into[member].(map[string]any)
			into[member] = merge(before, v)
		case []any:
			before, _ := into[member].([]any)
			into[member] = mergeList(before, v)
		default:
			into[member] = v
		}
	}
	return into
}

func names(member string) bool {
	switch member {
	case "role", "type", "id", "name", "finish_reason", "call_id", "object", "model":
		return true
	}
	return false
}

func mergeList(into, more []any) []any {
	for _, element := range more {
		m, ok := element.(map[string]any)
		if !ok || m["index"] == nil {
			into = append(into, element)
			continue
		}
		at := indexOf(into, m["index"])
		if at < 0 {
			into, at = append(into, map[string]any{}), len(into)
		}
		into[at] = merge(into[at].(map[string]any), m)
	}
	return into
}

// indexOf finds the element of a list that has an index.
func indexOf(list []any, index any) int {
	for i, element := range list {
		if m, ok := element.(map[string]any); ok && m["index"] == index {
			return i
		}
	}
	return -1
}

// Said is the text of a whole answer; empty: it has none.
func Said(e adapters.Endpoint, body []byte) string {
	var a struct {
		Choices []struct {
			Text    string `json:"text"`
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
		Output []struct {
			Content []struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"content"`
		} `json:"output"`
	}
	if json.Unmarshal(body, &a) != nil {
		return ""
	}
	if e != adapters.Responses {
		if len(a.Choices) == 0 {
			return ""
		}
		return a.Choices[0].Message.Content + a.Choices[0].Text
	}
	var text strings.Builder
	for _, item := range a.Output {
		for _, part := range item.Content {
			if part.Type == "output_text" {
				text.WriteString(part.Text)
			}
		}
	}
	return text.String()
}
