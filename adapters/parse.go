package adapters

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters/strictjson"
)

// Question is what Vel reads of a request beside what Content keeps of it.
type Question struct {
	Model               string // the public name, unescaped; aliases the body if it is spelled without escapes
	MaxTokens           int64  // max_tokens or max_output_tokens, at most 2^31-1; 0 if it was not said, is null or sets no limit
	MaxCompletionTokens int64  // max_completion_tokens, likewise
	Input               Span   // what is asked: the value of messages, input or prompt; empty in parts

	// What binds the call to one account at one provider. Ids are unescaped.
	PreviousResponse string // previous_response_id
	Conversation     string // conversation, or its id
	Background       bool   // the answer is to be fetched later

	// Names says that the body may name something that a provider keeps, for Named to find out what.
	Names bool
}

// Parse checks the body of a request and reads it into c and q, in one pass. c.Endpoint, c.ContentType and
// c.Deployment must be set, and c.Method for Objects.
//
// The body is one JSON object in valid UTF-8, nested at most strictjson.MaxDepth levels deep, which costs no
// allocation; or for endpoints that take files a form in parts. Only the exact names count, however they are
// escaped; a field that Vel reads may stand there once, since of two values Vel would believe one and the provider
// the other. The body of a call on Objects is not read.
//
// An error is an *Error of ClassInvalid in the words that OpenAI uses, naming the field and what was expected.
func Parse(body []byte, c *Content, q *Question) error {
	*q = Question{}
	c.Body, c.Boundary, c.Stored = body, nil, c.Endpoint == Responses
	c.Model, c.Options, c.IncludeUsage, c.Form = Span{}, Span{}, Span{}, Span{}
	c.Stream, c.UsageAsked, c.Choices = false, false, 0
	if c.Endpoint == Objects {
		return nil
	}
	p := parser{body: body, content: c, question: q, shape: &shapes[c.Endpoint%endpoints]}
	var err error
	if isForm(c.ContentType) {
		err = p.parts()
	} else {
		err = p.object()
	}
	if err != nil {
		return err
	}
	return p.complete()
}

// shape is what Vel reads of an endpoint's requests.
type shape struct {
	reads  fieldSet
	needs  field  // what must be there beside the model; none if 0
	model  string // what an absent model means, by OpenAI's document; "" if it must be there
	inForm bool   // the body may come in parts

	names func(key []byte) bool // whether a member with this key may name what a provider keeps; nil: none does
}

var shapes = [endpoints]shape{
	ChatCompletions: {
		reads: set(fieldModel, fieldMessages, fieldStream, fieldStreamOptions, fieldMaxTokens, fieldMaxCompletionTokens, fieldN, fieldStore),
		needs: fieldMessages, names: mayName,
	},
	Responses: {reads: set(fieldModel, fieldInput, fieldStream, fieldMaxOutputTokens,
		fieldPreviousResponse, fieldConversation, fieldBackground, fieldStore), names: mayNameItem},
	ResponsesInputTokens: {reads: set(fieldModel, fieldInput, fieldPreviousResponse, fieldConversation), names: mayNameItem},
	ResponsesCompact:     {reads: set(fieldModel, fieldInput, fieldPreviousResponse), names: mayNameItem},
	Embeddings:           {reads: set(fieldModel, fieldInput, fieldEncodingFormat), needs: fieldInput},
	Completions:          {reads: set(fieldModel, fieldPrompt, fieldStream, fieldStreamOptions, fieldMaxTokens, fieldN), needs: fieldPrompt},
	Moderations:          {reads: set(fieldModel, fieldInput), needs: fieldInput, model: "omni-moderation-latest"},
	ImageGenerations:     {reads: set(fieldModel, fieldPrompt, fieldStream, fieldN, fieldResponseFormat), needs: fieldPrompt, model: "dall-e-2", names: mayName},
	ImageEdits:           {reads: set(fieldModel, fieldStream, fieldN, fieldResponseFormat), model: "dall-e-2", inForm: true, names: mayName},
	ImageVariations:      {reads: set(fieldModel, fieldN, fieldResponseFormat), model: "dall-e-2", inForm: true},
	Speech:               {reads: set(fieldModel, fieldInput, fieldStreamFormat, fieldResponseFormat), needs: fieldInput},
	Transcriptions:       {reads: set(fieldModel, fieldStream, fieldResponseFormat), inForm: true},
	Translations:         {reads: set(fieldModel, fieldResponseFormat), inForm: true},
}

// field is a field that Vel reads.
type field uint8

const (
	fieldNone field = iota
	fieldModel
	fieldMessages
	fieldInput
	fieldPrompt
	fieldStream
	fieldStreamOptions
	fieldStreamFormat
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldMaxOutputTokens
	fieldN
	fieldEncodingFormat
	fieldResponseFormat
	fieldPreviousResponse
	fieldConversation
	fieldBackground
	fieldStore
	fields
)

var fieldNames = [fields]string{
	"", "model", "messages", "input", "prompt", "stream", "stream_options", "stream_format", "max_tokens",
	"max_completion_tokens", "max_output_tokens", "n", "encoding_format", "response_format", "previous_response_id",
	"conversation", "background", "store",
}

func fieldNamed(name string) field {
	switch name {
	case "model":
		return fieldModel
	case "messages":
		return fieldMessages
	case "input":
		return fieldInput
	case "prompt":
		return fieldPrompt
	case "stream":
		return fieldStream
	case "stream_options":
		return fieldStreamOptions
	case "stream_format":
		return fieldStreamFormat
	case "max_tokens":
		return fieldMaxTokens
	case "max_completion_tokens":
		return fieldMaxCompletionTokens
	case "max_output_tokens":
		return fieldMaxOutputTokens
	case "n":
		return fieldN
	case "encoding_format":
		return fieldEncodingFormat
	case "response_format":
		return fieldResponseFormat
	case "previous_response_id":
		return fieldPreviousResponse
	case "conversation":
		return fieldConversation
	case "background":
		return fieldBackground
	case "store":
		return fieldStore
	}
	return fieldNone
}

type fieldSet uint32

func set(list ...field) (s fieldSet) {
	for _, f := range list {
		s |= 1 << f
	}
	return s
}

func (s fieldSet) has(f field) bool { return s>>f&1 == 1 }

type parser struct {
	body     []byte
	content  *Content
	question *Question
	shape    *shape
	seen     fieldSet
	asked    bool // stream_options.include_usage has been seen
}

// object reads a JSON body.
func (p *parser) object() error {
	if err := topLevelObject(p.body); err != nil {
		return err
	}
	var err error
	p.question.Names, err = strictjson.WalkNoting(p.body, p.shape.names, func(key []byte, start, end int) error {
		return p.member(key, Span{start, end})
	})
	if err != nil {
		return refusal(err)
	}
	return nil
}

// complete checks what must be there, once all has been seen.
func (p *parser) complete() error {
	if p.content.Deployment != "" {
		p.question.Model = p.content.Deployment
		if err := checkName(p.question.Model); err != nil {
			return err
		}
	}
	if p.question.Model == "" {
		if p.question.Model = p.shape.model; p.question.Model == "" {
			return missing("model")
		}
	}
	if need := p.shape.needs; need != fieldNone && !p.seen.has(need) {
		return missing(fieldNames[need])
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

// once notes a field and refuses its second value, before what may be wrong with that value itself.
func (p *parser) once(f field) error {
	if p.seen.has(f) {
		return duplicate(fieldNames[f])
	}
	p.seen |= 1 << f
	return nil
}

// member reads one member of the body's object.
func (p *parser) member(key []byte, at Span) error {
	f := fieldNamed(unescape(key))
	if f == fieldNone || !p.shape.reads.has(f) {
		return nil
	}
	if err := p.once(f); err != nil {
		return err
	}
	value, name := p.body[at.Start:at.End], fieldNames[f]
	switch f {
	case fieldModel:
		return p.model(value, at)
	case fieldMessages:
		p.question.Input = at
		return expect(value, '[', false, name, "an array of objects")
	case fieldInput, fieldPrompt:
		return p.input(value, at, name)
	case fieldStream:
		p.content.Stream = value[0] == 't'
		return boolean(value, name)
	case fieldStreamOptions:
		p.content.Options = at
		return p.streamOptions(value, at.Start)
	case fieldStreamFormat:
		p.content.Stream = string(value) == `"sse"`
		return expect(value, '"', true, name, "a string")
	case fieldMaxTokens, fieldMaxOutputTokens:
		return integer(&p.question.MaxTokens, value, name)
	case fieldMaxCompletionTokens:
		return integer(&p.question.MaxCompletionTokens, value, name)
	case fieldN:
		var n int64
		err := integer(&n, value, name)
		p.content.Choices = int(min(n, math.MaxInt32))
		return err
	case fieldEncodingFormat, fieldResponseFormat:
		return p.form(value, at, name)
	}
	return p.binding(f, value)
}

// binding reads what ties a call to an account.
func (p *parser) binding(f field, value []byte) error {
	name := fieldNames[f]
	switch f {
	case fieldPreviousResponse:
		return text(&p.question.PreviousResponse, value, name)
	case fieldConversation:
		if value[0] != '{' {
			return text(&p.question.Conversation, value, name)
		}
		id := gjson.Get(stringOf(value), "id")
		if id.Type != gjson.String {
			return missing("conversation.id")
		}
		p.question.Conversation = id.Str
		return nil
	case fieldBackground:
		p.question.Background = value[0] == 't'
	case fieldStore:
		if value[0] != 'n' {
			p.content.Stored = value[0] == 't'
		}
	}
	return boolean(value, name)
}

func (p *parser) model(value []byte, at Span) error {
	if err := expect(value, '"', p.shape.model != "", "model", "a string"); err != nil {
		return err
	}
	p.content.Model = at
	if value[0] == 'n' { // null where the model may be absent: the default
		return nil
	}
	name := unescape(value[1 : len(value)-1])
	p.question.Model = name
	return checkName(name)
}

func checkName(name string) error {
	if name == "" {
		return invalid("model", "empty_string", "Invalid 'model': empty string. Expected the name of a model.")
	}
	if strings.IndexFunc(name, unicode.IsControl) >= 0 {
		return invalid("model", "invalid_value", "Invalid 'model': control characters are not allowed.")
	}
	return nil
}

// input is a text or an array of texts, tokens or items; nobody but the provider needs more of it.
func (p *parser) input(value []byte, at Span, name string) error {
	p.question.Input = at
	switch {
	case value[0] == '"', value[0] == '[' && p.content.Endpoint != Speech && p.content.Endpoint != ImageGenerations:
		return nil
	case value[0] == '{' && p.content.Endpoint == Moderations:
		return nil
	case value[0] == 'n' && p.shape.needs == fieldNone:
		return nil
	case p.content.Endpoint == Speech, p.content.Endpoint == ImageGenerations:
		return expect(value, '"', false, name, "a string")
	}
	return expect(value, '"', false, name, "a string or an array")
}

// form is the name of a format.
func (p *parser) form(value []byte, at Span, name string) error {
	if value[0] == '"' {
		p.content.Form = at
	}
	return expect(value, '"', true, name, "a string")
}

func (p *parser) streamOptions(value []byte, offset int) error {
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
		p.content.IncludeUsage = Span{offset + start, offset + end}
		p.content.UsageAsked = value[start] == 't'
		return boolean(value[start:end], "stream_options.include_usage")
	})
}

// unescape reads the inside of a JSON string. It aliases s unless there is something to replace.
func unescape(s []byte) string {
	plain := stringOf(s)
	if strings.IndexByte(plain, '\\') < 0 {
		return plain
	}
	return gjson.Parse(`"` + plain + `"`).String()
}

// text reads a string, or null as none.
func text(dst *string, value []byte, name string) error {
	if value[0] == '"' {
		*dst = unescape(value[1 : len(value)-1])
	}
	return expect(value, '"', true, name, "a string")
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
	f := math.Ceil(gjson.Parse(stringOf(value)).Num)
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
