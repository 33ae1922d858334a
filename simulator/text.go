package simulator

import (
	"iter"
	"unicode/utf8"
)

// tokenRunes is the longest token, in runes.
const tokenRunes = 8

// tokens cuts a text into the simulator's tokens: a token ends where a space or a line end follows a
// character that is neither, and after eight runes at the latest. Joined they are the text again.
func tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, runes, inWord := 0, 0, false
		for i, r := range text {
			space := r == ' ' || r == '\n'
			if runes == tokenRunes || space && inWord {
				if !yield(text[start:i]) {
					return
				}
				start, runes = i, 0
			}
			inWord = !space
			runes++
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}

// countTokens is the number of tokens in a text.
func countTokens(text string) int {
	n := 0
	for range tokens(text) {
		n++
	}
	return n
}

// clip returns at most n runes of a text.
func clip(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Unlike encoding/json it leaves < > & alone, as OpenAI does, and
// allocates nothing.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
