package adapters

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

func TestParseReadsEveryEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		endpoint Endpoint
		body     string
		want     string
	}{
		{Responses, `{"model":"m","input":"x"}`, `m stream=false n=0 max=0 form= input="x" prev= conv= background=false stored=true`},
		{
			Responses, `{"model":"m","stream":true,"store":false,"max_output_tokens":7,"previous_response_id":"resp_\u0031","conversation":"conv_1","background":true}`,
			`m stream=true n=0 max=7 form= input= prev=resp_1 conv=conv_1 background=true stored=false`,
		},
		{
			Responses, `{"model":"m","input":null,"store":null,"conversation":{"id":"conv_2"},"previous_response_id":null}`,
			`m stream=false n=0 max=0 form= input=null prev= conv=conv_2 background=false stored=true`,
		},
		{ResponsesInputTokens, `{"model":"m","input":[]}`, `m stream=false n=0 max=0 form= input=[] prev= conv= background=false stored=false`},
		{ChatCompletions, `{"model":"m","messages":[],"store":true,"input":7,"background":7}`, `m stream=false n=0 max=0 form= input=[] prev= conv= background=false stored=true`},
		{Embeddings, `{"model":"m","input":[[1]],"encoding_format":"base64","stream":7}`, `m stream=false n=0 max=0 form=base64 input=[[1]] prev= conv= background=false stored=false`},
		{Completions, `{"model":"m","prompt":["a"],"stream":true,"max_tokens":3,"n":2}`, `m stream=true n=2 max=3 form= input=["a"] prev= conv= background=false stored=false`},
		{Moderations, `{"input":"x"}`, `omni-moderation-latest stream=false n=0 max=0 form= input="x" prev= conv= background=false stored=false`},
		{ImageGenerations, `{"model":"m","prompt":"x","response_format":"url","n":3}`, `m stream=false n=3 max=0 form=url input="x" prev= conv= background=false stored=false`},
		{Speech, `{"model":"m","input":"x","voice":"v","stream_format":"sse","response_format":"wav"}`, `m stream=true n=0 max=0 form=wav input="x" prev= conv= background=false stored=false`},
		{Speech, `{"model":"m","input":"x","stream_format":"audio"}`, `m stream=false n=0 max=0 form= input="x" prev= conv= background=false stored=false`},
	} {
		c, q := Content{Endpoint: test.endpoint}, Question{Background: true, PreviousResponse: "old"}
		if err := Parse([]byte(test.body), &c, &q); err != nil {
			t.Errorf("%v %s: %v", test.endpoint, test.body, err)
			continue
		}
		got := fmt.Sprintf("%s stream=%t n=%d max=%d form=%s input=%s prev=%s conv=%s background=%t stored=%t", q.Model, c.Stream, c.Choices,
			q.MaxTokens, c.Text(c.Form), c.Body[q.Input.Start:q.Input.End], q.PreviousResponse, q.Conversation, q.Background, c.Stored)
		if got != test.want {
			t.Errorf("%v %s:\n got %s\nwant %s", test.endpoint, test.body, got, test.want)
		}
	}
}

func TestParseRefusesByEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		endpoint    Endpoint
		contentType string
		body        string
		param, code string
	}{
		{Responses, "", `{"model":"m","background":1}`, "background", "invalid_type"},
		{Responses, "", `{"model":"m","conversation":{}}`, "conversation.id", "missing_required_parameter"},
		{Responses, "", `{"model":"m","conversation":7}`, "conversation", "invalid_type"},
		{Responses, "", `{"model":"m","store":true,"store":false}`, "store", "duplicate_parameter"},
		{Embeddings, "", `{"model":"m","input":null}`, "input", "invalid_type"},
		{Completions, "", `{"model":"m"}`, "prompt", "missing_required_parameter"},
		{ImageGenerations, "", `{"prompt":["x"]}`, "prompt", "invalid_type"},
		{Transcriptions, "", `{"file":"x"}`, "model", "missing_required_parameter"},
		{ChatCompletions, "multipart/form-data; boundary=b", `--b--`, "", "unsupported_content_type"},
		{Transcriptions, "multipart/form-data", `--b--`, "", "invalid_multipart"},
		{Transcriptions, "multipart/mixed; boundary=b", `--b--`, "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary=b; boundary=c", `--b--`, "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary*=utf-8''b", `--b--`, "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary=\"" + strings.Repeat("b", 71) + `"`, `--b--`, "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary=b", ``, "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"mo\\del\"\r\n\r\nx\r\n--b--", "", "invalid_multipart"},
		{Transcriptions, "multipart/form-data; boundary=b", `--b--`, "model", "missing_required_parameter"},
		{Transcriptions, "multipart/form-data; boundary=b", "--b\r\n" + strings.Repeat("X: y\r\n", 2000), "", "invalid_multipart"},
		{ImageEdits, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=n\r\n\r\nx\r\n--b--", "n", "invalid_type"},
		{ImageEdits, "multipart/form-data; boundary=b", strings.Repeat("--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n", 2000) + "--b--", "", "invalid_multipart"},
	} {
		c := Content{Endpoint: test.endpoint, ContentType: []byte(test.contentType)}
		var q Question
		var e *Error
		if err := Parse([]byte(test.body), &c, &q); !errors.As(err, &e) || e.Param != test.param || e.Code != test.code {
			t.Errorf("%v %s %.60q: %v", test.endpoint, test.contentType, test.body, err)
		}
	}
}

func TestTheDeploymentInThePathWins(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"model":"other","messages":[]}`: `{"model":"new","messages":[]}`,
		`{"messages":[]}`:                 `{"model":"new","messages":[]}`,
	} {
		c := Content{Endpoint: ChatCompletions, Deployment: "gpt-4o"}
		var q Question
		if err := Parse([]byte(body), &c, &q); err != nil || q.Model != "gpt-4o" {
			t.Errorf("%s: %s, %v", body, q.Model, err)
		}
		if got := string(bytes.Join(c.Edited(nil, "new"), nil)); got != want {
			t.Errorf("%s becomes %s", body, got)
		}
	}
}

func TestObjectsAreNotRead(t *testing.T) {
	t.Parallel()
	c, q := Content{Endpoint: Objects, Method: "GET", ContentType: []byte("multipart/form-data; boundary=b")}, Question{Model: "old"}
	if err := Parse([]byte("not JSON"), &c, &q); err != nil || q != (Question{}) || string(c.Body) != "not JSON" || c.Boundary != nil {
		t.Errorf("%+v, %v", q, err)
	}
}

// header is the head of an answer that has only a content type.
type header string

func (h header) Peek(string) []byte { return []byte(h) }

func TestRelay(t *testing.T) {
	t.Parallel()
	form := []byte("b")
	for _, test := range []struct {
		c    Content
		kind string
		want Relay
	}{
		{Content{Endpoint: ChatCompletions}, "application/json", RelayWhole},
		{Content{Endpoint: ChatCompletions, Stream: true}, "application/json; charset=utf-8", RelayWhole},
		{Content{Endpoint: ChatCompletions, Stream: true}, "application/problem+json", RelayWhole},
		{Content{Endpoint: ChatCompletions, Stream: true}, "text/event-stream", RelayEvents},
		{Content{Endpoint: ChatCompletions, Stream: true}, "", RelayEvents},
		{Content{Endpoint: ChatCompletions, Stream: true}, "text/html", RelayEvents},
		{Content{Endpoint: ChatCompletions}, "text/event-stream", RelayWhole},
		{Content{Endpoint: ChatCompletions}, "text/html", RelayWhole},
		{Content{Endpoint: Speech}, "audio/mpeg", RelayUnread},
		{Content{Endpoint: Speech}, "application/octet-stream", RelayUnread},
		{Content{Endpoint: Speech}, "text/html; charset=utf-8", RelayWhole},
		{Content{Endpoint: Speech}, "Application/JSON", RelayWhole},
		{Content{Endpoint: Speech, Stream: true}, "text/event-stream", RelayEvents},
		{Content{Endpoint: Transcriptions, Boundary: form}, "text/plain", RelayWhole},
		{Content{Endpoint: Transcriptions, Boundary: form}, "text/event-stream; charset=utf-8", RelayEvents},
		{Content{Endpoint: Objects}, "application/octet-stream", RelayUnread},
		{Content{Endpoint: Objects}, "text/html", RelayUnread},
		{Content{Endpoint: Objects}, "application/json", RelayWhole},
		{Content{Endpoint: Objects}, "text/event-stream", RelayEvents},
	} {
		if got := test.c.Relay(header(test.kind)); got != test.want {
			t.Errorf("%v (stream %t) with %q: %d, want %d", test.c.Endpoint, test.c.Stream, test.kind, got, test.want)
		}
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":1,"model":"m","b":2}`)
	c := Content{Body: body, Model: Span{15, 18}}
	at := func(s string) Span { i := bytes.Index(body, []byte(s)); return Span{i, i + len(s)} }
	out := c.Edited(nil, `x"y`, Edit{at("2"), []byte("3")}, Edit{at("1"), []byte("0")}, c.Insert(`"z":9`))
	if got, want := string(bytes.Join(out, nil)), `{"z":9,"a":0,"model":"x\"y","b":3}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if out := c.Edited(nil, "m"); len(out) != 1 || &out[0][0] != &body[0] {
		t.Errorf("the same name makes %q", out)
	}
}

func TestEditsDoNotAllocate(t *testing.T) {
	c := Content{Body: []byte(`{"a":1,"model":"m","b":2}`), Model: Span{15, 18}}
	out := make([][]byte, 0, 8)
	if n := testing.AllocsPerRun(100, func() { out = c.Edited(out[:0], "other", Edit{Span{5, 6}, c.Body[:1]}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What Vel reads of a form, the standard library reads too; and with another name of the model nothing else differs.
func FuzzForm(f *testing.F) {
	const head = "Content-Disposition: form-data; name="
	f.Add("b", []byte("--b\r\n"+head+"\"file\"; filename=\"x\"\r\n\r\n\x00\r\n--b not\r\n--b\r\n"+head+"model\r\n\r\nwhisper-1\r\n--b--\r\n"))
	f.Add("b", []byte("--b\r\n"+head+"\"mo\\del\"\r\n\r\nx\r\n--b\r\n"+head+"\"model\"\r\nX: y\r\n\r\na\r\n--b  \r\n"+head+"\"model\"; x=\"a;b\"\r\n\r\nb\r\n--b--"))
	f.Add("a b", []byte("--a b\r\n"+head+"stream\r\n\r\ntrue\r\n--a b--"))
	f.Fuzz(func(t *testing.T, boundary string, body []byte) {
		contentType := mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": boundary})
		c := Content{Endpoint: Transcriptions, ContentType: []byte(contentType)}
		var q Question
		if contentType == "" || Parse(body, &c, &q) != nil {
			return
		}
		before := models(t, body, boundary)
		if len(before) != 1 || before[0] != q.Model {
			t.Fatalf("%q: Vel reads model %q, others %q", body, q.Model, before)
		}
		after := models(t, bytes.Join(c.Edited(nil, "other"), nil), boundary)
		if len(after) != 1 || after[0] != "other" {
			t.Fatalf("%q with another name has models %q", body, after)
		}
	})
}

// models are the values of all fields called model, as the standard library reads them.
func models(t *testing.T, body []byte, boundary string) (all []string) {
	t.Helper()
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if part.FormName() == "model" {
			all = append(all, string(value))
		}
	}
}

func BenchmarkParseForm(b *testing.B) {
	body := []byte("--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n" + strings.Repeat("\r\n-sound\x00", 1<<17) +
		"\r\n--bound\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--bound--\r\n")
	c, q := Content{Endpoint: Transcriptions, ContentType: []byte("multipart/form-data; boundary=bound")}, Question{}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(body, &c, &q); err != nil {
			b.Fatal(err)
		}
	}
}
