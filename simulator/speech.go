package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"math"
)

// audioKinds are the content types of spoken formats.
var audioKinds = map[string]string{
	"mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}

const (
	sampleRate    = 24_000
	tokenSamples  = sampleRate / 10 // a tenth of a second of sound for each token
	speechLongest = 4096            // characters of input
)

// readSpeech understands POST /v1/audio/speech.
func readSpeech(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	model, e := m.required("model")
	if e != nil {
		return job{}, e
	}
	input, e := m.required("input")
	if e != nil {
		return job{}, e
	}
	if _, ok := m.has("voice"); !ok {
		return job{}, errMissing("voice")
	}
	words, text := markers(input)
	if text == "" {
		return job{}, &apiError{status: 400, param: "input", code: "string_too_short", message: "Invalid 'input': string too short. Expected a string with minimum length 1."}
	}
	if len([]rune(text)) > speechLongest {
		return job{}, &apiError{status: 400, param: "input", code: "string_too_long", message: "Invalid 'input': string too long. Expected a string with maximum length 4096."}
	}
	shape, packing := "mp3", "audio"
	if e := m.read("response_format", "response_format", "a string", &shape); e != nil {
		return job{}, e
	}
	if e := m.read("stream_format", "stream_format", "a string", &packing); e != nil {
		return job{}, e
	}
	kind, ok := audioKinds[shape]
	if !ok {
		return job{}, errValue("response_format", "Invalid value: '"+shape+"'. Supported values are: 'mp3', 'opus', 'aac', 'flac', 'wav', and 'pcm'.")
	}
	if packing == "sse" {
		kind = ""
	}
	tokens := countTokens(text)
	return job{model: model, words: words, param: "input", tokens: tokens, stream: true, kind: kind, make: func(c *call) (reply, *apiError) {
		r := &speechReply{input: tokens, asEvents: packing == "sse", usage: c.faults.usage != "none"}
		for _, piece := range c.faults.shape(text) {
			sound := spoken(piece)
			if c.faults.size.ok {
				sound = []byte(piece) // so many bytes were asked for
			}
			r.sounds = append(r.sounds, sound)
		}
		if shape == "wav" {
			r.sounds = append([][]byte{wavHead(r.sounds)}, r.sounds...)
		}
		return r, nil
	}}, nil
}

// speechReply is speech on its way: bytes in chunks, or events.
type speechReply struct {
	sounds   [][]byte
	asEvents bool
	input    int
	made     int
	usage    bool
}

func (r *speechReply) units() (input, output int) { return r.input, r.made }

// whole is never asked for: speech is always streamed.
func (r *speechReply) whole(*faults) (body []byte, pieces int) {
	for _, sound := range r.sounds {
		body = append(body, sound...)
	}
	return body, len(r.sounds)
}

func (r *speechReply) events(s *stream) error {
	s.total = len(r.sounds)
	for _, sound := range r.sounds {
		if err := s.before(); err != nil {
			return err
		}
		s.sent++
		r.made++
		if err := r.send(s, sound); err != nil {
			return err
		}
	}
	if err := s.strike(true); err != nil || !r.asEvents {
		return err
	}
	doc := obj{"type": "speech.audio.done"}
	if r.usage {
		doc["usage"] = obj{"input_tokens": r.input, "output_tokens": r.made, "total_tokens": r.input + r.made}
	}
	return s.event(append(s.line(), encode(doc)...))
}

func (r *speechReply) send(s *stream, sound []byte) error {
	if !r.asEvents {
		return s.bytes(append(s.buf[:0], sound...))
	}
	b := append(s.line(), `{"type":"speech.audio.delta","audio":"`...)
	b = base64.StdEncoding.AppendEncode(b, sound)
	return s.piece(append(b, `"}`...))
}

// spoken is a token's sound, 16-bit samples of a tone that its letters set. Every format gets the same bytes:
// a gateway must not look into them.
func spoken(token string) []byte {
	pitch := 200.0
	for _, r := range token {
		pitch += float64(r % 50)
	}
	out := make([]byte, 0, 2*tokenSamples)
	for i := range tokenSamples {
		v := int16(8000 * math.Sin(2*math.Pi*pitch*float64(i)/sampleRate))
		out = binary.LittleEndian.AppendUint16(out, uint16(v))
	}
	return out
}

// wavHead is the head of a WAV file of one channel.
func wavHead(sounds [][]byte) []byte {
	size := 0
	for _, s := range sounds {
		size += len(s)
	}
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+size))
	b = binary.LittleEndian.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = binary.LittleEndian.AppendUint16(b, 1) // PCM
	b = binary.LittleEndian.AppendUint16(b, 1) // one channel
	b = binary.LittleEndian.AppendUint32(b, sampleRate)
	b = binary.LittleEndian.AppendUint32(b, 2*sampleRate)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	return binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(size))
}
