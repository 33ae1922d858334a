package openai

import (
	"bytes"
	"net/http"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// codec passes one endpoint: the request but for the model, the answer as it is. It has no state.
type codec struct {
	path     string     // below the base URL
	answer   string     // what an answer is, for people
	marker   string     // the member by which an answer is known
	events   *eventKind // of its streams; nil: chunks with choices
	asks     bool       // for usage, in such streams
	pictures bool       // are what is made, and counted

	// more adds what an answer says of usage outside its usage member; nil: nothing.
	more func(u adapters.Usage, whole string) adapters.Usage

	// kept appends what the provider keeps of an answer; nil: nothing.
	kept func(out []adapters.Kept, whole string, stored bool) []adapters.Kept
}

// EncodeRequest passes the body and puts the provider's name of the model where the client's stood.
func (c *codec) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	dst.Method, dst.Path = http.MethodPost, withQuery(c.path, in)
	if c.asksFor(in) {
		dst.Body = in.Edited(dst.Body, model, in.AskUsage())
		return nil
	}
	dst.Body = in.Edited(dst.Body, model)
	return nil
}

// asksFor tells whether Vel asks for usage that the client did not ask for.
func (c *codec) asksFor(in *adapters.Content) bool { return c.asks && in.Stream && !in.UsageAsked }

// withQuery is the path with what the client's query says.
func withQuery(path string, in *adapters.Content) string {
	if len(in.Query) == 0 {
		return path
	}
	return path + "?" + string(in.Query)
}

// DecodeResponse passes the answer as it is, if it is one.
func (c *codec) DecodeResponse(out [][]byte, _ *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	var usage adapters.Usage
	var object, marked, failed bool
	err := strictjson.Walk(body, func(key []byte, start, end int) error {
		object = true
		switch string(key) {
		case c.marker:
			marked = true
		case "error":
			failed = true
		case "usage":
			ReadUsage(&usage, stringOf(body[start:end]))
		case "x_groq":
			ReadUsage(&usage, gjson.Get(stringOf(body[start:end]), "usage").Raw)
		}
		return nil
	})
	switch {
	case err != nil:
		return out, usage, garbage("The provider answered with something that is not JSON.")
	case (failed || !marked) && IsError(body):
		return out, usage, InBand(h, body)
	case !object:
		return out, usage, garbage("The provider answered with JSON that is not " + c.answer + ".")
	case c.more != nil:
		usage = c.more(usage, stringOf(body))
	}
	return append(out, body), usage, nil
}

// DecodeTail reads the usage that stands at the end of an answer, as it does with OpenAI.
func (c *codec) DecodeTail(in *adapters.Content, tail []byte) (usage adapters.Usage, seen bool) {
	const key = `"usage"`
	if i := bytes.LastIndex(tail, []byte(key)); i >= 0 {
		rest := trimSpace(tail[i+len(key):])
		if len(rest) > 0 && rest[0] == ':' {
			seen = ReadUsage(&usage, stringOf(trimSpace(rest[1:])))
		}
	}
	if c.more != nil {
		usage = c.more(usage, "")
	}
	if c.pictures {
		usage[adapters.Images], seen = int64(max(in.Choices, 1)), true
	}
	return usage, seen
}

// DecodeStream begins a stream.
func (c *codec) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	stored := in.Stored && c.kept != nil
	switch {
	case c.asksFor(in):
		return &trimmed{stream: stream{header: h, asked: max(in.Choices, 1), stored: stored}}
	case c.events != nil:
		return &eventStream{header: h, kind: c.events, stored: stored}
	}
	return &stream{header: h, asked: max(in.Choices, 1), stored: stored}
}

// DecodeError understands every shape in which compatible servers, and the proxies before them, say no.
func (c *codec) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return DecodeError(status, h, body)
}

// DecodeError is the DecodeError of all codecs of the family.
func DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return failure(status, h, body, statusMessage(status))
}

func garbage(message string) *adapters.Error {
	return &adapters.Error{Class: adapters.ClassGarbage, Type: "server_error", Message: message}
}

// Truncated is the end of a stream whose answer is not whole.
func Truncated() *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassTruncated, Type: "server_error",
		Message: "The provider's stream ended before the answer was complete.",
	}
}

// stringOf and bytesOf show the same memory under the other type. Neither is ever written to.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func bytesOf(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }
