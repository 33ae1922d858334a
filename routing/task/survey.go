package task

import "unicode/utf8"

// Most of a long turn tells what is the case; few sentences ask. A survey finds them before the words are read: a
// sentence asks if it ends with a question mark, or if a part of it begins with a word that asks. If none does, all do.

const mostRanges = 24

// ranges are sentences that ask, in order.
type ranges struct {
	list [mostRanges][2]int32
	n    int
	at   int // the first one that may hold what is read next
}

// hold tells whether a place lies in one of the ranges. Places are asked for in ascending order.
func (s *ranges) hold(i int) bool {
	if s.n == 0 {
		return true
	}
	for s.at < s.n-1 && int(s.list[s.at][1]) <= i {
		s.at++
	}
	return int(s.list[s.at][0]) <= i && i < int(s.list[s.at][1])
}

func (s *ranges) put(from, to int) {
	if s.n > 0 && int(s.list[s.n-1][1]) == from {
		s.list[s.n-1][1] = int32(to)
		return
	}
	if s.n < mostRanges {
		s.list[s.n] = [2]int32{int32(from), int32(to)}
		s.n++
	}
}

// survey finds the sentences that ask.
func (r *reader) survey() {
	from, asks, begins := 0, false, true
	for r.i < len(r.text) {
		char, size := rune(r.text[r.i]), 1
		var k kind
		if char < utf8.RuneSelf {
			k = asciiKinds[char]
		} else {
			char, size = utf8.DecodeRune(r.text[r.i:])
			k = kindOf(char)
		}
		switch {
		case k == wide: // what asks in a script without spaces stands at the end as often as at the beginning
			asks = true
		case k == letter && begins:
			asks, begins = asks || r.requests(), false
			continue
		case k == letter:
			size = r.skip()
		case k == colon || char == ',' || char == ';' || char == '-' || k == quote:
			begins = true
		case k == newline || k == stop && r.ends():
			asks = asks || char == '?' || char == '？' || char == '؟'
			if r.i += size; asks {
				r.asks.put(from, r.i)
			}
			from, asks, begins = r.i, false, true
			continue
		}
		r.i += size
	}
	if asks {
		r.asks.put(from, len(r.text))
	}
	r.i = 0
}

// skip is how many bytes a word of ASCII has from here, at least one.
func (r *reader) skip() int {
	n := 1
	for r.i+n < len(r.text) && r.text[r.i+n] < utf8.RuneSelf && asciiKinds[r.text[r.i+n]] == letter {
		n++
	}
	return n
}

// ends tells whether a full stop ends a sentence: it does not within 3.11, main.go or e.g.
func (r *reader) ends() bool {
	return r.text[r.i] != '.' || r.i+1 >= len(r.text) || r.text[r.i+1] == ' ' || r.text[r.i+1] == '\n'
}

// requests reads up to three words and tells whether they ask. Words that only fill are passed.
func (r *reader) requests() bool {
	var one, two uint32
	for n := 0; n < 3; {
		h, set := r.next()
		form := mix(h, wholeWord)
		switch n {
		case 1:
			set, form = 0, mix(pair(one, h), twoWords)
		case 2:
			set, form = 0, mix(pair(pair(two, one), h), threeWords)
		}
		set |= r.m.cues.find(form)
		if set&r.m.request != 0 {
			return true
		}
		if set&r.m.filler == 0 || n > 0 {
			one, two = h, one
			n++
		}
		if !r.gap() {
			return false
		}
	}
	return false
}

// next reads a word: its hash, and the cues that its beginnings are.
func (r *reader) next() (h uint32, set cueSet) {
	h = hashSeed
	for runes := 1; r.i < len(r.text); runes++ {
		char, size := rune(r.text[r.i]), 1
		if char >= utf8.RuneSelf {
			char, size = utf8.DecodeRune(r.text[r.i:])
			if kindOf(char) != letter {
				break
			}
		} else if asciiKinds[char] != letter && char != '\'' {
			break
		}
		h = roll(h, lower(char))
		r.i += size
		if runes >= 3 && r.m.cues.begins.has(h) {
			set |= r.m.cues.find(mix(h, beginning))
		}
	}
	return h, set
}

// gap passes the space, or the comma and the space, before another word.
func (r *reader) gap() bool {
	if r.i < len(r.text) && r.text[r.i] == ',' {
		r.i++
	}
	if r.i+1 >= len(r.text) || r.text[r.i] != ' ' {
		return false
	}
	r.i++
	c := r.text[r.i]
	return c >= utf8.RuneSelf || asciiKinds[c] == letter
}
