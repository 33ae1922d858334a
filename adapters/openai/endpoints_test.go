package openai

import (
	"bytes"
	"strings"
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

// The first event of a stream may be a picture, far larger than what is held back of it.
func TestLargeFirstEvent(t *testing.T) {
	t.Parallel()
	events := `data: {"type":"image_generation.partial_image","b64_json":"` + strings.Repeat("pixels", 100_000) + `"}` + "\n\n" +
		`data: {"type":"image_generation.completed"}` + "\n\n"
	for _, size := range []int{1000, largestHeld - 1, largestHeld, largestHeld + 1, len(events)} {
		s := New("openai", "").Codecs[adapters.ImageGenerations].DecodeStream(&adapters.Content{}, nil)
		var got []byte
		for rest := []byte(events); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			out, err := s.Feed(nil, rest[:min(size, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, bytes.Join(out, nil)...)
		}
		if out, err := s.End(nil); err != nil || len(out) > 0 || string(got) != events {
			t.Errorf("in pieces of %d: %d bytes became %d, %v", size, len(events), len(got), err)
		}
	}
}
