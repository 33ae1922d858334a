package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// agentDialect is Perplexity's Agent API, by its reference and its guide for those who come from Sonar.
func agentDialect() *dialect {
	return &dialect{
		name: Perplexity, bases: []string{"/v1", ""}, profiles: agentProfiles, headers: perplexityHeaders,
		serves: func(rt *route) bool {
			return slices.Contains([]string{"/agent", "/responses", "/responses/*", "/models"}, rt.path) && rt.method != http.MethodDelete
		},
		retired: func(path string) *apiError {
			if path != "/chat/completions" && path != "/v1/sonar" {
				return nil
			}
			return &apiError{
				status: 403, kind: "chat_completions_not_available",
				message: "Sonar is now the Agent API. Use /v1/responses instead of " + path + ".",
			}
		},
		openPath: func(path string) bool { return path == "/models" },
		shape:    perplexityError, translate: agentWords,
		responses: agentResponses, agent: true,
	}
}

// sonarDialect is Sonar's chat: base without /v1, usage, citations and search results in every chunk.
func sonarDialect() *dialect {
	return &dialect{
		name: PerplexityChat, bases: []string{""}, profiles: sonarProfiles, headers: perplexityHeaders,
		serves: func(rt *route) bool { return rt.path == "/chat/completions" && rt.method == http.MethodPost },
		shape:  perplexityError, translate: agentWords, page: unauthorizedPage,
		chat: sonarChat, bareMark: true, chatUsage: sonarUsage,
		bareMessage: true, usageEvery: true, tailEvery: true, bareLast: true, searchResults: true,
	}
}

var sources = []string{"https://example.com/simulated/1", "https://example.com/simulated/2"}

func agentProfiles() []Profile {
	const dollar = 1_000_000_000
	model := func(name string, input, output int64) Profile {
		return Profile{
			Model: name, Median: 60 * time.Millisecond, P95: 150 * time.Millisecond, TokensPerSecond: 200, Context: 127_072,
			Price: Price{Input: input, Output: output, Request: 0.005 * dollar}, Citations: sources,
		}
	}
	return []Profile{
		model("perplexity/sonar", 0.25*dollar, 2.50*dollar), model("openai/gpt-5.1", 1.25*dollar, 10*dollar),
		model("anthropic/claude-sonnet-4-5", 3*dollar, 15*dollar), model("google/gemini-3-flash-preview", 0.50*dollar, 3*dollar),
	}
}

func sonarProfiles() []Profile {
	const dollar = 1_000_000_000
	model := func(name string, input, output int64) Profile {
		return Profile{
			Model: name, Median: 60 * time.Millisecond, P95: 150 * time.Millisecond, TokensPerSecond: 200, Context: 127_072,
			Price: Price{Input: input, Output: output, Request: 0.005 * dollar}, Citations: sources,
		}
	}
	all := []Profile{
		model("sonar", dollar, dollar), model("sonar-pro", 3*dollar, 15*dollar),
		model("sonar-reasoning-pro", 2*dollar, 8*dollar), model("sonar-deep-research", 2*dollar, 8*dollar),
	}
	all[1].NoDone, all[2].NoDone = true, true
	return all
}

func perplexityHeaders(h http.Header, id string) {
	h["Set-Cookie"] = []string{cookie(id, "perplexity.ai")}
	h["Via"] = []string{"1.1 google"}
}

// perplexityError writes Perplexity's shape: the code is the status as a number.
func perplexityError(b []byte, e *apiError) []byte {
	b = appendString(append(b, `{"error":{"message":`...), e.message)
	b = appendString(append(b, `,"type":`...), e.kindOr("invalid_request"))
	b = strconv.AppendInt(append(b, `,"code":`...), int64(e.status), 10)
	if e.param != "" {
		b = appendString(append(b, `,"param":`...), e.param)
	}
	return append(b, "}}"...)
}

// agentWords gives OpenAI's errors Perplexity's types, and the statuses where they differ.
func agentWords(e *apiError) *apiError {
	own := *e
	switch {
	case e.code == "model_not_found":
		own.status, own.kind, own.param = 400, "invalid_model", "model"
		_, name, _ := strings.Cut(e.message, "`")
		name, _, _ = strings.Cut(name, "`")
		own.message = fmt.Sprintf("validation failed: model %q is not supported", name)
	case e.status == 401:
		own.kind, own.message = "forbidden", "Invalid API key. Check it at https://console.perplexity.ai."
	case e.status == 403:
		own.kind = e.kindOr("forbidden")
	case e.status == 404 || e.status == 405:
		own.kind = "not_found"
	case e.status == 413:
		own.kind = "payload_too_large"
	case e.status == 429:
		own.kind, own.message = "request_rate_limit_exceeded", "Request rate limit exceeded, please try again later."
	case e.status == 502:
		own.kind = "bad_gateway"
	case e.status == 504:
		own.kind = "gateway_timeout"
	case e.status >= 500:
		own.kind = "internal_error"
	case e.code == "invalid_type" || e.code == "invalid_value":
		own.kind = e.kindOr("invalid_parameter")
	}
	return &own
}

// unauthorizedPage is what the proxy before Sonar answers to a wrong key.
func unauthorizedPage(e *apiError) (body string, ok bool) {
	return "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n<center><h1>401 Authorization Required</h1></center>\r\n" +
		"<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n", e.status == 401
}

func errUnknownField(name string) *apiError {
	return &apiError{
		status: 400, kind: "invalid_request", param: name,
		message: fmt.Sprintf("invalid request body: json: unknown field %q", name),
	}
}

// only refuses a JSON object with a member that is not known; what is no object is left to the reader.
func only(raw json.RawMessage, known ...string) *apiError {
	var m members
	if json.Unmarshal(raw, &m) == nil {
		for _, name := range m.strangers(known...) {
			return errUnknownField(name)
		}
	}
	return nil
}

// each refuses the first of the objects in an array that has a member that is not known for its type.
func each(raw json.RawMessage, known func(m members, kind string) []string) *apiError {
	var all []members
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	for _, m := range all {
		var kind string
		_ = json.Unmarshal(m["type"], &kind)
		if list := known(m, kind); list != nil {
			for _, name := range m.strangers(list...) {
				return errUnknownField(name)
			}
		}
	}
	return nil
}

// agentKnown are the members of a request. The two last are taken and do nothing.
var agentKnown = []string{
	"background", "input", "instructions", "language_preference", "max_output_tokens", "max_steps", "max_tool_calls", "metadata", "model", "models",
	"parallel_tool_calls", "preset", "previous_response_id", "reasoning", "response_format", "store", "stream", "stream_options", "temperature", "text",
	"tool_choice", "tools", "top_p", "truncation", "logprobs", "top_logprobs",
}

// presets and the models to which they resolve; all but the first are third parties'. The longer names are
// their earlier ones.
var presets = map[string]string{
	"fast": "perplexity/sonar", "low": "google/gemini-3-flash-preview", "medium": "openai/gpt-5.1", "high": "anthropic/claude-sonnet-4-5",
	"xhigh": "anthropic/claude-sonnet-4-5", "wide-research": "openai/gpt-5.1",
	"fast-search": "perplexity/sonar", "pro-search": "google/gemini-3-flash-preview", "deep-research": "openai/gpt-5.1",
	"advanced-deep-research": "anthropic/claude-sonnet-4-5",
}

// reservedTools can not be the names of functions.
var reservedTools = []string{"web_search", "search_web", "people_search", "search_people", "fetch_url", "finance_search", "sandbox"}

// agentResponses refuses what the Agent API refuses, and settles which model answers and whether it searches.
func agentResponses(q *responsesRequest) *apiError {
	for _, name := range q.raw.strangers(agentKnown...) {
		return errUnknownField(name)
	}
	for _, check := range []func(*responsesRequest) *apiError{agentNested, agentModel, agentTools} {
		if e := check(q); e != nil {
			return e
		}
	}
	return nil
}

// agentNested refuses unknown members below the top. Text is known, but nothing in it that a client sends.
func agentNested(q *responsesRequest) *apiError {
	for name, known := range map[string][]string{
		"text": {}, "reasoning": {"effort", "summary"}, "stream_options": {"include_usage"},
		"response_format": {"type", "json_schema"}, "tool_choice": {"type", "name"},
	} {
		if e := only(q.raw[name], known...); e != nil {
			return e
		}
	}
	var format members
	_ = json.Unmarshal(q.raw["response_format"], &format)
	if e := only(format["json_schema"], "name", "schema", "strict", "description"); e != nil {
		return e
	}
	if e := each(q.raw["input"], func(_ members, kind string) []string {
		switch kind {
		case "function_call":
			return []string{"type", "id", "status", "call_id", "name", "arguments", "thought_signature"}
		case "function_call_output":
			return []string{"type", "call_id", "name", "output", "thought_signature"}
		}
		return []string{"type", "id", "status", "role", "content"}
	}); e != nil {
		return e
	}
	var items []members
	_ = json.Unmarshal(q.raw["input"], &items)
	for _, item := range items {
		if e := each(item["content"], func(members, string) []string {
			return []string{"type", "text", "image_url", "annotations"}
		}); e != nil {
			return e
		}
	}
	return each(q.raw["tools"], func(_ members, kind string) []string {
		switch kind {
		case "function":
			return []string{"type", "name", "description", "parameters", "strict"}
		case "web_search":
			return []string{"type", "filters", "max_tokens", "max_tokens_per_page", "max_results", "user_location", "search_context_size"}
		case "fetch_url":
			return []string{"type", "max_urls", "total_budget_tokens"}
		}
		return nil
	})
}

func agentModel(q *responsesRequest) *apiError {
	var preset string
	var models []string
	if e := q.raw.read("preset", "preset", "a string", &preset); e != nil {
		return e
	}
	if e := q.raw.read("models", "models", "an array of strings", &models); e != nil {
		return e
	}
	if len(models) > 5 {
		return errValue("models", "models must have at most 5 entries")
	}
	if len(models) > 0 {
		q.chat.model = models[0]
	}
	if preset != "" {
		model, ok := presets[preset]
		if !ok {
			return &apiError{status: 400, kind: "invalid_parameter", param: "preset", message: fmt.Sprintf("invalid preset %q", preset)}
		}
		q.searches = true
		if q.chat.model == "" {
			q.chat.model = model
		}
	}
	if q.chat.model == "" {
		return &apiError{status: 400, kind: "invalid_request", param: "model", message: "model, models or preset is required"}
	}
	if _, ok := q.raw.has("max_output_tokens"); !ok && strings.HasPrefix(q.chat.model, "anthropic/") && preset == "" {
		return &apiError{
			status: 400, kind: "invalid_parameter", param: "max_output_tokens",
			message: "max_output_tokens is required when using Anthropic models",
		}
	}
	return nil
}

// agentTools settles whether the model searches: a preset and a forced tool make it search, an offered one
// only when the prompt speaks of searching or of what is latest.
func agentTools(q *responsesRequest) *apiError {
	for _, t := range q.chat.tools {
		if slices.Contains(reservedTools, t.name) {
			return &apiError{status: 400, kind: "invalid_parameter", param: "tools", message: fmt.Sprintf("function name %q is reserved", t.name)}
		}
	}
	offered := slices.Contains(q.builtin, "web_search")
	prompt := strings.ToLower(q.chat.prompt)
	if offered && (strings.Contains(prompt, "search") || strings.Contains(prompt, "latest")) {
		q.searches = true
	}
	var choice struct{ Type string }
	if raw, ok := q.raw.has("tool_choice"); ok && json.Unmarshal(raw, &choice) == nil && choice.Type == "web_search" {
		q.searches = offered || q.searches
	}
	var most opt[int]
	if _, most.ok = q.raw.has("max_tool_calls"); most.ok {
		if e := q.raw.read("max_tool_calls", "max_tool_calls", "an integer", &most.v); e != nil {
			return e
		}
		if most.v == 0 {
			q.searches, q.chat.tools = false, nil
		}
	}
	return nil
}

// sonarChat refuses what Sonar refused: turns out of order, tools, and more than one choice.
func sonarChat(q *chatRequest, _ []byte) *apiError {
	if len(q.tools) > 0 {
		return &apiError{status: 400, kind: "invalid_parameter", message: "Tool calling is not supported for this model"}
	}
	if q.n != 1 {
		return &apiError{status: 400, kind: "invalid_parameter", message: "n must be 1"}
	}
	previous := ""
	for _, m := range q.messages {
		if m.role == "system" && (previous == "" || previous == "system") {
			previous = m.role
			continue
		}
		if m.role == previous || m.role == "assistant" && previous != "user" && previous != "tool" || m.role == "system" {
			return &apiError{status: 400, kind: "invalid_message", message: "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s)."}
		}
		previous = m.role
	}
	if previous == "assistant" {
		return &apiError{status: 400, kind: "invalid_message", message: "Last message must have role `user` or `tool`."}
	}
	q.includeUsage = true
	return nil
}

// sonarUsage writes what Sonar reports beside the tokens.
func sonarUsage(b []byte, r *chatReply) []byte {
	input := r.price.Input * int64(r.prompt) / 1_000_000
	output := r.price.Output * int64(r.completion+r.reasoning) / 1_000_000
	b = append(b, `,"search_context_size":"low","cost":{"input_tokens_cost":`...)
	b = appendDollars(append(appendDollars(b, input), `,"output_tokens_cost":`...), output)
	b = appendDollars(append(b, `,"request_cost":`...), r.price.Request)
	return append(appendDollars(append(b, `,"total_cost":`...), input+output+r.price.Request), '}')
}

// appendDollars writes nanodollars as dollars, exactly.
func appendDollars(b []byte, nano int64) []byte {
	b = append(strconv.AppendInt(b, nano/1_000_000_000, 10), '.')
	fraction := strconv.FormatInt(1_000_000_000+nano%1_000_000_000, 10)[1:]
	fraction = strings.TrimRight(fraction, "0")
	if fraction == "" {
		fraction = "0"
	}
	return append(b, fraction...)
}

// appendSearchResults writes what was found, one result for each source.
func appendSearchResults(b []byte, urls []string) []byte {
	b = append(b, '[')
	for i, url := range urls {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"id":`...), int64(i+1), 10)
		b = appendString(append(b, `,"title":`...), "Simulated source "+strconv.Itoa(i+1))
		b = appendString(append(b, `,"url":`...), url)
		b = append(b, `,"date":"2025-01-31","last_updated":"2025-02-01","snippet":"What a page would say.","source":"web"}`...)
	}
	return append(b, ']')
}
