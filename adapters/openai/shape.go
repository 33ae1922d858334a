package openai

import (
	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// openAIShaped is the provider's own error, if it is an object with an error object that has a message, so that
// members beyond the usual four reach the client. The four are made right where they are not: strict SDKs
// refuse a code that is a number, and all of them want every key to be there. If all is right it is body itself.
func openAIShaped(e *adapters.Error, body []byte) []byte {
	root := unwrap(gjson.Parse(stringOf(body)))
	inner := root.Get("error")
	if !root.IsObject() || !inner.IsObject() || nonEmptyString(inner.Get("message")) == "" {
		return nil
	}
	if isObject(body) && conforms(e, root, inner) {
		return body
	}
	out := append([]byte(nil), `{"error":{"message":`...)
	out = gjson.AppendJSONString(out, inner.Get("message").Str)
	out = append(out, `,"type":`...)
	out = gjson.AppendJSONString(out, e.Type)
	out = append(out, `,"param":`...)
	out = appendNullable(out, e.Param)
	out = append(out, `,"code":`...)
	out = appendNullable(out, e.Code)
	out = appendOthers(out, inner, "message", "type", "param", "code")
	out = append(out, '}')
	out = appendOthers(out, root, "error")
	return append(out, '}')
}

// conforms tells whether each of the four members is there once, with the right type.
func conforms(e *adapters.Error, root, inner gjson.Result) bool {
	var known, errors int
	root.ForEach(func(key, _ gjson.Result) bool {
		if key.Str == "error" {
			errors++
		}
		return true
	})
	right := true
	inner.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "message", "type":
			known++
			right = right && value.Type == gjson.String
		case "code", "param":
			known++
			right = right && (value.Type == gjson.String || value.Type == gjson.Null)
		}
		return true
	})
	return right && known == 4 && errors == 1 && nonEmptyString(inner.Get("code")) == e.Code
}

func appendNullable(out []byte, s string) []byte {
	if s == "" {
		return append(out, "null"...)
	}
	return gjson.AppendJSONString(out, s)
}

// appendOthers appends the members of an object but the named ones, as they are.
func appendOthers(out []byte, object gjson.Result, but ...string) []byte {
	object.ForEach(func(key, value gjson.Result) bool {
		for _, name := range but {
			if key.Str == name {
				return true
			}
		}
		out = append(out, ',')
		out = append(out, key.Raw...)
		out = append(out, ':')
		out = append(out, value.Raw...)
		return true
	})
	return out
}
