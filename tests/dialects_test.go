package tests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// at is what to write before a test's prompt: no waiting, and a name to find the request by.
func at(id string) string { return "[[latency=0s delay=0s id=" + id + "]] " }

// completion is what the tests read of a chat completion.
type completion struct {
	Object  string
	Choices []struct {
		Finish  *string `json:"finish_reason"`
		Message struct {
			Role, Content, Reasoning string
			ToolCalls                []toolCall `json:"tool_calls"`
		}
		Delta struct {
			Content, Reasoning string
			ToolCalls          []toolCall `json:"tool_calls"`
		}
	}
	Citations []string
	Results   []struct{ URL, Title string } `json:"search_results"`
	Usage     *struct {
		Prompt     int             `json:"prompt_tokens"`
		Completion int             `json:"completion_tokens"`
		Total      int             `json:"total_tokens"`
		Cost       json.RawMessage `json:"cost"`
	}
	Groq json.RawMessage `json:"x_groq"`
}

type toolCall struct {
	Index    *int
	ID, Type string
	Function struct{ Name, Arguments string }
}

// completion reads a whole chat answer.
func (a answer) completion(t *testing.T) completion {
	t.Helper()
	var v completion
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 || v.Object != "chat.completion" || len(v.Choices) == 0 {
		t.Fatalf("no completion: %d, %v\n%s", a.status, err, a.body)
	}
	return v
}

// chunks reads a whole stream of chunks.
func (s stream) chunks(t *testing.T) []completion {
	t.Helper()
	s.whole(t)
	all := make([]completion, len(s.data)-1)
	for i, d := range s.data[:len(s.data)-1] {
		if err := json.Unmarshal([]byte(d), &all[i]); err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	}
	return all
}

// groqVel is a Vel in front of a Groq, with the routes "fast", which is lenient, "exact", which is strict, and two more.
func groqVel(t *testing.T) (*vel.Process, *simulated) {
	t.Helper()
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Dialect: simulator.Groq}})
	return startVel(t, `
defaults: {attempts: 1, breaker: {failures: 1000000}}
providers:
  groq: {kind: groq, base_url: "`+sim.BaseURL()+`", api_key: env:SIM_KEY, allow_private: true}
models:
  fast: {targets: [{provider: groq, model: llama-3.1-8b-instant}]}
  exact: {strict: true, targets: [{provider: groq, model: llama-3.1-8b-instant}]}
  thinker: {targets: [{provider: groq, model: openai/gpt-oss-20b}]}
  ears: {targets: [{provider: groq, model: whisper-large-v3}]}
`), sim
}

const weatherTool = `,"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]`

func TestGroq(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, sim := groqVel(t)
	url := p.URL + "/v1/chat/completions"
	t.Run("chat", func(t *testing.T) {
		t.Parallel()
		c := ask(t, request(t, "POST", url, w.key, chat("thinker", at("g-chat")+"x", ""))).completion(t)
		if c.Usage.Total == 0 || !strings.Contains(string(c.Groq), `"req_`) || c.Choices[0].Message.Reasoning == "" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		for _, more := range []string{"", `,"stream_options":{"include_usage":true}`} {
			all := askStream(t, request(t, "POST", url, w.key, chat("thinker", at("g-stream")+"x", `,"stream":true`+more))).chunks(t)
			reasoned := slices.ContainsFunc(all, func(c completion) bool { return len(c.Choices) > 0 && c.Choices[0].Delta.Reasoning != "" })
			last := all[len(all)-1]
			if !reasoned || !strings.Contains(string(last.Groq), "usage") || (last.Usage != nil) != (more != "") || (len(last.Choices) == 0) != (more != "") {
				t.Errorf("%s: %+v", more, all)
			}
			if body := sim.seen(t, "g-stream").Body; strings.Contains(string(body), "include_usage") != (more != "") {
				t.Errorf("the provider was asked %s", body)
			}
		}
	})
	t.Run("tools", func(t *testing.T) {
		t.Parallel()
		c := ask(t, request(t, "POST", url, w.key, chat("fast", at("g-tools")+"weather in Rome", weatherTool))).completion(t)
		if m := c.Choices[0].Message; *c.Choices[0].Finish != "tool_calls" || len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "get_weather" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("transcription", func(t *testing.T) {
		t.Parallel()
		for format, status := range map[string]int{"json": 200, "text": 200, "srt": 400, "vtt": 400} {
			a := ask(t, newForm(t, "response_format", format).file(t, "file", "a.mp3", noise(1000)).with(t, "model", "ears").post(t, p.URL+"/v1/audio/transcriptions", w.key))
			if a.status != status || status == 400 && *a.readError(t).Param != "response_format" {
				t.Errorf("%s: %d %s", format, a.status, a.body)
			}
		}
	})
	t.Run("responses", func(t *testing.T) {
		t.Parallel()
		if a := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"fast","input":"[[latency=0s]] x"}`)); a.member(t, "status") != "completed" {
			t.Errorf("%s", a.body)
		}
	})
	for path, body := range map[string]string{"completions": `"prompt":"x"`, "moderations": `"input":"x"`, "images/generations": `"prompt":"x"`} {
		t.Run("no "+path, func(t *testing.T) {
			t.Parallel()
			ask(t, request(t, "POST", p.URL+"/v1/"+path, w.key, `{"model":"fast",`+body+`}`)).wantError(t, 501, "unsupported_endpoint")
		})
	}
}

func TestGroqRefuses(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, sim := groqVel(t)
	url := p.URL + "/v1/chat/completions"
	before := sim.Stats().Calls
	for field, body := range map[string]string{
		"n":               chat("fast", "x", `,"n":2`),
		"logprobs":        chat("fast", "x", `,"logprobs":true`),
		"top_logprobs":    chat("fast", "x", `,"top_logprobs":3`),
		"logit_bias":      chat("fast", "x", `,"logit_bias":{"1":2}`),
		"messages.0.name": strings.Replace(chat("fast", "x", ""), `"role"`, `"name":"bob","role"`, 1),
	} {
		e := ask(t, request(t, "POST", url, w.key, body)).wantError(t, 400, "unsupported_parameter")
		if e.Param == nil || *e.Param != field || !strings.Contains(e.Message, field) {
			t.Errorf("%s: %+v", field, e)
		}
	}
	if after := sim.Stats().Calls; after != before {
		t.Errorf("%d refused calls reached the provider", after-before)
	}
	// What only the provider knows it refuses itself, and the client is told in OpenAI's shape.
	if e := ask(t, request(t, "POST", url, w.key, chat("fast", "x", `,"verbosity":"low"`))).wantError(t, 400, ""); !strings.Contains(e.Message, "verbosity") {
		t.Errorf("%+v", e)
	}
	ask(t, request(t, "POST", url, w.key, chat("fast", "[[status=498]] x", ""))).wantError(t, 503, "")
	ask(t, request(t, "POST", url, w.key, chat("fast", "[[status=413]] x", ""))).wantError(t, 413, "rate_limit_exceeded")
	a := ask(t, request(t, "POST", url, w.key, chat("fast", at("g-zero")+"x", `,"temperature":0`)))
	if got := a.header.Get("X-Vel-Dropped"); a.status != 200 || got != "temperature=1e-8" || !strings.Contains(string(sim.seen(t, "g-zero").Body), `"temperature":1e-8`) {
		t.Errorf("%d, x-vel-dropped %q\n%s", a.status, got, a.body)
	}
	line, err := p.Log.Wait(deadline(t), "the dropped field", func(line string) bool { return strings.Contains(line, a.header.Get("X-Request-Id")) })
	if err != nil || !strings.Contains(line, `"dropped":"temperature=1e-8"`) {
		t.Errorf("%v\n%s", err, line)
	}
	if e := ask(t, request(t, "POST", url, w.key, chat("exact", "x", `,"temperature":0`))).wantError(t, 400, ""); !strings.Contains(e.Message, "temperature") {
		t.Errorf("%+v", e)
	}
	if a := ask(t, request(t, "POST", url, w.key, chat("exact", at("g-half")+"x", `,"temperature":0.5`))); a.status != 200 || a.header.Get("X-Vel-Dropped") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// TestGroqCounts compares what Vel counted with what the provider said in x_groq, of a stream whose client did not ask.
func TestGroqCounts(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, _ := groqVel(t)
	s := askStream(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, chat("fast", at("g-count")+"one two three", `,"stream":true`)))
	all := s.chunks(t)
	var said struct {
		Usage struct {
			Prompt     float64 `json:"prompt_tokens"`
			Completion float64 `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal(all[len(all)-1].Groq, &said); err != nil || said.Usage.Prompt == 0 || said.Usage.Completion == 0 {
		t.Fatalf("%v\n%s", err, s.body)
	}
	wantTokens(t, p, "fast", said.Usage.Prompt, said.Usage.Completion)
}

// perplexityVel is a Vel in front of the Agent API and of a server that speaks as Sonar did.
func perplexityVel(t *testing.T) (p *vel.Process, agent, sonar *simulated) {
	t.Helper()
	agent = simulateWith(t, simulator.Config{Provider: simulator.Provider{Dialect: simulator.Perplexity}})
	sonar = simulateWith(t, simulator.Config{Provider: simulator.Provider{Dialect: simulator.PerplexityChat}})
	return startVel(t, `
defaults: {attempts: 1, breaker: {failures: 1000000}}
providers:
  perplexity: {kind: perplexity, base_url: "`+agent.BaseURL()+`", api_key: env:SIM_KEY, allow_private: true}
  sonar: {kind: perplexity, api: chat, base_url: "`+sonar.BaseURL()+`", api_key: env:SIM_KEY, allow_private: true}
models:
  search: {targets: [{provider: perplexity, model: sonar-pro}]}
  exact: {strict: true, targets: [{provider: perplexity, model: sonar-pro}]}
  old: {targets: [{provider: sonar, model: sonar}]}
  old-pro: {targets: [{provider: sonar, model: sonar-pro}]}
`), agent, sonar
}

// sourcesOf are the addresses that the simulated Perplexity finds.
var sourcesOf = []string{"https://example.com/simulated/1", "https://example.com/simulated/2"}

func (c completion) wantSources(t *testing.T) {
	t.Helper()
	if !slices.Equal(c.Citations, sourcesOf) || len(c.Results) != 2 || c.Results[1].URL != sourcesOf[1] || c.Results[0].Title == "" {
		t.Errorf("citations %q, search results %+v", c.Citations, c.Results)
	}
}

func TestPerplexity(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, agent, _ := perplexityVel(t)
	url := p.URL + "/v1/chat/completions"
	t.Run("chat", func(t *testing.T) {
		t.Parallel()
		c := ask(t, request(t, "POST", url, w.key, chat("search", at("p-chat")+"x", `,"max_tokens":200,"temperature":0,"search_domain_filter":["example.com"]`))).completion(t)
		c.wantSources(t)
		if c.Usage.Total == 0 || len(c.Usage.Cost) == 0 || *c.Choices[0].Finish != "stop" || c.Choices[0].Message.Content == "" {
			t.Errorf("%+v", c)
		}
		body := string(agent.seen(t, "p-chat").Body)
		for _, want := range []string{`"model":"perplexity/sonar"`, `"preset":"fast"`, `"max_output_tokens":200`, `"temperature":0`, `"filters":{"search_domain_filter":["example.com"]}`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		for _, more := range []string{"", `,"stream_options":{"include_usage":true}`} {
			s := askStream(t, request(t, "POST", url, w.key, chat("search", at("p-stream")+"x", `,"stream":true`+more)))
			all, text := s.chunks(t), s.text(t)
			sourced := slices.IndexFunc(all, func(c completion) bool { return len(c.Citations) > 0 })
			if text == "" || sourced < 0 {
				t.Fatalf("%s", s.body)
			}
			all[sourced].wantSources(t)
			last := all[len(all)-1]
			if more != "" && (len(last.Choices) != 0 || last.Usage == nil || last.Usage.Total == 0) || more == "" && len(last.Choices) != 1 {
				t.Errorf("%s: the last chunk is %s", more, s.data[len(s.data)-2])
			}
		}
	})
}

func TestPerplexityTools(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, _, _ := perplexityVel(t)
	url := p.URL + "/v1/chat/completions"
	t.Run("tools", func(t *testing.T) {
		t.Parallel()
		first := ask(t, request(t, "POST", url, w.key, chat("search", at("p-tools")+"weather in Rome", weatherTool))).completion(t)
		m := first.Choices[0].Message
		if *first.Choices[0].Finish != "tool_calls" || len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "get_weather" || m.ToolCalls[0].ID == "" || m.ToolCalls[0].Type != "function" {
			t.Fatalf("%+v", first)
		}
		call, _ := json.Marshal(m.ToolCalls)
		history := `{"model":"search","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"[[latency=0s delay=0s]] weather in Rome"},` +
			`{"role":"assistant","content":null,"tool_calls":` + strings.ReplaceAll(strings.NewReplacer(`"ID"`, `"id"`, `"Type"`, `"type"`, `"Function"`, `"function"`,
			`"Name"`, `"name"`, `"Arguments"`, `"arguments"`).Replace(string(call)), `"Index":null,`, "") +
			`},{"role":"tool","tool_call_id":"` + m.ToolCalls[0].ID + `","content":"heavy rain"}]` + weatherTool + `}`
		if next := ask(t, request(t, "POST", url, w.key, history)).completion(t); !strings.Contains(next.Choices[0].Message.Content, "heavy rain") {
			t.Errorf("%+v", next)
		}
	})
	t.Run("tools in stream", func(t *testing.T) {
		t.Parallel()
		all := askStream(t, request(t, "POST", url, w.key, chat("search", at("p-calls")+"weather in Rome", `,"stream":true`+weatherTool))).chunks(t)
		var name, arguments, finish string
		for _, c := range all {
			for _, choice := range c.Choices {
				for _, call := range choice.Delta.ToolCalls {
					if call.Index == nil || *call.Index != 0 {
						t.Errorf("%+v", call)
					}
					name, arguments = name+call.Function.Name, arguments+call.Function.Arguments
				}
				if choice.Finish != nil {
					finish = *choice.Finish
				}
			}
		}
		if name != "get_weather" || !json.Valid([]byte(arguments)) || finish != "tool_calls" {
			t.Errorf("%s(%s), %s", name, arguments, finish)
		}
	})
}

func TestPerplexityOthers(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, _, _ := perplexityVel(t)
	url := p.URL + "/v1/chat/completions"
	t.Run("structured output", func(t *testing.T) {
		t.Parallel()
		format := `,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"integer"}},"required":["zeta","alpha"],"additionalProperties":false}}}`
		c := ask(t, request(t, "POST", url, w.key, chat("search", at("p-json")+"x", format))).completion(t)
		if text := c.Choices[0].Message.Content; !strings.HasPrefix(text, `{"zeta":`) {
			t.Errorf("%s", text)
		}
	})
	t.Run("responses", func(t *testing.T) {
		t.Parallel()
		a := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"search","input":"[[latency=0s]] x"}`))
		if a.member(t, "status") != "completed" || a.member(t, "model") != "perplexity/sonar" {
			t.Errorf("%s", a.body)
		}
	})
	for _, words := range []string{"[[die=1 delay=1ms]]", "[[cut=1]]", "[[error_mid=3 delay=20ms]]"} {
		t.Run("broken "+words, func(t *testing.T) {
			t.Parallel()
			askStream(t, request(t, "POST", url, w.key, chat("search", words+" one two three", `,"stream":true`))).broken(t)
		})
	}
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		ask(t, request(t, "POST", url, w.key, chat("search", "[[error_first]] x", ""))).wantError(t, 500, "")
		ask(t, request(t, "POST", url, w.key, chat("search", "[[status=429 retry_after=3]] x", ""))).wantError(t, 429, "")
	})
}

func TestPerplexityLosesNothingSilently(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, _, _ := perplexityVel(t)
	url := p.URL + "/v1/chat/completions"
	for field, more := range map[string]string{
		"stop": `,"stop":["x"]`, "frequency_penalty": `,"frequency_penalty":0.5`, "return_images": `,"return_images":true`, "seed": `,"seed":1`,
		"user": `,"user":"u"`, "never_heard_of": `,"never_heard_of":1`, "max_tokens=16": `,"max_tokens":3`,
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			a := ask(t, request(t, "POST", url, w.key, chat("search", at("p-drop")+"x", more)))
			if got := a.header.Get("X-Vel-Dropped"); a.status != 200 || got != field {
				t.Errorf("%d, x-vel-dropped %q\n%s", a.status, got, a.body)
			}
			name, _, _ := strings.Cut(field, "=")
			if e := ask(t, request(t, "POST", url, w.key, chat("exact", at("p-strict")+"x", more))).wantError(t, 400, ""); !strings.Contains(e.Message, name) {
				t.Errorf("%+v", e)
			}
		})
	}
	for field, more := range map[string]string{"n": `,"n":2`, "functions": `,"functions":[{"name":"f"}]`, "audio": `,"audio":{"voice":"alloy"}`} {
		t.Run("refused "+field, func(t *testing.T) {
			t.Parallel()
			e := ask(t, request(t, "POST", url, w.key, chat("search", "x", more))).wantError(t, 400, "unsupported_parameter")
			if e.Param == nil || *e.Param != field || !strings.Contains(e.Message, field) {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestSonar speaks to a server that still has chat completions: citations and the usage so far in each chunk, one chunk
// without choices, and for some models no end.
func TestSonar(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, _, _ := perplexityVel(t)
	url := p.URL + "/v1/chat/completions"
	ask(t, request(t, "POST", url, w.key, chat("old", at("s-chat")+"x", ""))).completion(t).wantSources(t)
	for _, model := range []string{"old", "old-pro"} {
		s := askStream(t, request(t, "POST", url, w.key, chat(model, at("s-"+model)+"one two three", `,"stream":true`)))
		all := s.chunks(t)
		all[0].wantSources(t)
		var last completion
		for _, c := range all {
			if c.Usage != nil {
				last = c
			}
		}
		if s.text(t) == "" || last.Usage == nil {
			t.Fatalf("%s", s.body)
		}
		if model == "old-pro" {
			wantTokens(t, p, model, float64(last.Usage.Prompt), float64(last.Usage.Completion))
		}
	}
	// It has no Responses: the call becomes a chat, and what a chat can not do is refused by name.
	var answer struct {
		Object, Status string
		Output         []struct {
			Content []struct{ Type, Text string }
		}
	}
	a := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"old","input":"x"}`))
	if err := json.Unmarshal(a.body, &answer); err != nil || a.status != 200 || answer.Object != "response" || answer.Status != "completed" ||
		len(answer.Output) == 0 || len(answer.Output[0].Content) == 0 || answer.Output[0].Content[0].Text == "" {
		t.Errorf("%v in %d %s", err, a.status, a.body)
	}
	e := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"old","input":"x","tools":[{"type":"file_search"}]}`)).wantError(t, 400, "unsupported_parameter")
	if e.Param == nil || !strings.HasPrefix(*e.Param, "tools") {
		t.Errorf("param %v", e.Param)
	}
}
