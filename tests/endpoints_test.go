package tests

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// member is what stands in a JSON answer under a name.
func (a answer) member(t *testing.T, name string) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, %v\n%s", a.status, err, a.body)
	}
	return v[name]
}

// types are the "type" of each event.
func (s stream) types(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, d := range s.data {
		var v struct{ Type string }
		if err := json.Unmarshal([]byte(d), &v); err != nil {
			t.Fatalf("an event that is no JSON: %v\n%s", err, d)
		}
		all = append(all, v.Type)
	}
	return all
}

// TestEndpoints calls each endpoint that takes JSON once, and checks that the answer is the one of that endpoint.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for path, c := range map[string]struct{ body, has, want string }{
		"chat/completions":       {chat("sim-echo", "hi", ""), "object", "chat.completion"},
		"completions":            {`{"model":"sim-echo","prompt":"hi"}`, "object", "text_completion"},
		"responses":              {`{"model":"sim-echo","input":"hi"}`, "object", "response"},
		"responses/input_tokens": {`{"model":"sim-echo","input":"hi"}`, "object", "response.input_tokens"},
		"embeddings":             {`{"model":"sim-echo","input":"hi"}`, "object", "list"},
		"moderations":            {`{"model":"sim-echo","input":"hi"}`, "model", "sim-echo"},
		"images/generations":     {`{"model":"sim-echo","prompt":"a cat"}`, "size", "1024x1024"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, prefix := range []string{"/v1/", "/", "/openai/v1/"} {
				a := ask(t, request(t, "POST", w.vel.URL+prefix+path, w.key, c.body))
				if got := a.member(t, c.has); got != c.want {
					t.Errorf("%s: %s is %v, want %s\n%.500s", prefix, c.has, got, c.want, a.body)
				}
				if a.header.Get("X-Vel-Provider") != "sim" || a.header.Get("X-Request-Id") == "" || a.header.Get("Set-Cookie") != "" {
					t.Errorf("%s: head %v", prefix, a.header)
				}
			}
			ask(t, request(t, "POST", w.vel.URL+"/v1/"+path, "sk-nobody-0123456789", c.body)).wantError(t, 401, "invalid_api_key")
			ask(t, request(t, "POST", w.vel.URL+"/v1/"+path, w.key, strings.Replace(c.body, "sim-echo", "nobody", 1))).wantError(t, 404, "model_not_found")
			ask(t, request(t, "POST", w.vel.URL+"/v1/"+path, w.key, c.body[:len(c.body)-1])).wantError(t, 400, "")
			ask(t, request(t, "PUT", w.vel.URL+"/v1/"+path, w.key, c.body)).wantError(t, 405, "")
		})
	}
}

func TestCompletionsStream(t *testing.T) {
	t.Parallel()
	w := shared(t)
	s := askStream(t, request(t, "POST", w.vel.URL+"/v1/completions", w.key, `{"model":"sim-echo","prompt":"one two three","stream":true,"max_tokens":100}`))
	s.whole(t)
	text := ""
	for _, d := range s.data[:len(s.data)-1] {
		var v struct{ Choices []struct{ Text string } }
		if err := json.Unmarshal([]byte(d), &v); err != nil || len(v.Choices) != 1 {
			t.Fatalf("%v\n%s", err, d)
		}
		text += v.Choices[0].Text
	}
	if text != "one two three" {
		t.Errorf("got %q", text)
	}
}

func TestResponsesStream(t *testing.T) {
	t.Parallel()
	w := shared(t)
	ask := func(t *testing.T, marker string) stream {
		body := `{"model":"sim-echo","input":"` + marker + `one two three","stream":true}`
		return askStream(t, request(t, "POST", w.vel.URL+"/v1/responses", w.key, body))
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		for _, marker := range []string{"", "[[split=1]]", "[[crlf]]", "[[gzip]]"} {
			s := ask(t, marker)
			kinds := s.types(t)
			if s.status != 200 || s.cut != nil || kinds[0] != "response.created" || kinds[len(kinds)-1] != "response.completed" || strings.Contains(string(s.body), "[DONE]") {
				t.Errorf("%s: %d, %v, %q", marker, s.status, s.cut, kinds)
			}
			text := ""
			for i, d := range s.data {
				var v struct {
					Delta  string
					Number int `json:"sequence_number"`
				}
				if err := json.Unmarshal([]byte(d), &v); err != nil || v.Number != i {
					t.Errorf("%s: %v, event %d has the number %d", marker, err, i, v.Number)
				}
				if !strings.Contains(string(s.body), "event: "+kinds[i]) {
					t.Errorf("%s: no line names event %s", marker, kinds[i])
				}
				text += v.Delta
			}
			if text != "one two three" {
				t.Errorf("%s: %q", marker, text)
			}
		}
	})
	for _, marker := range []string{"[[die=1]]", "[[cut=1]]", "[[half=1]]", "[[no_done]]"} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			s := ask(t, marker)
			if e := s.failure(t); s.status != 200 || e == nil || slices.Contains(s.types(t), "response.completed") {
				t.Errorf("%d: nobody would see that this is not whole\n%s", s.status, s.body)
			}
		})
	}
	t.Run("[[die=0]]", func(t *testing.T) {
		t.Parallel()
		ask(t, "[[die=0]]").wantError(t, 502, "")
	})
}

func TestImages(t *testing.T) {
	t.Parallel()
	w := shared(t)
	url := w.vel.URL + "/v1/images/"
	picture := noise(100_000)
	t.Run("stream of large events", func(t *testing.T) {
		t.Parallel()
		const size = 3 << 20
		s := askStream(t, request(t, "POST", url+"generations", w.key, `{"model":"sim-echo","prompt":"[[size=`+itoa(size)+`]] a cat","stream":true,"partial_images":2}`))
		kinds := s.types(t)
		if !slices.Equal(kinds, []string{"image_generation.partial_image", "image_generation.partial_image", "image_generation.completed"}) || len(s.body) < 3*size {
			t.Errorf("%d: %q in %d bytes", s.status, kinds, len(s.body))
		}
	})
	for path, first := range map[string]bool{"edits": true, "variations": false} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			fields := []string{"model", "sim-echo", "prompt", "[[id=image-" + path + "]] a hat", "user", "[[latency=0s]]"}
			if path == "variations" {
				fields = []string{"model", "sim-echo", "user", "[[id=image-" + path + "]]"}
			}
			f := newForm(t)
			if first {
				f.with(t, fields...)
			}
			f.file(t, "image", "in.png", picture)
			if !first {
				f.with(t, fields...)
			}
			a := ask(t, f.post(t, url+path, w.key))
			if data, ok := a.member(t, "data").([]any); !ok || len(data) != 1 {
				t.Errorf("%.300s", a.body)
			}
			wantPart(t, w.sim.seen(t, "image-"+path), "image", picture)
		})
	}
}

// wantPart checks that a file reached the provider byte by byte.
func wantPart(t *testing.T, r simulator.Request, name string, content []byte) {
	t.Helper()
	for _, p := range r.Parts {
		if p.Name == name {
			if p.SHA256 != sha256Hex(string(content)) || p.Length != len(content) {
				t.Errorf("%d bytes of %s arrived with the hash %s", p.Length, name, p.SHA256)
			}
			return
		}
	}
	t.Errorf("no part %s arrived", name)
}

func TestSpeech(t *testing.T) {
	t.Parallel()
	w := shared(t)
	say := func(more string) string {
		return `{"model":"sim-echo","input":"one two three","voice":"alloy"` + more + `}`
	}
	for format, kind := range map[string]string{"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			body := say(`,"response_format":"` + format + `"`)
			a := ask(t, request(t, "POST", w.vel.URL+"/v1/audio/speech", w.key, body))
			want := ask(t, request(t, "POST", w.sim.URL()+"/v1/audio/speech", w.simKey, body))
			if a.status != 200 || a.header.Get("Content-Type") != kind || len(want.body) < 1000 || string(a.body) != string(want.body) {
				t.Errorf("%d %s, %d bytes, want %d of %s", a.status, a.header.Get("Content-Type"), len(a.body), len(want.body), kind)
			}
		})
	}
	t.Run("events", func(t *testing.T) {
		t.Parallel()
		s := askStream(t, request(t, "POST", w.vel.URL+"/v1/audio/speech", w.key, say(`,"stream_format":"sse"`)))
		if kinds := slices.Compact(s.types(t)); !slices.Equal(kinds, []string{"speech.audio.delta", "speech.audio.done"}) {
			t.Errorf("%d: %q", s.status, kinds)
		}
	})
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		a := ask(t, request(t, "POST", w.vel.URL+"/v1/audio/speech", w.key, strings.Replace(say(""), "one", "[[chunks=20 size=10000 die=5 delay=5ms]] one", 1)))
		if a.status == 200 && a.cut == nil {
			t.Errorf("%d bytes of sound that is not whole ended as if it were", len(a.body))
		}
	})
}

func TestTranscriptions(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sound := noise(300_000)
	for _, format := range []string{"json", "verbose_json", "text", "srt", "vtt"} {
		for _, path := range []string{"transcriptions", "translations"} {
			t.Run(path+" "+format, func(t *testing.T) {
				t.Parallel()
				id := "hear-" + path + "-" + format
				build := func() *form { // the model stands behind the file, as openai's clients send it
					return newForm(t, "prompt", "[[id="+id+"]]").file(t, "file", "a \"b\".mp3", sound).
						with(t, "timestamp_granularities[]", "word", "timestamp_granularities[]", "segment", "response_format", format, "model", "sim-echo")
				}
				a := ask(t, build().post(t, w.vel.URL+"/v1/audio/"+path, w.key))
				r := w.sim.seen(t, id)
				want := ask(t, build().post(t, w.sim.URL()+"/v1/audio/"+path, w.simKey))
				if a.status != 200 || string(a.body) != string(want.body) || a.header.Get("Content-Type") != want.header.Get("Content-Type") {
					t.Errorf("%d %s\n%.300s\nwant %s\n%.300s", a.status, a.header.Get("Content-Type"), a.body, want.header.Get("Content-Type"), want.body)
				}
				wantPart(t, r, "file", sound)
				if f := build(); f.parts.Close() != nil || r.SHA256 != sha256Hex(f.String()) {
					t.Error("the form arrived changed, though the model has the same name there")
				}
			})
		}
	}
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		f := newForm(t, "model", "sim-echo", "stream", "true").file(t, "file", "a.mp3", sound)
		s := askStream(t, f.post(t, w.vel.URL+"/v1/audio/transcriptions", w.key))
		if kinds := slices.Compact(s.types(t)); !slices.Equal(kinds, []string{"transcript.text.delta", "transcript.text.done"}) {
			t.Errorf("%d: %q", s.status, kinds)
		}
	})
}

// TestFormModel lets a route have another name upstream: of the form nothing but that name may change.
func TestFormModel(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := startVel(t, `
providers:
  sim: {kind: openai, base_url: "`+sim.URL()+`/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  a-public-name: {targets: [{provider: sim, model: sim-echo}]}
`)
	build := func(model string, first bool) *form {
		f := newForm(t, "prompt", "[[id=renamed]]")
		if first {
			f.with(t, "model", model)
		}
		f.file(t, "file", "a.mp3", noise(50_000))
		if !first {
			f.with(t, "model", model)
		}
		return f.with(t, "include[]", "model", "language", "de")
	}
	for _, first := range []bool{true, false} {
		a := ask(t, build("a-public-name", first).post(t, p.URL+"/v1/audio/transcriptions", w.key))
		want := build("sim-echo", first)
		if err := want.parts.Close(); err != nil {
			t.Fatal(err)
		}
		if seen := sim.seen(t, "renamed"); a.status != 200 || seen.SHA256 != sha256Hex(want.String()) {
			t.Errorf("model first %v: status %d, the form arrived as\n%q", first, a.status, seen.Body)
		}
	}
	ask(t, newForm(t).file(t, "file", "a", []byte("x")).post(t, p.URL+"/v1/audio/transcriptions", w.key)).wantError(t, 400, "")
	ask(t, newForm(t, "model", "a-public-name", "model", "other").file(t, "file", "a", []byte("x")).post(t, p.URL+"/v1/audio/transcriptions", w.key)).wantError(t, 400, "")
	ask(t, newForm(t, "model", "nobody").file(t, "file", "a", []byte("x")).post(t, p.URL+"/v1/audio/transcriptions", w.key)).wantError(t, 404, "model_not_found")
}

// TestEmbeddingFormats asks a provider that does what it is asked, one that knows only numbers, and one that wants not
// to be asked. The client gets what it asked for from each, and the same vectors.
func TestEmbeddingFormats(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Profiles: []simulator.Profile{
		{Model: "honoured", Dimensions: 64},
		{Model: "ignored", Dimensions: 64, EncodingFormat: simulator.EncodingIgnored},
		{Model: "refused", Dimensions: 64, EncodingFormat: simulator.EncodingRefused},
	}}})
	p := vel.Start(t, options(sim.config("")))
	var want [][]float32
	for _, model := range sim.Models() {
		for _, format := range []string{"", `,"encoding_format":"float"`, `,"encoding_format":"base64"`} {
			if model == "refused" && format != "" {
				continue // its refusal passes: TestEmbeddingFormatRefused
			}
			a := ask(t, request(t, "POST", p.URL+"/v1/embeddings", w.key, `{"model":"`+model+`","input":["one","two","three"]`+format+`}`))
			var v struct {
				Data []struct {
					Index     int
					Embedding json.RawMessage
				}
				Usage struct {
					Tokens int `json:"total_tokens"`
				}
			}
			if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 || len(v.Data) != 3 || v.Usage.Tokens == 0 {
				t.Errorf("%s%s: %d, %v\n%.300s", model, format, a.status, err, a.body)
				continue
			}
			var vectors [][]float32
			for i, d := range v.Data {
				if packed := d.Embedding[0] == '"'; packed != strings.Contains(format, "base64") || d.Index != i {
					t.Errorf("%s%s: item %d: %.100s", model, format, d.Index, d.Embedding)
				}
				vectors = append(vectors, vector(t, d.Embedding))
			}
			if want == nil {
				want = vectors
			}
			for i := range want {
				if len(want[i]) != 64 || !slices.Equal(vectors[i], want[i]) {
					t.Errorf("%s%s: vector %d differs", model, format, i)
				}
			}
		}
	}
}

func TestEmbeddingFormatRefused(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Profiles: []simulator.Profile{{Model: "refused", EncodingFormat: simulator.EncodingRefused}}}})
	p := vel.Start(t, options(sim.config("")))
	e := ask(t, request(t, "POST", p.URL+"/v1/embeddings", w.key, `{"model":"refused","input":"x","encoding_format":"float"}`)).wantError(t, 400, "unsupported_parameter")
	if e.Param == nil || *e.Param != "encoding_format" {
		t.Errorf("%+v", e)
	}
}

// vector reads an embedding in either format.
func vector(t *testing.T, raw json.RawMessage) []float32 {
	t.Helper()
	var out []float32
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var text string
	err := json.Unmarshal(raw, &text)
	packed, wrong := base64.StdEncoding.DecodeString(text)
	if err != nil || wrong != nil || len(packed)%4 != 0 {
		t.Fatal(err, wrong)
	}
	for ; len(packed) > 0; packed = packed[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
	}
	return out
}

// TestAzurePaths calls as Azure's clients do: the deployment is the model, the key comes in a field of its own.
func TestAzurePaths(t *testing.T) {
	t.Parallel()
	w := shared(t)
	azure := func(r *http.Request) { r.Header.Set("api-key", w.key) }
	url := w.vel.URL + "/openai/deployments/sim-echo/"
	const version = "?api-version=2026-08-01"
	for path, body := range map[string]string{
		"chat/completions":   `{"messages":[{"role":"user","content":"hi"}]}`,
		"completions":        `{"prompt":"hi"}`,
		"embeddings":         `{"input":"hi"}`,
		"images/generations": `{"prompt":"hi"}`,
		"audio/speech":       `{"input":"hi","voice":"alloy"}`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if a := ask(t, request(t, "POST", url+path+version, "", body, azure)); a.status != 200 || a.header.Get("X-Vel-Model") != "sim-echo" {
				t.Errorf("%d\n%.300s", a.status, a.body)
			}
			ask(t, request(t, "POST", url+path+version, "", body)).wantError(t, 401, "")
			ask(t, request(t, "POST", w.vel.URL+"/openai/deployments/nobody/"+path+version, "", body, azure)).wantError(t, 404, "model_not_found")
		})
	}
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		s := askStream(t, request(t, "POST", url+"chat/completions"+version, "", `{"stream":true,"messages":[{"role":"user","content":"one two"}]}`, azure))
		if s.whole(t); s.text(t) != "one two" {
			t.Errorf("%s", s.body)
		}
	})
	t.Run("form", func(t *testing.T) {
		t.Parallel()
		a := ask(t, newForm(t).file(t, "file", "a.mp3", noise(1000)).post(t, url+"audio/transcriptions"+version, "", azure))
		if text, _ := a.member(t, "text").(string); !strings.Contains(text, "1000 bytes") {
			t.Errorf("%s", a.body)
		}
	})
}

// TestRealtimeIsRefused asks for an upgrade as a client of the realtime API does.
func TestRealtimeIsRefused(t *testing.T) {
	t.Parallel()
	w := shared(t)
	upgrade := func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.Header.Set("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key."+w.key)
	}
	a := ask(t, request(t, "GET", w.vel.URL+"/v1/realtime?model=sim-echo", w.key, "", upgrade))
	if a.wantError(t, 501, "unsupported_endpoint"); a.header.Get("Upgrade") != "" {
		t.Errorf("head %v", a.header)
	}
	ask(t, request(t, "POST", w.vel.URL+"/v1/realtime/client_secrets", w.key, "{}")).wantError(t, 501, "unsupported_endpoint")
	for _, path := range []string{"assistants", "threads/t/runs", "evals", "containers", "videos", "organization/projects"} {
		ask(t, request(t, "GET", w.vel.URL+"/v1/"+path, w.key, "")).wantError(t, 501, "unsupported_endpoint")
	}
}
