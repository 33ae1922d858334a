package adapters

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"unicode"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters/strictjson"
)

// Chat is what Vel reads of a chat request, beside what Content keeps of it.
type Chat struct {
	Model               string // the public name, unescaped; aliases the body if it is spelled without escapes
	MaxTokens           int64  // max_tokens, at most 2^31-1; 0 if it was not said, is null or sets no limit
	MaxCompletionTokens int64  // max_completion_tokens, likewise
}

// ParseChat checks the body of a chat request and reads it into c (Body, Model, Stream, UsageAsked, Choices) and
// q, in one pass and without allocation. The body must be one JSON object in valid UTF-8, nested at most
// strictjson.MaxDepth levels deep. Only the exact keys count, however they are escaped; a key that Vel reads
// may stand there once, since of two values Vel would believe one and the provider the other.
//
// An error is an *Error of ClassInvalid in the words that OpenAI uses, naming the field and what was expected.
func ParseChat(body []byte, c *Content, q *Chat) error {
	c.Body, c.Model, c.Stream, c.UsageAsked, c.Choices = body, Span{}, false, false, 0
	*q = Chat{}
	if err := topLevelObject(body); err != nil {
		return err
	}
	p := chatParser{body: body, content: c, chat: q}
	if err := strictjson.Walk(body, func(key []byte, start, end int) error { return p.member(key, start, end) }); err != nil {
		return refusal(err)
	}
	switch {
	case !p.seen[fieldModel]:
		return missing("model")
	case !p.seen[fieldMessages]:
		return missing("messages")
	}
	return nil
}

// topLevelObject refuses other JSON before it is walked; what is no JSON at all is the walker's to refuse.
func topLevelObject(body []byte) error {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return invalid("", "invalid_json", "The request body is empty; a JSON object was expected.")
	}
	if trimmed[0] != '{' && strictjson.Valid(body) {
		return invalid("", "invalid_type", "Invalid type for the request body: expected an object, but got "+kindOf(trimmed)+" instead.")
	}
	return nil
}

// refusal turns a fault of the walker's into the client's error; a fault of a member is one already.
func refusal(err error) error {
	var fault *strictjson.Error
	switch {
	case !errors.As(err, &fault):
		return err
	case fault.Deep:
		return invalid("", "nesting_too_deep", fmt.Sprintf("The request body is nested deeper than %d levels.", strictjson.MaxDepth))
	}
	return invalid("", "invalid_json", "The request body is not valid JSON: "+fault.Error()+".")
}

// The fields that Vel reads.
const (
	fieldModel = iota
	fieldMessages
	fieldStream
	fieldStreamOptions
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldN
	fields
)

type chatParser struct {
	body    []byte
	content *Content
	chat    *Chat
	seen    [fields]bool
	asked   bool // stream_options.include_usage has been seen
}

func (p *chatParser) member(key []byte, start, end int) error {
	value := p.body[start:end]
	switch unescape(key) {
	case "model":
		p.content.Model = Span{start, end}
		return p.once(fieldModel, "model", p.model(value))
	case "messages":
		return p.once(fieldMessages, "messages", expect(value, '[', false, "messages", "an array of objects"))
	case "stream":
		p.content.Stream = value[0] == 't'
		return p.once(fieldStream, "stream", boolean(value, "stream"))
	case "stream_options":
		return p.once(fieldStreamOptions, "stream_options", p.streamOptions(value))
	case "max_tokens":
		return p.once(fieldMaxTokens, "max_tokens", integer(&p.chat.MaxTokens, value, "max_tokens"))
	case "max_completion_tokens":
		return p.once(fieldMaxCompletionTokens, "max_completion_tokens", integer(&p.chat.MaxCompletionTokens, value, "max_completion_tokens"))
	case "n":
		var n int64
		err := integer(&n, value, "n")
		p.content.Choices = int(min(n, math.MaxInt32))
		return p.once(fieldN, "n", err)
	}
	return nil
}

// once refuses a second value, before what may be wrong with that value itself.
func (p *chatParser) once(field int, name string, err error) error {
	if p.seen[field] {
		return duplicate(name)
	}
	p.seen[field] = true
	return err
}

func (p *chatParser) model(value []byte) error {
	if err := expect(value, '"', false, "model", "a string"); err != nil {
		return err
	}
	name := unescape(value[1 : len(value)-1])
	if name == "" {
		return invalid("model", "empty_string", "Invalid 'model': empty string. Expected the name of a model.")
	}
	if strings.IndexFunc(name, unicode.IsControl) >= 0 {
		return invalid("model", "invalid_value", "Invalid 'model': control characters are not allowed.")
	}
	p.chat.Model = name
	return nil
}

func (p *chatParser) streamOptions(value []byte) error {
	if err := expect(value, '{', true, "stream_options", "an object or null"); err != nil || value[0] == 'n' {
		return err
	}
	return strictjson.Walk(value, func(key []byte, start, end int) error {
		if unescape(key) != "include_usage" {
			return nil
		}
		if p.asked {
			return duplicate("stream_options.include_usage")
		}
		p.asked = true
		p.content.UsageAsked = value[start] == 't'
		return boolean(value[start:end], "stream_options.include_usage")
	})
}

// unescape reads the inside of a JSON string. It aliases s unless there is something to replace.
func unescape(s []byte) string {
	plain := unsafe.String(unsafe.SliceData(s), len(s))
	if strings.IndexByte(plain, '\\') < 0 {
		return plain
	}
	return gjson.Parse(`"` + plain + `"`).String()
}

func boolean(value []byte, name string) error {
	if value[0] == 't' {
		return nil
	}
	return expect(value, 'f', true, name, "a boolean")
}

// integer reads a number that limits something. What is below one sets no limit here: whether it means "all
// that the model can" or is wrong is the provider's to say.
func integer(dst *int64, value []byte, name string) error {
	if c := value[0]; c != '-' && c-'0' >= 10 {
		return expect(value, 'n', true, name, "an integer")
	}
	f := math.Ceil(gjson.Parse(unsafe.String(unsafe.SliceData(value), len(value))).Num)
	*dst = int64(min(max(f, 0), math.MaxInt32))
	return nil
}

// expect compares the first byte of a sound value, which tells its type.
func expect(value []byte, first byte, nullable bool, name, wanted string) error {
	if value[0] == first || nullable && value[0] == 'n' {
		return nil
	}
	return invalid(name, "invalid_type", "Invalid type for '"+name+"': expected "+wanted+", but got "+kindOf(value)+" instead.")
}

func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	if bytes.ContainsAny(value, ".eE") {
		return "a decimal number"
	}
	return "an integer"
}

func missing(name string) error {
	return invalid(name, "missing_required_parameter", "Missing required parameter: '"+name+"'.")
}

func duplicate(name string) error {
	return invalid(name, "duplicate_parameter", "Duplicate parameter: '"+name+"' may be given only once.")
}

func invalid(param, code, message string) error {
	return &Error{Class: ClassInvalid, Status: http.StatusBadRequest, Type: "invalid_request_error", Code: code, Param: param, Message: message}
}
