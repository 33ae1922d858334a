package adapters

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

func TestParseChat(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"model":"gpt-4o","messages":[]}`: `"gpt-4o" gpt-4o stream=false usage=false n=0 max=0,0`,
		` { "messages" : [ {"model":"inner","stream":1} ] , "model" : "a\u002fb \"c\"" , "stream" : true } `: `"a\u002fb \"c\"" a/b "c" stream=true usage=false n=0 max=0,0`,
		`{"model":"m","messages":[],"stream":null,"n":null,"max_tokens":null,"stream_options":null}`:         `"m" m stream=false usage=false n=0 max=0,0`,
		`{"model":"m","messages":[],"stream":true,"stream_options":{"x":1,"include_usage":true}}`:            `"m" m stream=true usage=true n=0 max=0,0`,
		`{"model":"m","messages":[],"n":3,"max_tokens":100,"max_completion_tokens":200.0}`:                   `"m" m stream=false usage=false n=3 max=100,200`,
		`{"model":"m","messages":[],"n":-3,"max_tokens":-1,"max_completion_tokens":1e300}`:                   `"m" m stream=false usage=false n=0 max=0,2147483647`,
		`{"model":"m","messages":[],"Model":"x","MODEL":1,"Stream":7,"temperature":0,"x":null}`:              `"m" m stream=false usage=false n=0 max=0,0`,
		`{"mod\u0065l":"m","messages":[]}`:   `"m" m stream=false usage=false n=0 max=0,0`,
		`{"model":"Größe 模型","messages":[]}`: `"Größe 模型" Größe 模型 stream=false usage=false n=0 max=0,0`,
		`{"messages":[{"content":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}],"model":"m"}`: `"m" m stream=false usage=false n=0 max=0,0`,
	} {
		c := Content{Endpoint: ChatCompletions, Stream: true, UsageAsked: true, Choices: 9} // nothing of an earlier call may remain
		q := Question{Model: "old", MaxTokens: 9}
		if err := Parse([]byte(body), &c, &q); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got := fmt.Sprintf("%s %s stream=%t usage=%t n=%d max=%d,%d", c.Body[c.Model.Start:c.Model.End], q.Model,
			c.Stream, c.UsageAsked, c.Choices, q.MaxTokens, q.MaxCompletionTokens)
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestParseChatRefuses(t *testing.T) {
	t.Parallel()
	const m = `"model":"m","messages":[]`
	for body, want := range map[string]string{
		``:                                   ` invalid_json: The request body is empty; a JSON object was expected.`,
		` `:                                  ` invalid_json: The request body is empty; a JSON object was expected.`,
		`[]`:                                 ` invalid_type: Invalid type for the request body: expected an object, but got an array instead.`,
		`"x"`:                                ` invalid_type: Invalid type for the request body: expected an object, but got a string instead.`,
		`{`:                                  ` invalid_json: The request body is not valid JSON: unexpected end at byte 1.`,
		`{` + m + `,}`:                       ` invalid_json: The request body is not valid JSON: expected a key at byte 27.`,
		`{` + m + `} x`:                      ` invalid_json: The request body is not valid JSON: unexpected character after the end at byte 28.`,
		"{" + m + ",\"x\":\"\xff\"}":         ` invalid_json: The request body is not valid JSON: invalid UTF-8 at byte 32.`,
		`model=m`:                            ` invalid_json: The request body is not valid JSON: unexpected character at byte 0.`,
		`{"x":` + strings.Repeat("[", 1e5):   ` nesting_too_deep: The request body is nested deeper than 1024 levels.`,
		strings.Repeat(`{"x":`, 1e5):         ` nesting_too_deep: The request body is nested deeper than 1024 levels.`,
		strings.Repeat(`[`, 1e5):             ` nesting_too_deep: The request body is nested deeper than 1024 levels.`,
		`{}`:                                 `model missing_required_parameter: Missing required parameter: 'model'.`,
		`{"Model":"m","messages":[]}`:        `model missing_required_parameter: Missing required parameter: 'model'.`,
		`{"model":"m"}`:                      `messages missing_required_parameter: Missing required parameter: 'messages'.`,
		`{"model":null,"messages":[]}`:       `model invalid_type: Invalid type for 'model': expected a string, but got null instead.`,
		`{"model":7,"messages":[]}`:          `model invalid_type: Invalid type for 'model': expected a string, but got an integer instead.`,
		`{"model":["m"],"messages":[]}`:      `model invalid_type: Invalid type for 'model': expected a string, but got an array instead.`,
		`{"model":"","messages":[]}`:         `model empty_string: Invalid 'model': empty string. Expected the name of a model.`,
		`{"model":"a\r\nb","messages":[]}`:   `model invalid_value: Invalid 'model': control characters are not allowed.`,
		`{"model":"a\u0000b","messages":[]}`: `model invalid_value: Invalid 'model': control characters are not allowed.`,
		"{\"model\":\"a\x7f\"}":              `model invalid_value: Invalid 'model': control characters are not allowed.`,
		`{"model":"m","messages":"hi"}`:      `messages invalid_type: Invalid type for 'messages': expected an array of objects, but got a string instead.`,
		`{"model":"m","messages":null}`:      `messages invalid_type: Invalid type for 'messages': expected an array of objects, but got null instead.`,
		`{` + m + `,"model":"x"}`:            `model duplicate_parameter: Duplicate parameter: 'model' may be given only once.`,
		`{` + m + `,"mod\u0065l":7}`:         `model duplicate_parameter: Duplicate parameter: 'model' may be given only once.`,
		`{` + m + `,"stream":false,"stream":true}`:                                       `stream duplicate_parameter: Duplicate parameter: 'stream' may be given only once.`,
		`{` + m + `,"messages":[]}`:                                                      `messages duplicate_parameter: Duplicate parameter: 'messages' may be given only once.`,
		`{` + m + `,"n":1,"\u006e":100}`:                                                 `n duplicate_parameter: Duplicate parameter: 'n' may be given only once.`,
		`{` + m + `,"stream":"true"}`:                                                    `stream invalid_type: Invalid type for 'stream': expected a boolean, but got a string instead.`,
		`{` + m + `,"stream":1.0}`:                                                       `stream invalid_type: Invalid type for 'stream': expected a boolean, but got a decimal number instead.`,
		`{` + m + `,"stream_options":true}`:                                              `stream_options invalid_type: Invalid type for 'stream_options': expected an object or null, but got a boolean instead.`,
		`{` + m + `,"stream_options":{"include_usage":"yes"}}`:                           `stream_options.include_usage invalid_type: Invalid type for 'stream_options.include_usage': expected a boolean, but got a string instead.`,
		`{` + m + `,"stream_options":{"include_usage":true,"include\u005fusage":false}}`: `stream_options.include_usage duplicate_parameter: Duplicate parameter: 'stream_options.include_usage' may be given only once.`,
		`{` + m + `,"max_tokens":"100"}`:                                                 `max_tokens invalid_type: Invalid type for 'max_tokens': expected an integer, but got a string instead.`,
		`{` + m + `,"max_completion_tokens":{}}`:                                         `max_completion_tokens invalid_type: Invalid type for 'max_completion_tokens': expected an integer, but got an object instead.`,
		`{` + m + `,"n":true}`:                                                           `n invalid_type: Invalid type for 'n': expected an integer, but got a boolean instead.`,
	} {
		c := Content{Endpoint: ChatCompletions}
		var q Question
		err := Parse([]byte(body), &c, &q)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.80s: %v is no *Error", body, err)
			continue
		}
		if got := e.Param + " " + e.Code + ": " + e.Message; got != want {
			t.Errorf("%.80s:\n got %s\nwant %s", body, got, want)
		}
		if e.Class != ClassInvalid || e.Status != http.StatusBadRequest || e.Type != "invalid_request_error" {
			t.Errorf("%.80s: %v %d %s", body, e.Class, e.Status, e.Type)
		}
	}
}

func TestParseChatAliasesTheModel(t *testing.T) {
	t.Parallel()
	body := []byte(`{"model":"gpt-4o","messages":[]}`)
	c := Content{Endpoint: ChatCompletions}
	var q Question
	if err := Parse(body, &c, &q); err != nil {
		t.Fatal(err)
	}
	if unsafe.StringData(q.Model) != &body[c.Model.Start+1] {
		t.Error("the name was copied")
	}
}

func FuzzParseChat(f *testing.F) {
	for _, body := range []string{
		`{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"mod\u0065l":"a\"b","messages":[],"n":2,"max_tokens":1.5e3}`, `{"model":"a","model":"b","messages":[]}`,
		`{"model":"m","messages":[],"stream":true,"str\u0065am":false}`, `[]`, `{"model":"\ud800","messages":[]}`, "{\"model\":\"\xff\"}",
		`{"model":"m","messages":{},"stream_options":[]}`, strings.Repeat("[", 2000), `{"":"","model":"x","messages":[1,2,{"model":3}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := Content{Endpoint: ChatCompletions}
		var q Question
		if err := Parse(body, &c, &q); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" || !utf8.ValidString(e.Message) {
				t.Fatalf("%q: %#v", body, err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil || !utf8.Valid(body) {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		var model string
		if err := json.Unmarshal(members["model"], &model); err != nil || model != q.Model && !strings.ContainsRune(model, utf8.RuneError) {
			t.Fatalf("%q: read %q, the model is %q, %v", body, q.Model, model, err)
		}
		if string(body[c.Model.Start:c.Model.End]) != string(members["model"]) {
			t.Fatalf("%q: the span holds %q", body, body[c.Model.Start:c.Model.End])
		}
		if want := string(members["stream"]) == "true"; c.Stream != want {
			t.Fatalf("%q: stream is read as %t", body, c.Stream)
		}
	})
}

func conversation(size int) []byte {
	turn := `{"role":"user","content":"Here is a \"quoted\" sentence about <tags> and things, long enough to be like one that people write.\n"},`
	return []byte(`{"model":"gpt-4o","messages":[` + strings.Repeat(turn, size/len(turn)) + `{"role":"user","content":"x"}],"stream":true,"max_tokens":100}`)
}

func TestParseChatDoesNotAllocate(t *testing.T) {
	body := conversation(10_000)
	c := Content{Endpoint: ChatCompletions}
	var q Question
	if n := testing.AllocsPerRun(100, func() {
		if err := Parse(body, &c, &q); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkParseChat compares the one strict pass with gjson's way, which takes two passes: its check, and a walk
// over the members. Neither of those bounds the depth or looks at the UTF-8.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{300, 240_000} {
		body := conversation(size)
		b.Run(fmt.Sprintf("strict %d", len(body)), func(b *testing.B) {
			c := Content{Endpoint: ChatCompletions}
			var q Question
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Parse(body, &c, &q); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("gjson %d", len(body)), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if !gjson.ValidBytes(body) {
					b.Fatal("invalid")
				}
				members := 0
				gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body))).ForEach(func(_, _ gjson.Result) bool {
					members++
					return true
				})
				if members != 4 {
					b.Fatal(members)
				}
			}
		})
	}
}
