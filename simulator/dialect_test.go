package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func speak(t *testing.T, dialect string) *Server {
	t.Helper()
	return start(t, Config{Provider: Provider{Dialect: dialect}})
}

// foreignError reads an error in any provider's shape.
type foreignError struct {
	Error struct {
		Message, Type string
		Param         *string
		Code          json.RawMessage
	}
}

func checkForeign(t *testing.T, a answer, status int, code, kind, message string) {
	t.Helper()
	var got foreignError
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != status {
		t.Errorf("%d %s, want %d and %q", a.status, a.body, status, message)
		return
	}
	if string(got.Error.Code) != code || got.Error.Type != kind || !strings.Contains(got.Error.Message, message) {
		t.Errorf("%s, want code %s, type %s, %q", a.body, code, kind, message)
	}
}

func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	if _, err := Start(Config{Provider: Provider{Dialect: "latin"}}); err == nil || !strings.Contains(err.Error(), PerplexityChat) {
		t.Error(err)
	}
	for _, name := range Dialects() {
		s := speak(t, name)
		if len(s.Models()) == 0 || !strings.HasPrefix(s.BaseURL(), s.URL()) {
			t.Errorf("%s: %v at %s", name, s.Models(), s.BaseURL())
		}
	}
}

const groqPath = "/openai/v1/chat/completions"

// groqAsk builds a request for Groq around a prompt; more are members.
func groqAsk(prompt string, more ...string) string {
	return strings.Replace(ask(prompt+" [[latency=0 delay=0]]", more...), "sim-echo", "llama-3.1-8b-instant", 1)
}

func TestGroqIsStrict(t *testing.T) {
	t.Parallel()
	s := speak(t, Groq)
	for body, want := range map[string]string{
		groqAsk("x", `"logprobs":true`):                                     "'logprobs'",
		groqAsk("x", `"top_logprobs":2`):                                    "'top_logprobs'",
		groqAsk("x", `"logit_bias":{}`):                                     "'logit_bias'",
		groqAsk("x", `"n":2`):                                               "'n'",
		groqAsk("x", `"verbosity":"low"`):                                   "property 'verbosity' is unsupported",
		groqAsk("x", `"prompt_cache_key":"k"`):                              "property 'prompt_cache_key' is unsupported",
		groqAsk("x", `"store":true`):                                        "'store'",
		strings.Replace(groqAsk("x"), `"role":`, `"name":"bob","role":`, 1): "'messages.0' : for 'role:user' the following must be satisfied[('messages.0' : property 'name' is unsupported)]",
	} {
		a := post(t, s, groqPath, body)
		checkForeign(t, a, 400, "", "invalid_request_error", want)
		if strings.Contains(a.body, `"param"`) || strings.Contains(a.body, `"code"`) {
			t.Errorf("%s", a.body)
		}
	}
	for _, body := range []string{groqAsk("x"), groqAsk("x", `"n":1`, `"logprobs":null`, `"store":false`, `"user":"u"`, `"temperature":0`)} {
		if a := post(t, s, groqPath, body); a.status != 200 {
			t.Errorf("%s", a.body)
		}
	}
	checkForeign(t, post(t, s, "/v1/chat/completions", groqAsk("x")), 404, `"unknown_url"`, "invalid_request_error", "/v1/chat/completions")
	checkForeign(t, post(t, s, "/openai/v1/images/generations", `{}`), 404, `"unknown_url"`, "invalid_request_error", "URL")
	checkForeign(t, post(t, s, groqPath, ask("x")), 404, `"model_not_found"`, "invalid_request_error", "sim-echo")
	checkForeign(t, post(t, s, groqPath, groqAsk("x [[status=498]]")), 498, `"capacity_exceeded"`, "invalid_request_error", "capacity")
	checkForeign(t, post(t, s, groqPath, groqAsk("x [[status=413]]")), 413, `"rate_limit_exceeded"`, "tokens", "too large")
}

func TestGroqUsage(t *testing.T) {
	t.Parallel()
	s := speak(t, Groq)
	type groqChunk struct {
		Choices []struct {
			Delta   struct{ Content, Reasoning string }
			Message struct{ Reasoning string }
			Finish  *string `json:"finish_reason"`
		}
		Usage *struct {
			Total int     `json:"total_tokens"`
			Time  float64 `json:"total_time"`
		}
		Groq *struct {
			ID    string
			Usage *struct {
				Total int `json:"total_tokens"`
			}
		} `json:"x_groq"`
	}
	body := strings.Replace(groqAsk("x", streaming), "llama-3.1-8b-instant", "openai/gpt-oss-20b", 1)
	for _, more := range []string{"", `,"stream_options":{"include_usage":true}`} {
		all := events(post(t, s, groqPath, strings.TrimSuffix(body, "}")+more+"}").body)
		var chunks []groqChunk
		for _, e := range all[:len(all)-1] {
			var c groqChunk
			if err := json.Unmarshal([]byte(e), &c); err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, c)
		}
		first, last := chunks[0], chunks[len(chunks)-1]
		if first.Groq == nil || first.Groq.Usage != nil || last.Groq == nil || last.Groq.Usage.Total == 0 || all[len(all)-1] != "[DONE]" {
			t.Errorf("%s", all)
		}
		if (last.Usage != nil) != (more != "") || (len(last.Choices) == 0) != (more != "") || chunks[1].Choices[0].Delta.Reasoning == "" {
			t.Errorf("%s", all)
		}
	}
	whole := decode[groqChunk](t, post(t, s, groqPath, strings.Replace(body, streaming, `"stream":false`, 1)))
	if whole.Groq.ID == "" || whole.Usage.Time == 0 || whole.Choices[0].Message.Reasoning == "" {
		t.Errorf("%+v", whole)
	}
}

func TestGroqOthers(t *testing.T) {
	t.Parallel()
	s := speak(t, Groq)
	const hear = "/openai/v1/audio/transcriptions"
	for _, shape := range []string{"srt", "vtt"} {
		checkForeign(t, upload(t, s, hear, "model", "whisper-large-v3", "file", "@a:b", "response_format", shape), 400, "", "invalid_request_error", "response_format")
	}
	if a := upload(t, s, hear, "model", "whisper-large-v3", "file", "@a:b"); a.status != 200 || !strings.Contains(a.body, `"x_groq":{"id":"req_`) {
		t.Errorf("%s", a.body)
	}
	const model = `{"model":"llama-3.1-8b-instant","input":"x [[latency=0 delay=0]]"`
	if r := decode[response](t, post(t, s, "/openai/v1/responses", model+`,"store":false}`)); r.Status != "completed" {
		t.Errorf("%+v", r)
	}
	for _, member := range []string{`"store":true`, `"previous_response_id":"resp_1"`, `"include":[]`, `"truncation":"auto"`, `"background":true`} {
		if a := post(t, s, "/openai/v1/responses", model+","+member+"}"); a.status != 400 {
			t.Errorf("%s: %d %s", member, a.status, a.body)
		}
	}
}

func TestAgentIsStrict(t *testing.T) {
	t.Parallel()
	s := speak(t, Perplexity)
	for more, param := range map[string]string{
		`"foo":1`: "foo", `"stop":["x"]`: "stop", `"user":"u"`: "user", `"max_tokens":5`: "max_tokens", `"frequency_penalty":1`: "frequency_penalty",
		`"text":{"format":{"type":"text"}}`: "format", `"reasoning":{"depth":1}`: "depth", `"include":[]`: "include",
		`"tools":[{"type":"web_search","foo":1}]`:                                   "foo",
		`"tools":[{"type":"function","name":"a","function":{}}]`:                    "function",
		`"response_format":{"type":"json_schema","json_schema":{"name":"n","x":1}}`: "x",
		`"stream_options":{"include_obfuscation":false}`:                            "include_obfuscation",
	} {
		a := post(t, s, "/v1/agent", `{"model":"perplexity/sonar","input":"x",`+more+`}`)
		checkForeign(t, a, 400, "400", "invalid_request", `json: unknown field "`+param+`"`)
		if !strings.Contains(a.body, `"param":"`+param+`"`) {
			t.Errorf("%s", a.body)
		}
	}
	for body, want := range map[string][2]string{
		`{"input":"x"}`: {"invalid_request", "model"},
		`{"model":"perplexity/sonar-pro","input":"x"}`:                                                                       {"invalid_model", `model "perplexity/sonar-pro" is not supported`},
		`{"preset":"turbo","input":"x"}`:                                                                                     {"invalid_parameter", "turbo"},
		`{"model":"anthropic/claude-sonnet-4-5","input":"x"}`:                                                                {"invalid_parameter", "max_output_tokens is required"},
		`{"model":"perplexity/sonar","input":"x","tools":[{"type":"function","name":"web_search"}]}`:                         {"invalid_parameter", "reserved"},
		`{"model":"perplexity/sonar","input":[{"role":"user","content":[{"type":"input_text","text":"x","detail":"low"}]}]}`: {"invalid_request", "detail"},
		`{"model":"perplexity/sonar","input":[{"role":"user","name":"bob","content":"x"}]}`:                                  {"invalid_request", "name"},
	} {
		checkForeign(t, post(t, s, "/v1/responses", body), 400, "400", want[0], want[1])
	}
	for _, path := range []string{"/chat/completions", "/v1/sonar"} {
		checkForeign(t, post(t, s, path, ask("x")), 403, "403", "chat_completions_not_available", "Sonar is now the Agent API")
	}
	checkForeign(t, post(t, s, "/v1/chat/completions", ask("x")), 404, "404", "not_found", "Invalid URL")
	checkForeign(t, post(t, s, "/v1/agent", `{"model":"perplexity/sonar","input":"x [[status=429]]"}`), 429, "429", "request_rate_limit_exceeded", "limit")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v1/models", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if a := do(t, r); a.status != 200 || !strings.Contains(a.body, `"perplexity/sonar"`) {
		t.Errorf("models without a key: %d %s", a.status, a.body)
	}
}

func TestAgentSearches(t *testing.T) {
	t.Parallel()
	s := speak(t, Perplexity)
	const quick = ` [[latency=0 delay=0]]`
	for body, want := range map[string]struct {
		searched bool
		model    string
	}{
		`"preset":"fast","input":"x` + quick + `"`:                                                                                {true, "perplexity/sonar"},
		`"preset":"low","input":"x` + quick + `"`:                                                                                 {true, "google/gemini-3-flash-preview"},
		`"preset":"low","model":"perplexity/sonar","input":"x` + quick + `"`:                                                      {true, "perplexity/sonar"},
		`"model":"perplexity/sonar","input":"x` + quick + `"`:                                                                     {false, "perplexity/sonar"},
		`"model":"perplexity/sonar","tools":[{"type":"web_search"}],"input":"x` + quick + `"`:                                     {false, "perplexity/sonar"},
		`"model":"perplexity/sonar","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"},"input":"x` + quick + `"`: {true, "perplexity/sonar"},
		`"models":["openai/gpt-5.1"],"max_tool_calls":0,"preset":"fast","input":"x` + quick + `"`:                                 {false, "openai/gpt-5.1"},
	} {
		r := decode[response](t, post(t, s, "/v1/agent", "{"+body+"}"))
		searched := r.Output[0].Type == "search_results"
		if searched != want.searched || r.Model != want.model || searched && (len(r.Output[0].Results) != 2 || r.Output[0].Queries[0] != "x") {
			t.Errorf("%s: %+v", body, r)
		}
		if c := r.Usage.Cost; c.Currency != "USD" || (c.Total > 0.005) != searched {
			t.Errorf("%s: %+v", body, c)
		}
	}
	a := post(t, s, "/v1/responses", `{"preset":"fast","stream":true,"input":"one`+quick+`"}`)
	all := steps(t, a)
	got := slices.Compact(kinds(all))
	want := []string{
		"created", "in_progress", "reasoning.started", "reasoning.search_queries", "reasoning.search_results", "reasoning.stopped",
		"output_item.done", "output_item.added", "output_text.delta", "output_text.done", "output_item.done", "completed",
	}
	if !slices.Equal(got, want) || strings.Contains(a.body, "event:") || strings.Contains(a.body, "[DONE]") || all[len(all)-1].Response.Usage.Cost == nil {
		t.Errorf("%q", got)
	}
	called := steps(t, post(t, s, "/v1/responses", `{"model":"perplexity/sonar","stream":true,"input":"weather in Rome`+quick+`","tools":[`+flatTool+`]}`))
	if got := kinds(called); !slices.Equal(got, []string{"created", "in_progress", "output_item.added", "output_item.done", "completed"}) {
		t.Errorf("%q", got)
	}
	silent := post(t, s, "/v1/responses", `{"model":"perplexity/sonar","stream":true,"stream_options":{"include_usage":false},"input":"one`+quick+`"}`)
	if all := steps(t, silent); all[len(all)-1].Response.Usage != nil {
		t.Errorf("%s", silent.body)
	}
	failed := decode[response](t, post(t, s, "/v1/agent", `{"model":"perplexity/sonar","input":"x [[latency=0 error_mid=1]]"}`))
	if failed.Status != "failed" || failed.Error == nil {
		t.Errorf("%+v", failed)
	}
	hidden := decode[response](t, post(t, s, "/v1/agent", `{"model":"perplexity/sonar","store":false,"input":"x`+quick+`"}`))
	checkForeign(t, get(t, s, "GET", "/v1/responses/"+hidden.ID, "sk-test"), 404, "404", "not_found", hidden.ID)
	if next := post(t, s, "/v1/agent", `{"model":"perplexity/sonar","previous_response_id":"`+hidden.ID+`","input":"y`+quick+`"}`); next.status != 200 {
		t.Errorf("%s", next.body)
	}
}

func TestSonar(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Provider: Provider{Dialect: PerplexityChat, Key: "pplx-right", Keys: []string{"sk-test"}}})
	sonar := func(model string, more ...string) string {
		return strings.Replace(ask("one two [[latency=0 delay=0]]", more...), "sim-echo", model, 1)
	}
	type chunk struct {
		Choices   []struct{ Delta struct{ Content string } }
		Citations []string
		Results   []struct{ Title, URL string } `json:"search_results"`
		Usage     *struct {
			Completion int `json:"completion_tokens"`
			Cost       struct {
				Total float64 `json:"total_cost"`
			}
		}
	}
	for model, done := range map[string]bool{"sonar": true, "sonar-pro": false} {
		all := events(post(t, s, "/chat/completions", sonar(model, streaming)).body)
		if (all[len(all)-1] == "[DONE]") != done {
			t.Errorf("%s: %q", model, all[len(all)-1])
		}
		all = slices.DeleteFunc(all, func(e string) bool { return e == "[DONE]" })
		before := -1
		for i, e := range all {
			var c chunk
			if err := json.Unmarshal([]byte(e), &c); err != nil {
				t.Fatal(err)
			}
			if c.Usage == nil || c.Usage.Completion < before || len(c.Citations) != 2 || len(c.Results) != 2 || strings.Contains(e, `"choices"`) == (i == len(all)-1) {
				t.Errorf("chunk %d: %s", i, e)
			}
			before = c.Usage.Completion
		}
	}
	whole := decode[chunk](t, post(t, s, "/chat/completions", sonar("sonar")))
	if whole.Usage.Cost.Total <= 0.005 || whole.Results[0].URL != whole.Citations[0] {
		t.Errorf("%+v", whole)
	}
	twice := `{"model":"sonar","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`
	checkForeign(t, post(t, s, "/chat/completions", twice), 400, "400", "invalid_message", "alternate")
	checkForeign(t, post(t, s, "/chat/completions", sonar("sonar", weather)), 400, "400", "invalid_parameter", "Tool calling")
	checkForeign(t, post(t, s, "/chat/completions", sonar("gpt")), 400, "400", "invalid_model", `"gpt"`)
	checkForeign(t, post(t, s, "/v1/chat/completions", sonar("sonar")), 404, "404", "not_found", "URL")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/chat/completions", strings.NewReader(sonar("sonar")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer pplx-wrong")
	if a := do(t, r); a.status != 401 || a.header.Get("Content-Type") != "text/html" || !strings.Contains(a.body, "<h1>401") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestDollars(t *testing.T) {
	t.Parallel()
	for nano, want := range map[int64]string{0: "0.0", 1: "0.000000001", 1_500_000_000: "1.5", 12_000_000_000: "12.0", 5_000_000: "0.005"} {
		if got := string(appendDollars(nil, nano)); got != want {
			t.Errorf("%d nanodollars are %s, not %s", nano, got, want)
		}
	}
}
