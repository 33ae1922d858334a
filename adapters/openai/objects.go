package openai

import (
	"github.com/vel-gateway/vel/adapters"
)

// objects is the codec for calls on what a provider keeps. All of it passes: method, path, query, body, answer.
type objects struct{}

// EncodeRequest changes nothing.
func (objects) EncodeRequest(dst *adapters.Request, in *adapters.Content, _ string) error {
	dst.Method, dst.Path = in.Method, withQuery(string(in.Path), in)
	if len(in.Body) > 0 {
		dst.Body = append(dst.Body, in.Body)
	}
	return nil
}

// DecodeResponse changes nothing. What was used to make an object was counted when it was made.
func (objects) DecodeResponse(out [][]byte, _ *adapters.Content, _ adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	return append(out, body), adapters.Usage{}, nil
}

// DecodeStream passes the events of what runs in the background; any end of them is a good one.
func (objects) DecodeStream(_ *adapters.Content, h adapters.Header) adapters.Stream {
	return &eventStream{header: h, kind: &objectEvents}
}

// DecodeError understands every shape of an error.
func (objects) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return DecodeError(status, h, body)
}

var objectEvents = eventKind{endless: true}
