package adapters

import (
	"unsafe"

	"github.com/tidwall/gjson"
)

// Edit puts other bytes where a span of a body is; an empty span inserts them there.
type Edit struct {
	At   Span
	With []byte
}

// AppendEdited appends body with its edits, which are in order and do not overlap, in slices of body and of the
// edits: nothing is copied.
func AppendEdited(out [][]byte, body []byte, edits ...Edit) [][]byte {
	done := 0
	for _, e := range edits {
		if e.At.Start > done {
			out = append(out, body[done:e.At.Start])
		}
		if len(e.With) > 0 {
			out = append(out, e.With)
		}
		done = e.At.End
	}
	if done < len(body) {
		out = append(out, body[done:])
	}
	return out
}

// Edited appends the body with the provider's name of the model, and with these edits, at most three and in any
// order, that do not overlap.
func (c *Content) Edited(out [][]byte, model string, edits ...Edit) [][]byte {
	var memory [4]Edit
	all := append(memory[:0], edits...)
	if rename, needed := c.Rename(model); needed {
		all = append(all, rename)
	}
	for i := 1; i < len(all); i++ {
		for j := i; j > 0 && all[j].At.Start < all[j-1].At.Start; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return AppendEdited(out, c.Body, all...)
}

// Rename is the edit that puts another name where the client's model stands, and whether one is needed. In JSON it
// spares the client's quotes, so that the name alone is new and nothing is built; a body without a model gets one.
func (c *Content) Rename(model string) (Edit, bool) {
	at := c.Model
	switch {
	case at.Empty() && c.Boundary != nil:
		part := "--" + string(c.Boundary) + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n"
		return Edit{With: []byte(part)}, true
	case at.Empty():
		return c.Insert(`"model":"` + literal(model) + `"`), true
	case c.Boundary == nil && c.Body[at.Start] != '"': // null
		return Edit{at, []byte(`"` + literal(model) + `"`)}, true
	case c.Boundary == nil:
		at, model = Span{at.Start + 1, at.End - 1}, literal(model)
	}
	return Edit{at, bytesOf(model)}, string(c.Body[at.Start:at.End]) != model
}

// Insert is the edit that makes a member the first one of the body's object.
func (c *Content) Insert(member string) Edit { return insertAt(c.Body, 0, member) }

// insertAt inserts a member into the object that begins at or behind a place in doc.
func insertAt(doc []byte, at int, member string) Edit {
	for doc[at] != '{' {
		at++
	}
	at++
	for i := at; i < len(doc); i++ {
		if c := doc[i]; c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			continue
		} else if c != '}' {
			member += ","
		}
		break
	}
	return Edit{Span{at, at}, bytesOf(member)}
}

// AskUsage is the edit that asks for the usage event at the end of a stream.
func (c *Content) AskUsage() Edit {
	const member = `"include_usage":true`
	switch {
	case !c.IncludeUsage.Empty():
		return Edit{c.IncludeUsage, []byte("true")}
	case c.Options.Empty():
		return c.Insert(`"stream_options":{` + member + `}`)
	case c.Body[c.Options.Start] == 'n': // null
		return Edit{c.Options, []byte("{" + member + "}")}
	}
	return insertAt(c.Body, c.Options.Start, member)
}

// Text is a span of the body as a string: the inside of a JSON string, unescaped, or the bytes of a part. It
// aliases the body if there is nothing to unescape.
func (c *Content) Text(at Span) string {
	value := c.Body[at.Start:at.End]
	if c.Boundary == nil && len(value) >= 2 && value[0] == '"' {
		return unescape(value[1 : len(value)-1])
	}
	return stringOf(value)
}

// literal is a name as it stands between the quotes of a JSON string.
func literal(name string) string {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted := gjson.AppendJSONString(nil, name)
			return string(quoted[1 : len(quoted)-1])
		}
	}
	return name
}

// stringOf and bytesOf show the same memory under the other type. Neither is ever written to.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func bytesOf(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }
