package task

import "strings"

// cursor goes through the members of an object or an array in JSON that is known to be sound. It skips what nobody
// wants and decodes nothing.
type cursor struct {
	s string
	i int
}

// members is a cursor before the first member of a value; of what is no object and no array it has none.
func members(value string) cursor {
	if value == "" || value[0] != '{' && value[0] != '[' {
		return cursor{}
	}
	return cursor{value, 1}
}

// next is the next member: its key with quotes (empty in an array) and its value, both as they are spelled.
func (c *cursor) next(object bool) (key, value string, ok bool) {
	if object {
		if key, ok = c.value(); !ok {
			return "", "", false
		}
	}
	value, ok = c.value()
	return key, value, ok
}

// value is the next value, or false at the end.
func (c *cursor) value() (string, bool) {
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case ' ', '\t', '\n', '\r', ',', ':':
			c.i++
			continue
		case ']', '}':
			return "", false
		}
		from := c.i
		c.skip()
		return c.s[from:c.i], true
	}
	return "", false
}

// skip passes the value that begins here.
func (c *cursor) skip() {
	switch c.s[c.i] {
	case '"':
		c.text()
	case '{', '[':
		c.nested()
	default:
		for c.i < len(c.s) && !strings.ContainsRune(",]} \t\r\n", rune(c.s[c.i])) {
			c.i++
		}
	}
}

// text passes a text.
func (c *cursor) text() {
	for c.i++; c.i < len(c.s); c.i++ {
		n := strings.IndexByte(c.s[c.i:], '"')
		if n < 0 {
			break
		}
		from := c.i
		c.i += n
		back := c.i
		for back > from && c.s[back-1] == '\\' {
			back--
		}
		if (c.i-back)%2 == 0 {
			c.i++
			return
		}
	}
	c.i = len(c.s)
}

// nested passes an object or an array with all that is in it.
func (c *cursor) nested() {
	for depth := 0; c.i < len(c.s); {
		switch c.s[c.i] {
		case '"':
			c.text()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				c.i++
				return
			}
		}
		c.i++
	}
}
