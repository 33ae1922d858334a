package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestWhole(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, path := range []string{"/v1/chat/completions", "/chat/completions", "/v1/chat/completions/?beta=true"} {
		a := post(t, s, path, ask("Hello world", `"n":2`))
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		c := parse(t, a.body)
		if !strings.HasPrefix(c.ID, "chatcmpl-") || c.Object != "chat.completion" || c.Model != "sim-echo" || c.Created == 0 || len(c.Choices) != 2 {
			t.Errorf("%s", a.body)
		}
		one := c.Choices[1]
		if one.Index != 1 || one.Message.Role != "assistant" || *one.Message.Content != "Hello world" || *one.Finish != "stop" {
			t.Errorf("%+v", one)
		}
		// two tokens and three each for the message and the answer; two tokens in each of two answers
		if c.Usage.Prompt != 8 || c.Usage.Completion != 4 || c.Usage.Total != 12 {
			t.Errorf("%+v", c.Usage)
		}
		for _, part := range []string{`"refusal":null`, `"logprobs":null`, `"cached_tokens":0`, `"reasoning_tokens":0`, `"system_fingerprint":"fp_`} {
			if !strings.Contains(a.body, part) {
				t.Errorf("no %s in %s", part, a.body)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, body := range []string{ask("x"), ask("x", streaming), ask("x [[status=500]]"), "{"} {
		h := chat(t, s, body).header
		for _, name := range []string{"X-Request-Id", "Openai-Processing-Ms", "Openai-Version", "Openai-Organization", "X-Ratelimit-Remaining-Tokens", "Set-Cookie"} {
			if h.Get(name) == "" {
				t.Errorf("%s: no %s", body, name)
			}
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, c := range []struct {
		name   string
		body   string
		choice int
		want   string
		usage  bool
		events int
	}{
		{"plain", ask("one two three", streaming), 0, "one two three", false, 1 + 3 + 1 + 1},
		{"usage", ask("one two three", streaming, `"stream_options":{"include_usage":true}`), 0, "one two three", true, 1 + 3 + 1 + 1 + 1},
		{"usage off", ask("one", streaming, `"stream_options":{"include_usage":false}`), 0, "one", false, 1 + 1 + 1 + 1},
		{"two choices", ask("one two", streaming, `"n":2`), 1, "one two", false, 2 + 4 + 2 + 1},
		{"chunks", ask("a b [[chunks=4]]", streaming), 0, "a ba b", false, 1 + 4 + 1 + 1},
		{"size", ask("abc [[chunks=2 size=5]]", streaming), 0, "abcabcabca", false, 1 + 2 + 1 + 1},
		{"no usage", ask("one [[usage=none]]", streaming, `"stream_options":{"include_usage":true}`), 0, "one", false, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := chat(t, s, c.body)
			if got := a.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
				t.Errorf("content-type %q", got)
			}
			all := events(a.body)
			if len(all) != c.events || all[len(all)-1] != "[DONE]" || !strings.HasSuffix(a.body, "\n\n") {
				t.Fatalf("%d events: %s", len(all), a.body)
			}
			if got := content(t, all, c.choice); got != c.want {
				t.Errorf("content %q", got)
			}
			first := parse(t, all[0])
			if first.Object != "chat.completion.chunk" || first.Choices[0].Delta.Role != "assistant" {
				t.Errorf("first event %s", all[0])
			}
			last := parse(t, all[len(all)-2])
			if last.ID != first.ID || (last.Usage != nil) != c.usage || (len(last.Choices) == 0) != c.usage {
				t.Errorf("last event %s", all[len(all)-2])
			}
			asked := strings.Contains(c.body, `"include_usage":true`) && !strings.Contains(c.body, "usage=none")
			if strings.Contains(all[0], `"usage":null`) != asked {
				t.Errorf("usage:null in %s", all[0])
			}
		})
	}
}

const weather = `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}},` +
	`{"type":"function","function":{"name":"get_time"}}]`

func TestToolCalls(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, c := range []struct {
		name, prompt, more string
		want               []string // name and arguments of each call
	}{
		{"mentioned", "What is the weather in Paris?", ``, []string{`get_weather {"city":"Paris"}`}},
		{"two", "weather and get_time in Rome", ``, []string{`get_weather {"city":"Rome"}`, `get_time {}`}},
		{"one at a time", "weather and get_time in Rome", `"parallel_tool_calls":false`, []string{`get_weather {"city":"Rome"}`}},
		{"required", "hi", `"tool_choice":"required"`, []string{`get_weather {"city":"hi"}`}},
		{"named", "hi", `"tool_choice":{"type":"function","function":{"name":"get_time"}}`, []string{`get_time {}`}},
		{"none", "weather in Paris", `"tool_choice":"none"`, nil},
		{"unrelated", "hi", ``, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			more := []string{weather}
			if c.more != "" {
				more = append(more, c.more)
			}
			whole := parse(t, chat(t, s, ask(c.prompt, more...)).body).Choices[0]
			var got, streamed []string
			for _, call := range whole.Message.Calls {
				got = append(got, call.Function.Name+" "+call.Function.Arguments)
			}
			finish := ""
			ids := map[string]bool{}
			for _, e := range events(chat(t, s, ask(c.prompt, append(more, streaming)...)).body) {
				if e == "[DONE]" {
					continue
				}
				for _, choice := range parse(t, e).Choices {
					for _, call := range choice.Delta.Calls {
						if call.ID != "" {
							if call.Index != len(streamed) || call.Type != "function" || call.Function.Arguments != "" || ids[call.ID] {
								t.Errorf("first fragment %s", e)
							}
							ids[call.ID] = true
							streamed = append(streamed, call.Function.Name+" ")
						}
						streamed[call.Index] += call.Function.Arguments
					}
					if choice.Finish != nil {
						finish = *choice.Finish
					}
				}
			}
			want := strings.Join(c.want, "|")
			if strings.Join(got, "|") != want || strings.Join(streamed, "|") != want {
				t.Errorf("whole %q, streamed %q, want %q", got, streamed, want)
			}
			if called := c.want != nil; (finish == "tool_calls") != called || (*whole.Finish == "tool_calls") != called {
				t.Errorf("finish %q, %q", finish, *whole.Finish)
			}
		})
	}
}

func TestToolResultIsAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	a := chat(t, s, `{"model":"sim-small","messages":[{"role":"user","content":"weather? [[latency=0 delay=0]]"},`+
		`{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"c","content":"sunny"}],`+weather+`}`)
	c := parse(t, a.body).Choices[0]
	if *c.Finish != "stop" || !strings.Contains(*c.Message.Content, "sunny") {
		t.Errorf("%s", a.body)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, c := range []struct{ more, want, finish string }{
		{`"max_tokens":2`, "one two", "length"},
		{`"max_completion_tokens":3`, "one two three", "stop"},
		{`"stop":" two"`, "one", "stop"},
		{`"stop":["x","three"]`, "one two ", "stop"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"k":{"type":"string"}}}}}`, `{"k":"three"}`, "stop"},
	} {
		whole := parse(t, chat(t, s, ask("one two three", c.more)).body).Choices[0]
		if *whole.Message.Content != c.want || *whole.Finish != c.finish {
			t.Errorf("%s: %q %s", c.more, *whole.Message.Content, *whole.Finish)
		}
		if got := content(t, events(chat(t, s, ask("one two three", c.more, streaming)).body), 0); got != c.want {
			t.Errorf("%s streamed: %q", c.more, got)
		}
	}
	a := parse(t, chat(t, s, ask("some json", `"response_format":{"type":"json_object"}`)).body)
	if !json.Valid([]byte(*a.Choices[0].Message.Content)) {
		t.Errorf("json_object: %q", *a.Choices[0].Message.Content)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, Config{MaxBody: 4096})
	for _, c := range []struct {
		name, body, code, message string
		status                    int
	}{
		{"no JSON", `{"model":`, "", "could not parse", 400},
		{"not UTF-8", "{\"model\":\"\xff\"}", "", "could not parse", 400},
		{"array", `[]`, "", "could not parse", 400},
		{"no model", `{}`, "", "model parameter", 400},
		{"model type", `{"model":1,"messages":[]}`, "invalid_type", "got an integer", 400},
		{"no messages", `{"model":"sim-echo"}`, "missing_required_parameter", "'messages'", 400},
		{"empty messages", `{"model":"sim-echo","messages":[]}`, "empty_array", "empty array", 400},
		{"messages type", `{"model":"sim-echo","messages":"x"}`, "invalid_type", "got a string", 400},
		{"message type", `{"model":"sim-echo","messages":["x"]}`, "invalid_type", "messages[0]", 400},
		{"role", `{"model":"sim-echo","messages":[{"role":"king","content":"x"}]}`, "invalid_value", "'king'", 400},
		{"no role", `{"model":"sim-echo","messages":[{"content":"x"}]}`, "missing_required_parameter", "messages[0].role", 400},
		{"unknown model", `{"model":"gpt","messages":[{"role":"user","content":"x"}]}`, "model_not_found", "`gpt`", 404},
		{"case of model", `{"Model":"sim-echo","messages":[{"role":"user","content":"x"}]}`, "", "model parameter", 400},
		{"n", ask("x", `"n":129`), "integer_above_max_value", "<= 128", 400},
		{"stream type", ask("x", `"stream":"yes"`), "invalid_type", "a boolean", 400},
		{"stream_options", ask("x", `"stream_options":{}`), "invalid_value", "only allowed when", 400},
		{"tool_choice", ask("x", `"tool_choice":"required"`), "invalid_value", "'tools'", 400},
		{"json word", ask("x", `"response_format":{"type":"json_object"}`), "", "the word", 400},
		{"marker", ask("x [[nonsense]]"), "invalid_value", "nonsense", 400},
		{"fail without id", ask("x [[fail=1]]"), "invalid_value", "id", 400},
		{"too large", ask(strings.Repeat("x", 5000)), "request_too_large", "4096", 413},
		{"deep", `{"model":"sim-echo","messages":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "invalid_type", "messages[0]", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := chat(t, s, c.body)
			checkError(t, a, c.status, c.code, c.message)
		})
	}
}

func checkError(t *testing.T, a answer, status int, code, message string) {
	t.Helper()
	var got struct{ Error map[string]any }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != status {
		t.Fatalf("%d %s %v %v", a.status, a.body, err, a.err)
	}
	for _, member := range []string{"message", "type", "param", "code"} {
		if _, ok := got.Error[member]; !ok {
			t.Errorf("no %s in %s", member, a.body)
		}
	}
	if have, _ := got.Error["code"].(string); have != code {
		t.Errorf("code %q, want %q: %s", have, code, a.body)
	}
	if have, _ := got.Error["message"].(string); !strings.Contains(have, message) {
		t.Errorf("message %q, want %q", have, message)
	}
}

func TestPathsAndKeys(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Provider: Provider{Name: "acme", Key: "sk-right"}})
	for _, c := range []struct {
		method, path, key, code, body string
		status                        int
	}{
		{"GET", "/v1/models", "Bearer sk-right", "", `"id":"sim-fast"`, 200},
		{"GET", "/models/sim-echo", "bearer sk-right", "", `"owned_by":"acme"`, 200},
		{"GET", "/v1/models/gpt", "Bearer sk-right", "model_not_found", `'gpt'`, 404},
		{"GET", "/v1/models", "Bearer sk-wrong-key", "invalid_api_key", `sk-wrong-key`, 401},
		{"GET", "/v1/models", "", "", `didn't provide`, 401},
		{"GET", "/v1/models", "Basic sk-right", "", `didn't provide`, 401},
		{"GET", "/v1/embeddings", "Bearer sk-right", "method_not_supported", `GET`, 405},
		{"POST", "/v1/models", "Bearer sk-right", "method_not_supported", `POST`, 405},
		{"POST", "/v1/nothing", "Bearer sk-right", "unknown_url", `/v1/nothing`, 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL()+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.key != "" {
			r.Header.Set("Authorization", c.key)
		}
		a := do(t, r)
		if c.status == 200 {
			if a.status != 200 || !strings.Contains(a.body, c.body) {
				t.Errorf("%+v: %d %s", c, a.status, a.body)
			}
			continue
		}
		checkError(t, a, c.status, c.code, c.body)
	}
}

func TestContextLength(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Provider: Provider{Profiles: []Profile{{Model: "sim-echo", Echo: true, Context: 10}}}})
	checkError(t, chat(t, s, ask("a b c d e f g h i j k")), 400, "context_length_exceeded", "10 tokens")
}

func TestSameRequestSameWords(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	body := strings.Replace(ask("Why? [[latency=0 delay=0]]"), "sim-echo", "sim-search", 1)
	first, second := chat(t, s, body), chat(t, s, body)
	a, b := parse(t, first.body), parse(t, second.body)
	if *a.Choices[0].Message.Content != *b.Choices[0].Message.Content || a.ID == b.ID {
		t.Errorf("%s\n%s", first.body, second.body)
	}
	if !strings.Contains(first.body, `"citations":["https://`) {
		t.Errorf("no citations in %s", first.body)
	}
}
