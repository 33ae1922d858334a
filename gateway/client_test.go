package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	chatBody   = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	streamBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	completion = `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}`
	piece  = `data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hel"}}]}` + "\n\n"
	finish = `data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done   = "data: [DONE]\n\n"

	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	lastChunk  = "0\r\n\r\n"
)

func jsonAnswer(status int, body string, fields ...string) string {
	extra := ""
	for _, f := range fields {
		extra += f + "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", status, extra, len(body), body)
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// answers is a script that sends the same to every request.
func answers(s string) func(*asked) bool {
	return func(a *asked) bool { a.send(s); return true }
}

// client is one connection to the gateway.
type client struct {
	t testing.TB
	*net.TCPConn
	in *bufio.Reader
}

func (h *house) dial() *client {
	h.t.Helper()
	c, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return &client{h.t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *client) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// post sends a call.
func (c *client) post(body string, fields ...string) { c.postAs(goodKey, body, fields...) }

// postAs sends a call with a key.
func (c *client) postAs(key, body string, fields ...string) {
	c.t.Helper()
	c.write(request("POST", "/v1/chat/completions", body, append(fields, "Authorization: Bearer "+key)...))
}

func request(method, path, body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: vel\r\n", method, path)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// got is an answer.
type got struct {
	*http.Response
	body string
	err  error // of the body
}

// head reads the head of an answer; its body is still to come.
func (c *client) head(method string) *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	return r
}

func (c *client) answer() got { return c.answerTo("POST") }

func (c *client) answerTo(method string) got {
	c.t.Helper()
	r := c.head(method)
	body, err := io.ReadAll(r.Body)
	return got{r, string(body), err}
}

// call makes a call on a connection of its own.
func (h *house) call(body string, fields ...string) got { return h.callAs(goodKey, body, fields...) }

// callAs makes a call with a key on a connection of its own.
func (h *house) callAs(key, body string, fields ...string) got {
	h.t.Helper()
	c := h.dial()
	defer func() { _ = c.Close() }()
	c.postAs(key, body, fields...)
	return c.answer()
}

// get asks for a path.
func (h *house) get(method, path string, fields ...string) got {
	h.t.Helper()
	c := h.dial()
	defer func() { _ = c.Close() }()
	c.write(request(method, path, "", fields...))
	return c.answerTo(method)
}

// failure is the error of an answer or an event, in OpenAI's shape.
type failure struct {
	Message     string
	Type        string
	Param, Code *string
}

// errorOf reads an error body strictly: one object with the one member, and its four.
func errorOf(t testing.TB, body string) failure {
	t.Helper()
	var whole map[string]map[string]any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	inner, ok := whole["error"]
	if !ok || len(whole) != 1 {
		t.Fatalf("error body %q has other members", body)
	}
	for _, name := range []string{"message", "type", "param", "code"} {
		if _, ok := inner[name]; !ok {
			t.Fatalf("error body %q has no %s", body, name)
		}
	}
	var f struct{ Error failure }
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	if f.Error.Message == "" || f.Error.Type == "" {
		t.Fatalf("error body %q says nothing", body)
	}
	return f.Error
}

func (f failure) code() string {
	if f.Code == nil {
		return ""
	}
	return *f.Code
}

// closedAddress is one where nobody listens.
func closedAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// fasthttpHead is a head as the server's hook sees it.
type fasthttpHead struct{ fasthttp.RequestHeader }

func (h *fasthttpHead) read(t testing.TB, s string) {
	t.Helper()
	if err := h.Read(bufio.NewReader(strings.NewReader(s))); err != nil {
		t.Fatal(err)
	}
}
