package openai

import (
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
)

// chunk is an event as OpenAI sends it, about 250 bytes long.
const chunk = `data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-2024-08-06","system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

// withUsage is the same from a client that asked for usage.
var withUsage = strings.Replace(chunk, "}]}", `}],"usage":null,"obfuscation":"aX3kTz"}`, 1)

func BenchmarkFeed(b *testing.B) {
	for name, event := range map[string]string{"plain": chunk, "usage null": withUsage} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			benchmarkFeed(b, chatCodec.DecodeStream(&adapters.Content{}, nil), []byte(event))
		})
		b.Run(name+", collecting", func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			benchmarkFeed(b, collecting(chatCodec.DecodeStream(&adapters.Content{}, nil), &adapters.Texts{}), []byte(event))
		})
	}
}

// collecting is a stream that collects its text, of which as much is kept as the gateway keeps.
func collecting(s adapters.Stream, into *adapters.Texts) adapters.Stream {
	into.Reset(8 << 10)
	s.(adapters.TextStream).Collect(into)
	return s
}

func TestFeedDoesNotAllocate(t *testing.T) {
	texts := &adapters.Texts{}
	s := collecting(chatCodec.DecodeStream(&adapters.Content{}, nil), texts)
	texts.Said.Add(make([]byte, 8<<10)) // its memory is there
	out := make([][]byte, 0, 4)
	whole, usage := []byte(chunk), []byte(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`+"\n\n")
	if _, err := s.Feed(out, whole); err != nil {
		t.Fatal(err)
	}
	for name, pieces := range map[string][][]byte{
		"whole": {whole}, "cut": {whole[:100], whole[100:]}, "several": {append(whole, whole...)}, "usage": {usage},
	} {
		if n := testing.AllocsPerRun(100, func() {
			for _, p := range pieces {
				if _, err := s.Feed(out, p); err != nil {
					t.Error(err)
				}
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestEncodeAndDecodeDoNotAllocate(t *testing.T) {
	in := &adapters.Content{Body: []byte(`{"model":"smart","messages":[]}`), Model: adapters.Span{Start: 9, End: 16}}
	answer := []byte(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":1}}}`)
	r := adapters.Request{Body: make([][]byte, 0, 4)}
	out := make([][]byte, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset()
		if err := chatCodec.EncodeRequest(&r, in, "provider/model"); err != nil {
			t.Error(err)
		}
		if _, _, err := chatCodec.DecodeResponse(out, in, nil, answer); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// chatCodec passes chat and asks for nothing.
var chatCodec = New("openai", "").Codecs[adapters.ChatCompletions]

func BenchmarkReadUsage(b *testing.B) {
	const typical = `{"prompt_tokens":1019,"completion_tokens":310,"total_tokens":1329,"prompt_tokens_details":{"cached_tokens":512,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":128,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
	b.ReportAllocs()
	var u adapters.Usage
	for b.Loop() {
		ReadUsage(&u, typical)
	}
}
