// Package strictjson checks JSON that comes from outside, in one pass, without recursion and without
// allocation, and says where the members of the top-level object stand.
//
// It owns the question "is this exactly one JSON text as RFC 8259 has it, in valid UTF-8, and not nested too
// deep". It keeps no values and decodes none: whoever wants a value reads it from the span that Walk hands out,
// with a lenient reader if it likes, since by then the text is known to be sound.
//
// A recursive checker would let a body of some ten million brackets overflow the stack, which no recover
// survives; this one keeps one bit for each open bracket.
package strictjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how many objects and arrays may be open at once. Real requests (JSON schemas in tools) stay
// below 100.
const MaxDepth = 1024

// Error says where a text stops being acceptable.
type Error struct {
	Offset int    // in bytes from the start
	Reason string // for people, without any of the text
	Deep   bool   // the text may be JSON, but it is nested deeper than MaxDepth
}

// Error is the reason and the place.
func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Valid tells whether Walk would find no fault.
func Valid(doc []byte) bool { return Walk(doc, nil) == nil }

// Walk checks doc and calls member for each member of the top-level object, in order, after its value has been
// checked. The key comes without its quotes and as it is spelled, so it may hold escapes; the value is
// doc[start:end]. Keys below the top level are checked, but not reported. An error of member ends the walk and
// is returned as it is; every other error is an *Error.
//
// UTF-8 is checked at the end, so a member may be reported from a text that turns out to be malformed.
func Walk(doc []byte, member func(key []byte, start, end int) error) error {
	_, err := WalkNoting(doc, nil, member)
	return err
}

// WalkNoting is Walk that also tells whether note says yes to a key, at any depth and spelled as it stands there. note
// is kept while it walks, so a closure would cost an allocation; it may be nil.
func WalkNoting(doc []byte, note func(key []byte) bool, member func(key []byte, start, end int) error) (noted bool, err error) {
	w := walker{doc: doc, note: note}
	if err := w.walk(member); err != nil {
		return w.noted, err
	}
	if w.high&highBits != 0 && !utf8.Valid(doc) {
		return w.noted, &Error{Offset: firstInvalid(doc), Reason: "invalid UTF-8"}
	}
	return w.noted, nil
}

// walker does not hold the member function, which would make every caller's closure escape to the heap.
type walker struct {
	doc    []byte
	i      int    // the next byte
	high   uint64 // all bytes of strings or-ed together: is there anything beyond ASCII
	depth  int
	object [MaxDepth / 64]uint64 // for each open bracket, whether it is a brace

	note  func(key []byte) bool
	noted bool // note has said yes

	key   []byte // of the member of the top-level object that is being walked
	start int    // where its value begins
}

// walk goes from value to value. After each it looks at what the innermost open bracket allows next.
func (w *walker) walk(member func([]byte, int, int) error) error {
	for {
		opened, err := w.value()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		more, err := w.after(member)
		if err != nil || !more {
			return err
		}
	}
}

// value takes one scalar, one empty container, or the beginning of a container up to its first value.
func (w *walker) value() (opened bool, err error) {
	w.space()
	if w.i == len(w.doc) {
		return false, w.fault("unexpected end")
	}
	switch c := w.doc[w.i]; {
	case c == '"':
		w.i++
		return false, w.text()
	case c == '{' || c == '[':
		return w.open(c)
	case c == '-' || c-'0' < 10:
		return false, w.number()
	case c == 't':
		return false, w.literal("true")
	case c == 'f':
		return false, w.literal("false")
	case c == 'n':
		return false, w.literal("null")
	}
	return false, w.fault("unexpected character")
}

// open takes a bracket, and in an object the first key too.
func (w *walker) open(bracket byte) (opened bool, err error) {
	w.i++
	w.space()
	if w.i < len(w.doc) && w.doc[w.i] == bracket+2 { // '{'+2 is '}' and '['+2 is ']'
		w.i++
		return false, nil
	}
	if w.depth == MaxDepth {
		return false, &Error{Offset: w.i, Reason: fmt.Sprintf("nested deeper than %d levels", MaxDepth), Deep: true}
	}
	bit := uint64(1) << (w.depth % 64)
	if bracket == '{' {
		w.object[w.depth/64] |= bit
	} else {
		w.object[w.depth/64] &^= bit
	}
	w.depth++
	if bracket == '{' {
		return true, w.name()
	}
	return true, nil
}

// name takes a key and its colon.
func (w *walker) name() error {
	w.space()
	if w.i == len(w.doc) {
		return w.fault("unexpected end")
	}
	if w.doc[w.i] != '"' {
		return w.fault("expected a key")
	}
	w.i++
	start := w.i
	if err := w.text(); err != nil {
		return err
	}
	key := w.doc[start : w.i-1]
	if w.note != nil && !w.noted {
		w.noted = w.note(key)
	}
	w.space()
	if w.i == len(w.doc) || w.doc[w.i] != ':' {
		return w.fault("expected a colon")
	}
	w.i++
	if w.depth == 1 {
		w.space()
		w.key, w.start = key, w.i
	}
	return nil
}

// after stands behind a value and takes closing brackets up to the next comma or the end.
func (w *walker) after(member func([]byte, int, int) error) (more bool, err error) {
	for w.depth > 0 {
		object := w.object[(w.depth-1)/64]>>((w.depth-1)%64)&1 == 1
		if object && w.depth == 1 && member != nil {
			if err := member(w.key, w.start, w.i); err != nil {
				return false, err
			}
		}
		w.space()
		if w.i == len(w.doc) {
			return false, w.fault("unexpected end")
		}
		switch c := w.doc[w.i]; {
		case c == ',' && object:
			w.i++
			return true, w.name()
		case c == ',':
			w.i++
			return true, nil
		case c == '}' && object, c == ']' && !object:
			w.i++
			w.depth--
		case object:
			return false, w.fault("expected a comma or }")
		default:
			return false, w.fault("expected a comma or ]")
		}
	}
	w.space()
	if w.i < len(w.doc) {
		return false, w.fault("unexpected character after the end")
	}
	return false, nil
}

func (w *walker) space() {
	for w.i < len(w.doc) {
		switch w.doc[w.i] {
		case ' ', '\t', '\n', '\r':
			w.i++
		default:
			return
		}
	}
}

func (w *walker) literal(word string) error {
	if len(w.doc)-w.i < len(word) || string(w.doc[w.i:w.i+len(word)]) != word {
		return w.fault("unexpected character")
	}
	w.i += len(word)
	return nil
}

func (w *walker) number() error {
	if w.doc[w.i] == '-' {
		w.i++
	}
	if w.i < len(w.doc) && w.doc[w.i] == '0' {
		w.i++
	} else if !w.digits() {
		return w.fault("malformed number")
	}
	if w.i < len(w.doc) && w.doc[w.i] == '.' {
		w.i++
		if !w.digits() {
			return w.fault("malformed number")
		}
	}
	if w.i < len(w.doc) && w.doc[w.i]|0x20 == 'e' {
		w.i++
		if w.i < len(w.doc) && (w.doc[w.i] == '+' || w.doc[w.i] == '-') {
			w.i++
		}
		if !w.digits() {
			return w.fault("malformed number")
		}
	}
	return nil
}

func (w *walker) digits() bool {
	start := w.i
	for w.i < len(w.doc) && w.doc[w.i]-'0' < 10 {
		w.i++
	}
	return w.i > start
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	slashes  = '\\' * lowBits
)

// text stands behind an opening quote and goes behind the closing one. Almost all of a large body is text, so it
// looks at eight bytes at once. The first term has the high bit of each byte that is a control character or a
// quote: with its second bit flipped, a quote is 0x20 and the two characters before it are above 0x21. The other
// has that of each backslash. A borrow can set false bits only above a true one, so the lowest is exact.
func (w *walker) text() error {
	i, doc, high := w.i, w.doc, w.high // in registers: this loop is where the time goes
	for {
		for len(doc)-i >= 8 {
			x := binary.LittleEndian.Uint64(doc[i:])
			high |= x
			q, s := x^2*lowBits, x^slashes
			if stop := ((q-0x21*lowBits)&^q | (s-lowBits)&^s) & highBits; stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		for ; i < len(doc); i++ { // at most one step, except in the last seven bytes
			if c := doc[i]; c == '"' || c == '\\' || c < ' ' {
				break
			}
			high |= uint64(doc[i])
		}
		w.i, w.high = i, high
		switch {
		case i == len(doc):
			return w.fault("unexpected end")
		case doc[i] == '"':
			w.i = i + 1
			return nil
		case doc[i] != '\\':
			return w.fault("control character in a string")
		}
		n := escape(doc[i:])
		if n == 0 {
			return w.fault("malformed escape")
		}
		i += n
	}
}

// escape is the length of the escape sequence at the start of s, or 0.
func escape(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) < 6 {
			return 0
		}
		for _, c := range s[2:6] {
			if c-'0' >= 10 && c|0x20-'a' >= 6 {
				return 0
			}
		}
		return 6
	}
	return 0
}

func (w *walker) fault(reason string) error { return &Error{Offset: w.i, Reason: reason} }

func firstInvalid(doc []byte) int {
	for i := 0; i < len(doc); {
		r, n := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(doc)
}
