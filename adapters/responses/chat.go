package responses

import (
	"slices"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// Dialect is how a provider's Responses API differs from OpenAI's. The zero Dialect is OpenAI's own.
type Dialect struct {
	// Model gives the members of the request that choose the model, such as "model":"x"; nil: the name as it is.
	Model func(name string) string
	// Same are the fields of a chat request that pass under their own name; nil: those that OpenAI has in both.
	Same []string
	// Tool makes a tool of the provider's from those fields of the chat request that Fields names: JSON, or "". It
	// lists what it had to leave out.
	Tool   func(request gjson.Result) (tool string, dropped []string)
	Fields []string
	// FormatOnTop says that response_format is called that here too, instead of text.format.
	FormatOnTop bool
	// Strict says that parts of a message are text and images, without more to them.
	Strict bool
	// Sources says that what was found on the web comes as output items, which become search_results and citations of
	// the completion.
	Sources bool
}

var sameFields = []string{
	"temperature", "top_p", "parallel_tool_calls", "metadata", "user", "safety_identifier", "prompt_cache_key",
	"prompt_cache_retention", "service_tier",
}

// Chat is the codec for chat completions at a provider that has only Responses.
func Chat(d Dialect) adapters.Codec {
	if d.Same == nil {
		d.Same = sameFields
	}
	return &chat{d}
}

type chat struct{ Dialect }

// EncodeRequest writes a new body.
func (c *chat) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	dst.Method, dst.Path = "POST", "/responses"
	root := parse(in.Body)
	r := chatRequest{Dialect: &c.Dialect, writer: writer{make([]byte, 0, len(in.Body)+512)}}
	r.open('{')
	if c.Model != nil {
		r.value(c.Model(model))
	} else {
		r.text("model", model)
	}
	var err error
	root.ForEach(func(key, value gjson.Result) bool {
		err = r.member(key.Str, value)
		return err == nil
	})
	if err != nil {
		return err
	}
	if in.Stream {
		r.raw("stream", "true")
	}
	r.finish(root)
	r.close('}')
	dst.Body, dst.Dropped = append(dst.Body, r.b), append(dst.Dropped, r.dropped...)
	return nil
}

// chatRequest is a chat request on its way to Responses.
type chatRequest struct {
	*Dialect
	writer
	dropped          []string
	limit            int64  // max_output_tokens
	limited          string // the field that said so
	format, detail   string
	tools            gjson.Result
	stored, hasTools bool
}

func (r *chatRequest) drop(path string) { r.dropped = append(r.dropped, path) }

// member carries one field of the request.
func (r *chatRequest) member(name string, value gjson.Result) error {
	if isNull(value) {
		return nil
	}
	switch name {
	case "model", "stream", "stream_options": // usage always comes with the last event
		return nil
	case "messages":
		return r.messages(value)
	case "max_tokens":
		if r.limit == 0 {
			r.limit, r.limited = value.Int(), name
		}
	case "max_completion_tokens":
		r.limit, r.limited = value.Int(), name
	case "n":
		if value.Num != 1 {
			return refuse("n", notChat)
		}
	case "response_format":
		r.format = value.Raw
	case "verbosity":
		r.detail = value.Raw
	case "reasoning_effort":
		r.key("reasoning")
		r.open('{')
		r.raw("effort", value.Raw)
		r.close('}')
	case "tools":
		r.tools, r.hasTools = value, true
		return r.checkTools(value)
	case "tool_choice":
		return r.toolChoice(value)
	case "store":
		r.stored = value.Bool()
	case "functions", "function_call", "audio":
		return refuse(name, notChat)
	case "modalities":
		if value.Get(`#(=="audio")`).Exists() {
			return refuse(name, notChat)
		}
	default:
		r.other(name, value)
	}
	return nil
}

// other passes a field that both sides have, leaves the provider's own for later, and lists what gets lost.
func (r *chatRequest) other(name string, value gjson.Result) {
	switch {
	case slices.Contains(r.Same, name):
		r.raw(name, value.Raw)
	case slices.Contains(r.Fields, name), neutral(name, value):
	default:
		r.drop(name)
	}
}

// neutral tells whether a value says what is so anyway.
func neutral(name string, v gjson.Result) bool {
	switch name {
	case "frequency_penalty", "presence_penalty", "top_logprobs":
		return v.Num == 0 && v.Type == gjson.Number
	case "logprobs", "return_images", "return_related_questions", "return_videos", "disable_search", "enable_search_classifier":
		return v.Type == gjson.False
	case "search_mode":
		return v.Str == "web"
	case "logit_bias", "stop":
		return v.Raw == "{}" || v.Raw == "[]"
	case "parallel_tool_calls":
		return v.Type == gjson.True
	case "service_tier":
		return v.Str == "auto"
	}
	return false
}

// least is the smallest max_output_tokens there is.
const least = 16

// finish writes what more than one field has a part in.
func (r *chatRequest) finish(root gjson.Result) {
	if r.limit > 0 {
		if r.limit < least {
			r.limit = least
			r.drop(r.limited + "=16")
		}
		r.number("max_output_tokens", r.limit)
	}
	r.toolList(root)
	if r.FormatOnTop {
		if r.format != "" {
			r.raw("response_format", r.format)
		}
		if r.detail != "" {
			r.drop("verbosity")
		}
	} else if r.format != "" || r.detail != "" {
		r.key("text")
		r.open('{')
		if r.format != "" {
			r.key("format")
			r.flat(gjson.Parse(r.format), "json_schema")
		}
		if r.detail != "" {
			r.raw("verbosity", r.detail)
		}
		r.close('}')
	}
	r.key("store") // a response is stored unless told not to, a completion only if told to
	if r.stored {
		r.b = append(r.b, "true"...)
	} else {
		r.b = append(r.b, "false"...)
	}
}

// flat writes {"type":T,"T":{…}} as {"type":T,…}, which is how Responses says it.
func (w *writer) flat(object gjson.Result, inner string) {
	w.open('{')
	w.members(object, inner)
	w.members(object.Get(inner))
	w.close('}')
}

// checkTools refuses what has another meaning there.
func (r *chatRequest) checkTools(list gjson.Result) error {
	var err error
	i := 0
	list.ForEach(func(_, tool gjson.Result) bool {
		if tool.Get("type").Str == "custom" {
			err = refuse(index("tools", i)+".type", notChat)
		}
		i++
		return err == nil
	})
	return err
}

// toolList writes functions flat. A function of a chat is lenient unless it says strict, one of a response strict
// unless it says not.
func (r *chatRequest) toolList(root gjson.Result) {
	own := ""
	if r.Tool != nil {
		var lost []string
		own, lost = r.Tool(root)
		r.dropped = append(r.dropped, lost...)
	}
	if !r.hasTools && own == "" {
		return
	}
	r.key("tools")
	r.open('[')
	r.tools.ForEach(func(_, tool gjson.Result) bool {
		f := tool.Get("function")
		if tool.Get("type").Str != "function" || !f.IsObject() {
			r.value(tool.Raw)
			return true
		}
		r.open('{')
		r.raw("type", `"function"`)
		r.members(f, "strict", "parameters")
		if p := f.Get("parameters"); p.IsObject() {
			r.raw("parameters", p.Raw)
		} else {
			r.raw("parameters", `{"type":"object","properties":{}}`)
		}
		if f.Get("strict").Bool() {
			r.raw("strict", "true")
		} else {
			r.raw("strict", "false")
		}
		r.close('}')
		return true
	})
	if own != "" {
		r.value(own)
	}
	r.close(']')
}

func (r *chatRequest) toolChoice(choice gjson.Result) error {
	switch kind := choice.Get("type").Str; {
	case choice.Type == gjson.String:
		r.raw("tool_choice", choice.Raw)
	case kind == "function":
		r.key("tool_choice")
		r.flat(choice, "function")
	case kind == "allowed_tools":
		r.key("tool_choice")
		r.open('{')
		r.raw("type", `"allowed_tools"`)
		r.raw("mode", choice.Get("allowed_tools.mode").Raw)
		r.key("tools")
		r.open('[')
		choice.Get("allowed_tools.tools").ForEach(func(_, tool gjson.Result) bool {
			r.flat(tool, "function")
			return true
		})
		r.close(']')
		r.close('}')
	default:
		return refuse("tool_choice", notChat)
	}
	return nil
}

// DecodeError understands every shape of an error.
func (c *chat) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return openai.DecodeError(status, h, body)
}

// DecodeResponse makes a chat completion of a response.
func (c *chat) DecodeResponse(out [][]byte, _ *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	var usage adapters.Usage
	if !strictjson.Valid(body) {
		return out, usage, garbage("The provider answered with something that is not JSON.")
	}
	response := parse(body)
	switch status := response.Get("status").Str; {
	case status == "failed", status == "cancelled", openai.IsError(body):
		return out, usage, failed(h, response)
	case !response.Get("output").IsArray(), status != "" && status != "completed" && status != "incomplete" && status != "requires_action":
		return out, usage, garbage("The provider answered with JSON that is not a finished response.")
	}
	usage, _ = openai.ResponseUsage(response.Raw)
	return append(out, c.completion(response)), usage, nil
}

// failed is the error of a response that says it failed, which comes with status 200.
func failed(h adapters.Header, response gjson.Result) *adapters.Error {
	if response.Get("status").Str == "cancelled" && !response.Get("error").IsObject() {
		return openai.InBand(h, []byte(`{"error":{"message":"The provider cancelled the response.","type":"server_error"}}`))
	}
	return openai.InBand(h, []byte(response.Raw))
}
