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

// New is the adapter for a kind of provider that speaks OpenAI's language at a base URL, which ends before
// "/chat/completions".
func New(kind, baseURL string) *adapters.Adapter {
	return &adapters.Adapter{
		Kind:    kind,
		BaseURL: baseURL,
		Signer:  bearer{},
		Codecs:  map[adapters.Endpoint]adapters.Codec{adapters.ChatCompletions: chat{}},
	}
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
