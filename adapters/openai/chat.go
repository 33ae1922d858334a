package openai

import (
	"net/http"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// chat is the codec for chat completions. It has no state.
type chat struct{}

// EncodeRequest passes the body and puts the provider's name of the model where the client's stood: what is
// before it, the name, what is behind it. The quotes are the client's own, so that nothing is built.
func (chat) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	dst.Method, dst.Path = http.MethodPost, "/chat/completions"
	dst.Body = renamed(dst.Body, in, model)
	return nil
}

// renamed is the body with the provider's name of the model.
func renamed(out [][]byte, in *adapters.Content, model string) [][]byte {
	if e, needed := in.Rename(model); needed {
		return adapters.AppendEdited(out, in.Body, e)
	}
	return append(out, in.Body)
}

// DecodeResponse passes the answer as it is, if it is one.
func (chat) DecodeResponse(out [][]byte, _ *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	var usage adapters.Usage
	var object, choices, failed bool
	err := strictjson.Walk(body, func(key []byte, start, end int) error {
		object = true
		switch string(key) {
		case "choices":
			choices = true
		case "error":
			failed = true
		case "usage":
			readUsage(&usage, stringOf(body[start:end]))
		case "x_groq":
			readUsage(&usage, gjson.Get(stringOf(body[start:end]), "usage").Raw)
		}
		return nil
	})
	switch {
	case err != nil:
		return out, usage, garbage("The provider answered with something that is not JSON.")
	case (failed || !choices) && isError(body):
		return out, usage, inBand(h, body)
	case !object:
		return out, usage, garbage("The provider answered with JSON that is not a chat completion.")
	}
	return append(out, body), usage, nil
}

// DecodeStream begins a stream.
func (chat) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	return &stream{header: h, asked: max(in.Choices, 1)}
}

// DecodeError understands every shape in which compatible servers, and the proxies before them, say no.
func (chat) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return failure(status, h, body, statusMessage(status))
}

func garbage(message string) *adapters.Error {
	return &adapters.Error{Class: adapters.ClassGarbage, Type: "server_error", Message: message}
}

// stringOf and bytesOf show the same memory under the other type. Neither is ever written to.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func bytesOf(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }
