package tests

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// schemas are those of schemas/openai.json that a whole answer has, by their names.
type schemas map[string]*jsonschema.Schema

func readSchemas(t *testing.T) schemas {
	t.Helper()
	text, err := os.ReadFile("schemas/openai.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertContent() // base64 is decoded, and not only named
	if err := compiler.AddResource("openai.json", document); err != nil {
		t.Fatal(err)
	}
	all := schemas{}
	for _, name := range []string{"ListModelsResponse", "Model", "ErrorResponse", "CreateChatCompletionResponse", "Response", "CreateEmbeddingResponse"} {
		if all[name], err = compiler.Compile("openai.json#/$defs/" + name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// check says what is wrong with an answer, by the schema of this name.
func (s schemas) check(name string, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return s[name].Validate(value)
}

// made is an answer that Vel makes itself, and the name of its schema.
type made struct{ method, url, key, body, schema string }

// hold asks for each answer and holds it against its schema; ok says whether they are answers or errors.
func (s schemas) hold(t *testing.T, ok bool, all map[string]made) {
	t.Helper()
	for name, m := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := ask(t, request(t, m.method, m.url, m.key, m.body))
			if (a.status == 200) != ok {
				t.Fatalf("status %d\n%s", a.status, a.body)
			}
			if err := s.check(m.schema, a.body); err != nil {
				t.Errorf("%v\n%s", err, a.body)
			}
		})
	}
}

// TestAnswersFitOpenAIsSchemas takes one of each kind of answer that is not a provider's, passed on.
func TestAnswersFitOpenAIsSchemas(t *testing.T) {
	t.Parallel()
	s, w := readSchemas(t), shared(t)
	p, _, _ := perplexityVel(t)
	s.hold(t, true, map[string]made{
		"models": {"GET", w.vel.URL + "/v1/models", w.key, "", "ListModelsResponse"},
		"model":  {"GET", w.vel.URL + "/v1/models/sim-echo", w.key, "", "Model"},
	})
	chats := map[string]made{}
	for name, body := range map[string]string{
		"text":       chat("search", at("o-text")+"x", ""),
		"tool calls": chat("search", at("o-tools")+"weather in Rome", weatherTool),
		"length":     chat("search", at("o-length")+strings.Repeat("one two three ", 40), `,"max_tokens":16`),
		"JSON":       chat("search", at("o-json")+"x", `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}`),
	} {
		chats["chat: "+name] = made{"POST", p.URL + "/v1/chat/completions", w.key, body, "CreateChatCompletionResponse"}
	}
	s.hold(t, true, chats)
}

// TestResponsesOverChatFitOpenAIsSchema asks for responses where there are only chats.
func TestResponsesOverChatFitOpenAIsSchema(t *testing.T) {
	t.Parallel()
	s, w := readSchemas(t), shared(t)
	sonar, _, _ := perplexityVel(t)
	sim := simulate(t)
	p := startVel(t, `
providers:
  sim: {kind: openai, api: chat, base_url: "`+sim.URL()+`/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  only-chat: {targets: [{provider: sim, model: sim-echo}]}
`)
	const function = `{"type":"function","name":"get_weather","description":"d","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}`
	all := map[string]made{"sources": {"POST", sonar.URL + "/v1/responses", w.key, `{"model":"old","input":"` + at("o-sources") + `x"}`, "Response"}}
	for name, more := range map[string]string{
		"text":       `x"`,
		"incomplete": `one two three four five six","max_output_tokens":2`,
		"short tool": `weather in Rome","tools":[{"type":"function","name":"get_weather"}]`,
		"tool calls": `weather in Rome","tools":[` + function + `],"tool_choice":"required","parallel_tool_calls":false`,
		"JSON":       `x","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}`,
		"settings":   `x","instructions":"be brief","temperature":0.5,"top_p":0.9,"metadata":{"a":"b"},"user":"u","reasoning":{"effort":"low"}`,
	} {
		all[name] = made{"POST", p.URL + "/v1/responses", w.key, `{"model":"only-chat","input":"` + at("o-"+strings.ReplaceAll(name, " ", "-")) + more + `}`, "Response"}
	}
	s.hold(t, true, all)
}

// TestEmbeddingsFitOpenAIsSchema asks a provider that knows only numbers, so that the conversions are Vel's.
func TestEmbeddingsFitOpenAIsSchema(t *testing.T) {
	t.Parallel()
	s, w := readSchemas(t), shared(t)
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Profiles: []simulator.Profile{
		{Model: "packs", Dimensions: 64},
		{Model: "never-packs", Dimensions: 64, EncodingFormat: simulator.EncodingIgnored},
	}}})
	p := vel.Start(t, options(sim.config("")))
	all := map[string]made{}
	for _, model := range sim.Models() {
		for _, format := range []string{"", `,"encoding_format":"float"`, `,"encoding_format":"base64"`} {
			all[model+format] = made{"POST", p.URL + "/v1/embeddings", w.key, `{"model":"` + model + `","input":["one","two"]` + format + `}`, "CreateEmbeddingResponse"}
		}
	}
	s.hold(t, true, all)
}

// TestErrorsFitOpenAIsSchema takes refusals of each floor, and failures of a provider that Vel words anew.
func TestErrorsFitOpenAIsSchema(t *testing.T) {
	t.Parallel()
	s, w := readSchemas(t), shared(t)
	p, _, _ := perplexityVel(t)
	odd := scripted(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"object":"error","message":"m","code":400}`)
	})
	url, chats := w.vel.URL, w.vel.URL+"/v1/chat/completions"
	all := map[string]made{
		"no key":        {"POST", chats, "", chat("sim-echo", "x", ""), ""},
		"wrong key":     {"POST", chats, "sk-nobody-0123456789", chat("sim-echo", "x", ""), ""},
		"not JSON":      {"POST", chats, w.key, `{`, ""},
		"no model":      {"POST", chats, w.key, `{"messages":[]}`, ""},
		"unknown model": {"POST", chats, w.key, chat("nobody", "x", ""), ""},
		"unknown by id": {"GET", url + "/v1/models/nobody", w.key, "", ""},
		"method":        {"PUT", chats, w.key, "{}", ""},
		"no such path":  {"GET", url + "/v1/nowhere", w.key, "", ""},
		"not served":    {"POST", url + "/v1/assistants", w.key, "{}", ""},
		"died":          {"POST", chats, w.key, chat("sim-echo", "[[die=0]] x", ""), ""},
		"overloaded":    {"POST", chats, w.key, chat("sim-echo", "[[status=503]] x", ""), ""},
		"slow down":     {"POST", chats, w.key, chat("sim-echo", "[[status=429]] x", ""), ""},
		"numeric code":  {"POST", odd.vel(t).URL + "/v1/chat/completions", w.key, chat("scripted", "x", ""), ""},
		"unsupported":   {"POST", p.URL + "/v1/chat/completions", w.key, chat("search", "x", `,"n":2`), ""},
		"strict":        {"POST", p.URL + "/v1/chat/completions", w.key, chat("exact", "x", `,"seed":1`), ""},
		"other dialect": {"POST", p.URL + "/v1/chat/completions", w.key, chat("search", "[[status=500]] x", ""), ""},
		"failed inside": {"POST", p.URL + "/v1/chat/completions", w.key, chat("search", "[[error_first]] x", ""), ""},
	}
	for name, m := range all {
		m.schema = "ErrorResponse"
		all[name] = m
	}
	s.hold(t, false, all)
}

// TestSchemasRefuse shows that the checks above can fail: each body is right but for one thing.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	s := readSchemas(t)
	for name, c := range map[string]struct{ schema, right, part, wrong string }{
		"no choices": {"CreateChatCompletionResponse", `{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[]}`, `,"choices":[]`, ``},
		"finish reason": {
			"CreateChatCompletionResponse",
			`{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"logprobs":null,"finish_reason":"stop","message":{"role":"assistant","content":"x","refusal":null}}]}`,
			`"stop"`, `"end_turn"`,
		},
		"numeric code":  {"ErrorResponse", `{"error":{"message":"m","type":"t","param":null,"code":"c"}}`, `"c"`, `404`},
		"no param":      {"ErrorResponse", `{"error":{"message":"m","type":"t","param":null,"code":null}}`, `"param":null,`, ``},
		"text for time": {"Model", `{"id":"a","object":"model","created":1,"owned_by":"o"}`, `1`, `"1"`},
		"item of a list": {
			"ListModelsResponse", `{"object":"list","data":[{"id":"a","object":"model","created":1,"owned_by":"o"}]}`,
			`"model"`, `"engine"`,
		},
		"not base64": {
			"CreateEmbeddingResponse",
			`{"object":"list","model":"m","usage":{"prompt_tokens":1,"total_tokens":1},"data":[{"object":"embedding","index":0,"embedding":"AAAA"}]}`,
			`AAAA`, `A?`,
		},
		"role of output": {
			"Response",
			`{"id":"r","object":"response","created_at":1,"error":null,"incomplete_details":null,"instructions":null,"model":"m","tools":[],"parallel_tool_calls":true,"metadata":{},` +
				`"tool_choice":"auto","temperature":1,"top_p":1,"output":[{"id":"i","type":"message","role":"assistant","status":"completed","content":[]}]}`,
			`"assistant"`, `"user"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := s.check(c.schema, []byte(c.right)); err != nil {
				t.Errorf("refused what is right: %v", err)
			}
			mangled := strings.Replace(c.right, c.part, c.wrong, 1)
			if err := s.check(c.schema, []byte(mangled)); mangled == c.right || err == nil {
				t.Errorf("took %s", mangled)
			}
		})
	}
}
