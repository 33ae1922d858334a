package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
	"github.com/vel-gateway/vel/secrets"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Suite{
		Codec: New("openai", "").Codecs[adapters.ChatCompletions], Endpoint: adapters.ChatCompletions,
		Dir: "testdata/chat", Model: "provider/model-1", Passes: true,
	})
}

func TestModelNamesAreEscaped(t *testing.T) {
	t.Parallel()
	body := []byte(`{"model":"smart","messages":[]}`)
	for _, name := range []string{"gpt-4o", `a"b\c`, "line\nbreak", "模型", "<&>", ""} {
		var r adapters.Request
		if err := chatCodec.EncodeRequest(&r, adaptertest.Parse(t, adapters.ChatCompletions, body), name); err != nil {
			t.Fatal(err)
		}
		var got struct{ Model string }
		if err := json.Unmarshal(bytes.Join(r.Body, nil), &got); err != nil || got.Model != name {
			t.Errorf("%q arrives as %q, %v", name, got.Model, err)
		}
	}
}

func TestSameNameIsOneSlice(t *testing.T) {
	t.Parallel()
	content := adaptertest.Parse(t, adapters.ChatCompletions, []byte(`{"model":"m","messages":[]}`))
	var r adapters.Request
	if err := chatCodec.EncodeRequest(&r, content, "m"); err != nil || len(r.Body) != 1 || &r.Body[0][0] != &content.Body[0] {
		t.Errorf("%q, %v", r.Body, err)
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	signer := New("groq", "https://api.groq.com/openai/v1").Signer
	var r adapters.Request
	if err := signer.Sign(&r, secrets.New("gsk_1"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if want := []adapters.Field{{Name: "Authorization", Value: "Bearer gsk_1"}}; !reflect.DeepEqual(r.Header, want) {
		t.Errorf("%v", r.Header)
	}
	r.Reset()
	if err := signer.Sign(&r, secrets.Secret{}, time.Time{}); err != nil || len(r.Header) != 0 {
		t.Errorf("without a key: %v, %v", r.Header, err)
	}
	err := signer.Sign(&r, secrets.New("gsk_1\r\nX-Evil: 1"), time.Time{})
	if err == nil || len(r.Header) != 0 || strings.Contains(err.Error(), "gsk") {
		t.Errorf("a key of two lines: %v, %v", r.Header, err)
	}
}

// events makes a stream of chunks, each of which ends the given answer.
func events(indexes ...string) string {
	var b strings.Builder
	for _, i := range indexes {
		b.WriteString(`data: {"choices":[{"index":` + i + `,"delta":{},"finish_reason":"stop"}]}` + "\n\n")
	}
	return b.String()
}

func TestEveryAnswerMustFinish(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		asked int
		in    string
		whole bool
	}{
		{0, events("0"), true},
		{1, events("0"), true},
		{2, events("0"), false},
		{2, events("0", "0"), false},
		{2, events("1", "0"), true},
		{128, events("127", "128", "-1"), false},
		{2, events("0") + "data: [DONE]\n\n", true},
	} {
		s := chatCodec.DecodeStream(&adapters.Content{Choices: test.asked}, nil)
		if _, err := s.Feed(nil, []byte(test.in)); err != nil {
			t.Fatal(err)
		}
		var e *adapters.Error
		_, err := s.End(nil)
		if (err == nil) != test.whole || err != nil && (!errors.As(err, &e) || e.Class != adapters.ClassTruncated) {
			t.Errorf("%d asked, got %s: %v", test.asked, test.in, err)
		}
	}
}

// Chunks that begin alike are compared and not looked through again; the first one that differs must be.
func TestAStreamThatBeginsAlike(t *testing.T) {
	t.Parallel()
	const alike = `data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"
	s := chatCodec.DecodeStream(&adapters.Content{}, nil)
	for _, event := range []string{
		alike, alike, alike,
		`data: {"id":"1","model":"m","usage":{"prompt_tokens":3},"choices":[]}` + "\n\n",
		alike,
		`data: {"id":"1","model":"m","error":"overloaded","choices":[]}` + "\n\n",
	} {
		if _, err := s.Feed(nil, []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	if u, seen := s.Usage(); !seen || u[adapters.Input] != 3 {
		t.Errorf("usage %v, %t", u, seen)
	}
	var e *adapters.Error
	if out, err := s.End(nil); !errors.As(err, &e) || !e.Told || e.Message != "overloaded" || len(out) > 0 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestEndAfterACut(t *testing.T) {
	t.Parallel()
	s := chatCodec.DecodeStream(&adapters.Content{}, nil)
	if _, err := s.Feed(nil, []byte(events("0")+"data: [DONE]\n\n")); err != nil {
		t.Fatal(err)
	}
	if out, err := s.End(nil); err != nil || len(out) > 0 {
		t.Errorf("the answer was whole before the cut, but End gives %q, %v", out, err)
	}
}

func FuzzModelSplice(f *testing.F) {
	f.Add([]byte(`{"model":"smart","messages":[],"n":12345678901234567890}`), "gpt-4o")
	f.Add([]byte(`{"mod\u0065l":"\ud83d\ude00 \"x\"","messages":[{"model":"inner"}]}`), `a"b\c`)
	f.Add([]byte(" {\"messages\":[ ]\n,\"model\" : \"m\" } "), "m")
	f.Add([]byte(`{"model":"m","messages":[],"x":{"model":"y"}}`), "\u2028\x00\xff")
	f.Fuzz(func(t *testing.T, body []byte, model string) {
		content := adapters.Content{Endpoint: adapters.ChatCompletions}
		var q adapters.Question
		if !utf8.ValidString(model) || adapters.Parse(body, &content, &q) != nil {
			return
		}
		var r adapters.Request
		if err := chatCodec.EncodeRequest(&r, &content, model); err != nil {
			t.Fatal(err)
		}
		spliced := bytes.Join(r.Body, nil)
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(body, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(spliced, &after); err != nil {
			t.Fatalf("%q with %q became %q: %v", body, model, spliced, err)
		}
		var got string
		if err := json.Unmarshal(after["model"], &got); err != nil || got != model {
			t.Fatalf("%q arrives as %q, %v", model, got, err)
		}
		delete(before, "model")
		delete(after, "model")
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q with %q became %q", body, model, spliced)
		}
		rest := string(body[:content.Model.Start]) + string(body[content.Model.End:])
		if n := len(spliced) - len(body) + content.Model.End; rest != string(spliced[:content.Model.Start])+string(spliced[n:]) {
			t.Fatalf("%q with %q became %q", body, model, spliced)
		}
	})
}

func FuzzDecodeError(f *testing.F) {
	for _, seed := range []string{
		``, `{"error":{"message":"m","type":"t","param":null,"code":null}}`, `{"error":{"message":"m","code":400}}`, `{"detail":[{"loc":["body",1],"msg":"m"}]}`,
		`[{"error":{"code":429,"message":"m","status":"S","details":[{"retryDelay":"32s"}]}}]`, `<html>`, `{"error":"text"}`, `{"message":{"detail":[]}}`,
		"{\"error\":{\"message\":\"\xff\"}}", `{"error":{"message":"m","message":1,"error":{}},"error":2}`, `{"error":{"message":"\ud800","type":"\u0000"}}`,
	} {
		f.Add(429, "1.5", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, retry string, body []byte) {
		h := http.Header{"Retry-After": {retry}, "Retry-After-Ms": {retry}}
		for _, e := range []*adapters.Error{chatCodec.DecodeError(status, peeker(h), body), InBand(nil, body)} {
			adaptertest.CheckError(t, e)
		}
	})
}

// peeker shows net/http's fields as fasthttp does.
type peeker http.Header

func (p peeker) Peek(name string) []byte { return []byte(http.Header(p).Get(name)) }

func FuzzStream(f *testing.F) {
	f.Add([]byte(chunk+withUsage+events("0")+"data: [DONE]\n\n"), uint16(100))
	f.Add([]byte("data: {\"error\":{\"message\":\"x\"}}\n\n"), uint16(7))
	f.Add([]byte(": ping\r\n\r\nevent: error\r\ndata: x\r\n\r\n"), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, at uint16) {
		cut := int(at) % (len(in) + 1)
		whole, wholeErr := drain(in)
		parts, partsErr := drain(in[:cut], in[cut:])
		if wholeErr != partsErr {
			t.Fatalf("%q cut at %d: %s, in one piece %s", in, cut, partsErr, wholeErr)
		}
		if wholeErr == "" && whole != parts || !strings.HasPrefix(whole, string(in)) && wholeErr == "" {
			t.Fatalf("%q cut at %d gives %q, in one piece %q", in, cut, parts, whole)
		}
	})
}

// drain decodes a stream and gives all output, and the error.
func drain(pieces ...[]byte) (string, string) {
	return decode(chatCodec.DecodeStream(&adapters.Content{}, nil), pieces...)
}

func decode(s adapters.Stream, pieces ...[]byte) (string, string) {
	var all []byte
	for _, p := range pieces {
		out, err := s.Feed(nil, p)
		all = append(all, bytes.Join(out, nil)...)
		if err != nil {
			return string(all), err.Error()
		}
	}
	out, err := s.End(nil)
	all = append(all, bytes.Join(out, nil)...)
	if err != nil {
		return string(all), err.Error()
	}
	return string(all), ""
}
