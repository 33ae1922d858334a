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
