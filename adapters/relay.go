package adapters

import "bytes"

// Relay says how an answer goes to the client.
type Relay uint8

// The ways of an answer.
const (
	RelayWhole  Relay = iota // gathered and given to DecodeResponse; only what is too large for that flows unread
	RelayEvents              // a stream: DecodeStream
	RelayUnread              // bytes that mean nothing to Vel, such as sound or a file: passed as they come
)

// Relay decides by the type of a 2xx answer.
func (c *Content) Relay(h Header) Relay {
	kind := mediaType(h.Peek("Content-Type"))
	switch {
	case isJSON(kind), bytes.EqualFold(kind, []byte("text/html")) && !c.Stream && c.Endpoint != Objects:
		return RelayWhole
	case bytes.EqualFold(kind, []byte("text/event-stream")) && (c.Stream || c.Boundary != nil || c.Endpoint == Objects):
		return RelayEvents // a part may say "stream" in more ways than Vel knows
	case c.Endpoint == Speech, c.Endpoint == Objects:
		return RelayUnread
	case c.Stream:
		return RelayEvents // some send streams without saying so
	}
	return RelayWhole
}

// Gather is how many bytes of a whole answer are worth holding, so that it can be checked, and another target be tried,
// before the client gets any of it. A longer one flows unread but for its tail. Vectors may have to be converted, for
// which all of them must be there.
func (c *Content) Gather() int {
	if c.Endpoint == Embeddings {
		return 64 << 20
	}
	return 1 << 20
}

// TailSize is how much of the end of an answer that flows unread a TailDecoder wants to see.
const TailSize = 16 << 10

// TailDecoder is a codec that finds usage in the last bytes of a JSON answer whose beginning nobody kept, such as
// pictures of many megabytes.
type TailDecoder interface {
	DecodeTail(in *Content, tail []byte) (Usage, bool)
}

// mediaType is a content type without its parameters.
func mediaType(contentType []byte) []byte {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.TrimSpace(kind)
}

// isJSON tells whether a media type is JSON.
func isJSON(kind []byte) bool {
	const suffix = "+json"
	return bytes.EqualFold(kind, []byte("application/json")) ||
		len(kind) > len(suffix) && bytes.EqualFold(kind[len(kind)-len(suffix):], []byte(suffix))
}
