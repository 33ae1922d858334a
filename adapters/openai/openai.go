// Package openai speaks to OpenAI and to every server that is compatible with it.
//
// It owns what such servers share: bytes pass in both directions, only the name of the model is replaced, and
// answers are read beside the copy for usage, errors and the end of a stream. It does not own what a single
// provider does otherwise; that lies in that provider's own folder, built on this one.
package openai

import (
	"errors"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/secrets"
)

// Option is something that a compatible server does or can not do.
type Option func(*options)

type options struct {
	askUsage bool
	floats   bool
	without  []adapters.Endpoint
}

// AskUsage makes Vel ask for the usage event of chat and completion streams whose client did not, and take it out
// again on the way back. It is not for servers that refuse stream_options, nor for those that send usage anyway.
func AskUsage() Option { return func(o *options) { o.askUsage = true } }

// Floats makes Vel ask for embeddings as numbers, for servers that refuse encoding_format "base64". The client gets
// what it asked for either way.
func Floats() Option { return func(o *options) { o.floats = true } }

// Without leaves out endpoints that the server does not have.
func Without(endpoints ...adapters.Endpoint) Option {
	return func(o *options) { o.without = append(o.without, endpoints...) }
}

// New is the adapter for a kind of provider that speaks OpenAI's language at a base URL, which ends before
// "/chat/completions".
func New(kind, baseURL string, with ...Option) *adapters.Adapter {
	var o options
	for _, option := range with {
		option(&o)
	}
	codecs := map[adapters.Endpoint]adapters.Codec{
		adapters.ChatCompletions:      chat(&o),
		adapters.Completions:          completions(&o),
		adapters.Responses:            responses(),
		adapters.ResponsesInputTokens: inputTokens(),
		adapters.ResponsesCompact:     compact(),
		adapters.Embeddings:           embeddings{floats: o.floats},
		adapters.Moderations:          moderations(),
		adapters.ImageGenerations:     images(adapters.ImageGenerations),
		adapters.ImageEdits:           images(adapters.ImageEdits),
		adapters.ImageVariations:      images(adapters.ImageVariations),
		adapters.Speech:               speech{},
		adapters.Transcriptions:       transcriptions(adapters.Transcriptions),
		adapters.Translations:         transcriptions(adapters.Translations),
		adapters.Objects:              objects{},
	}
	for _, endpoint := range o.without {
		delete(codecs, endpoint)
	}
	return &adapters.Adapter{Kind: kind, BaseURL: baseURL, Signer: bearer{}, Codecs: codecs}
}

// bearer signs with an API key in the Authorization field.
type bearer struct{}

// errKeyLines keeps a badly pasted key from adding fields to the request. It does not quote the key.
var errKeyLines = errors.New("the provider key contains a line break or another control character")

// Sign adds the field. A server that asks for no key gets none.
func (bearer) Sign(dst *adapters.Request, key secrets.Secret, _ time.Time) error {
	if key.IsZero() {
		return nil
	}
	value := key.Reveal()
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errKeyLines
	}
	dst.Header = append(dst.Header, adapters.Field{Name: "Authorization", Value: "Bearer " + value})
	return nil
}
