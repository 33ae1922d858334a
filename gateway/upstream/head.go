package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
)

// errHead says that the head of an answer breaks the grammar of RFC 9112, or leaves two ways to read it.
var errHead = errors.New("malformed head of an answer")

// maxFields bounds the fields of a head. Providers send about twenty.
const maxFields = 128

// What a head says of its body's length, beside a number of bytes.
const (
	lengthChunked    = -1
	lengthUntilClose = -2
)

// Head is the head of an answer. It keeps the lines as they came and finds a field when it is asked for: of the
// twenty that a provider sends Vel reads six, and parsing all of them was a tenth of what a call costs.
//
// It is strict where two readers could disagree about where an answer ends: no bare CR or LF, no folded lines, no
// space before a colon, one length.
type Head struct {
	raw    []byte // our copy: the reader's buffer is overwritten by the body
	fields []field

	status   int
	length   int // or lengthChunked, lengthUntilClose
	close    bool
	encoding span
	kind     span
}

type span struct{ start, end uint32 }

type field struct{ name, value span }

// Status is the status code.
func (h *Head) Status() int { return h.status }

// ContentType is the media type as it was sent, or nothing.
func (h *Head) ContentType() []byte { return h.at(h.kind) }

// Peek finds the first field of this name in any case, or nothing. The bytes are valid until Finish.
func (h *Head) Peek(name string) []byte {
	for i := range h.fields {
		f := &h.fields[i]
		if int(f.name.end-f.name.start) == len(name) && equalFold(h.at(f.name), name) {
			return h.at(f.value)
		}
	}
	return nil
}

func (h *Head) at(s span) []byte { return h.raw[s.start:s.end] }

func (h *Head) reset() { *h = Head{raw: h.raw[:0], fields: h.fields[:0]} }

// read takes a head from a connection. An error of the connection is returned as it is.
func (h *Head) read(r *bufio.Reader) error {
	for wait := 1; ; {
		b, err := r.Peek(wait)
		if err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		b, _ = r.Peek(r.Buffered())
		if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
			h.reset()
			h.raw = append(h.raw, b[:end+2]...)
			_, _ = r.Discard(end + 4) // it was buffered
			return h.parse()
		}
		if len(b) == r.Size() {
			return errHead // larger than the reader holds
		}
		wait = len(b) + 1
	}
}

// parse reads the status line and the fields that say where the body ends.
func (h *Head) parse() error {
	if bytes.IndexByte(h.raw, 0) >= 0 || bytes.Count(h.raw, []byte("\r")) != bytes.Count(h.raw, []byte("\n")) {
		return errHead // every LF below has its CR before it: then there is no other
	}
	minor, rest, err := h.statusLine()
	if err != nil {
		return err
	}
	h.length, h.close = lengthUntilClose, minor == '0'
	var chunked bool
	for at := rest; at < len(h.raw); {
		end := bytes.IndexByte(h.raw[at:], '\n')
		if end < 1 || h.raw[at+end-1] != '\r' {
			return errHead
		}
		f, err := h.field(at, at+end-1)
		if err != nil {
			return err
		}
		if err := h.note(f, &chunked); err != nil {
			return err
		}
		h.fields = append(h.fields, f)
		at += end + 1
	}
	switch {
	case len(h.fields) > maxFields:
		return errHead
	case chunked && h.length >= 0:
		h.length, h.close = lengthChunked, true // RFC 9112 §6.3: the length is void, and so is the connection
	case chunked:
		h.length = lengthChunked
	}
	return nil
}

// statusLine reads "HTTP/1.1 200 OK".
func (h *Head) statusLine() (minor byte, rest int, err error) {
	const form = "HTTP/1.x 200"
	line := h.raw
	end := bytes.IndexByte(line, '\n')
	if end < len(form)+1 || line[end-1] != '\r' || string(line[:7]) != "HTTP/1." || line[7]|1 != '1' || line[8] != ' ' {
		return 0, 0, errHead
	}
	for _, c := range line[9:12] {
		if c-'0' > 9 {
			return 0, 0, errHead
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || line[12] != ' ' && line[12] != '\r' {
		return 0, 0, errHead
	}
	return line[7], end + 1, nil
}

// field cuts a line into name and value.
func (h *Head) field(start, end int) (field, error) {
	line := h.raw[start:end]
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || line[0] <= ' ' || line[colon-1] <= ' ' {
		return field{}, errHead // no name, a folded line, or a space before the colon
	}
	from, to := colon+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for to > from && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	return field{span{uint32(start), uint32(start + colon)}, span{uint32(start + from), uint32(start + to)}}, nil
}

// note keeps what a field says about the body and the connection.
func (h *Head) note(f field, chunked *bool) error {
	name, value := h.at(f.name), h.at(f.value)
	switch {
	case len(name) < len("connection") || len(name) > len("transfer-encoding"):
	case equalFold(name, "content-length"):
		n, err := number(value)
		if err != nil || h.length >= 0 && h.length != n {
			return errHead
		}
		h.length = n
	case equalFold(name, "transfer-encoding"):
		if *chunked || !equalFold(value, "chunked") {
			return errHead
		}
		*chunked = true
	case equalFold(name, "connection"):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			switch option = bytes.TrimSpace(option); {
			case equalFold(option, "close"):
				h.close = true
			case equalFold(option, "keep-alive"):
				h.close = false // of HTTP/1.0
			}
		}
	case equalFold(name, "content-type"):
		h.kind = f.value
	case equalFold(name, "content-encoding"):
		h.encoding = f.value
	}
	return nil
}

// number reads the digits of a length.
func number(b []byte) (n int, err error) {
	if len(b) == 0 || len(b) > 18 {
		return 0, errHead
	}
	for _, c := range b {
		if c-'0' > 9 {
			return 0, errHead
		}
		n = n*10 + int(c-'0')
	}
	if n > math.MaxInt64/16 {
		return 0, errHead
	}
	return n, nil
}

// equalFold compares a name of the wire with one of ours, in any case of ASCII.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != name[i]|0x20 {
			return false
		}
	}
	return true
}
