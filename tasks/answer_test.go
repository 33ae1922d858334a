package tasks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
)

// What comes in pieces becomes what the same call answers without a stream, however the pieces are cut.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint     adapters.Endpoint
		stream       string
		said         string
		tokens       int64
		whole, parts string // when it has ended, and when it has not
	}{
		"a chat": {
			adapters.ChatCompletions,
			`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

: a comment

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"He"},"finish_reason":null}]}

data: {"id":"c1","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}]}

data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c1","choices":[],"usage":{"total_tokens":5}}

data: [DONE]

`, "Hello", 2,
			`{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hello","role":"assistant"}}],"created":1,"id":"c1","model":"m","object":"chat.completion","usage":{"total_tokens":5}}`, "",
		},
		"calls of tools, and two choices": {
			adapters.ChatCompletions,
			`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}

data: {"choices":[{"index":1,"delta":{"role":"assistant","content":"x"}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}

`, "", 0,
			`{"choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"},"id":"t1","type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"t2","type":"function"}]}},{"index":1,"message":{"content":"x","role":"assistant"}}],"object":"chat.completion"}`, "",
		},
		"a chat that fails": {
			adapters.ChatCompletions,
			`data: {"id":"c1","choices":[{"index":0,"delta":{"content":"He"}}]}

data: {"error":{"message":"m"}}

`, "He", 1, `{"choices":[{"index":0,"message":{"content":"He"}}],"id":"c1","object":"chat.completion"}`, "",
		},
		"a completion": {
			adapters.Completions,
			`data: {"id":"c1","object":"text_completion","choices":[{"index":0,"text":"He"}]}

data: {"id":"c1","choices":[{"index":0,"text":"llo","finish_reason":"stop"}]}

`, "Hello", 2, `{"choices":[{"finish_reason":"stop","index":0,"text":"Hello"}],"id":"c1","object":"text_completion"}`, "",
		},
		"a response": {
			adapters.Responses,
			`event: response.created
data: {"type":"response.created","response":{"id":"r1","status":"in_progress"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"He"}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"llo"}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","delta":"{}"}

`, "Hello", 2, `{"id":"r1","status":"in_progress"}`,
			`{"id":"r1","output":[{"content":[{"annotations":[],"text":"Hello","type":"output_text"}],"role":"assistant","status":"incomplete","type":"message"}],"status":"cancelled"}`,
		},
		"embeddings": {adapters.Embeddings, `{"data":[]}`, "", 0, `{"data":[]}`, ""},
		"nothing":    {adapters.ChatCompletions, "", "", 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 7, 1 << 20} {
				a := answer{endpoint: c.endpoint, stream: streams(c.endpoint)}
				var said strings.Builder
				var tokens int64
				for rest := c.stream; rest != ""; {
					n := min(size, len(rest))
					text, more, err := a.feed([]byte(rest[:n]))
					if err != nil {
						t.Fatal(err)
					}
					said.WriteString(text)
					tokens, rest = tokens+more, rest[n:]
				}
				if said.String() != c.said || tokens != c.tokens {
					t.Errorf("in pieces of %d: %q in %d tokens", size, said.String(), tokens)
				}
				ended := c.parts == ""
				want := c.whole
				if !ended {
					want = c.parts
				}
				if diff := cmp.Diff(want, string(a.body(ended))); diff != "" {
					t.Errorf("in pieces of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
	a := answer{endpoint: adapters.Embeddings}
	if _, _, err := a.feed(make([]byte, longestAnswer+1)); err == nil {
		t.Error("an answer without end was taken")
	}
}

func TestSaid(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"choices":[{"message":{"content":"a"}}]}`: "a", `{"choices":[]}`: "", `x`: "", `{"choices":[{"text":"t"}]}`: "t",
	} {
		if got := Said(adapters.ChatCompletions, []byte(body)); got != want {
			t.Errorf("%s says %q", body, got)
		}
	}
	if got := Said(adapters.Responses, []byte(`{"output":[{"type":"reasoning"},{"content":[{"type":"output_text","text":"a"},{"type":"refusal"},{"type":"output_text","text":"b"}]}]}`)); got != "ab" {
		t.Errorf("a response says %q", got)
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		endpoint          adapters.Endpoint
		body, want, fault string
	}{
		{adapters.ChatCompletions, `{"model":"m","stream":false,"n":1.50}`, `{"model":"m","n":1.50,"stream":true,"stream_options":{"include_usage":true}}`, ""},
		{adapters.Responses, `{"model":"m","stream_options":{}}`, `{"model":"m","stream":true}`, ""},
		{adapters.Embeddings, `{"model":"m","stream":true}`, `{"model":"m"}`, ""},
		{adapters.ChatCompletions, `[]`, "", "request"},
		{adapters.ChatCompletions, `null`, "", "request"},
		{adapters.ChatCompletions, `{"model":""}`, "", "request.model"},
		{adapters.Responses, `{"model":"m","background":true}`, "", "request.background"},
	} {
		body, model, err := Prepare(c.endpoint, []byte(c.body), true)
		if wrong, is := err.(*Fault); is && wrong.Path == c.fault { //nolint:errorlint // it is one, or the test fails
			continue
		}
		if err != nil || string(body) != c.want || model != "m" {
			t.Errorf("%s: %s, %s, %v", c.body, body, model, err)
		}
	}
}
