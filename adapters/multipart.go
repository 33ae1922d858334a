package adapters

import (
	"bytes"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of a form. Real forms have ten parts with heads of a hundred bytes.
const (
	maxParts    = 1024
	maxPartHead = 8 << 10
)

// IsForm tells whether the body is said to come in parts.
func (c *Content) IsForm() bool { return isForm(c.ContentType) }

// isForm tells whether a body comes in parts.
func isForm(contentType []byte) bool {
	const kind = "multipart/"
	return len(contentType) > len(kind) && strings.EqualFold(string(contentType[:len(kind)]), kind)
}

// parts reads a body in parts (RFC 7578). It looks at each byte once, for the boundary; of a part that Vel does not
// read it knows only where it ends. The line ends must be CRLF and each part must have exactly one name: where
// readers of forms disagree about what a body says, Vel refuses it, so that nobody gets a model past it.
func (p *parser) parts() error {
	if !p.shape.inForm {
		return invalid("", "unsupported_content_type", "This endpoint expects a JSON body, but the content type is multipart.")
	}
	boundary, err := boundaryOf(p.content.ContentType)
	if err != nil {
		return err
	}
	p.content.Boundary = boundary
	var buf [80]byte // "\r\n--" and at most 70 characters
	delimiter := append(append(buf[:0], "\r\n--"...), boundary...)
	rest, ok := bytes.CutPrefix(p.body, delimiter[2:])
	if !ok {
		return malformed("it does not begin with the boundary that the content type names")
	}
	for range maxParts {
		if tail, ok := bytes.CutPrefix(rest, []byte("--")); ok {
			if len(bytes.TrimRight(tail, " \t\r\n")) > 0 {
				return malformed("something follows its end")
			}
			return nil
		}
		if rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, " \t"), []byte("\r\n")); !ok {
			return malformed("a boundary is not followed by a line end")
		}
		name, file, start, err := p.partHead(rest)
		if err != nil {
			return err
		}
		rest = rest[start:]
		size := indexDelimiter(rest, delimiter)
		if size < 0 {
			return malformed("it ends before its last boundary")
		}
		at := Span{Start: len(p.body) - len(rest)}
		at.End = at.Start + size
		if err := p.part(name, file, at); err != nil {
			return err
		}
		rest = rest[size+len(delimiter):]
	}
	return malformed("it has more than " + strconv.Itoa(maxParts) + " parts")
}

// boundaryOf reads the content type.
func boundaryOf(contentType []byte) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(string(contentType))
	boundary := params["boundary"]
	switch {
	case err != nil || strings.Contains(string(contentType), "*"): // boundary*0=… is for readers of mail
		return nil, malformed("its content type can not be read")
	case kind != "multipart/form-data":
		return nil, malformed("its content type is not multipart/form-data")
	case boundary == "":
		return nil, malformed("its content type names no boundary")
	case len(boundary) > 70 || strings.HasSuffix(boundary, " ") || strings.ContainsFunc(boundary, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return nil, malformed("its boundary is not one of at most 70 printable characters")
	}
	return []byte(boundary), nil
}

// indexDelimiter is bytes.Index for a delimiter that may be longer than what it is fast for.
func indexDelimiter(body, delimiter []byte) int {
	const fast = 60
	if len(delimiter) <= fast {
		return bytes.Index(body, delimiter)
	}
	for from := 0; ; {
		i := bytes.Index(body[from:], delimiter[:fast])
		if i < 0 {
			return -1
		}
		if from += i; bytes.HasPrefix(body[from:], delimiter) {
			return from
		}
		from++
	}
}

// partHead reads the fields before a part's bytes, up to the empty line, and says where the bytes start.
func (p *parser) partHead(rest []byte) (name string, file bool, start int, err error) {
	head := rest[:min(len(rest), maxPartHead)]
	found := false
	for {
		n := bytes.Index(head, []byte("\r\n"))
		if n < 0 {
			return "", false, 0, malformed(fmt.Sprintf("the head of a part does not end within %d bytes", maxPartHead))
		}
		line := head[:n]
		head, start = head[n+2:], start+n+2
		if n == 0 {
			break
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok || bytes.ContainsAny(line, "\r\n\x00") || line[0] == ' ' || line[0] == '\t':
			return "", false, 0, malformed("a part has a field that is none")
		case bytes.EqualFold(key, []byte("Content-Transfer-Encoding")) && !plainTransfer(value):
			return "", false, 0, malformed("a part has a transfer encoding")
		case !bytes.EqualFold(key, []byte("Content-Disposition")):
			continue
		case found:
			return "", false, 0, malformed("a part has two dispositions")
		}
		found = true
		if name, file, ok = disposition(value); !ok {
			return "", false, 0, malformed("a part has no readable name")
		}
	}
	if !found {
		return "", false, 0, malformed("a part has no name")
	}
	return name, file, start, nil
}

func plainTransfer(value []byte) bool {
	switch strings.ToLower(string(bytes.TrimSpace(value))) {
	case "binary", "8bit", "7bit":
		return true
	}
	return false
}

// disposition reads: form-data; name="file"; filename="x.mp3". Browsers write a quote in a name as %22, others as
// \"; what is behind the name matters only for whether it is a file.
func disposition(value []byte) (name string, file, ok bool) {
	kind, rest, _ := bytes.Cut(value, []byte(";"))
	if !bytes.EqualFold(bytes.TrimSpace(kind), []byte("form-data")) {
		return "", false, false
	}
	named := false
	for {
		if rest = bytes.TrimLeft(rest, " \t;"); len(rest) == 0 {
			return name, file, named
		}
		key, behind, found := bytes.Cut(rest, []byte("="))
		if !found {
			return "", false, false
		}
		text, after, good := parameter(behind)
		if !good {
			return "", false, false
		}
		switch strings.ToLower(string(bytes.TrimSpace(key))) {
		case "name":
			if named || strings.IndexByte(text, '\\') >= 0 { // some take "mo\del" for "model", some do not
				return "", false, false
			}
			name, named = text, true
		case "name*":
			return "", false, false
		case "filename", "filename*":
			file = true
		}
		rest = after
	}
}

// parameter reads a value, quoted or not, and what is behind it.
func parameter(s []byte) (value string, rest []byte, ok bool) {
	s = bytes.TrimLeft(s, " \t")
	if len(s) == 0 || s[0] != '"' {
		value, rest, _ := bytes.Cut(s, []byte(";"))
		return string(bytes.TrimSpace(value)), rest, true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			rest = bytes.TrimLeft(s[i+1:], " \t")
			return string(s[1:i]), rest, len(rest) == 0 || rest[0] == ';'
		}
	}
	return "", nil, false
}

// part reads the value of a field.
func (p *parser) part(name string, file bool, at Span) error {
	f := fieldNamed(name)
	if f == fieldNone || !p.shape.reads.has(f) {
		return nil
	}
	if err := p.once(f); err != nil {
		return err
	}
	value := p.body[at.Start:at.End]
	if file && f == fieldModel {
		return invalid("model", "invalid_type", "Invalid type for 'model': expected a string, but got a file instead.")
	}
	switch f {
	case fieldModel:
		if !utf8.Valid(value) {
			return invalid("model", "invalid_value", "Invalid 'model': it is not UTF-8.")
		}
		p.content.Model, p.question.Model = at, stringOf(value)
		return checkName(p.question.Model)
	case fieldStream:
		p.content.Stream = strings.EqualFold(string(value), "true") || string(value) == "1"
	case fieldN:
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil {
			return invalid("n", "invalid_type", "Invalid type for 'n': expected an integer.")
		}
		p.content.Choices = int(max(n, 0))
	case fieldResponseFormat:
		p.content.Form = at
	}
	return nil
}

func malformed(what string) error {
	return invalid("", "invalid_multipart", "The request body is not a valid multipart form: "+what+".")
}
