package simulator

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
)

// get asks with a key.
func get(t *testing.T, s *Server, method, path, key string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	return do(t, r)
}

// upload posts a form; a value that begins with @ is a file whose name stands before the colon.
func upload(t *testing.T, s *Server, path string, fields ...string) answer {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		head := textproto.MIMEHeader{}
		value := fields[i+1]
		disposition := fmt.Sprintf("form-data; name=%q", fields[i])
		if file, ok := strings.CutPrefix(value, "@"); ok {
			name, data, _ := strings.Cut(file, ":")
			disposition += fmt.Sprintf("; filename=%q", name)
			head.Set("Content-Type", "application/octet-stream")
			value = data
		}
		head.Set("Content-Disposition", disposition)
		part, _ := w.CreatePart(head)
		_, _ = part.Write([]byte(value))
	}
	_ = w.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, &b)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk-test")
	r.Header.Set("Content-Type", w.FormDataContentType())
	return do(t, r)
}

// decode reads an answer that must be 200.
func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if a.status != 200 || a.err != nil {
		t.Fatalf("%d %v %s", a.status, a.err, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %.300s", err, a.body)
	}
	return v
}

type embeddings struct {
	Object, Model string
	Data          []struct {
		Index     int
		Embedding json.RawMessage
	}
	Usage struct{ Prompt, Total int }
}

// floats reads a vector in either form.
func floats(t *testing.T, raw json.RawMessage) []float32 {
	t.Helper()
	var out []float32
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var packed []byte
	if err := json.Unmarshal(raw, &packed); err != nil {
		t.Fatal(err)
	}
	for ; len(packed) > 0; packed = packed[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
	}
	return out
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Provider: Provider{Profiles: []Profile{
		{Model: "any"}, {Model: "floats", EncodingFormat: EncodingIgnored}, {Model: "strict", EncodingFormat: EncodingRefused, Dimensions: 8},
	}}})
	ask := func(body string) answer { return post(t, s, "/v1/embeddings", body) }
	plain := decode[embeddings](t, ask(`{"model":"any","input":["a","b","a"]}`))
	packed := decode[embeddings](t, ask(`{"model":"any","input":"a","encoding_format":"base64"}`))
	a, b, again, p := floats(t, plain.Data[0].Embedding), floats(t, plain.Data[1].Embedding), floats(t, plain.Data[2].Embedding), floats(t, packed.Data[0].Embedding)
	length := 0.0
	for i := range a {
		length += float64(a[i]) * float64(a[i])
		if a[i] != p[i] || a[i] != again[i] {
			t.Fatalf("%d: %v as floats, %v as base64, %v the second time", i, a[i], p[i], again[i])
		}
	}
	if len(a) != usualDimensions || a[0] == b[0] || math.Abs(length-1) > 1e-3 || plain.Data[2].Index != 2 || packed.Data[0].Embedding[0] != '"' {
		t.Errorf("%d dimensions, length %v", len(a), length)
	}
	for body, want := range map[string]int{
		`{"model":"any","input":[1,2,3],"dimensions":4}`:                     4,
		`{"model":"any","input":[[1,2],[3]],"dimensions":4}`:                 4,
		`{"model":"floats","input":"a","encoding_format":"base64"}`:          usualDimensions,
		`{"model":"strict","input":"a"}`:                                     8,
		`{"model":"any","input":"a [[latency=1ms]]","dimensions":2}`:         2,
		`{"model":"any","input":["x","y [[slow_body=1ms]]"],"dimensions":1}`: 1,
	} {
		got := decode[embeddings](t, ask(body))
		if n := len(floats(t, got.Data[0].Embedding)); n != want || strings.Contains(body, "floats") && got.Data[0].Embedding[0] != '[' {
			t.Errorf("%s: %d dimensions", body, n)
		}
	}
	checkError(t, ask(`{"model":"strict","input":"a","encoding_format":"float"}`), 400, "unsupported_parameter", "encoding_format")
	checkError(t, ask(`{"model":"any","input":[]}`), 400, "empty_array", "empty")
	checkError(t, ask(`{"model":"any","input":""}`), 400, "invalid_value", "empty string")
	checkError(t, ask(`{"model":"any","input":"x","dimensions":0}`), 400, "invalid_value", "dimensions")
	checkError(t, ask(`{"model":"any","input":"x [[status=503]]"}`), 503, "", "overloaded")
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	type completion struct {
		ID, Object string
		Choices    []struct {
			Text   string
			Index  int
			Finish *string `json:"finish_reason"`
		}
		Usage *struct {
			Total int `json:"total_tokens"`
		}
	}
	c := decode[completion](t, post(t, s, "/v1/completions", `{"model":"sim-echo","prompt":["one two","three"],"n":2,"echo":true}`))
	if c.Object != "text_completion" || len(c.Choices) != 4 || c.Choices[0].Text != "one twoone two" || c.Choices[3].Text != "threethree" ||
		c.Choices[3].Index != 3 || *c.Choices[0].Finish != "stop" || c.Usage.Total != 3+6 {
		t.Errorf("%+v", c)
	}
	long := decode[completion](t, post(t, s, "/v1/completions", `{"model":"sim-echo","prompt":"`+strings.Repeat("word ", 40)+`"}`))
	if *long.Choices[0].Finish != "length" {
		t.Errorf("%+v", long)
	}
	all := events(post(t, s, "/v1/completions", `{"model":"sim-echo","prompt":"one two","stream":true,"stream_options":{"include_usage":true}}`).body)
	text := ""
	for _, e := range all[:len(all)-1] {
		var one completion
		if err := json.Unmarshal([]byte(e), &one); err != nil {
			t.Fatal(err)
		}
		for _, choice := range one.Choices {
			text += choice.Text
		}
	}
	if text != "one two" || all[len(all)-1] != "[DONE]" || !strings.Contains(all[len(all)-2], `"choices":[],"usage":{`) {
		t.Errorf("%q", all)
	}
}

func TestModerations(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for body, want := range map[string]string{
		`{"input":"hello"}`:              "false",
		`{"input":["hello","I attack"]}`: "false true",
		`{"model":"sim-fast","input":[{"type":"text","text":"kill"},{"type":"image_url","image_url":{"url":"data:,"}}]}`: "true",
	} {
		got := decode[struct {
			Results []struct {
				Flagged    bool
				Categories map[string]bool
				Scores     map[string]float64 `json:"category_scores"`
			}
		}](t, post(t, s, "/v1/moderations", body))
		var flagged []string
		for _, r := range got.Results {
			flagged = append(flagged, fmt.Sprint(r.Flagged))
			if len(r.Categories) != 13 || len(r.Scores) != 13 || r.Categories["violence"] != r.Flagged {
				t.Errorf("%+v", r)
			}
		}
		if strings.Join(flagged, " ") != want {
			t.Errorf("%s: %v", body, flagged)
		}
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	type picture struct {
		Type string
		Data []struct {
			B64     []byte `json:"b64_json"`
			URL     string
			Revised string `json:"revised_prompt"`
		}
		B64   []byte `json:"b64_json"`
		Index *int   `json:"partial_image_index"`
		Usage *struct {
			Output int `json:"output_tokens"`
		}
	}
	p := decode[picture](t, post(t, s, "/v1/images/generations", `{"model":"sim-echo","prompt":"a cat [[size=300000]]","n":2}`))
	if len(p.Data) != 2 || len(p.Data[0].B64) != 300_000 || p.Usage.Output != 2*imageTokens || bytes.Equal(p.Data[0].B64, p.Data[1].B64) {
		t.Fatalf("%d images", len(p.Data))
	}
	if _, err := png.Decode(bytes.NewReader(p.Data[0].B64)); err != nil {
		t.Error(err)
	}
	checkError(t, post(t, s, "/v1/images/generations", `{"model":"sim-echo","prompt":"a","n":11}`), 400, "integer_above_max_value", "'n'")

	edited := decode[picture](t, upload(t, s, "/v1/images/edits", "prompt", "a hat", "image[]", "@a.png:AAA", "image[]", "@b.png:BBBB", "mask", "@m.png:M", "model", "sim-echo"))
	for _, part := range []string{"a hat", `"a.png", 3 bytes, SHA-256 ` + digest([]byte("AAA")), digest([]byte("BBBB")), `"m.png", 1 bytes`} {
		if !strings.Contains(edited.Data[0].Revised, part) {
			t.Errorf("no %q in %q", part, edited.Data[0].Revised)
		}
	}
	varied := decode[picture](t, upload(t, s, "/v1/images/variations", "image", "@a.png:AAA", "response_format", "url"))
	if !strings.HasPrefix(varied.Data[0].URL, "http://") || varied.Data[0].B64 != nil {
		t.Errorf("%+v", varied.Data)
	}
	checkError(t, upload(t, s, "/v1/images/edits", "prompt", "x"), 400, "missing_required_parameter", "'image'")

	for path, a := range map[string]answer{
		"image_generation": post(t, s, "/v1/images/generations", `{"model":"sim-echo","prompt":"a [[size=2000000]]","stream":true,"partial_images":2}`),
		"image_edit":       upload(t, s, "/v1/images/edits", "prompt", "a [[size=2000000]]", "image", "@a.png:A", "stream", "true", "partial_images", "2"),
	} {
		all := events(a.body)
		if len(all) != 3 || !strings.HasPrefix(a.body, "event: "+path+".partial_image\n") {
			t.Fatalf("%s: %d events, %.100s", path, len(all), a.body)
		}
		for i, e := range all {
			var one picture
			if err := json.Unmarshal([]byte(e), &one); err != nil {
				t.Fatal(err)
			}
			last := i == 2
			if len(one.B64) != 2_000_000 || (one.Type == path+".completed") != last || (one.Usage != nil) != last || (one.Index == nil) != last {
				t.Errorf("event %d of %s: %s, %d bytes", i, path, one.Type, len(one.B64))
			}
		}
	}
}

func TestSpeech(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	ask := func(more string) answer {
		return post(t, s, "/v1/audio/speech", `{"model":"sim-echo","voice":"alloy","input":"one two three`+more+`}`)
	}
	a, again := ask(`"`), ask(`"`)
	if a.status != 200 || a.header.Get("Content-Type") != "audio/mpeg" || a.header.Get("Content-Length") != "" || len(a.body) != 3*2*tokenSamples || a.body != again.body {
		t.Errorf("%d %v, %d bytes", a.status, a.header, len(a.body))
	}
	wav := ask(`","response_format":"wav"`)
	if !strings.HasPrefix(wav.body, "RIFF") || int(binary.LittleEndian.Uint32([]byte(wav.body[4:]))) != len(wav.body)-8 || wav.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%.50q", wav.body)
	}
	if exact := ask(` [[chunks=5 size=1000]]"`); len(exact.body) != 5000 {
		t.Errorf("%d bytes", len(exact.body))
	}
	all := events(ask(`","stream_format":"sse"`).body)
	var sound []byte
	for _, e := range all[:len(all)-1] {
		var one struct {
			Type  string
			Audio []byte
		}
		if err := json.Unmarshal([]byte(e), &one); err != nil || one.Type != "speech.audio.delta" {
			t.Fatalf("%v %s", err, e)
		}
		sound = append(sound, one.Audio...)
	}
	if string(sound) != a.body || !strings.Contains(all[len(all)-1], `"total_tokens":6`) {
		t.Errorf("%d bytes, last event %s", len(sound), all[len(all)-1])
	}
	checkError(t, ask(`","response_format":"mp4"`), 400, "invalid_value", "mp4")
	checkError(t, post(t, s, "/v1/audio/speech", `{"model":"sim-echo","input":"x"}`), 400, "missing_required_parameter", "voice")
}

func TestTranscriptions(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	sound := strings.Repeat("\x00\r\n--sound\xff", 3000)
	told := fmt.Sprintf(`The file "a.mp3" has %d bytes, SHA-256 %s.`, len(sound), digest([]byte(sound)))
	for _, c := range []struct{ path, shape, kind, want string }{
		{"transcriptions", "json", "application/json", `"text":`},
		{"transcriptions", "verbose_json", "application/json", `"words":[`},
		{"transcriptions", "text", "text/plain; charset=utf-8", told + "\n"},
		{"transcriptions", "srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> 00:00:03,000\n" + told},
		{"transcriptions", "vtt", "text/plain; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> "},
		{"translations", "json", "application/json", `"text":`},
		{"translations", "verbose_json", "application/json", `"task":"translate"`},
	} {
		a := upload(t, s, "/v1/audio/"+c.path, "model", "sim-echo", "response_format", c.shape, "file", "@a.mp3:"+sound,
			"timestamp_granularities[]", "word", "timestamp_granularities[]", "segment")
		if a.status != 200 || a.header.Get("Content-Type") != c.kind || !strings.Contains(a.body, c.want) || !strings.Contains(a.body, digest([]byte(sound))) {
			t.Errorf("%+v: %d %s %s", c, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	kept, _ := s.Request("last")
	if len(kept.Parts) != 5 || kept.Parts[2].SHA256 != digest([]byte(sound)) || kept.Parts[2].Filename != "a.mp3" || kept.Parts[2].Length != len(sound) {
		t.Errorf("%+v", kept.Parts)
	}
	a := upload(t, s, "/v1/audio/transcriptions", "file", "@a.mp3:"+sound, "stream", "true", "model", "sim-echo")
	all, text := events(a.body), ""
	for _, e := range all {
		var one struct{ Type, Delta, Text string }
		if err := json.Unmarshal([]byte(e), &one); err != nil {
			t.Fatal(err)
		}
		text += one.Delta
		if one.Type == "transcript.text.done" && one.Text != text {
			t.Errorf("%q, then %q", text, one.Text)
		}
	}
	if text != told || !strings.Contains(all[len(all)-1], `"audio_tokens":`) {
		t.Errorf("%q", text)
	}
	checkError(t, upload(t, s, "/v1/audio/transcriptions", "model", "sim-echo"), 400, "missing_required_parameter", "file")
	checkError(t, upload(t, s, "/v1/audio/transcriptions", "file", "@a:b"), 400, "missing_required_parameter", "model")
	checkError(t, post(t, s, "/v1/audio/transcriptions", "{}"), 400, "", "multipart")
	checkError(t, upload(t, s, "/v1/audio/transcriptions", "model", "sim-echo", "file", "@a:b", "prompt", "[[status=500]]"), 500, "", "error")
}

// Faults strike in every kind of stream.
func TestFaultsInOtherStreams(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/v1/responses":          `{"model":"sim-echo","stream":true,"input":"a b c [[WORDS]]"}`,
		"/v1/completions":        `{"model":"sim-echo","stream":true,"prompt":"a b c [[WORDS]]"}`,
		"/v1/audio/speech":       `{"model":"sim-echo","voice":"v","input":"a b c [[WORDS]]"}`,
		"/v1/images/generations": `{"model":"sim-echo","stream":true,"partial_images":3,"prompt":"a [[WORDS]]"}`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			if a := post(t, s, path, strings.Replace(body, "WORDS", "die=2", 1)); a.err == nil {
				t.Errorf("die: %s", a.body)
			}
			cut := post(t, s, path, strings.Replace(body, "WORDS", "cut=2", 1))
			whole := post(t, s, path, strings.Replace(body, "WORDS", "split=100", 1))
			if cut.err != nil || len(cut.body) >= len(whole.body) || len(cut.body) == 0 {
				t.Errorf("cut: %v, %d of %d bytes", cut.err, len(cut.body), len(whole.body))
			}
			if a := post(t, s, path, strings.Replace(body, "WORDS", "status=429 retry_after=3", 1)); a.status != 429 || a.header.Get("Retry-After") != "3" {
				t.Errorf("status: %d", a.status)
			}
			stats := await(t, s, func(t Stats) bool { return t.Open == 0 })
			if stats.Broken != 2 || stats.Completed != 1 || stats.Refused != 1 || stats.Streams != 3 || stats.ByEndpoint["POST "+path[len("/v1"):]] != 4 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n--x--\r\n"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\n\r\n"))
	f.Add("text/plain", []byte(""))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		parsed, err := parseForm(kind, body)
		if err != nil {
			return
		}
		for _, p := range parsed.parts {
			if p.Length != len(p.data) || p.SHA256 != digest(p.data) || !bytes.Contains(body, p.data) {
				t.Fatalf("part %q is not of the body", p.Name)
			}
		}
	})
}
