package responses

import (
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
)

func TestConformanceOfChat(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Suite{
		Codec: Chat(Dialect{}), Endpoint: adapters.ChatCompletions, Dir: "testdata/chat", Model: "gpt-5",
		Question: `{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}`, Errors: "../openai/testdata/chat/errors",
	})
}
