package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What travels: the calls that the load client sends and the answers that the upstream gives. Sizes and heads
// follow what an official SDK and a big provider send, because a proxy pays for every header that it reads.

const (
	apiKey    = "sk-bench-0123456789abcdef0123456789abcde" // 40 characters, as providers' keys have
	modelName = "bench-model"
	chatPath  = "/v1/chat/completions"
)

// script says what the upstream shall do with a streamed call: it travels in the prompt, as
// [[chunks=50 delay=20ms]], so that it passes through any proxy and one upstream serves every phase.
type script struct {
	Chunks int           // content events
	Delay  time.Duration // from one content event to the next
	Grid   time.Duration // events leave at multiples of this only, so that streams send in bursts; 0: each when it is due
	Usage  bool          // the client asks for the usage event
}

func (s script) String() string {
	return fmt.Sprintf("[[chunks=%d delay=%s grid=%s]]", s.Chunks, s.Delay, s.Grid)
}

// parseScript finds the marker in a request body. A body without one gets a stream of 50 events at 20 ms.
func parseScript(body string) (script, error) {
	s := script{Chunks: 50, Delay: 20 * time.Millisecond, Usage: strings.Contains(body, `"include_usage":true`)}
	_, rest, found := strings.Cut(body, "[[")
	if !found {
		return s, nil
	}
	marker, _, closed := strings.Cut(rest, "]]")
	if !closed {
		return s, fmt.Errorf("marker without an end: %.40q", rest)
	}
	for word := range strings.FieldsSeq(marker) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "chunks":
			s.Chunks, err = strconv.Atoi(value)
		case "delay":
			s.Delay, err = time.ParseDuration(value)
		case "grid":
			s.Grid, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown word")
		}
		if err != nil {
			return s, fmt.Errorf("marker %q: %w", word, err)
		}
	}
	return s, nil
}

// chatBody is about 1 KB of chat. A script makes it a streamed call.
func chatBody(stream *script) string {
	marker, options := "", ""
	if stream != nil {
		marker = " " + stream.String()
		options = `"stream":true,`
		if stream.Usage {
			options += `"stream_options":{"include_usage":true},`
		}
	}
	return `{"model":"` + modelName + `",` + options + `"messages":[` +
		`{"role":"system","content":"` + systemPrompt + `"},` +
		`{"role":"user","content":"Which of the two reports should the board see first, and why?"},` +
		`{"role":"assistant","content":"The liquidity report: it has the one figure that changes what they can decide today."},` +
		`{"role":"user","content":"` + userPrompt + marker + `"}],` +
		`"temperature":0.2,"top_p":1,"max_completion_tokens":512,"user":"user-2f9c1d"}`
}

const (
	systemPrompt = "You are a careful assistant of a finance team. Answer in plain words, name the figures that you rely on, " +
		"say what you do not know, and keep to at most five sentences. Never invent a source."
	userPrompt = "Write three sentences for the covering note. Mention that cash covers eleven weeks at the present rate, that the " +
		"second tranche of the loan depends on the audit, and that two customers owe sixty per cent of what is open. Do not use " +
		"the word liquidity; half of the readers are engineers. End with the decision that we ask for: bring the audit forward by " +
		"two weeks, at a cost of 18,400 euros, so that the tranche can be drawn before the quarter ends."
)

// chatRequest is the whole request as bytes, with the head of an official Python SDK.
func chatRequest(addr, body string) []byte {
	return []byte("POST " + chatPath + " HTTP/1.1\r\n" +
		"Host: " + addr + "\r\n" +
		"Accept-Encoding: identity\r\n" +
		"Connection: keep-alive\r\n" +
		"Accept: application/json\r\n" +
		"Content-Type: application/json\r\n" +
		"User-Agent: OpenAI/Python 2.8.0\r\n" +
		"X-Stainless-Lang: python\r\n" +
		"X-Stainless-Package-Version: 2.8.0\r\n" +
		"X-Stainless-OS: Linux\r\n" +
		"X-Stainless-Arch: x64\r\n" +
		"X-Stainless-Runtime: CPython\r\n" +
		"X-Stainless-Runtime-Version: 3.13.1\r\n" +
		"X-Stainless-Retry-Count: 0\r\n" +
		"Authorization: Bearer " + apiKey + "\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// answerBody is the whole answer to a call that is not streamed, about 700 bytes.
const answerBody = `{"id":"chatcmpl-BenchA0123456789abcdefghijkl","object":"chat.completion","created":1767225600,"model":"` + modelName + `",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"Cash covers eleven weeks at the present rate. The second tranche of the loan ` +
	`depends on the audit, and two customers owe sixty per cent of what is open. We ask the board to bring the audit forward by two weeks.",` +
	`"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":214,"completion_tokens":48,"total_tokens":262,` +
	`"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"service_tier":"default","system_fingerprint":"fp_0123456789"}`

// answerHead ends without the lines that name type and length.
const answerHead = "HTTP/1.1 200 OK\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n" +
	"openai-organization: bench\r\n" +
	"openai-processing-ms: 312\r\n" +
	"openai-version: 2020-10-01\r\n" +
	"x-ratelimit-limit-requests: 10000\r\n" +
	"x-ratelimit-limit-tokens: 2000000\r\n" +
	"x-ratelimit-remaining-requests: 9999\r\n" +
	"x-ratelimit-remaining-tokens: 1999700\r\n" +
	"x-ratelimit-reset-requests: 6ms\r\n" +
	"x-ratelimit-reset-tokens: 8ms\r\n" +
	"x-request-id: req_0123456789abcdef0123456789abcdef\r\n"

// The pieces of a stream. An event's content is the time of its sending, Unix nanoseconds in stampDigits digits, so
// that the client can tell how long it was on its way; with that it is about 220 bytes, as a provider's are.
const (
	stampDigits = 19
	chunkHead   = `data: {"id":"chatcmpl-BenchS0123456789","object":"chat.completion.chunk","created":1767225600,"model":"` + modelName + `",`
	contentMark = `"content":"`
	contentTail = `"},"logprobs":null,"finish_reason":null}]`
	finishEvent = chunkHead + `"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`
	usageEvent  = chunkHead + `"choices":[],"usage":{"prompt_tokens":214,"completion_tokens":50,"total_tokens":264}}` + "\n\n"
	doneEvent   = "data: [DONE]\n\n"
)

// contentEvent gives one content event and where its stamp stands in it.
func contentEvent(usage bool) (event string, stampAt int) {
	head := chunkHead + `"choices":[{"index":0,"delta":{` + contentMark
	return head + strings.Repeat("0", stampDigits) + contentTail + eventEnd(usage), len(head)
}

// eventEnd closes an event; a provider that was asked for usage says null in every event but the last.
func eventEnd(usage bool) string {
	if usage {
		return `,"usage":null}` + "\n\n"
	}
	return "}\n\n"
}
