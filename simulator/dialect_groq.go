package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// groqDialect is Groq's wire, by its documents on OpenAI compatibility, on the Responses API and on errors.
func groqDialect() *dialect {
	return &dialect{
		name: Groq, bases: []string{"/openai/v1"}, profiles: groqProfiles, headers: groqHeaders,
		serves: func(rt *route) bool {
			return slices.ContainsFunc([]string{"/chat/completions", "/responses", "/audio/", "/models", "/files", "/batches", "/embeddings"},
				func(p string) bool { return strings.HasPrefix(rt.path, p) }) &&
				!strings.HasPrefix(rt.path, "/chat/completions/") && !strings.HasPrefix(rt.path, "/responses/") &&
				(rt.path != "/chat/completions" || rt.method == http.MethodPost)
		},
		shape: groqError, byStatus: groqStatus, translate: groqWords,
		chat: groqChat, chatMark: `,"system_fingerprint":"fp_c0a6eb8d8f","service_tier":"on_demand"`, chatUsage: groqUsage,
		reasoningField: true, groq: true, bareMessage: true,
		responses: groqResponses, transcription: groqTranscription,
	}
}

func groqProfiles() []Profile {
	const dollar = 1_000_000_000
	model := func(name string, speed float64, input, output int64) Profile {
		return Profile{
			Model: name, Median: 30 * time.Millisecond, P95: 90 * time.Millisecond, TokensPerSecond: speed,
			Context: 131_072, Price: Price{Input: input, Output: output},
		}
	}
	oss := model("openai/gpt-oss-120b", 500, 0.15*dollar, 0.60*dollar)
	oss.Reasoning = true
	small := model("openai/gpt-oss-20b", 1000, 0.075*dollar, 0.30*dollar)
	small.Reasoning = true
	qwen := model("qwen/qwen3-32b", 400, 0.29*dollar, 0.59*dollar)
	qwen.Reasoning = true
	return []Profile{
		model("llama-3.3-70b-versatile", 394, 0.59*dollar, 0.79*dollar), model("llama-3.1-8b-instant", 840, 0.05*dollar, 0.08*dollar),
		oss, small, qwen, model("meta-llama/llama-4-scout-17b-16e-instruct", 600, 0.11*dollar, 0.34*dollar),
		{Model: "whisper-large-v3", Price: Price{Request: 0.0001 * dollar}},
		{Model: "whisper-large-v3-turbo", Price: Price{Request: 0.00005 * dollar}},
		{Model: "canopylabs/orpheus-v1-english", Price: Price{Input: 22 * dollar}},
	}
}

func groqHeaders(h http.Header, id string) {
	h["X-Groq-Region"] = []string{"fra"}
	h["Set-Cookie"] = []string{cookie(id, "groq.com")}
	h["Vary"] = []string{"Origin"}
	h["Via"] = []string{"1.1 google"}
}

// groqError writes Groq's shape: no param, and a code only where there is one.
func groqError(b []byte, e *apiError) []byte {
	b = appendString(append(b, `{"error":{"message":`...), e.message)
	b = appendString(append(b, `,"type":`...), e.kindOr("invalid_request_error"))
	if e.code != "" {
		b = appendString(append(b, `,"code":`...), e.code)
	}
	return append(b, "}}\n"...)
}

// groqWords says what OpenAI says in Groq's words, where clients could tell the difference.
func groqWords(e *apiError) *apiError {
	own := *e
	switch {
	case e.status == 401:
		own.message, own.code = "Invalid API Key", "invalid_api_key"
	case e.code == "unknown_url":
		own.message = "Unknown request URL: " + strings.TrimSuffix(strings.TrimPrefix(e.message, "Invalid URL ("), ")") +
			". Please check the URL for typos, or see the docs at https://console.groq.com/docs/"
	case e.code == "missing_required_parameter":
		own.message, own.code = fmt.Sprintf("'%s' : property '%s' is missing", e.param, e.param), ""
	case e.code == "invalid_type" || e.code == "invalid_value":
		own.code = ""
	}
	return &own
}

func groqStatus(status int, model string) *apiError {
	e := errStatus(status, model)
	switch status {
	case 413:
		e.message = fmt.Sprintf("Request too large for model `%s` in organization `org_simulator` service tier `on_demand` on tokens per minute (TPM): "+
			"Limit 6000, Requested 9000, please reduce your message size and try again.", model)
		e.kind, e.code = "tokens", "rate_limit_exceeded"
	case 429:
		e.message = fmt.Sprintf("Rate limit reached for model `%s` in organization `org_simulator` service tier `on_demand` on tokens per minute (TPM): "+
			"Limit 6000, Used 5900, Requested 200. Please try again in 1s. Need more tokens? Upgrade at https://console.groq.com/settings/billing", model)
		e.kind, e.code = "tokens", "rate_limit_exceeded"
	case 498:
		e.message, e.kind, e.code = "Flex tier capacity exceeded, please try again later.", "invalid_request_error", "capacity_exceeded"
	case 500, 502, 503:
		e.message, e.kind = "Internal Server Error", "internal_server_error"
	}
	return e
}

// groqChatKnown are the members of Groq's chat request; any other is refused.
var groqChatKnown = []string{
	"citation_options", "compound_custom", "disable_tool_validation", "documents", "exclude_domains", "frequency_penalty", "function_call", "functions",
	"include_domains", "include_reasoning", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "messages", "metadata", "model", "n",
	"parallel_tool_calls", "presence_penalty", "reasoning_effort", "reasoning_format", "response_format", "search_settings", "seed", "service_tier",
	"stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
}

// groqMessageKnown are the members of a message. Name is not among them, as Groq's documents say.
var groqMessageKnown = []string{"role", "content", "tool_calls", "tool_call_id", "function_call", "reasoning", "channel"}

func groqChat(q *chatRequest, _ []byte) *apiError {
	for _, name := range q.raw.strangers(groqChatKnown...) {
		return errGroqProperty(name)
	}
	for _, name := range []string{"logprobs", "logit_bias", "top_logprobs"} {
		if _, ok := q.raw.has(name); ok {
			return &apiError{status: 400, message: fmt.Sprintf("property '%s' is not supported with this model", name)}
		}
	}
	if q.n != 1 {
		return &apiError{status: 400, message: fmt.Sprintf("'n' : number must be at most 1, but got %d", q.n)}
	}
	if q.store {
		return &apiError{status: 400, message: "'store' : value must be false or null"}
	}
	var messages []members
	_ = json.Unmarshal(q.raw["messages"], &messages) // it was read before
	for i, m := range messages {
		if names := m.strangers(groqMessageKnown...); len(names) > 0 {
			return &apiError{status: 400, message: fmt.Sprintf("'messages.%d' : for 'role:%s' the following must be satisfied"+
				"[('messages.%d' : property '%s' is unsupported)]", i, q.messages[i].role, i, names[0])}
		}
	}
	return nil
}

func errGroqProperty(name string) *apiError {
	return &apiError{status: 400, message: fmt.Sprintf("property '%s' is unsupported", name)}
}

// groqUsage writes the times that Groq measures, made up from the counts.
func groqUsage(b []byte, r *chatReply) []byte {
	prompt, completion := float64(r.prompt)*0.00002, float64(r.completion)*0.0025
	b = fmt.Appendf(b, `,"queue_time":0.018,"prompt_time":%.9f,"completion_time":%.9f,"total_time":%.9f`, prompt, completion, prompt+completion)
	if r.cached > 0 {
		b = fmt.Appendf(b, `,"prompt_tokens_details":{"cached_tokens":%d}`, r.cached)
	}
	if r.reasoning > 0 {
		b = fmt.Appendf(b, `,"completion_tokens_details":{"reasoning_tokens":%d}`, r.reasoning)
	}
	return b
}

// groqResponsesKnown are the members of Groq's Responses request. What its documents call unsupported
// (previous_response_id, store, truncation, include, safety_identifier, prompt_cache_key) is refused.
var groqResponsesKnown = []string{
	"input", "instructions", "max_output_tokens", "metadata", "model", "parallel_tool_calls", "reasoning", "service_tier", "stream", "temperature",
	"text", "tool_choice", "tools", "top_p", "user", "store", "truncation",
}

func groqResponses(q *responsesRequest) *apiError {
	for _, name := range q.raw.strangers(groqResponsesKnown...) {
		return errGroqProperty(name)
	}
	if _, asked := q.raw.has("store"); asked && q.store {
		return &apiError{status: 400, message: "'store' : value must be false or null"}
	}
	if raw, ok := q.raw.has("truncation"); ok && string(raw) != `"disabled"` {
		return &apiError{status: 400, message: "'truncation' : value must be one of ['disabled']"}
	}
	q.store = false
	return nil
}

func groqTranscription(f *form) *apiError {
	known := []string{"file", "url", "language", "model", "prompt", "response_format", "temperature", "timestamp_granularities[]"}
	for _, name := range f.names() {
		if !slices.Contains(known, name) {
			return &apiError{status: 400, message: fmt.Sprintf("unknown param `%s`", name)}
		}
	}
	if kind := f.value("response_format"); kind != "" && !slices.Contains([]string{"json", "text", "verbose_json"}, kind) {
		return &apiError{status: 400, message: "response_format must be one of `[json, text, verbose_json]`"}
	}
	return nil
}
