package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// secondBytes is how many bytes of a file count as one second of sound.
const secondBytes = 16_000

// soundTokens is how many tokens a second of sound counts.
const soundTokens = 10

// transcript is what the simulator hears in a file: its name, its length and its SHA-256, so that a test can
// see that no byte was changed on the way.
type transcript struct {
	task     string // transcribe or translate
	language string
	text     string
	pieces   []string
	seconds  int
	shape    string
	words    bool // word timestamps are asked for
	segments bool
	input    int // tokens
	made     int
	groqID   string
	usage    bool
}

// readTranscription understands POST /v1/audio/transcriptions, a form.
func readTranscription(c *call) (job, *apiError) { return c.hearing("transcribe") }

// readTranslation understands POST /v1/audio/translations, a form.
func readTranslation(c *call) (job, *apiError) { return c.hearing("translate") }

func (c *call) hearing(task string) (job, *apiError) {
	f, e := c.readForm()
	if e != nil {
		return job{}, e
	}
	if check := c.server.dialect.transcription; check != nil {
		if e := check(f); e != nil {
			return job{}, e
		}
	}
	model := f.value("model")
	if model == "" {
		return job{}, errMissing("model")
	}
	files := f.files("file")
	if len(files) != 1 {
		return job{}, errMissing("file")
	}
	t := &transcript{task: task, language: "english", shape: "json"}
	if given := f.value("language"); given != "" && task == "transcribe" {
		t.language = given
	}
	if given := f.value("response_format"); given != "" {
		t.shape = given
	}
	if !slices.Contains([]string{"json", "text", "srt", "verbose_json", "vtt"}, t.shape) {
		return job{}, errValue("response_format", "Invalid value: '"+t.shape+"'. Supported values are: 'json', 'text', 'srt', 'verbose_json', and 'vtt'.")
	}
	stream := f.value("stream") == "true"
	if stream && task == "translate" {
		return job{}, errValue("stream", "Streaming is not supported for translations.")
	}
	granularities := f.values("timestamp_granularities")
	t.words = slices.Contains(granularities, "word")
	t.segments = len(granularities) == 0 || slices.Contains(granularities, "segment")
	given, prompt := markers(f.value("prompt"))
	file := files[0]
	t.seconds = 1 + file.Length/secondBytes
	t.input = t.seconds*soundTokens + countTokens(prompt)
	t.text = fmt.Sprintf("The file %q has %d bytes, SHA-256 %s.", file.Filename, file.Length, file.SHA256)
	if prompt != "" {
		t.text += " The prompt was: " + prompt
	}
	kind := ""
	if !stream && t.shape != "json" && t.shape != "verbose_json" {
		kind = "text/plain; charset=utf-8"
	}
	return job{model: model, words: given, param: "prompt", stream: stream, kind: kind, make: func(c *call) (reply, *apiError) {
		t.pieces, t.usage = c.faults.shape(t.text), c.faults.usage != "none"
		t.text = strings.Join(t.pieces, "")
		if c.server.dialect.groq {
			t.groqID = c.record.ID
		}
		return t, nil
	}}, nil
}

func (t *transcript) units() (input, output int) { return t.input, t.made }

func (t *transcript) whole(*faults) (body []byte, pieces int) {
	t.made = countTokens(t.text)
	return t.render(), len(t.pieces)
}

func (t *transcript) render() []byte {
	switch t.shape {
	case "text":
		return []byte(t.text + "\n")
	case "srt":
		return fmt.Appendf(nil, "1\n%s --> %s\n%s\n\n", clock(0, ','), clock(t.seconds, ','), t.text)
	case "vtt":
		return fmt.Appendf(nil, "WEBVTT\n\n%s --> %s\n%s\n\n", clock(0, '.'), clock(t.seconds, '.'), t.text)
	}
	doc := obj{"text": t.text}
	if t.usage && t.groqID == "" {
		doc["usage"] = obj{"type": "duration", "seconds": t.seconds}
	}
	if t.groqID != "" {
		doc["x_groq"] = obj{"id": t.groqID}
	}
	if t.shape == "verbose_json" {
		doc["task"], doc["language"], doc["duration"] = t.task, t.language, t.seconds
		if t.segments {
			doc["segments"] = []obj{{
				"id": 0, "seek": 0, "start": 0.0, "end": t.seconds, "text": t.text, "tokens": []int{50364, 50414}, "temperature": 0.0,
				"avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01,
			}}
		}
		if t.words {
			doc["words"] = t.timed()
		}
	}
	return encode(doc)
}

// timed spreads the words evenly over the time.
func (t *transcript) timed() []obj {
	all := strings.Fields(t.text)
	out := make([]obj, len(all))
	each := float64(t.seconds) / float64(max(len(all), 1))
	for i, word := range all {
		out[i] = obj{"word": word, "start": float64(i) * each, "end": float64(i+1) * each}
	}
	return out
}

// clock writes a time as subtitles do.
func clock(seconds int, point byte) string {
	d := time.Duration(seconds) * time.Second
	return fmt.Sprintf("%02d:%02d:%02d%c000", int(d.Hours()), int(d.Minutes())%60, seconds%60, point)
}

func (t *transcript) events(s *stream) error {
	s.total = len(t.pieces)
	for _, piece := range t.pieces {
		if err := s.before(); err != nil {
			return err
		}
		s.sent++
		t.made += countTokens(piece)
		b := appendString(append(s.line(), `{"type":"transcript.text.delta","delta":`...), piece)
		if err := s.piece(append(b, '}')); err != nil {
			return err
		}
	}
	if err := s.strike(true); err != nil {
		return err
	}
	doc := obj{"type": "transcript.text.done", "text": t.text}
	if t.usage {
		doc["usage"] = obj{
			"type": "tokens", "input_tokens": t.input, "output_tokens": t.made, "total_tokens": t.input + t.made,
			"input_token_details": obj{"text_tokens": t.input - t.seconds*soundTokens, "audio_tokens": t.seconds * soundTokens},
		}
	}
	return s.event(append(s.line(), encode(doc)...))
}
