package responses

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
	"github.com/vel-gateway/vel/adapters/openai"
)

func TestConformanceOfChat(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Suite{
		Codec: Chat(Dialect{}), Endpoint: adapters.ChatCompletions, Dir: "testdata/chat", Model: "gpt-5",
		Question: `{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}`, Errors: "../openai/testdata/chat/errors",
	})
}

func TestConformanceOfOverChat(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Suite{
		Codec: OverChat(openai.New("", "").Codecs[adapters.ChatCompletions]), Endpoint: adapters.Responses, Dir: "testdata/over", Model: "llama",
		Question: `{"model":"m","input":"x","stream":true,"instructions":"Be brief.","metadata":{"k":"v"}}`, Errors: "../openai/testdata/chat/errors",
	})
}

// What one direction makes of a stream, the other must be able to read: texts, calls and usage come back.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	const chunks = `data: {"id":"1","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"a\"é"}}]}` + "\n\n" +
		`data: {"id":"1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}` + "\n\n" +
		`data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" +
		`data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}` + "\n\ndata: [DONE]\n\n"
	chat := openai.New("", "").Codecs[adapters.ChatCompletions]
	events := drain(t, OverChat(chat).DecodeStream(&adapters.Content{Body: []byte("{}")}, nil), chunks)
	back := drain(t, Chat(Dialect{}).DecodeStream(&adapters.Content{UsageAsked: true}, nil), events)
	for _, want := range []string{`"content":"a\"é"`, `"id":"call_1"`, `"name":"f"`, `"finish_reason":"tool_calls"`, `"prompt_tokens":3`, "data: [DONE]"} {
		if !strings.Contains(back, want) {
			t.Errorf("%s is not in\n%s", want, back)
		}
	}
}

func drain(t *testing.T, s adapters.Stream, in string) string {
	t.Helper()
	out, err := s.Feed(nil, []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	all := string(bytes.Join(out, nil))
	if out, err = s.End(nil); err != nil {
		t.Fatal(err)
	}
	return all + string(bytes.Join(out, nil))
}

// Whatever a client or a provider sends, a translation gives sound JSON or an error.
func FuzzTranslations(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]}],"tools":[{"type":"function"}],"stop":1}`))
	f.Add([]byte(`{"model":"m","input":[{"role":"user"},{"type":"function_call"},{"type":"message","role":"assistant","content":7}],"text":{"format":{}},"tools":{}}`))
	f.Add([]byte(`{"output":[{"type":"message","content":[{"type":"output_text","annotations":[1]}]},{"type":"function_call"}],"usage":{"cost":{}}}`))
	f.Add([]byte(`{"id":1,"choices":[{"message":{"content":[],"tool_calls":[{}]}}],"usage":{}}`))
	inner := openai.New("", "").Codecs[adapters.ChatCompletions]
	over, under := OverChat(inner), Chat(Dialect{Sources: true})
	f.Fuzz(func(t *testing.T, body []byte) {
		for endpoint, codec := range map[adapters.Endpoint]adapters.Codec{adapters.Responses: over, adapters.ChatCompletions: under} {
			c := adapters.Content{Endpoint: endpoint}
			var q adapters.Question
			if adapters.Parse(body, &c, &q) == nil {
				var r adapters.Request
				if err := codec.EncodeRequest(&r, &c, "m"); err == nil && !json.Valid(bytes.Join(r.Body, nil)) {
					t.Fatalf("%s becomes %s", body, bytes.Join(r.Body, nil))
				}
			}
			out, _, err := codec.DecodeResponse(nil, &adapters.Content{Body: []byte("{}")}, nil, body)
			if err == nil && !json.Valid(bytes.Join(out, nil)) {
				t.Fatalf("%s becomes %s", body, bytes.Join(out, nil))
			}
		}
	})
}
