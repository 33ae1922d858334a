package task

import (
	"strings"
	"unicode/utf8"
)

const (
	headSize = 400 // how much of the beginning of a turn is read
	tailSize = 600 // and of its end, where it is longer
)

// turn is what a request asks, decoded from its JSON: the user's last turn, of a long one the beginning and the end.
type turn struct {
	text   [headSize + tailSize + utf8.UTFMax]byte
	n      int
	cut    int    // where the end begins if something between was left out; else 0
	before string // the user's turn before, still as JSON
	fenced bool   // what was answered before holds code in a fence
	turns  int    // of the user
}

// read takes the value of messages, input or prompt: a text, or an array of texts, items or messages. The value is
// sound JSON; what is neither asks nothing.
func (t *turn) read(value string) {
	if value == "" {
		return
	}
	if value[0] == '"' {
		t.turns = 1
		t.decode(inside(value))
		return
	}
	var last, before, answer string
	for all := members(value); ; {
		_, m, ok := all.next(false)
		if !ok {
			break
		}
		switch raw, who := content(m); who {
		case byUser:
			before, last = last, raw
			t.turns++
		case byModel:
			answer = raw
		}
	}
	t.before, t.fenced = firstText(before), containsFence(answer)
	t.decodeContent(last)
}

// speaker is who said a message.
type speaker uint8

const (
	byNobody speaker = iota // instructions, results of tools
	byUser
	byModel
)

// content is what a message says, as JSON, and who says it. A text on its own is the user's.
func content(message string) (raw string, who speaker) {
	if message[0] == '"' {
		return message, byUser
	}
	if message[0] != '{' {
		return "", byNobody
	}
	who = byUser
	for c := members(message); ; {
		key, value, ok := c.next(true)
		if !ok {
			break
		}
		switch key {
		case `"role"`:
			who = speakerOf(value)
		case `"content"`:
			raw = value
		}
	}
	if raw == "" {
		return "", byNobody
	}
	return raw, who
}

func speakerOf(role string) speaker {
	switch role {
	case `"user"`:
		return byUser
	case `"assistant"`:
		return byModel
	}
	return byNobody
}

// decodeContent takes the content of a message: a text, or parts of which some are texts.
func (t *turn) decodeContent(raw string) {
	if raw == "" {
		return
	}
	if raw[0] == '"' {
		t.decode(inside(raw))
		return
	}
	first, last := "", ""
	for parts := members(raw); ; {
		_, part, ok := parts.next(false)
		if !ok {
			break
		}
		if text := partText(part); text == "" {
			continue
		} else if first == "" {
			first = text
		} else {
			last = text
		}
	}
	t.decode(first)
	if last != "" {
		t.decodeMore(last)
	}
}

// partText is the text of a part, without its quotes and as it is spelled in JSON.
func partText(part string) (text string) {
	if part[0] != '{' {
		return inside(part)
	}
	for c := members(part); ; {
		key, value, ok := c.next(true)
		if !ok {
			return text
		}
		if key == `"text"` {
			text = inside(value)
		}
	}
}

// firstText is the first text of a message's content.
func firstText(raw string) string {
	if raw == "" || raw[0] == '"' {
		return inside(raw)
	}
	for parts := members(raw); ; {
		_, part, ok := parts.next(false)
		if !ok {
			return ""
		}
		if text := partText(part); text != "" {
			return text
		}
	}
}

func containsFence(raw string) bool { return strings.Contains(raw, "```") }

func inside(raw string) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return raw[1 : len(raw)-1]
}

// decode reads a text as it is spelled in JSON, without its quotes.
func (t *turn) decode(s string) {
	if len(s) <= headSize+tailSize {
		t.n = unescape(t.text[:headSize+tailSize], s)
		return
	}
	t.n = unescape(t.text[:headSize], s[:whole(s, headSize)])
	t.cut = t.n
	t.n += unescape(t.text[t.n:t.n+tailSize], s[whole(s, len(s)-tailSize):])
}

// decodeMore appends the last part of a turn of several.
func (t *turn) decodeMore(s string) {
	if t.cut > 0 {
		t.n = t.cut
	}
	if len(s) > tailSize {
		s = s[whole(s, len(s)-tailSize):]
	}
	t.n = min(t.n, headSize)
	t.text[t.n] = '\n'
	t.n++
	t.n += unescape(t.text[t.n:t.n+tailSize], s)
}

// whole is the first place from i on where a character begins. It may still be within an escape; then one character
// comes out wrong, in the middle of a text that is cut there anyway.
func whole(s string, i int) int {
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return i
}

// unescape decodes the inside of a JSON string into dst, as much as there is room for.
func unescape(dst []byte, s string) (n int) {
	for room := len(dst) - utf8.UTFMax; s != "" && n < room; {
		back := strings.IndexByte(s, '\\')
		if back < 0 || back+1 == len(s) {
			return n + copy(dst[n:], s)
		}
		n += copy(dst[n:room], s[:back])
		if n == room {
			break
		}
		r, size := escape(s[back:])
		n += utf8.EncodeRune(dst[n:], r)
		s = s[back+size:]
	}
	return n
}

// escape reads one escape, and how many bytes it has. Of a pair of surrogates each is read as a space: they stand for
// characters, as emoji, that ask nothing.
func escape(s string) (rune, int) {
	switch s[1] {
	case 'n', 'r':
		return '\n', 2
	case 't', 'b', 'f':
		return ' ', 2
	case 'u':
		if len(s) < 6 {
			return ' ', len(s)
		}
		r := rune(0)
		for _, c := range []byte(s[2:6]) {
			r = r<<4 | rune(hexValue(c))
		}
		if r >= 0xD800 && r < 0xE000 {
			return ' ', 6
		}
		return r, 6
	}
	return rune(s[1]), 2
}

func hexValue(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
