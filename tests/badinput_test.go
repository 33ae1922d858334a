package tests

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := shared(t)
	const path = "/v1/chat/completions"
	deep := strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5)
	cases := []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no JSON", "POST", path, `{"model":`, 400, ""},
		{"empty body", "POST", path, ``, 400, ""},
		{"an array", "POST", path, `[]`, 400, ""},
		{"a string", "POST", path, `"sim-echo"`, 400, ""},
		{"text behind the JSON", "POST", path, chat("sim-echo", "hi", "") + ` {}`, 400, ""},
		{"trailing comma", "POST", path, chat("sim-echo", "hi", ","), 400, ""},
		{"no model", "POST", path, `{"messages":[]}`, 400, ""},
		{"empty model", "POST", path, chat("", "hi", ""), 400, ""},
		{"model is a number", "POST", path, `{"model":4,"messages":[]}`, 400, ""},
		{"model is null", "POST", path, `{"model":null,"messages":[]}`, 400, ""},
		{"model is an object", "POST", path, `{"model":{"a":"sim-echo"},"messages":[]}`, 400, ""},
		{"stream is a string", "POST", path, chat("sim-echo", "hi", `,"stream":"yes"`), 400, ""},
		{"two models", "POST", path, chat("sim-echo", "hi", `,"model":"sim-fast"`), 400, ""},
		{"two equal models", "POST", path, chat("sim-echo", "hi", `,"model":"sim-echo"`), 400, ""},
		{"two models, one escaped", "POST", path, chat("sim-echo", "hi", `,"mod\u0065l":"sim-fast"`), 400, ""},
		{"two streams", "POST", path, chat("sim-echo", "hi", `,"stream":true,"stream":false`), 400, ""},
		{"model in another case", "POST", path, `{"Model":"sim-echo","messages":[]}`, 400, ""},
		{"unknown model", "POST", path, chat("no-such-model", "hi", ""), 404, "model_not_found"},
		{"model with a line break", "POST", path, chat(`sim-echo\r\nx: y`, "hi", ""), 400, ""},
		{"nested 100,000 deep", "POST", path, chat("sim-echo", "hi", `,"x":`+deep), 400, ""},
		{"opened 100,000 times", "POST", path, strings.Repeat(`{"a":`, 1e5), 400, ""},
		{"invalid UTF-8", "POST", path, "{\"model\":\"sim-echo\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}", 400, ""},
		{"invalid UTF-8 in the model", "POST", path, "{\"model\":\"sim\xc3\",\"messages\":[]}", 400, ""},
		{"unknown path", "POST", "/v1/chat/complete", `{}`, 404, "unknown_url"},
		{"unknown path, GET", "GET", "/wp-login.php", ``, 404, "unknown_url"},
		{"escaped path", "GET", "/v1/..%2Fmetrics", ``, 404, "unknown_url"},
		{"dots in the path", "POST", "/v1/../v1/chat/completions", `{}`, 404, "unknown_url"},
		{"doubled slash", "POST", "//v1//chat/completions", `{}`, 404, "unknown_url"},
		{"wrong method", "GET", "/v1/embeddings", ``, 405, ""},
		{"wrong method, DELETE", "DELETE", path, ``, 405, ""},
		{"wrong method on models", "POST", "/v1/models", `{}`, 405, ""},
		{"a method nobody knows", "BREW", path, ``, 405, ""},
		{"unknown model by id", "GET", "/v1/models/no-such-model", ``, 404, "model_not_found"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// Over the bare socket: http.Client would mend some of these requests.
			x := dial(t, w.vel.Addr())
			a := x.send(t, c.method+" "+c.path+" HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer "+w.key+
				"\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(c.body))+"\r\n\r\n"+c.body)
			a.wantError(t, c.status, c.code)
			stillThere(t, w)
		})
	}
}

// stillThere makes one good call.
func stillThere(t *testing.T, w *world) {
	t.Helper()
	if got := w.chat(t, chat("sim-echo", "still there?", "")).content(t); got != "still there?" {
		t.Errorf("the next call was answered with %q", got)
	}
}

func TestNoKey(t *testing.T) {
	t.Parallel()
	w := shared(t)
	cases := []struct{ name, field string }{
		{"none", ""},
		{"unknown", "Authorization: Bearer sk-vel-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"},
		{"empty", "Authorization: Bearer \r\n"},
		{"basic", "Authorization: Basic " + w.key + "\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, head := range []string{"POST /v1/chat/completions?api_key=" + w.key, "GET /v1/models"} {
				body := chat("sim-echo", "hi", "")
				a := dial(t, w.vel.Addr()).send(t, head+" HTTP/1.1\r\nHost: vel\r\n"+c.field+
					"Content-Type: application/json\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
				a.wantError(t, 401, "invalid_api_key")
			}
		})
	}
}

func TestEveryCarrierOfTheKey(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for _, carrier := range []string{"Authorization: Bearer ", "authorization: bearer ", "api-key: ", "x-api-key: ", "X-Goog-Api-Key: "} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			body := chat("sim-echo", "hi", "")
			a := dial(t, w.vel.Addr()).send(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\n"+carrier+w.key+
				"\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
			if a.content(t) != "hi" {
				t.Errorf("got %s", a.body)
			}
		})
	}
}

func TestKeyMayNotUseModel(t *testing.T) {
	t.Parallel()
	w := shared(t)
	a := ask(t, request(t, "POST", w.vel.URL+"/v1/chat/completions", w.narrow, chat("sim-echo", "hi", "")))
	a.wantError(t, 403, "")
	list := ask(t, request(t, "GET", w.vel.URL+"/v1/models", w.narrow, ""))
	if !bytes.Contains(list.body, []byte(`"sim-fast"`)) || bytes.Contains(list.body, []byte(`"sim-echo"`)) {
		t.Errorf("the narrow key sees other models than its own: %s", list.body)
	}
	ask(t, request(t, "GET", w.vel.URL+"/v1/models/sim-echo", w.narrow, "")).wantError(t, 404, "model_not_found")
}

// TestEarly401 sends 15 MB behind an unknown key, as an SDK does: writing first, reading afterwards. The answer must
// be seen each time, not a reset.
func TestEarly401(t *testing.T) {
	t.Parallel()
	w := shared(t)
	body := bytes.Repeat([]byte("x"), 15<<20)
	for range 20 {
		x := dial(t, w.vel.Addr())
		a := x.sendBody(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer sk-unknown-"+
			"0123456789012345678901234567890123456789\r\nContent-Type: application/json\r\nContent-Length: "+
			itoa(len(body))+"\r\n\r\n", body)
		a.wantError(t, 401, "invalid_api_key")
	}
}

// TestTooLarge announces and sends more than max_body, at once and slowly.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := shared(t)
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + w.key +
		"\r\nContent-Type: application/json\r\n"
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		body := bytes.Repeat([]byte(" "), 9<<20)
		for range 5 {
			a := dial(t, w.vel.Addr()).sendBody(t, head+"Content-Length: "+itoa(len(body))+"\r\n\r\n", body)
			a.wantError(t, 413, "")
		}
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		// The writer is slow because each piece waits for a tick, not because the machine is.
		x := dial(t, w.vel.Addr())
		x.write(t, head+"Content-Length: "+itoa(9<<20)+"\r\n\r\n")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 25 {
			<-tick.C
			if _, err := x.conn.Write(bytes.Repeat([]byte(" "), 16<<10)); err != nil {
				break // the server may have closed after lingering; what matters is that its answer can be read
			}
		}
		x.read(t).wantError(t, 413, "")
	})
	t.Run("chunked", func(t *testing.T) {
		t.Parallel()
		x := dial(t, w.vel.Addr())
		x.write(t, head+"Transfer-Encoding: chunked\r\n\r\n")
		chunk := "10000\r\n" + strings.Repeat(" ", 0x10000) + "\r\n"
		for range 9 << 20 / 0x10000 {
			if _, err := io.WriteString(x.conn, chunk); err != nil {
				break
			}
		}
		x.read(t).wantError(t, 413, "")
	})
	stillThere(t, w)
}

// TestBodiesInFlight: all bodies together may take no more memory than is configured; who comes too late is told so,
// and there is room again when the others are gone.
func TestBodiesInFlight(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(strings.Replace(sim.config(""), "max_body_in_flight: 256MiB", "max_body_in_flight: 16MiB", 1)))
	const size = 7 << 20
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + w.key +
		"\r\nContent-Type: application/json\r\nContent-Length: " + itoa(size) + "\r\n\r\n"
	part := bytes.Repeat([]byte(" "), size-1)
	var holding []*socket
	for range 2 {
		x := dial(t, p.Addr())
		x.write(t, head+string(part))
		holding = append(holding, x)
	}
	err := vel.Poll(deadline(t), "a third body to be refused", func() (bool, error) {
		a := dial(t, p.Addr()).sendBody(t, head, part)
		a.readError(t)
		return a.status == 503 || a.status == 429, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range holding {
		_ = x.conn.Close()
	}
	err = vel.Poll(deadline(t), "room for another body", func() (bool, error) {
		body := chat("sim-echo", "room", `,"x":"`+strings.Repeat("x", size)+`"`)
		return askVel(t, p, body).status == 200, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSmuggling(t *testing.T) {
	t.Parallel()
	w := shared(t)
	inner := "GET /v1/models HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + w.key + "\r\n\r\n"
	cases := []struct{ name, fields, body string }{
		{"length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + inner},
		{"chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n" + inner},
		{"two lengths", "Content-Length: 0\r\nContent-Length: 5\r\n", inner},
		{"negative length", "Content-Length: -1\r\n", inner},
		{"length is no number", "Content-Length: 1x\r\n", inner},
		{"unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + inner},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, w.vel.Addr())
			a := x.send(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer "+w.key+
				"\r\nContent-Type: application/json\r\n"+c.fields+"\r\n"+c.body)
			if a.status != http.StatusBadRequest {
				t.Errorf("status %d, want 400\n%s", a.status, a.body)
			}
			if rest := x.rest(t); rest != "" {
				t.Errorf("the connection went on behind the refusal: %q", rest)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	w := shared(t)
	body := chat("sim-echo", "after 100", "")
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer %KEY%\r\n" +
		"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n"
	t.Run("known key", func(t *testing.T) {
		t.Parallel()
		x := dial(t, w.vel.Addr())
		x.write(t, strings.ReplaceAll(head, "%KEY%", w.key))
		if line, err := x.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("instead of 100: %q, %v", line, err)
		}
		if line, err := x.in.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("behind 100: %q, %v", line, err)
		}
		if got := x.send(t, body).content(t); got != "after 100" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("unknown key", func(t *testing.T) {
		t.Parallel()
		x := dial(t, w.vel.Addr())
		// Large, so that the answer must come without the body.
		large := strings.Replace(head, "Content-Length: "+itoa(len(body)), "Content-Length: "+itoa(1<<20), 1)
		x.send(t, strings.ReplaceAll(large, "%KEY%", "sk-nobody-0123456789")).wantError(t, 401, "invalid_api_key")
	})
}

func TestChunkedRequest(t *testing.T) {
	t.Parallel()
	w := shared(t)
	body := chat("sim-echo", "in pieces", "")
	x := dial(t, w.vel.Addr())
	x.write(t, "POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer "+w.key+
		"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range body {
		x.write(t, "1\r\n"+body[i:i+1]+"\r\n")
	}
	if got := x.send(t, "0\r\n\r\n").content(t); got != "in pieces" {
		t.Errorf("got %q", got)
	}
}
