package openai

import (
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
)

func TestConformanceOfEndpoints(t *testing.T) {
	t.Parallel()
	const form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n"
	plain := New("openai", "").Codecs
	for name, s := range map[string]adaptertest.Suite{
		"responses":         {Codec: plain[adapters.Responses], Endpoint: adapters.Responses, Passes: true},
		"embeddings":        {Codec: plain[adapters.Embeddings], Endpoint: adapters.Embeddings, Question: `{"model":"m","input":"x","encoding_format":"base64"}`},
		"embeddings_floats": {Codec: New("x", "", Floats()).Codecs[adapters.Embeddings], Endpoint: adapters.Embeddings},
		"completions":       {Codec: plain[adapters.Completions], Endpoint: adapters.Completions, Passes: true},
		"moderations":       {Codec: plain[adapters.Moderations], Endpoint: adapters.Moderations, Passes: true},
		"images":            {Codec: plain[adapters.ImageGenerations], Endpoint: adapters.ImageGenerations, Passes: true},
		"edits":             {Codec: plain[adapters.ImageEdits], Endpoint: adapters.ImageEdits, Passes: true, Question: form},
		"speech":            {Codec: plain[adapters.Speech], Endpoint: adapters.Speech, Passes: true},
		"transcriptions":    {Codec: plain[adapters.Transcriptions], Endpoint: adapters.Transcriptions, Passes: true, Question: form},
		"objects":           {Codec: plain[adapters.Objects], Endpoint: adapters.Objects, Passes: true},
		"asking":            {Codec: New("x", "", AskUsage()).Codecs[adapters.ChatCompletions], Endpoint: adapters.ChatCompletions},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Dir, s.Model, s.Errors = "testdata/"+name, "whisper-1", "testdata/chat/errors"
			adaptertest.Run(t, s)
		})
	}
}
