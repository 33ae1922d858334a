package tests

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// odd is a request that only a careless client would write and that every gateway must carry unchanged: unknown
// members, order, white space, escapes, numbers beyond float64, null, zero values, %s the model.
const odd = " \n{ \"zeta\":1,\t\"messages\" :[ {\"role\":\"user\",\"content\":\"\\u0041<>&\\/ \\ud83d\\ude00 \u00e9\\n\"} ],\r\n" +
	"\"temperature\":0.0 , \"store\":false,\"seed\":12345678901234567890123,\"big\":1e400,\"precise\":0.10000000000000000000001," +
	"\"stop\":null,\"metadata\":{},\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":" +
	"{\"type\":\"object\",\"properties\":{\"z\":{},\"a\":{},\"m\":{}}}}},\"model\"  :  %MODEL%  ,\"nested\":{\"model\":\"inner\",\"stream\":true}," +
	"\"extra_body\":[1,2 , 3],\"dup\":1,\"dup\":2 } \n"

func TestRequestBytes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	var mu sync.Mutex
	var got []byte
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		got = body
		mu.Unlock()
		answerPlain(rw, false)
	})
	p := up.vel(t)
	cases := []struct{ name, asked, sent string }{
		{"same name", `"scripted"`, `"scripted"`},
		{"another name upstream", `"renamed"`, `"up/stream-name"`},
		{"escaped name", `"\u0072enamed"`, `"up/stream-name"`},
	}
	for _, c := range cases { // one after the other: they share got
		a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, strings.ReplaceAll(odd, "%MODEL%", c.asked)))
		if a.status != 200 {
			t.Errorf("%s: status %d\n%s", c.name, a.status, a.body)
			continue
		}
		mu.Lock()
		if want := strings.ReplaceAll(odd, "%MODEL%", c.sent); string(got) != want {
			t.Errorf("%s: the provider got\n%q\nwant\n%q", c.name, got, want)
		}
		mu.Unlock()
	}
}

// TestRequestBytesLarge sends 20 MB, like images as data URLs, and compares what the simulator hashed.
func TestRequestBytesLarge(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(strings.Replace(sim.config(""), "max_body: 8MiB", "max_body: 64MiB", 1)))
	image := "data:image/png;base64," + strings.Repeat("iVBORw0KGgo+/", 400_000)
	body := chat("sim-echo", "[[id=large-body]] hi", `,"picture":"`+image+`"`)
	ask(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, body)).content(t)
	if seen := sim.seen(t, "large-body"); seen.Length != len(body) || seen.SHA256 != sha256Hex(body) {
		t.Errorf("%d bytes arrived, want %d with the same hash", seen.Length, len(body))
	}
}

func TestAnswerBytes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	whole := "{ \"id\" : \"chatcmpl-1\",\n\t\"unknown\":{\"deep\":[1,2,{\"x\":null}]},\"created\":1700000000,\"big\":123456789012345678901234567890," +
		"\"model\":\"upstream-name\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u003c\\/<>& \\ud83d\\ude00 \u00e9\",\"refusal\":null," +
		"\"reasoning_content\":\"hm\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"citations\":[ \"a\" ],\"x_groq\":{\"id\":\"r\"}," +
		"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7,\"cost\":{\"total\":0.00010}}}\n"
	events := "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"obfuscation\":\"x\"}\n\n" +
		"data: {\"id\":\"c\",  \"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u003c<>\u00e9\",\"reasoning\":\"r\"},\"finish_reason\":null}],\"error\":null,\"big\":123456789012345678901234567890}\n\n" +
		"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"total_tokens\":7}}}\n\n" +
		"data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n" +
		"data: [DONE]\n\n"
	up := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		body := bytes.NewReader([]byte(whole))
		size := len(whole)
		asked, _ := io.ReadAll(r.Body)
		switch _, kind, _ := strings.Cut(string(asked), "kind: "); kind[:strings.IndexByte(kind, '"')] {
		case "large":
			large := strings.Replace(whole, "\"hm\"", "\""+strings.Repeat("hm ", 1<<20)+"\"", 1)
			body, size = bytes.NewReader([]byte(large)), len(large)
		case "stream":
			rw.Header().Set("Content-Type", "text/event-stream")
			writePieces(rw, events, len(events))
			return
		case "stream in single bytes":
			rw.Header().Set("Content-Type", "text/event-stream")
			writePieces(rw, events, 1)
			return
		case "in pieces":
			rw.Header().Set("Content-Type", "application/json")
			writePieces(rw, whole, 7)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Content-Length", itoa(size))
		_, _ = io.Copy(rw, body)
	})
	p := up.vel(t)
	for kind, want := range map[string]string{
		"plain": whole, "in pieces": whole, "stream": events, "stream in single bytes": events,
		"large": strings.Replace(whole, "\"hm\"", "\""+strings.Repeat("hm ", 1<<20)+"\"", 1),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			more := ""
			if strings.HasPrefix(kind, "stream") {
				more = `,"stream":true,"stream_options":{"include_usage":true}`
			}
			a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", w.key, chat("scripted", "kind: "+kind, more)))
			if a.status != 200 || a.cut != nil || string(a.body) != want {
				t.Errorf("status %d, %v: the answer changed (%d bytes, want %d)\n%.2000s", a.status, a.cut, len(a.body), len(want), a.body)
			}
		})
	}
}

// TestStreamShapes lets the provider write events in every way that the SSE rules allow, and checks that the client
// sees the same data, each event closed by an empty line, and the end.
func TestStreamShapes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for _, words := range []string{"crlf", "cr", "tight", "comment", "no_done", "gzip", "split=1", "split=7", "tear=1", "tear=13", "crlf split=1", "gzip split=3"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			text := "Grüße, 世界 😀 – every event must pass as it is. " + words
			s := askStream(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, chat("sim-echo", "[["+words+"]] "+text, `,"stream":true`)))
			s.whole(t)
			if got := s.text(t); got != text {
				t.Errorf("the text came as %q, want %q", got, text)
			}
		})
	}
	for _, words := range []string{"gzip", "tear=1", "slow_body=300ms", "close"} {
		t.Run("json "+words, func(t *testing.T) {
			t.Parallel()
			text := "Grüße, 世界 😀 " + words
			if got := w.chat(t, chat("sim-echo", "[["+words+"]] "+text, "")).content(t); got != text {
				t.Errorf("the text came as %q, want %q", got, text)
			}
		})
	}
}

// TestHugeEvent passes events far beyond any scanner's default limit.
func TestHugeEvent(t *testing.T) {
	t.Parallel()
	w := shared(t)
	const size = 5 << 20
	s := askStream(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.key, chat("sim-fast", "[[latency=0s huge="+itoa(size)+"]] hi", `,"stream":true`)))
	s.whole(t)
	if got := len(s.text(t)); got < size {
		t.Errorf("%d bytes of text, want at least %d", got, size)
	}
}
