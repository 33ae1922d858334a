package openai

import "bytes"

// soughtKey is a key that is looked for in bytes that nobody has parsed. Inside a JSON string its quotes would be
// escaped, so what is found is a whole string; a colon behind it makes it a key, if perhaps not one of the top
// level, which is for the parser to find out.
//
// bytes.Index is fast as long as the first byte of what it seeks is rare. So the name's end is sought, from a
// letter on that is rare in chunks, and the rest is compared.
type soughtKey struct{ front, end string }

var (
	finishKey = soughtKey{`"finish`, `_reason"`}
	usageKey  = soughtKey{`"usa`, `ge"`}
	errorKey  = soughtKey{`"e`, `rror"`}
)

// says tells whether data has the key with a value that is not null.
func says(data []byte, key soughtKey) bool {
	for {
		i := bytes.Index(data, bytesOf(key.end))
		if i < 0 {
			return false
		}
		named := i >= len(key.front) && string(data[i-len(key.front):i]) == key.front
		data = data[i+len(key.end):]
		if named && hasValue(data) {
			return true
		}
	}
}

// hasValue stands behind a string and tells whether a colon follows, and something else than null.
func hasValue(rest []byte) bool {
	rest = trimSpace(rest)
	if len(rest) == 0 || rest[0] != ':' {
		return false
	}
	rest = trimSpace(rest[1:])
	return len(rest) > 0 && rest[0] != 'n'
}

// trimSpace takes JSON's white space from the front.
func trimSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\n' || s[0] == '\r' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}
