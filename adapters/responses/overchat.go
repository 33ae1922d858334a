package responses

import (
	"slices"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// OverChat is the codec for Responses at a provider that has only chat completions. It writes a chat request and gives
// it to the provider's own codec, so that what that provider does otherwise is minded here, too.
//
// Carried are instructions, messages with texts, images and files, function calls with their outputs, function tools,
// structured outputs, reasoning effort and streams. Items of reasoning are left out and listed; tools that run at the
// provider, references to stored objects and everything that continues from one are refused.
func OverChat(chat adapters.Codec) adapters.Codec { return &overChat{chat} }

type overChat struct{ chat adapters.Codec }

// EncodeRequest writes a chat request.
func (o *overChat) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	r := responsesRequest{writer: writer{make([]byte, 0, len(in.Body)+512)}}
	r.open('{')
	r.raw("model", `"-"`)
	root := parse(in.Body)
	if err := r.messages(root); err != nil {
		return err
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
		r.raw("stream_options", `{"include_usage":true}`)
	}
	r.close('}')
	asked := adapters.Content{Endpoint: adapters.ChatCompletions, Method: in.Method, ContentType: in.ContentType}
	var q adapters.Question
	if err := adapters.Parse(r.b, &asked, &q); err != nil {
		return err
	}
	if err := o.chat.EncodeRequest(dst, &asked, model); err != nil {
		return err
	}
	dst.Dropped = append(dst.Dropped, r.dropped...)
	return nil
}

// responsesRequest is a Responses request on its way to chat.
type responsesRequest struct {
	writer
	dropped []string
}

func (r *responsesRequest) drop(path string) { r.dropped = append(r.dropped, path) }

// member carries one field of the request.
func (r *responsesRequest) member(name string, value gjson.Result) error {
	if isNull(value) {
		return nil
	}
	switch name {
	case "model", "input", "instructions", "stream", "stream_options", "metadata": // metadata is only given back
	case "previous_response_id", "conversation", "prompt":
		return refuse(name, notResponses)
	case "background":
		if value.Bool() {
			return refuse(name, notResponses)
		}
	case "max_output_tokens":
		r.raw("max_tokens", value.Raw)
	case "text":
		r.textOptions(value)
	case "reasoning":
		r.reasoningOptions(value)
	case "tools":
		return r.tools(value)
	case "tool_choice":
		return r.toolChoice(value)
	case "store":
		if value.Bool() {
			r.drop("store=false")
		}
	case "truncation":
		if value.Str != "disabled" {
			r.drop(name)
		}
	default:
		switch {
		case slices.Contains(sameFields, name):
			r.raw(name, value.Raw)
		case name == "include" && value.Raw == "[]", neutral(name, value):
		default:
			r.drop(name)
		}
	}
	return nil
}

func (r *responsesRequest) textOptions(text gjson.Result) {
	if verbosity := text.Get("verbosity"); verbosity.Type == gjson.String {
		r.raw("verbosity", verbosity.Raw)
	}
	format := text.Get("format")
	switch format.Get("type").Str {
	case "", "text":
	case "json_schema":
		r.key("response_format")
		r.open('{')
		r.raw("type", `"json_schema"`)
		r.key("json_schema")
		r.open('{')
		r.members(format, "type")
		r.close('}')
		r.close('}')
	default:
		r.raw("response_format", format.Raw)
	}
}

func (r *responsesRequest) reasoningOptions(reasoning gjson.Result) {
	reasoning.ForEach(func(key, value gjson.Result) bool {
		switch {
		case isNull(value):
		case key.Str == "effort":
			r.raw("reasoning_effort", value.Raw)
		default:
			r.drop("reasoning." + key.Str)
		}
		return true
	})
}

// tools nests functions again. Any other tool would run at the provider.
func (r *responsesRequest) tools(list gjson.Result) error {
	if len(list.Array()) == 0 {
		return nil
	}
	r.key("tools")
	r.open('[')
	var err error
	i := 0
	list.ForEach(func(_, tool gjson.Result) bool {
		if tool.Get("type").Str != "function" {
			err = refuse(index("tools", i)+".type", notResponses)
		}
		r.nested(tool)
		i++
		return err == nil
	})
	r.close(']')
	return err
}

// nested writes {"type":"function",…} as {"type":"function","function":{…}}.
func (r *responsesRequest) nested(tool gjson.Result) {
	r.open('{')
	r.raw("type", `"function"`)
	r.key("function")
	r.open('{')
	r.members(tool, "type")
	r.close('}')
	r.close('}')
}

func (r *responsesRequest) toolChoice(choice gjson.Result) error {
	switch kind := choice.Get("type").Str; {
	case choice.Type == gjson.String:
		r.raw("tool_choice", choice.Raw)
	case kind == "function":
		r.key("tool_choice")
		r.nested(choice)
	default:
		return refuse("tool_choice", notResponses)
	}
	return nil
}

// DecodeResponse makes a response of a chat completion.
func (o *overChat) DecodeResponse(out [][]byte, in *adapters.Content, h adapters.Header, body []byte) ([][]byte, adapters.Usage, error) {
	before := len(out)
	out, usage, err := o.chat.DecodeResponse(out, in, h, body)
	if err != nil {
		return out, usage, err
	}
	completion := parse(body)
	choice := completion.Get("choices.0")
	if !choice.IsObject() {
		return out[:before], usage, garbage("The provider answered with a chat completion that has no choices.")
	}
	s := shell{request: parse(in.Body), id: completion.Get("id").String(), model: completion.Get("model").String(), created: completion.Get("created").Int()}
	message := choice.Get("message")
	var items [][]byte
	if text := reasoningOf(message); text != "" {
		items = append(items, reasoningItem("rs_"+s.id, text))
	}
	if content, refusal := message.Get("content"), message.Get("refusal"); content.String() != "" || refusal.String() != "" {
		items = append(items, messageItem("msg_"+s.id, "completed", joined(content), refusal.String(), notes(message)))
	}
	message.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
		f := call.Get("function")
		items = append(items, callItem(call.Get("id").Str, f.Get("name").String(), arguments(f), "completed"))
		return true
	})
	var w writer
	s.write(&w, choice.Get("finish_reason").Str, items, completion.Get("usage"))
	return append(out[:before], w.b), usage, nil
}

// reasoningOf is what a model thought, under either of the names that providers have for it.
func reasoningOf(message gjson.Result) string {
	if text := message.Get("reasoning_content"); text.Type == gjson.String {
		return text.Str
	}
	if text := message.Get("reasoning"); text.Type == gjson.String {
		return text.Str
	}
	return ""
}

// notes are the citations of a message in the form of Responses.
func notes(message gjson.Result) string {
	w := writer{[]byte("[")}
	message.Get("annotations").ForEach(func(_, note gjson.Result) bool {
		w.flat(note, "url_citation")
		return true
	})
	w.close(']')
	return string(w.b)
}

// DecodeError is the provider's own.
func (o *overChat) DecodeError(status int, h adapters.Header, body []byte) *adapters.Error {
	return o.chat.DecodeError(status, h, body)
}
