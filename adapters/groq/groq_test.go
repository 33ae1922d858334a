package groq

import (
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	const form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n"
	codecs := New("").Codecs
	for name, s := range map[string]adaptertest.Suite{
		"chat":           {Codec: codecs[adapters.ChatCompletions], Endpoint: adapters.ChatCompletions, Passes: true},
		"transcriptions": {Codec: codecs[adapters.Transcriptions], Endpoint: adapters.Transcriptions, Passes: true, Question: form},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Dir, s.Model, s.Errors = "testdata/"+name, "llama-3.3-70b-versatile", "../openai/testdata/chat/errors"
			adaptertest.Run(t, s)
		})
	}
}
