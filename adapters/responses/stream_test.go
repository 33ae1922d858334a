package responses

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
)

// However a stream is cut, a translation makes the same of it, and every event of it is sound.
func FuzzStreams(f *testing.F) {
	f.Add([]byte("data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n"), uint16(70))
	f.Add([]byte("data: {\"type\":\"response.output_item.added\",\"item\":{\"type\":\"function_call\",\"id\":1}}\n\ndata: {\"type\":\"response.function_call_arguments.delta\",\"delta\":{}}\n\n"), uint16(9))
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"x\",\"refusal\":\"y\",\"reasoning\":\"z\",\"tool_calls\":[{\"index\":3},{}]},\"finish_reason\":\"stop\"}]}\r\n\r\ndata: [DONE]\n\n"), uint16(30))
	inner := openai.New("", "").Codecs[adapters.ChatCompletions]
	codecs := []adapters.Codec{OverChat(inner), Chat(Dialect{Sources: true}), Chat(Dialect{})}
	question := &adapters.Content{Body: []byte(`{"tools":[]}`), UsageAsked: true, Stream: true}
	f.Fuzz(func(t *testing.T, in []byte, at uint16) {
		cut := int(at) % (len(in) + 1)
		for _, codec := range codecs {
			whole, failed := run(codec.DecodeStream(question, nil), in)
			parts, failedToo := run(codec.DecodeStream(question, nil), in[:cut], in[cut:])
			if failed != failedToo || failed == "" && whole != parts {
				t.Fatalf("%q cut at %d gives %q (%s), in one piece %q (%s)", in, cut, parts, failedToo, whole, failed)
			}
			for _, event := range strings.Split(whole, "\n\n") {
				if _, data, ok := strings.Cut(event, "data: "); ok && data != "[DONE]" && !json.Valid([]byte(data)) {
					t.Fatalf("%q gives %q", in, event)
				}
			}
		}
	})
}

// run decodes a stream and gives all output, and the error.
func run(s adapters.Stream, pieces ...[]byte) (string, string) {
	var all []byte
	for _, p := range pieces {
		out, err := s.Feed(nil, bytes.Clone(p))
		all = append(all, bytes.Join(out, nil)...)
		if err != nil {
			return string(all), err.Error()
		}
	}
	out, err := s.End(nil)
	all = append(all, bytes.Join(out, nil)...)
	if err != nil {
		return string(all), err.Error()
	}
	return string(all), ""
}

// The text of a translated stream is collected once, on whichever side of the translation it is read.
func TestTranslationsCollectTheirText(t *testing.T) {
	t.Parallel()
	inner := openai.New("", "").Codecs[adapters.ChatCompletions]
	for name, c := range map[string]struct {
		codec         adapters.Codec
		stream        string
		said, thought string
	}{
		"chat over responses": {Chat(Dialect{}), "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n" +
			"data: {\"type\":\"response.reasoning_text.delta\",\"delta\":\"hm\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"on\"}\n\n" +
			"data: {\"type\":\"response.output_text.delta\",\"delta\":\"e\"}\n\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"type\":\"function_call\",\"id\":\"i\",\"call_id\":\"c\",\"name\":\"f\"}}\n\n" +
			"data: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"i\",\"delta\":\"{}\"}\n\n", "one{}", "hm"},
		"responses over chat": {OverChat(inner), "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"on\",\"reasoning_content\":\"hm\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"e\"}}]}\n\n", "one", "hm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.codec.DecodeStream(&adapters.Content{Body: []byte(`{}`), Stream: true}, nil)
			var texts adapters.Texts
			texts.Reset(1 << 10)
			s.(adapters.TextStream).Collect(&texts)
			if _, err := s.Feed(nil, []byte(c.stream)); err != nil {
				t.Fatal(err)
			}
			if texts.Said.String() != c.said || texts.Thought.String() != c.thought {
				t.Errorf("%q and %q, want %q and %q", texts.Said.String(), texts.Thought.String(), c.said, c.thought)
			}
		})
	}
}
