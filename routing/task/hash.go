package task

import (
	"unicode"
	"unicode/utf8"
)

// Words are known by their hashes alone, of 32 bits: what a word is, is never kept.

const hashSeed uint32 = 2166136261

// roll adds a character to the hash of a word.
func roll(h uint32, r rune) uint32 { return (h ^ uint32(r)) * 16777619 }

// pair is the hash of one after another.
func pair(a, b uint32) uint32 { return (a*0x9E3779B1 ^ b) * 0x85EBCA6B }

// mix spreads a hash over all bits, under a seed for what it is the hash of.
func mix(h, seed uint32) uint32 {
	h ^= seed * 0x9E3779B1
	h ^= h >> 16
	h *= 0x7FEB352D
	h ^= h >> 15
	h *= 0x846CA68B
	return h ^ h>>16
}

// hashText is the hash of a word.
func hashText(word string) uint32 {
	h := hashSeed
	for _, r := range word {
		h = roll(h, lower(r))
	}
	return h
}

// lower makes a letter small.
func lower(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if r < 0x0600 { // Latin, Greek, Cyrillic, Armenian; further up letters have no size
		return unicode.ToLower(r)
	}
	return r
}

// kind is what a character is to the reader.
type kind uint8

const (
	other  kind = iota // nothing
	letter             // part of a word
	digit
	wide     // a character of a script that writes no spaces: a word of its own
	stop     // ends a sentence
	colon    // what follows may be attached
	newline  // ends a line
	opening  // begins a quotation
	closing  // ends one
	quote    // begins or ends one
	backtick // begins or ends code
	symbol   // is frequent in code
)

var asciiKinds = func() (k [utf8.RuneSelf]kind) {
	for c := range k {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '_':
			k[c] = letter
		case '0' <= c && c <= '9':
			k[c] = digit
		}
	}
	for _, set := range []struct {
		is    kind
		chars string
	}{{stop, ".!?"}, {colon, ":"}, {newline, "\n"}, {quote, `"`}, {backtick, "`"}, {symbol, `{}[]()=<>;&|\/$*@+#%^~`}} {
		for _, c := range []byte(set.chars) {
			k[c] = set.is
		}
	}
	return k
}()

// kindOf sorts a character beyond ASCII.
func kindOf(r rune) kind {
	switch r {
	case '“', '«', '„', '「', '『', '《':
		return opening
	case '”', '»', '」', '』', '》':
		return closing
	case '。', '！', '？', '؟', '।', '¿', '¡', '…':
		return stop
	case '：':
		return colon
	}
	switch {
	case r >= 0xA0 && r < 0xC0 && r != 'ª' && r != 'º', r >= 0x2000 && r < 0x2C00, r >= 0x3000 && r < 0x3040,
		r >= 0xFF00 && r < 0xFF66, r == '،', r == '·', r >= 0x1F000:
		return other
	case r >= 0x0E00 && r < 0x0E80, r >= 0x2E80 && r < 0xD7B0, r >= 0xF900 && r < 0xFB00, r >= 0xFF66 && r < 0xFFE0, r >= 0x20000:
		return wide
	}
	return letter
}

// wideText tells whether a word is of a script without spaces.
func wideText(word string) bool {
	r, _ := utf8.DecodeRuneInString(word)
	return r >= utf8.RuneSelf && kindOf(r) == wide
}
