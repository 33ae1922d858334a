package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// embeddings is the codec for turning texts into vectors. Both official SDKs ask for base64 unless told otherwise,
// and some of their versions make an empty vector of numbers without a word; so the client gets what it asked for,
// whatever the provider sent.
type embeddings struct{ floats bool }

var embeddingsCodec = codec{path: "/embeddings", answer: "a list of embeddings", marker: "data"}

// The two formats that are one another in other letters. Others pass.
const (
	formatBase64 = "base64"
	formatFloat  = "float"
)

// EncodeRequest passes the body but for the model, and for the format where the server knows only one.
func (e embeddings) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	if !e.floats || in.Form.Empty() || in.Text(in.Form) != formatBase64 {
		return embeddingsCodec.EncodeRequest(dst, in, model)
	}
	dst.Method, dst.Path = "POST", withQuery(embeddingsCodec.path, in)
	dst.Body = in.Edited(dst.Body, model, adapters.Edit{At: in.Form, With: []byte(`"float"`)})
	return nil
}

// DecodeResponse passes the answer, or makes one in the format that was asked for.
func (e embeddings) DecodeResponse(out [][]byte, in *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	before := len(out)
	out, usage, err := embeddingsCodec.DecodeResponse(out, in, h, body)
	if err != nil {
		return out, usage, err
	}
	asked := formatFloat
	if !in.Form.Empty() {
		asked = in.Text(in.Form)
	}
	list := gjson.Get(stringOf(body), "data")
	switch first := list.Get("0.embedding"); {
	case asked == formatBase64 && first.IsArray():
		return convert(out[:before], body, list, toBase64, usage)
	case asked == formatFloat && first.Type == gjson.String:
		return convert(out[:before], body, list, toFloats, usage)
	}
	return out, usage, nil
}

// convert puts other values where the embeddings stand; everything else of the answer passes.
func convert(out [][]byte, body []byte, list gjson.Result, to func(gjson.Result) []byte, usage adapters.Usage) ([][]byte, adapters.Usage, error) {
	var edits []adapters.Edit
	sound := true
	list.ForEach(func(_, item gjson.Result) bool {
		value := item.Get("embedding")
		with := to(value)
		edits = append(edits, adapters.Edit{At: spanOf(body, value.Raw), With: with})
		sound = with != nil
		return sound
	})
	if !sound {
		return out, usage, garbage("The provider answered with an embedding that can not be read.")
	}
	return adapters.AppendEdited(out, body, edits...), usage, nil
}

// spanOf is where a piece of body stands in it.
func spanOf(body []byte, piece string) adapters.Span {
	start := int(uintptr(unsafe.Pointer(unsafe.StringData(piece))) - uintptr(unsafe.Pointer(unsafe.SliceData(body))))
	return adapters.Span{Start: start, End: start + len(piece)}
}

// toBase64 writes numbers as little-endian float32 in base64; nil if the value is no array of numbers.
func toBase64(list gjson.Result) []byte {
	if !list.IsArray() {
		return nil
	}
	raw := make([]byte, 0, len(list.Raw)/2)
	sound := true
	list.ForEach(func(_, n gjson.Result) bool {
		sound = n.Type == gjson.Number
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(n.Num)))
		return sound
	})
	if !sound {
		return nil
	}
	out := append(make([]byte, 0, base64.StdEncoding.EncodedLen(len(raw))+2), '"')
	return append(base64.StdEncoding.AppendEncode(out, raw), '"')
}

// toFloats is the reverse, with as many digits as a float32 has.
func toFloats(text gjson.Result) []byte {
	raw, err := base64.StdEncoding.DecodeString(text.Str)
	if text.Type != gjson.String || err != nil || len(raw)%4 != 0 {
		return nil
	}
	out := append(make([]byte, 0, 4*len(raw)), '[')
	for i := 0; i < len(raw); i += 4 {
		if i > 0 {
			out = append(out, ',')
		}
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil
		}
		out = strconv.AppendFloat(out, f, 'g', -1, 32)
	}
	return append(out, ']')
}

// DecodeStream: there are none; what calls itself one is read like any other and found to be no answer.
func (embeddings) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	return embeddingsCodec.DecodeStream(in, h)
}

// DecodeError understands every shape of an error.
func (embeddings) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return DecodeError(status, h, body)
}
