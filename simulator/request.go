package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// chatRequest is what the simulator reads of a chat completion request. Members that it does not know are
// taken without a word, as new ones appear all the time.
type chatRequest struct {
	model        string
	messages     []message
	stream       bool
	includeUsage bool
	n            int
	maxTokens    opt[int]
	stop         []string
	tools        []tool
	choice       toolChoice
	parallel     bool
	format       format
	promptTokens int
	store        bool
	metadata     map[string]string
	raw          members

	prompt string   // the last user message, markers removed
	words  []string // its fault words
}

// message is one turn of the conversation.
type message struct{ role, text string }

// tool is a function that the model may call.
type tool struct {
	name       string
	parameters *schemaNode // nil: takes nothing
}

// toolChoice says whether a tool must be called: auto, none, required, or named (then name says which).
type toolChoice struct{ mode, name string }

// format says what kind of content is asked for: text, json_object or json_schema.
type format struct {
	kind   string
	schema *schemaNode
}

// maxChoices is OpenAI's bound for n.
const maxChoices = 128

// members is a JSON object by exact name; encoding/json would also match "Model".
type members map[string]json.RawMessage

// parseChat reads a request, or says what OpenAI would say about it.
func parseChat(body []byte) (*chatRequest, *apiError) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, errNotJSON()
	}
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return nil, errNotJSON()
	}
	q := &chatRequest{raw: m, n: 1, parallel: true, choice: toolChoice{mode: "auto"}, format: format{kind: "text"}}
	for _, step := range []func(members) *apiError{
		q.readModel, q.readMessages, q.readPlain, q.readStored, q.readLimits, q.readStop, q.readTools, q.readChoice, q.readFormat,
	} {
		if e := step(m); e != nil {
			return nil, e
		}
	}
	return q, nil
}

// kindOf describes a JSON value in the words of OpenAI's messages.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	if strings.ContainsAny(string(raw), ".eE") {
		return "a decimal"
	}
	return "an integer"
}

// has returns a member unless it is absent or null.
func (m members) has(name string) (json.RawMessage, bool) {
	raw, ok := m[name]
	return raw, ok && string(raw) != "null"
}

// read decodes a member into v if it is there; path is its name in a message, want the type it must have.
func (m members) read(name, path, want string, v any) *apiError {
	raw, ok := m.has(name)
	if ok && json.Unmarshal(raw, v) != nil {
		return errType(path, want, kindOf(raw))
	}
	return nil
}

func (q *chatRequest) readModel(m members) *apiError {
	if _, ok := m.has("model"); !ok {
		return &apiError{status: 400, message: "you must provide a model parameter"}
	}
	return m.read("model", "model", "a string", &q.model)
}

func (q *chatRequest) readMessages(m members) *apiError {
	if _, ok := m["messages"]; !ok {
		return errMissing("messages")
	}
	var all []members
	var raw []json.RawMessage
	if json.Unmarshal(m["messages"], &raw) != nil || raw == nil {
		return errType("messages", "an array of objects", kindOf(m["messages"]))
	}
	for i, r := range raw {
		var one members
		if json.Unmarshal(r, &one) != nil || one == nil {
			return errType(fmt.Sprintf("messages[%d]", i), "an object", kindOf(r))
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return &apiError{
			status: 400, param: "messages", code: "empty_array",
			message: "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
		}
	}
	last := -1
	for i, one := range all {
		read, e := readMessage(one, fmt.Sprintf("messages[%d]", i))
		if e != nil {
			return e
		}
		if read.role == "user" {
			last = i
		}
		q.messages = append(q.messages, read)
		q.promptTokens += perMessage + countTokens(read.text)
	}
	q.promptTokens += perAnswer
	if last >= 0 {
		q.words, q.prompt = markers(q.messages[last].text)
	}
	return nil
}

// Prompt tokens are the tokens of every text, three for each message and three for the answer's beginning;
// tools count as the tokens of their JSON.
const (
	perMessage = 3
	perAnswer  = 3
	perImage   = 85 // OpenAI's price of an image in low detail
)

var roles = []string{"system", "assistant", "user", "function", "tool", "developer"}

func readMessage(m members, path string) (message, *apiError) {
	var out message
	if _, ok := m.has("role"); !ok {
		return out, errMissing(path + ".role")
	}
	if e := m.read("role", path+".role", "a string", &out.role); e != nil {
		return out, e
	}
	if !slices.Contains(roles, out.role) {
		return out, errValue(path+".role", fmt.Sprintf("Invalid value: '%s'. Supported values are: "+
			"'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", out.role))
	}
	raw, ok := m.has("content")
	if !ok {
		// Only an assistant that called tools or refused has nothing to say.
		if out.role == "assistant" {
			out.text = string(m["tool_calls"])
			return out, nil
		}
		return out, errType(path+".content", "a string or an array of content parts", "null")
	}
	if raw[0] == '"' {
		return out, m.read("content", path+".content", "a string", &out.text)
	}
	var parts []struct{ Type, Text, Refusal string }
	if json.Unmarshal(raw, &parts) != nil {
		return out, errType(path+".content", "a string or an array of content parts", kindOf(raw))
	}
	var texts []string
	for i, p := range parts {
		if p.Type == "" {
			return out, errMissing(fmt.Sprintf("%s.content[%d].type", path, i))
		}
		texts = append(texts, p.Text+p.Refusal)
	}
	out.text = strings.Join(texts, "\n")
	return out, nil
}

func (q *chatRequest) readPlain(m members) *apiError {
	if e := m.read("stream", "stream", "a boolean", &q.stream); e != nil {
		return e
	}
	if e := m.read("parallel_tool_calls", "parallel_tool_calls", "a boolean", &q.parallel); e != nil {
		return e
	}
	var options members
	if e := m.read("stream_options", "stream_options", "an object", &options); e != nil {
		return e
	}
	if options != nil && !q.stream {
		return errValue("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	return options.read("include_usage", "stream_options.include_usage", "a boolean", &q.includeUsage)
}

func (q *chatRequest) readStored(m members) *apiError {
	if e := m.read("store", "store", "a boolean", &q.store); e != nil {
		return e
	}
	return m.read("metadata", "metadata", "an object of strings", &q.metadata)
}

func (q *chatRequest) readLimits(m members) *apiError {
	if e := m.read("n", "n", "an integer", &q.n); e != nil {
		return e
	}
	if q.n < 1 {
		return bounded("n", "below minimum", "integer_below_min_value", ">= 1", q.n)
	}
	if q.n > maxChoices {
		return bounded("n", "above maximum", "integer_above_max_value", "<= 128", q.n)
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if _, ok := m.has(name); !ok {
			continue
		}
		q.maxTokens.ok = true
		if e := m.read(name, name, "an integer", &q.maxTokens.v); e != nil {
			return e
		}
		if q.maxTokens.v < 1 {
			return bounded(name, "below minimum", "integer_below_min_value", ">= 1", q.maxTokens.v)
		}
	}
	return nil
}

func bounded(param, how, code, want string, got int) *apiError {
	return &apiError{
		status: 400, param: param, code: code,
		message: fmt.Sprintf("Invalid '%s': integer %s value. Expected a value %s, but got %d instead.", param, how, want, got),
	}
}

func (q *chatRequest) readStop(m members) *apiError {
	raw, ok := m.has("stop")
	if !ok {
		return nil
	}
	if raw[0] == '"' {
		q.stop = make([]string, 1)
		return m.read("stop", "stop", "a string", &q.stop[0])
	}
	if e := m.read("stop", "stop", "an array of strings", &q.stop); e != nil {
		return e
	}
	if len(q.stop) > 4 {
		return &apiError{
			status: 400, param: "stop", code: "array_above_max_length",
			message: fmt.Sprintf("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(q.stop)),
		}
	}
	return nil
}

func (q *chatRequest) readTools(m members) *apiError {
	var all []struct {
		Type     string
		Function *struct {
			Name       string
			Parameters json.RawMessage
		}
	}
	if e := m.read("tools", "tools", "an array of objects", &all); e != nil {
		return e
	}
	for i, t := range all {
		path := fmt.Sprintf("tools[%d]", i)
		if t.Type == "" {
			return errMissing(path + ".type")
		}
		if t.Type != "function" {
			continue // custom and built-in tools are taken and never called
		}
		if t.Function == nil {
			return errMissing(path + ".function")
		}
		if t.Function.Name == "" {
			return errMissing(path + ".function.name")
		}
		parameters, e := readSchema(t.Function.Parameters, path+".function.parameters")
		if e != nil {
			return e
		}
		q.tools = append(q.tools, tool{t.Function.Name, parameters})
	}
	q.promptTokens += countTokens(string(m["tools"]))
	return nil
}

func (q *chatRequest) readChoice(m members) *apiError {
	raw, ok := m.has("tool_choice")
	if !ok {
		return nil
	}
	if len(q.tools) == 0 && string(raw) != `"none"` {
		return errValue("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	if raw[0] == '"' {
		if e := m.read("tool_choice", "tool_choice", "a string", &q.choice.mode); e != nil {
			return e
		}
		if !slices.Contains([]string{"none", "auto", "required"}, q.choice.mode) {
			return errValue("tool_choice", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'none', 'auto', and 'required'.", q.choice.mode))
		}
		return nil
	}
	var named struct {
		Type     string
		Function struct{ Name string }
	}
	if e := m.read("tool_choice", "tool_choice", "an object", &named); e != nil {
		return e
	}
	if named.Type != "function" {
		return nil // allowed_tools and later kinds count as auto
	}
	if !slices.ContainsFunc(q.tools, func(t tool) bool { return t.name == named.Function.Name }) {
		return errValue("tool_choice", fmt.Sprintf("Invalid value for 'tool_choice': function '%s' not found in 'tools' parameter.", named.Function.Name))
	}
	q.choice = toolChoice{"named", named.Function.Name}
	return nil
}

func (q *chatRequest) readFormat(m members) *apiError {
	var f struct {
		Type   string
		Schema *struct {
			Name   string
			Schema json.RawMessage
		} `json:"json_schema"`
	}
	if e := m.read("response_format", "response_format", "an object", &f); e != nil {
		return e
	}
	switch f.Type {
	case "", "text":
	case "json_object":
		if !slices.ContainsFunc(q.messages, func(m message) bool { return strings.Contains(strings.ToLower(m.text), "json") }) {
			return &apiError{status: 400, param: "messages", message: "'messages' must contain the word 'json' in some form, to use " +
				"'response_format' of type 'json_object'."}
		}
		q.format.kind = f.Type
	case "json_schema":
		if f.Schema == nil {
			return errMissing("response_format.json_schema")
		}
		if f.Schema.Name == "" {
			return errMissing("response_format.json_schema.name")
		}
		schema, e := readSchema(f.Schema.Schema, "response_format.json_schema.schema")
		if e != nil {
			return e
		}
		q.format = format{f.Type, schema}
		q.promptTokens += countTokens(string(f.Schema.Schema))
	default:
		return errValue("response_format.type", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", f.Type))
	}
	return nil
}
