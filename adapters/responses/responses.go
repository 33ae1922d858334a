// Package responses translates between the two ways to ask a model: chat completions and the Responses API.
//
// It owns both directions: Chat is a codec for chat completions at a provider that has only Responses, OverChat one
// for Responses at a provider that has only chat. What can not be said in the other language is refused by name if
// the answer would be another one, and else listed in Request.Dropped; nothing is lost without a word. It does not own
// what passes: where both sides speak alike, package openai copies bytes.
//
// A chat is stateless, so nothing that lives at the provider can be carried over: previous_response_id, conversation,
// prompt templates and background are refused, and so are the tools that run at the provider.
package responses

import (
	"net/http"
	"strconv"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// refuse says that a field can not be carried.
func refuse(field, why string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "unsupported_parameter",
		Param: field, Message: "Unsupported parameter: '" + field + "' " + why + ".",
	}
}

// notChat is why a field of a chat request is refused.
const notChat = "can not be carried to this model's provider, which speaks only the Responses API"

// notResponses is why a field of a Responses request is refused.
const notResponses = "can not be carried to this model's provider, which speaks only chat completions"

func garbage(message string) *adapters.Error {
	return &adapters.Error{Class: adapters.ClassGarbage, Type: "server_error", Message: message}
}

// writer builds JSON. It knows whether a comma is due by the byte before, since no value ends with a bracket that opens.
type writer struct{ b []byte }

func (w *writer) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' && w.b[n-1] != ':' {
		w.b = append(w.b, ',')
	}
}

// key begins a member; its value follows.
func (w *writer) key(name string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

// open begins an object or an array, as a value or as an item.
func (w *writer) open(bracket byte) {
	w.comma()
	w.b = append(w.b, bracket)
}

func (w *writer) close(bracket byte) { w.b = append(w.b, bracket) }

// value appends JSON as it is.
func (w *writer) value(raw string) {
	w.comma()
	w.b = append(w.b, raw...)
}

// raw is a member with JSON as it is; an empty one is null.
func (w *writer) raw(name, raw string) {
	if raw == "" {
		raw = "null"
	}
	w.key(name)
	w.b = append(w.b, raw...)
}

// text is a member with a string.
func (w *writer) text(name, s string) {
	w.key(name)
	w.b = gjson.AppendJSONString(w.b, s)
}

// number is a member with an integer.
func (w *writer) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// members are those of an object, as they are, but the named ones.
func (w *writer) members(object gjson.Result, but ...string) {
	object.ForEach(func(key, value gjson.Result) bool {
		for _, name := range but {
			if key.Str == name {
				return true
			}
		}
		w.comma()
		w.b = append(append(append(w.b, key.Raw...), ':'), value.Raw...)
		return true
	})
}

func parse(body []byte) gjson.Result {
	return gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
}

// isNull tells whether a value says nothing.
func isNull(v gjson.Result) bool { return v.Type == gjson.Null }

func index(path string, i int) string { return path + "." + strconv.Itoa(i) }
