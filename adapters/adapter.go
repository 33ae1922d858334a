// Package adapters translates between the OpenAI wire and each provider. It is pure: bytes in, bytes out,
// no network and no clock, so that a codec can be proved by feeding it bytes.
//
// An adapter is a table Endpoint → Codec. A codec has four verbs: encode the request, decode the response,
// decode the stream, decode an error. A new endpoint is a new file in the adapters that have it; a new
// provider is a new folder. What a codec returns aliases its input or its own scratch until the next call;
// nothing is copied that can pass.
package adapters

import (
	"time"

	"github.com/vel-gateway/vel/secrets"
)

// Span is a half-open range of bytes.
type Span struct{ Start, End int }

// Empty tells whether there is nothing between the ends.
func (s Span) Empty() bool { return s.Start >= s.End }

// Content is the client's request as it came. Every attempt encodes from it, never from what an earlier
// attempt made of it. Whoever opens a call fills in the first part; Parse the second.
type Content struct {
	Endpoint    Endpoint
	Method      string
	Path        []byte // below /v1, without the query, as the client wrote it; it is sent for Objects only
	Query       []byte // without the question mark; what stands here is sent
	ContentType []byte
	Deployment  string // the model, if the path names it (Azure's SDKs); it wins over the body's
	Body        []byte

	Boundary     []byte // of a body in parts (multipart/form-data); nil for JSON
	Model        Span   // where the model stands in Body: a JSON string with its quotes, or the bytes of a part; empty if it is not there
	Options      Span   // the value of stream_options
	IncludeUsage Span   // the value of stream_options.include_usage
	Form         Span   // the value of response_format, for embeddings of encoding_format: what the answer shall look like
	Stream       bool   // the client asked for a stream
	UsageAsked   bool   // and in it for the usage event
	Choices      int    // how many answers the client asked for (n); 0 if it did not say
	Stored       bool   // the provider is asked to keep the answer under its id: store, which responses do unless told not to
}

// Field is one header field. Its value holds neither CR nor LF.
type Field struct{ Name, Value string }

// Request is what one attempt sends: a path below the provider's base URL, fields beyond those that every
// request has, and the body in slices, so that a splice copies nothing.
type Request struct {
	Method, Path string
	Header       []Field
	Body         [][]byte

	// Dropped are the fields of the client's request that the provider does not get as they were meant, by their
	// JSON path, such as "logit_bias" or "messages.2.name": "PATH" was left out, "PATH=VALUE" was sent as VALUE.
	// A codec that passes bytes drops nothing.
	Dropped []string
}

// Reset empties the request and keeps its memory.
func (r *Request) Reset() {
	clear(r.Body) // do not keep the last caller's bytes alive
	clear(r.Dropped)
	*r = Request{Header: r.Header[:0], Body: r.Body[:0], Dropped: r.Dropped[:0]}
}

// Header reads fields of an answer; *fasthttp.ResponseHeader fits. The bytes are valid as long as the answer.
type Header interface{ Peek(name string) []byte }

// Codec speaks one endpoint of one provider.
type Codec interface {
	// EncodeRequest fills dst for the provider's name of the model. An *Error of ClassInvalid says that this
	// provider can not do what is asked, and names the field; another target may.
	EncodeRequest(dst *Request, in *Content, model string) error
	// DecodeResponse appends the client's answer to out. An *Error says that a 200 was none.
	DecodeResponse(out [][]byte, in *Content, h Header, body []byte) ([][]byte, Usage, error)
	// DecodeStream begins a stream for an answer with this head.
	DecodeStream(in *Content, h Header) Stream
	// DecodeError understands any answer that is not a 2xx, whatever its shape. It never returns nil.
	DecodeError(status int, h Header, body []byte) *Error
}

// Stream decodes one streamed answer.
type Stream interface {
	// Feed takes the next bytes of the upstream body and appends what the client may have now. An *Error
	// before anything was appended means that another target can still be tried.
	Feed(out [][]byte, p []byte) ([][]byte, error)
	// End is called at a clean end of the body: it appends what an SDK needs to see the end, or returns an
	// *Error of ClassTruncated and appends nothing. After an error of the provider's in the stream it returns
	// that error, with Told set if the client has it already. It may be called after a cut too: if it then
	// returns no error and appends nothing, the client had the whole answer before the cut.
	End(out [][]byte) ([][]byte, error)
	// Usage is what was seen last, and whether any was seen.
	Usage() (Usage, bool)
}

// Signer puts the credential on a request.
type Signer interface {
	Sign(dst *Request, key secrets.Secret, now time.Time) error
}

// Adapter is one kind of provider.
type Adapter struct {
	Kind     string
	BaseURL  string // used when the configuration names none
	Signer   Signer
	Codecs   map[Endpoint]Codec
	OpenList bool // GET /models is answered without a key, and proves none
}
