package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// responsesRequest is what the simulator reads of a Responses request. The parts that it shares with chat
// are kept as a chat request, from which the answer is composed.
type responsesRequest struct {
	raw        members
	chat       chatRequest
	store      bool
	background bool
	previous   string
	input      []obj    // the input's items with ids, as input_items shows them
	builtin    []string // types of tools that are no functions
	searches   bool     // a search precedes the answer
	encrypted  bool     // reasoning is asked for in encrypted form
	summary    bool     // a summary of the reasoning is asked for
	noUsage    bool     // stream_options.include_usage is false, which only Perplexity has
}

// parseResponses reads a request, or says what OpenAI would say about it.
func parseResponses(body []byte) (*responsesRequest, *apiError) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, errNotJSON()
	}
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return nil, errNotJSON()
	}
	q := &responsesRequest{raw: m, store: true}
	q.chat = chatRequest{raw: m, n: 1, parallel: true, choice: toolChoice{mode: "auto"}, format: format{kind: "text"}}
	for _, step := range []func(members) *apiError{q.readPlain, q.readInput, q.readTools, q.readChoice, q.readFormat} {
		if e := step(m); e != nil {
			return nil, e
		}
	}
	return q, nil
}

func (q *responsesRequest) readPlain(m members) *apiError {
	for name, to := range map[string]*bool{
		"stream": &q.chat.stream, "store": &q.store, "background": &q.background, "parallel_tool_calls": &q.chat.parallel,
	} {
		if e := m.read(name, name, "a boolean", to); e != nil {
			return e
		}
	}
	for name, to := range map[string]*string{"model": &q.chat.model, "previous_response_id": &q.previous} {
		if e := m.read(name, name, "a string", to); e != nil {
			return e
		}
	}
	if e := m.read("metadata", "metadata", "an object of strings", &q.chat.metadata); e != nil {
		return e
	}
	if _, ok := m.has("max_output_tokens"); ok {
		q.chat.maxTokens.ok = true
		if e := m.read("max_output_tokens", "max_output_tokens", "an integer", &q.chat.maxTokens.v); e != nil {
			return e
		}
		if n := q.chat.maxTokens.v; n < 1 {
			return bounded("max_output_tokens", "below minimum", "integer_below_min_value", ">= 1", n)
		}
	}
	var include []string
	if e := m.read("include", "include", "an array of strings", &include); e != nil {
		return e
	}
	q.encrypted = slices.Contains(include, "reasoning.encrypted_content")
	var reasoning struct{ Summary string }
	if e := m.read("reasoning", "reasoning", "an object", &reasoning); e != nil {
		return e
	}
	q.summary = reasoning.Summary != ""
	options := struct {
		Usage *bool `json:"include_usage"`
	}{}
	if e := m.read("stream_options", "stream_options", "an object", &options); e != nil {
		return e
	}
	q.noUsage = options.Usage != nil && !*options.Usage
	return nil
}

// readInput reads the instructions and the input's items as messages of a conversation.
func (q *responsesRequest) readInput(m members) *apiError {
	var instructions string
	if e := m.read("instructions", "instructions", "a string", &instructions); e != nil {
		return e
	}
	if instructions != "" {
		q.chat.messages = append(q.chat.messages, message{"system", instructions})
	}
	rawInput, ok := m.has("input")
	if !ok {
		if q.previous != "" {
			return nil
		}
		return errMissing("input")
	}
	if rawInput[0] == '"' {
		var text string
		if e := m.read("input", "input", "a string", &text); e != nil {
			return e
		}
		q.add("user", text)
		q.input = []obj{{"id": "msg_" + randomName(24), "type": "message", "status": "completed", "role": "user", "content": []obj{{"type": "input_text", "text": text}}}}
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(rawInput, &items) != nil {
		return errType("input", "one of a string or array of items", kindOf(rawInput))
	}
	for i, item := range items {
		if e := q.readItem(item, fmt.Sprintf("input[%d]", i)); e != nil {
			return e
		}
	}
	return nil
}

func (q *responsesRequest) add(role, text string) {
	q.chat.messages = append(q.chat.messages, message{role, text})
	q.chat.promptTokens += perMessage + countTokens(text)
}

func (q *responsesRequest) readItem(item json.RawMessage, path string) *apiError {
	var m members
	if json.Unmarshal(item, &m) != nil || m == nil {
		return errType(path, "an object", kindOf(item))
	}
	kind := "message"
	if e := m.read("type", path+".type", "a string", &kind); e != nil {
		return e
	}
	doc := obj{}
	_ = json.Unmarshal(item, &doc) // an object, as was seen
	doc["type"] = kind
	if doc["id"] == nil {
		doc["id"] = itemPrefix(kind) + randomName(24)
	}
	switch kind {
	case "message":
		one, e := readMessage(m, path)
		if e != nil {
			return e
		}
		q.add(one.role, one.text)
		if text, ok := doc["content"].(string); ok {
			doc["content"] = []obj{{"type": "input_text", "text": text}}
		}
		if doc["status"] == nil {
			doc["status"] = "completed"
		}
	case "function_call":
		for _, name := range []string{"call_id", "name", "arguments"} {
			if _, ok := m.has(name); !ok {
				return errMissing(path + "." + name)
			}
		}
		q.add("assistant", string(m["arguments"]))
	case "function_call_output":
		for _, name := range []string{"call_id", "output"} {
			if _, ok := m.has(name); !ok {
				return errMissing(path + "." + name)
			}
		}
		var text string
		if json.Unmarshal(m["output"], &text) != nil {
			text = string(m["output"])
		}
		q.add("tool", text)
	default:
		// Reasoning, searches and what is yet to come are taken as they are.
		q.chat.promptTokens += countTokens(string(item))
	}
	q.input = append(q.input, doc)
	return nil
}

func itemPrefix(kind string) string {
	switch kind {
	case "message":
		return "msg_"
	case "function_call":
		return "fc_"
	case "reasoning":
		return "rs_"
	}
	return "item_"
}

func (q *responsesRequest) readTools(m members) *apiError {
	var all []struct {
		Type, Name string
		Parameters json.RawMessage
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
			q.builtin = append(q.builtin, t.Type) // taken and, but for searches, never called
			continue
		}
		if t.Name == "" {
			return errMissing(path + ".name")
		}
		parameters, e := readSchema(t.Parameters, path+".parameters")
		if e != nil {
			return e
		}
		q.chat.tools = append(q.chat.tools, tool{t.Name, parameters})
	}
	q.chat.promptTokens += countTokens(string(m["tools"]))
	return nil
}

func (q *responsesRequest) readChoice(m members) *apiError {
	rawChoice, ok := m.has("tool_choice")
	if !ok || rawChoice[0] == '"' && len(q.chat.tools) == 0 {
		return nil // there is no function that could be called
	}
	if rawChoice[0] == '"' {
		return q.chat.readChoice(m)
	}
	var named struct{ Type, Name string }
	if e := m.read("tool_choice", "tool_choice", "an object", &named); e != nil {
		return e
	}
	if named.Type != "function" {
		return nil // a built-in tool, or allowed_tools
	}
	if !slices.ContainsFunc(q.chat.tools, func(t tool) bool { return t.name == named.Name }) {
		return errValue("tool_choice", fmt.Sprintf("Tool choice '%s' not found in 'tools' parameter.", named.Name))
	}
	q.chat.choice = toolChoice{"named", named.Name}
	return nil
}

// readFormat reads text.format, or response_format as Perplexity has it.
func (q *responsesRequest) readFormat(m members) *apiError {
	var text struct {
		Format struct {
			Type, Name string
			Schema     json.RawMessage
		}
	}
	if e := m.read("text", "text", "an object", &text); e != nil {
		return e
	}
	if _, ok := m.has("response_format"); ok {
		return q.chat.readFormat(m)
	}
	switch f := text.Format; f.Type {
	case "", "text":
	case "json_object":
		q.chat.format.kind = f.Type
	case "json_schema":
		if f.Name == "" {
			return errMissing("text.format.name")
		}
		if len(f.Schema) == 0 {
			return errMissing("text.format.schema")
		}
		schema, e := readSchema(f.Schema, "text.format.schema")
		if e != nil {
			return e
		}
		q.chat.format = format{f.Type, schema}
		q.chat.promptTokens += countTokens(string(f.Schema))
	default:
		return errValue("text.format.type", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", f.Type))
	}
	return nil
}

// understood settles what the conversation before it and the last user message say.
func (q *responsesRequest) understood(c *call) *apiError {
	if q.previous != "" {
		t, ok := c.server.shelf.find(c.account, "resp", q.previous)
		if !ok || t.hidden && !c.server.dialect.agent {
			return &apiError{
				status: 400, param: "previous_response_id", code: "previous_response_not_found",
				message: fmt.Sprintf("Previous response with id '%s' not found.", q.previous),
			}
		}
		before := t.state.(*responsesReply)
		q.chat.messages = append(slices.Clone(before.conversation()), q.chat.messages...)
		q.chat.promptTokens += before.q.chat.promptTokens
	}
	if len(q.chat.messages) == 0 {
		q.chat.messages = []message{{"user", ""}}
	}
	q.chat.promptTokens += perAnswer
	for _, m := range slices.Backward(q.chat.messages) {
		if m.role == "user" {
			q.chat.words, q.chat.prompt = markers(m.text)
			break
		}
	}
	return nil
}

// readResponses understands POST /v1/responses.
func readResponses(c *call) (job, *apiError) {
	q, e := parseResponses(c.body)
	if e != nil {
		return job{}, e
	}
	if e := q.understood(c); e != nil {
		return job{}, e
	}
	if check := c.server.dialect.responses; check != nil {
		if e := check(q); e != nil {
			return job{}, e
		}
	}
	if q.chat.model == "" {
		return job{}, errMissing("model")
	}
	if q.background && !q.store {
		return job{}, errValue("background", "Background mode requires 'store' to be true.")
	}
	return job{
		model: q.chat.model, words: q.chat.words, param: "input", tokens: q.chat.promptTokens, stream: q.chat.stream,
		make: func(c *call) (reply, *apiError) { return c.response(q), nil },
	}, nil
}

// response composes the answer and keeps it where it was asked to be kept before it is made.
func (c *call) response(q *responsesRequest) reply {
	f := &c.faults
	r := &responsesReply{
		dialect: c.server.dialect, q: q, id: "resp_" + randomName(48), model: c.profile.Model, created: time.Now(), price: c.profile.Price,
		choice: compose(&q.chat, c.profile, f)[0], cached: min(f.cached.or(0), q.chat.promptTokens), reasoning: f.reasoning.or(0),
		sources: c.profile.Citations, noUsage: f.usage == "none",
	}
	r.ready, r.after = r.created, -1
	r.items = r.makeItems(c.profile.Reasoning)
	server, account := c.server, c.account
	r.keep = func() {
		server.shelf.put(&thing{account: account, kind: "resp", id: r.id, state: r.copied(), hidden: !q.store})
	}
	if q.background {
		r.ready = r.created.Add(f.latency.or(0))
		c.faults.latency = opt[time.Duration]{0, true} // the waiting is done in the background
		r.keep()
		r.keep = nil
		if !q.chat.stream {
			return &fixed{body: r.snapshot("queued"), input: q.chat.promptTokens}
		}
	}
	return r
}

// countInput understands POST /v1/responses/input_tokens.
func countInput(c *call) (job, *apiError) {
	q, e := parseResponses(c.body)
	if e == nil {
		e = q.understood(c)
	}
	if e != nil {
		return job{}, e
	}
	j, e := operation(q.chat.words, func(*call) (reply, *apiError) {
		return answered(obj{"object": "response.input_tokens", "input_tokens": q.chat.promptTokens})
	})
	j.model = q.chat.model
	return j, e
}
