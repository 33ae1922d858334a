// Package groq speaks to Groq, which is compatible with OpenAI but for a few fields.
//
// It owns those differences (https://console.groq.com/docs/openai): what Groq refuses is refused here by name, before
// the call costs anything, and what it would change quietly is changed here openly. It does not own what Groq shares
// with others; that is the family's, in package openai. Groq puts usage into every stream, so Vel does not ask for it.
package groq

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// New is the adapter for Groq at a base URL, which ends before "/chat/completions".
func New(baseURL string) *adapters.Adapter {
	a := openai.New("groq", baseURL, openai.Without(
		adapters.Completions, adapters.Moderations, adapters.ImageGenerations, adapters.ImageEdits,
		adapters.ImageVariations, adapters.ResponsesInputTokens, adapters.ResponsesCompact,
	))
	a.Codecs[adapters.ChatCompletions] = chat{a.Codecs[adapters.ChatCompletions]}
	a.Codecs[adapters.Transcriptions] = transcript{a.Codecs[adapters.Transcriptions]}
	a.Codecs[adapters.Translations] = transcript{a.Codecs[adapters.Translations]}
	return a
}

// chat is the family's codec with Groq's limits.
type chat struct{ adapters.Codec }

// EncodeRequest passes the body but for the model and a temperature of 0, which Groq would read as 1e-8.
func (c chat) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	var temperature adapters.Span
	err := strictjson.Walk(in.Body, func(key []byte, start, end int) error {
		value := in.Body[start:end]
		switch string(key) {
		case "logit_bias", "top_logprobs":
			return unless(value[0] == 'n' || string(value) == "{}" || string(value) == "0", string(key))
		case "logprobs":
			return unless(value[0] != 't', "logprobs")
		case "n":
			return unless(value[0] == 'n' || string(value) == "1", "n")
		case "messages":
			return unnamed(value)
		case "temperature":
			if gjson.ParseBytes(value).Num == 0 && value[0] != 'n' {
				temperature = adapters.Span{Start: start, End: end}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Codec.EncodeRequest(dst, in, model); err != nil || temperature.Empty() {
		return err
	}
	dst.Dropped = append(dst.Dropped, "temperature=1e-8")
	dst.Body = in.Edited(dst.Body[:0], model, adapters.Edit{At: temperature, With: []byte("1e-8")})
	return nil
}

// unnamed refuses messages with a name. Almost no conversation has the word at all.
func unnamed(messages []byte) error {
	if !bytes.Contains(messages, []byte(`"name"`)) {
		return nil
	}
	var err error
	i := 0
	gjson.ParseBytes(messages).ForEach(func(_, message gjson.Result) bool {
		if name := message.Get("name"); name.Exists() && name.Type != gjson.Null && message.Get("role").Str != "tool" {
			err = unless(false, "messages."+strconv.Itoa(i)+".name")
		}
		i++
		return err == nil
	})
	return err
}

func unless(fine bool, field string) error {
	if fine {
		return nil
	}
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "unsupported_parameter",
		Param: field, Message: "Unsupported parameter: '" + field + "' is not supported by Groq with this value.",
	}
}

// transcript is the family's codec without subtitles.
type transcript struct{ adapters.Codec }

// EncodeRequest refuses the formats that Groq does not write.
func (c transcript) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	if format := in.Text(in.Form); format == "srt" || format == "vtt" {
		return unless(false, "response_format")
	}
	return c.Codec.EncodeRequest(dst, in, model)
}
