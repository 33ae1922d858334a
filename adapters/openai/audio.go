package openai

import (
	"bytes"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// speech is the codec for reading a text aloud. The answer is sound, which the gateway passes unread, or a stream of
// events with sound in them. Nothing tells the usage of sound that comes as such.
type speech struct{}

var speechCodec = codec{path: "/audio/speech", answer: "sound", events: &speechEvents}

var speechEvents = eventKind{
	last: []string{"speech.audio.done"},
	usage: func(u *adapters.Usage, data string) bool {
		counted := ReadUsage(u, gjson.Get(data, "usage").Raw)
		if u[adapters.AudioOut] == 0 {
			u[adapters.AudioOut], u[adapters.Output] = u[adapters.Output], 0
		}
		return counted
	},
}

// EncodeRequest passes the body but for the model.
func (speech) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	return speechCodec.EncodeRequest(dst, in, model)
}

// DecodeResponse gets only what is not sound: an error, or a page of a proxy.
func (speech) DecodeResponse(out [][]byte, in *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	out, usage, err := speechCodec.DecodeResponse(out, in, h, body)
	if err == nil {
		err = garbage("The provider answered with JSON that is not sound.")
	}
	return out, usage, err
}

// DecodeStream begins a stream.
func (speech) DecodeStream(in *adapters.Content, h adapters.Header) adapters.Stream {
	return speechCodec.DecodeStream(in, h)
}

// DecodeError understands every shape of an error.
func (speech) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return DecodeError(status, h, body)
}

// transcript is the codec for turning sound into text. The answer is JSON, plain text or subtitles, as asked.
type transcript struct{ codec }

func transcriptions(e adapters.Endpoint) *transcript {
	return &transcript{codec{path: "/" + e.String(), answer: "a transcription", marker: "text", events: &transcriptEvents, more: heard}}
}

var transcriptEvents = eventKind{
	last: []string{"transcript.text.done"},
	usage: func(u *adapters.Usage, data string) bool {
		return ReadUsage(u, gjson.Get(data, "usage").Raw)
	},
}

// heard is how long the sound is, where the answer tells and the usage does not.
func heard(u adapters.Usage, answer string) adapters.Usage {
	if in, _ := u.Tokens(); in > 0 || u[adapters.AudioMillis] > 0 {
		return u
	}
	if d := gjson.Get(answer, "duration"); d.Exists() {
		u[adapters.AudioMillis] = decimal(d.String(), 1000)
	}
	return u
}

// DecodeResponse passes text as it is; there is no telling a bad one from a good one but by its type.
func (c *transcript) DecodeResponse(out [][]byte, in *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	kind := h.Peek("Content-Type")
	isText := bytes.HasPrefix(kind, []byte("text/")) || bytes.HasPrefix(kind, []byte("application/x-subrip"))
	if isText && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return append(out, body), adapters.Usage{}, nil
	}
	return c.codec.DecodeResponse(out, in, h, body)
}
