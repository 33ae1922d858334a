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
			s := chat{}.DecodeStream(&adapters.Content{}, nil)
			p := []byte(event)
			out := make([][]byte, 0, 4)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Feed(out, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
