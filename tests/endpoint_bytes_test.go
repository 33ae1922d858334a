package tests

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// oddities are members that no gateway knows, written as no encoder would. They stand in every request of
// TestEveryBytes, and in every answer.
const oddities = "\"zeta\":1,\t\"big\":12345678901234567890123,\"more\":1e400,\"precise\":0.10000000000000000000001 , \"esc\":\"\\u0041<>&\\/ \\ud83d\\ude00 \u00e9\"," +
	"\r\n\"none\":null,\"empty\":{},\"model_\":\"x\",\"inner\":{\"z\":[1,2 , 3],\"model\":\"inner\",\"a\":-0.0},\"dup\":1,\"dup\":2"

// jsonCalls are what each endpoint asks for and answers, apart from oddities.
var jsonCalls = []struct{ path, request, answer string }{
	{"chat/completions", `"messages":[{"role":"user","content":"hi"}]`, `"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]`},
	{"completions", `"prompt":"hi"`, `"choices":[{"index":0,"text":"x","finish_reason":"stop"}]`},
	{"responses", `"input":"hi"`, `"object":"response","status":"completed","output":[]`},
	{"responses/input_tokens", `"input":"hi"`, `"object":"response.input_tokens","input_tokens":1`},
	{"responses/compact", `"input":"hi"`, `"object":"response.compaction","output":[]`},
	{"embeddings", `"input":"hi"`, `"data":[{"index":0,"embedding":[0.10,1e-3]}]`},
	{"embeddings", `"input":"hi","encoding_format":"base64"`, `"data":[{"index":0,"embedding":"AACAPw=="}]`},
	{"moderations", `"input":"hi"`, `"results":[{"flagged":false}]`},
	{"images/generations", `"prompt":"hi"`, `"data":[{"b64_json":"AAAA"}]`},
	{"audio/speech", `"input":"hi","voice":"alloy"`, `"this":"is sound"`},
}

// TestEveryBytes lets an unknown provider answer each endpoint: of the request only the model changes, of the answer
// nothing.
func TestEveryBytes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	var mu sync.Mutex
	got, answers := map[string]string{}, map[string]string{}
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		id := r.Header.Get("Idempotency-Key") // passes
		mu.Lock()
		defer mu.Unlock()
		got[id] = r.Method + " " + r.URL.String() + "\n" + string(body)
		rw.Header().Set("Content-Type", kindOf(r.URL.Path))
		_, _ = io.WriteString(rw, answers[id])
	})
	p := up.vel(t)
	for i, c := range jsonCalls {
		for _, model := range []struct{ asked, sent string }{{`"scripted"`, `"scripted"`}, {`"renamed"`, `"up/stream-name"`}, {`"\u0072enamed"`, `"up/stream-name"`}} {
			id := itoa(i) + model.asked
			id = strings.Trim(strings.NewReplacer(`"`, "-", `\`, "-").Replace(id), "-")
			t.Run(c.path+" "+id, func(t *testing.T) {
				t.Parallel()
				body := " {" + oddities + ",\n " + c.request + " ,\"model\"  :\t%MODEL%  , \"last\":[ ] }\n "
				answer := "\n {" + c.answer + ",\t" + oddities + "} \r\n"
				mu.Lock()
				answers[id] = answer
				mu.Unlock()
				key := func(r *http.Request) { r.Header.Set("Idempotency-Key", id) }
				a := ask(t, request(t, "POST", p.URL+"/v1/"+c.path+"?beta=true&x=%2F", w.key, strings.Replace(body, "%MODEL%", model.asked, 1), key))
				mu.Lock()
				sent := got[id]
				mu.Unlock()
				if want := "POST /v1/" + c.path + "?beta=true&x=%2F\n" + strings.Replace(body, "%MODEL%", model.sent, 1); sent != want {
					t.Errorf("the provider got\n%q\nwant\n%q", sent, want)
				}
				if a.status != 200 || string(a.body) != answer || a.header.Get("Content-Type") != kindOf("/"+c.path) {
					t.Errorf("%d %s: the client got\n%q\nwant\n%q", a.status, a.header.Get("Content-Type"), a.body, answer)
				}
			})
		}
	}
}

// kindOf is the content type of the answer on a path: speech is no JSON, whatever its bytes are.
func kindOf(path string) string {
	if strings.HasSuffix(path, "/audio/speech") {
		return "audio/odd; rate=1"
	}
	return "application/json; charset=utf-8; odd=1"
}

// TestResponsesStreamBytes passes typed events of kinds that nobody knows, in pieces.
func TestResponsesStreamBytes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	const events = ": hello\n\nevent: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\", \"big\":12345678901234567890123}}\n\n" +
		"event: response.never.heard.of\nid: 7\ndata:  {\"type\":\"response.never.heard.of\" , \"esc\":\"\\u0041<>&\u00e9\"}\n\nevent: keepalive\n\n" +
		"data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\",\ndata: \"two\":\"lines\"}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":41,\"output_tokens\":43,\"total_tokens\":84}}}\n\n"
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("Content-Type", "text/event-stream")
		n := len(events)
		if strings.Contains(string(body), "bytes") {
			n = 1
		}
		writePieces(rw, events, n)
	})
	p := up.vel(t)
	for _, how := range []string{"whole", "bytes"} {
		a := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"scripted","stream":true,"input":"`+how+`"}`))
		if string(a.body) != events || a.cut != nil {
			t.Errorf("%s: %v, got\n%q\nwant\n%q", how, a.cut, a.body, events)
		}
	}
	wantTokens(t, p, "scripted", 2*41, 2*43)
}

// wantTokens waits until the metrics show these tokens of a route.
func wantTokens(t *testing.T, p *vel.Process, route string, in, out float64) {
	t.Helper()
	var last [2]float64
	err := vel.Poll(deadline(t), "the tokens of "+route, func() (bool, error) {
		m, err := p.Metrics(t.Context())
		if err != nil {
			return false, err
		}
		last = [2]float64{m.Sum("vel_tokens_total", `route="`+route+`"`, `kind="input"`), m.Sum("vel_tokens_total", `route="`+route+`"`, `kind="output"`)}
		return last == [2]float64{in, out}, nil
	})
	if err != nil {
		t.Errorf("%v: %v, want %v and %v", err, last, in, out)
	}
}

// TestUsageAskedForStaysHidden lets Vel ask for usage that the client did not ask for: the client's bytes are those that
// the provider would have sent without it, and yet the tokens are counted.
func TestUsageAskedForStaysHidden(t *testing.T) {
	t.Parallel()
	w := shared(t)
	chunk := func(text, end string) string {
		return `data: {"id":"c", "created":1,"big":12345678901234567890123,"choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":` + end + `}],"obfuscation":"` + text + `"%USAGE%}` + "\n\n"
	}
	all := ": hello\n\n" + chunk(`\"usage\":null`, "null") + ": ping\n\n" + chunk(`\u003c<>é`, "null") + chunk("", `"stop"`)
	without := strings.ReplaceAll(all, "%USAGE%", "") + "data: [DONE]\n\n"
	with := strings.ReplaceAll(all, "%USAGE%", `,"usage":null`) +
		`data: {"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":13,"total_tokens":24}}` + "\n\ndata: [DONE]\n\n"
	var mu sync.Mutex
	asked := map[string]string{}
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked[r.Header.Get("Idempotency-Key")] = string(body)
		mu.Unlock()
		events := without
		if strings.Contains(string(body), `"include_usage":true`) {
			events = with
		}
		if strings.Contains(string(body), "crlf") {
			events = strings.ReplaceAll(events, "\n", "\r\n")
		}
		n := len(events)
		if strings.Contains(string(body), "bytes") {
			n = 1
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		writePieces(rw, events, n)
	})
	p := up.vel(t)
	calls := 0
	for _, how := range []string{"whole", "bytes", "crlf", "crlf bytes"} {
		for _, options := range []string{"", `,"stream_options":{}`, `,"stream_options":{"include_usage":false}`, `,"stream_options":null`, `,"stream_options":{"include_obfuscation":true}`, `,"stream_options":{"include_usage":true}`} {
			calls++
			t.Run(how+options, func(t *testing.T) {
				want := without
				if strings.Contains(options, `usage":true`) {
					want = with
				}
				if strings.Contains(how, "crlf") {
					want = strings.ReplaceAll(want, "\n", "\r\n")
				}
				id := how + options
				key := func(r *http.Request) { r.Header.Set("Idempotency-Key", id) }
				a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, chat("renamed", how, `,"stream":true`+options), key))
				if string(a.body) != want || a.cut != nil {
					t.Errorf("%d %v: got\n%q\nwant\n%q", a.status, a.cut, a.body, want)
				}
				mu.Lock()
				defer mu.Unlock()
				if !strings.Contains(asked[id], `"include_usage":true`) || strings.Count(asked[id], "stream_options") != 1 ||
					strings.Contains(options, "obfuscation") != strings.Contains(asked[id], "include_obfuscation") {
					t.Errorf("the provider was asked %s", asked[id])
				}
			})
		}
	}
	wantTokens(t, p, "renamed", float64(11*calls), float64(13*calls))
}
