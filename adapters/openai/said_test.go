package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// dataOf makes a stream of datas.
func dataOf(datas ...string) string {
	var b strings.Builder
	for _, data := range datas {
		fmt.Fprintf(&b, "data: %s\n\n", data)
	}
	return b.String()
}

// delta is a chunk of a chat.
func delta(members string) string {
	return `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{` + members + `},"logprobs":null,"finish_reason":null}],"usage":null}`
}

// However a stream is cut, all of its text is collected, and nothing else.
func TestStreamsCollectTheirText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint      adapters.Endpoint
		stream        string
		said, thought string
	}{
		"a chat": {adapters.ChatCompletions, dataOf(
			delta(`"role":"assistant","content":""`), delta(`"content":"one"`), delta(`"content":" t\"w\\"`), delta(`"content":"o\\\\\""`), delta(`"content":""`),
			`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}],"usage":null}`,
			`{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":1}}`, "[DONE]"), `one t"w\o\\"!`, ""},
		"what was thought":         {adapters.ChatCompletions, dataOf(delta(`"reasoning_content":"a"`), delta(`"reasoning_content":"b"`), delta(`"content":"c"`), delta(`"content":"d"`), delta(`"reasoning":"e","reasoning_content":"e"`)), "cd", "abe"},
		"calls":                    {adapters.ChatCompletions, dataOf(delta(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":""}}]`), delta(`"tool_calls":[{"index":0,"function":{"arguments":"{\""}}]`), delta(`"tool_calls":[{"index":0,"function":{"arguments":"x\""}}]`), delta(`"refusal":"no"`)), `f{"x"no`, ""},
		"two of one length":        {adapters.ChatCompletions, dataOf(delta(`"content":"a"`), delta(`"content":"b","refusal":"c"`), delta(`"content":"d"`)), "abcd", ""},
		"several answers":          {adapters.ChatCompletions, dataOf(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":1,"delta":{"content":"b"}}]}`, `{"choices":[{"index":0,"delta":{"content":"c"}},{"index":1,"delta":{"content":"d"}}]}`), "abcd", ""},
		"usage in every event":     {adapters.ChatCompletions, dataOf(`{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}`, `{"choices":[{"index":0,"delta":{"content":"b"}}],"usage":{"prompt_tokens":2}}`), "ab", ""},
		"usage before the choices": {adapters.ChatCompletions, dataOf(`{"usage":{"prompt_tokens":1},"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"usage":{"prompt_tokens":2},"choices":[{"index":0,"delta":{"content":"b"}}]}`), "ab", ""},
		"a text":                   {adapters.Completions, dataOf(`{"choices":[{"index":0,"text":"a"}]}`, `{"choices":[{"index":0,"text":"b"}]}`), "ab", ""},
		"a response": {adapters.Responses, dataOf(
			`{"type":"response.output_text.delta","sequence_number":9,"delta":"a \"delta\":\"x"}`, `{"type":"response.output_text.delta","sequence_number":10,"delta":"b"}`,
			`{"type":"response.reasoning_text.delta","sequence_number":11,"delta":"c"}`, `{"type":"response.audio.delta","sequence_number":12,"delta":"AAAA"}`,
			`{"type":"response.function_call_arguments.delta", "delta" : "{}"}`, `{"type":"response.output_text.done","text":"ab"}`), `a "delta":"xb{}`, "c"},
		"pictures": {adapters.ImageGenerations, dataOf(`{"type":"image_generation.delta","delta":"AAAA"}`), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 7, 50, len(c.stream)} {
				s := New("", "").Codecs[c.endpoint].DecodeStream(&adapters.Content{Endpoint: c.endpoint, Stream: true, UsageAsked: true}, nil)
				texts := &adapters.Texts{}
				collecting(s, texts)
				for rest := []byte(c.stream); len(rest) > 0; rest = rest[min(size, len(rest)):] {
					if _, err := s.Feed(nil, rest[:min(size, len(rest))]); err != nil {
						t.Fatal(err)
					}
				}
				if texts.Said.String() != c.said || texts.Thought.String() != c.thought {
					t.Errorf("by %d: %q and %q, want %q and %q", size, texts.Said.String(), texts.Thought.String(), c.said, c.thought)
				}
			}
		})
	}
}

// The shortcut for chunks that are alike hides neither the end of a choice nor an error.
func TestCollectingOverlooksNothing(t *testing.T) {
	t.Parallel()
	stream := dataOf(delta(`"content":"a"`), delta(`"content":"b"`),
		`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":7}}`,
		`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"c"},"logprobs":null,"finish_reason":"stop"}],"usage":null}`)
	s := collecting(chatCodec.DecodeStream(&adapters.Content{}, nil), &adapters.Texts{})
	if _, err := s.Feed(nil, []byte(stream)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.End(nil); err != nil {
		t.Errorf("the stream is not whole: %v", err)
	}
	if u, told := s.Usage(); !told || u[adapters.Input] != 7 {
		t.Errorf("usage %v, told %v", u, told)
	}
	stream = dataOf(delta(`"content":"a"`), delta(`"content":"b"`),
		`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}],"error":{"message":"no"}}`)
	s = collecting(chatCodec.DecodeStream(&adapters.Content{}, nil), &adapters.Texts{})
	if _, err := s.Feed(nil, []byte(stream)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.End(nil); err == nil {
		t.Error("an error in the stream was overlooked")
	}
}

// Whatever is said, in whatever order and however it is cut, the shortcut collects what was said.
func FuzzCollect(f *testing.F) {
	f.Add(`one|two|\three"|\`, uint8(3), uint8(7))
	f.Add("a||b|\u00e9\n|\U0001F600", uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, text string, shapes, size uint8) {
		said, datas := "", []string(nil)
		for i, piece := range strings.Split(strings.ToValidUTF8(text, ""), "|") {
			said += piece
			members := `"content":` + string(gjson.AppendJSONString(nil, piece))
			if shapes>>(i%8)&1 == 1 {
				datas = append(datas, `{"id":"d","choices":[{"delta":{`+members+`}, "index":1}]}`)
			} else {
				datas = append(datas, delta(members))
			}
		}
		s, texts := chatCodec.DecodeStream(&adapters.Content{}, nil), &adapters.Texts{}
		texts.Reset(1 << 20)
		s.(adapters.TextStream).Collect(texts)
		n := int(size) + 1
		for rest := []byte(dataOf(datas...)); len(rest) > 0; rest = rest[min(n, len(rest)):] {
			if _, err := s.Feed(nil, rest[:min(n, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if got := texts.Said.String(); got != said {
			t.Errorf("collected %q, said was %q", got, said)
		}
	})
}
