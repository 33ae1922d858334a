package openai

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// failure reads an error. What the provider did not put into words gets the unsaid ones.
func failure(status int, h adapters.Header, body []byte, unsaid string) *adapters.Error {
	e := &adapters.Error{Status: status, RetryAfter: retryAfter(h)}
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	sound := strictjson.Valid(body)
	if sound {
		read(e, gjson.Parse(stringOf(body)))
	} else {
		e.Message = plainText(status, body)
	}
	if e.Code == "" {
		e.Code = amazonType(h)
	}
	if e.Message == "" {
		e.Message = unsaid
	}
	e.Class = classify(e)
	if e.Type == "" || e.Type == "error" { // the latter is the type of an event, not of what went wrong
		e.Type = typeOf(e)
	}
	if sound {
		e.Body = openAIShaped(e, body)
	}
	return e
}

// InBand reads an error that came under a 200, as a whole body or as an event. Its status is what it says
// itself, in numbers or in words.
func InBand(h adapters.Header, data []byte) *adapters.Error {
	if root := gjson.Parse(stringOf(data)); root.Get("object").Str == "response" && root.Get("error").IsObject() {
		data = []byte(`{"error":` + root.Get("error").Raw + `}`) // and not all that the response has beside it
	}
	return failure(statedStatus(data), h, bytes.Clone(data), "The provider answered with an error.")
}

// read takes an error out of JSON of any shape: OpenAI and Azure {"error":{message,type,param,code}}, vLLM the
// same without the wrapping, Gemini {"error":{code,message,status}} or that in an array, Anthropic
// {"type":"error","error":{type,message}}, FastAPI {"detail":…}, Mistral {"message":{"detail":[…]}}, Ollama
// {"error":"text"}, Bedrock {"message":…}.
func read(e *adapters.Error, root gjson.Result) {
	root = unwrap(root)
	inner := root.Get("error")
	if !inner.IsObject() {
		inner = root
	}
	e.Message = text(inner, 0)
	e.Type = nonEmptyString(inner.Get("type"))
	e.Param = nonEmptyString(inner.Get("param"))
	e.Code = code(e, inner)
	if list := details(root); list.IsArray() { // FastAPI and Mistral name the field that is wrong
		first := list.Get("0")
		e.Param = location(first.Get("loc"))
		if e.Code == "" {
			e.Code = nonEmptyString(first.Get("type"))
		}
		e.Type = "invalid_request_error"
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = retryDelay(inner)
	}
}

// unwrap gives the object of an answer: Gemini wraps it in an array.
func unwrap(root gjson.Result) gjson.Result {
	if root.IsArray() {
		root = root.Get("0")
	}
	return root
}

// code is a word for machines. A number that only repeats the status gives way to Google's word for it.
func code(e *adapters.Error, inner gjson.Result) string {
	if reason := inner.Get(`details.#(reason=="API_KEY_INVALID").reason`); reason.Exists() {
		return reason.Str // Gemini refuses a key with 400
	}
	c := inner.Get("code")
	if status := inner.Get("status"); status.Type == gjson.String && c.Type != gjson.String {
		return status.Str
	}
	if c.Type == gjson.Number {
		return c.Raw
	}
	return nonEmptyString(c)
}

func details(root gjson.Result) gjson.Result {
	if d := root.Get("detail"); d.Exists() {
		return d
	}
	return root.Get("message.detail")
}

// location joins ["body","messages",0,"role"] to messages.0.role.
func location(loc gjson.Result) string {
	var parts []string
	for i, part := range loc.Array() {
		if i > 0 || part.Str != "body" {
			parts = append(parts, part.String())
		}
	}
	return strings.Join(parts, ".")
}

// text finds the sentence for people, which lies under one of a few names, at most four levels down.
func text(v gjson.Result, level int) string {
	switch {
	case v.Type == gjson.String:
		return strings.TrimSpace(v.Str)
	case level == 4:
		return ""
	case v.IsArray():
		var parts []string
		for i, item := range v.Array() {
			if part := text(item, level+1); part != "" && i < 8 {
				if at := location(item.Get("loc")); at != "" {
					part = at + ": " + part
				}
				parts = append(parts, part)
			}
		}
		return strings.Join(parts, "; ")
	case v.IsObject():
		for _, name := range []string{"message", "Message", "detail", "msg", "error", "errors", "error_description"} {
			if found := text(v.Get(name), level+1); found != "" {
				return found
			}
		}
	}
	return ""
}

func nonEmptyString(v gjson.Result) string {
	if v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// maxText is how much of an answer in plain text becomes a message.
const maxText = 1000

// plainText is the message of an answer that is no JSON. What a server says in plain words about a request is
// worth reading; a page for browsers is not, nor is what a proxy says about its own trouble.
func plainText(status int, body []byte) string {
	body = bytes.TrimSpace(body)
	if status < 400 || status >= 500 || len(body) == 0 || markup(body) {
		return ""
	}
	if len(body) > maxText {
		body = bytes.ToValidUTF8(body[:maxText], nil)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, string(body))
}

// markup tells whether a text is a page, or JSON that is broken.
func markup(body []byte) bool {
	return body[0] == '{' || body[0] == '[' || bytes.IndexByte(body, '<') >= 0 && bytes.IndexByte(body, '>') >= 0
}

func statusMessage(status int) string {
	if words := http.StatusText(status); words != "" {
		return "The provider answered with status " + strconv.Itoa(status) + " (" + words + ")."
	}
	return "The provider answered with status " + strconv.Itoa(status) + "."
}

// IsError tells whether what came under a 200 is an error all the same. An error member that is null, false or
// empty text is none, as the SDKs see it.
func IsError(data []byte) bool {
	root := unwrap(gjson.Parse(stringOf(data)))
	if !root.IsObject() {
		return false
	}
	if truthy(root.Get("error")) || root.Get("object").Str == "error" || root.Get("type").Str == "error" {
		return true
	}
	if root.Get("choices").Exists() || root.Get("object").Exists() || root.Get("id").Exists() {
		return false
	}
	return root.Get("detail").Exists() || root.Get("message").Exists()
}

func isObject(data []byte) bool {
	data = trimSpace(data)
	return len(data) > 0 && data[0] == '{'
}

func truthy(v gjson.Result) bool {
	switch v.Type {
	case gjson.Null, gjson.False:
		return false
	case gjson.Number:
		return v.Num != 0
	case gjson.String:
		return v.Str != ""
	}
	return true
}
