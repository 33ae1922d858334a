package openai

import (
	"strconv"
	"strings"
)

// members walks over an object and hands out its members as they are spelled, without looking into a value. It is
// for small objects whose keys are plain words, such as usage; text that is no JSON ends it or gives it nonsense,
// but never more than that.
//
//	for m := over(raw); m.next(); { switch m.key { … } }
type members struct {
	rest       string // from the next key on
	key, value string
}

// over begins at an object; anything else has no members.
func over(raw string) members {
	if len(raw) == 0 || raw[0] != '{' {
		return members{}
	}
	return members{rest: raw[1:]}
}

func (m *members) next() bool {
	s := m.rest
	i := 0
	for i < len(s) && s[i] != '"' {
		if s[i] == '}' {
			return false
		}
		i++
	}
	start := i + 1
	i = skipText(s, start)
	if i >= len(s) {
		return false
	}
	m.key = s[start:i]
	for i++; i < len(s) && (s[i] == ':' || s[i] <= ' '); i++ {
	}
	end := skipValue(s, i)
	m.value, m.rest = s[i:end], s[end:]
	return end > i
}

// skipText goes from behind an opening quote to the closing one.
func skipText(s string, i int) int {
	n := strings.IndexByte(s[min(i, len(s)):], '"')
	if n < 0 {
		return len(s)
	}
	if n == 0 || s[i+n-1] != '\\' {
		return i + n
	}
	for i < len(s) && s[i] != '"' {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	return i
}

// skipValue goes behind the value that begins at i.
func skipValue(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i = skipText(s, i+1); depth == 0 {
				return min(i+1, len(s))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
		}
	}
	return min(i, len(s))
}

// most is a number of tokens that is a mistake, and sums of which still do not overflow.
const most = 1 << 40

// count reads a number of tokens: what is none counts nothing, nor is it ever below that.
func count(value string) int64 {
	var n int64
	for i := range len(value) {
		d := value[i] - '0'
		if d > 9 {
			return decimal(value, 1)
		}
		if n = n*10 + int64(d); n > most {
			return most
		}
	}
	return n
}

// decimal reads a number with a fraction or an exponent, times a factor, and cuts it off.
func decimal(value string, factor float64) int64 {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil && f == 0 || f != f {
		return 0
	}
	return int64(min(max(f*factor, 0), most))
}
