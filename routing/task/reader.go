package task

import (
	"math/bits"
	"unicode/utf8"
)

const (
	buckets = 1 << 17 // of the words' weights
	begins  = 5       // runes of a longer word that are its beginning
)

// The seeds of what a word can be. A seed is for what is asked; what is attached has the one after it.
const (
	isWord uint32 = 2*iota + 1
	isBeginning
	isPair
	isFirst
	isLast
	isCharacters
)

// reader goes through a turn once and adds up what it finds. It is a value on the stack of who asks.
type reader struct {
	m    *Model
	text []byte
	i    int

	one, two uint32 // the words before, the last one first
	inLine   int    // words so far in the sentence
	asks     ranges // the sentences that ask
	apart    bool   // in a quotation
	attached bool   // behind a colon
	stays    bool   // what is attached goes on behind the sentence: it is there to be worked on

	found, aside cueSet // cues of what is asked, and of what is attached
	first, last  int8   // the first cue of all, and of the last sentence; -1: none
	seen         [buckets / 64]uint64
	sums         [2][classes]int32 // of the words that ask, and of those beside
	words        [2]int
	facts        facts

	hits *[]hit // what was found, where somebody wants to know; else nil
}

// facts are what a turn looks like.
type facts struct {
	letters, symbols, numbers, names, lines, quotes, codes, fences, questions int
	calls, options, dotted, operators                                         int
	asks, attached                                                            bool
}

// hit is a word, or several, that has a weight.
type hit struct {
	hash, seed, bucket uint32
	from, to           int
	aside              bool
}

func (r *reader) read() {
	r.first, r.last = -1, -1
	r.survey()
	for r.i < len(r.text) {
		c := r.text[r.i]
		var k kind
		if c < utf8.RuneSelf {
			k = asciiKinds[c]
		} else {
			char, _ := utf8.DecodeRune(r.text[r.i:])
			k = kindOf(char)
		}
		r.step(k)
	}
	if r.two != 0 || r.one != 0 {
		r.add(r.one, isLast, r.i, r.i)
	}
}

// step reads from one character on what belongs to it.
func (r *reader) step(k kind) {
	switch k {
	case letter, digit:
		r.word()
	case wide:
		r.wides()
	case backtick:
		r.code()
	default:
		r.mark(k)
	}
}

// mark reads a character that is part of no word.
func (r *reader) mark(k kind) {
	_, size := utf8.DecodeRune(r.text[r.i:])
	switch k {
	case stop:
		if r.ends() {
			r.sentence()
		}
	case newline:
		r.line()
	case colon:
		r.colon()
	case opening, closing, quote:
		if r.apart = !r.apart; r.apart {
			r.facts.quotes++
		}
	case symbol:
		r.facts.symbols++
	}
	r.grammar()
	r.i += size
}

// grammar notes what only languages for machines have: f(, x.y, --option, == and its kind.
func (r *reader) grammar() {
	if r.i == 0 || r.i+1 >= len(r.text) {
		return
	}
	before, c, after := r.text[r.i-1], r.text[r.i], r.text[r.i+1]
	word := before < utf8.RuneSelf && (asciiKinds[before] == letter || asciiKinds[before] == digit)
	letterAfter := after < utf8.RuneSelf && asciiKinds[after] == letter
	switch c {
	case '(':
		if word && after != 's' { // name(s) is prose
			r.facts.calls++
		}
	case '.', '/':
		if word && letterAfter && before|0x20 != 'e' && before != 'i' { // e.g. and i.e. are prose
			r.facts.dotted++
		}
	case '-':
		if (before == ' ' || before == '-') && (letterAfter || after == '-') {
			r.facts.options++
		}
	case '=', '!', '<', '>', ':', '&', '|', '+':
		if after == '=' || after == '>' || c != '!' && c == after {
			r.facts.operators++
		}
	}
}

// sentence ends one.
func (r *reader) sentence() {
	switch char, _ := utf8.DecodeRune(r.text[r.i:]); char {
	case '?', '？', '؟':
		r.facts.questions++
		r.facts.asks = len(r.text)-r.i < 6
	}
	r.inLine, r.one, r.two = 0, 0, 0
	r.attached = r.attached && r.stays
}

// line ends one. What comes behind an empty line is asked again, however much was attached before it; unless the turn
// began with work to be done on what follows.
func (r *reader) line() {
	r.facts.lines++
	r.inLine, r.one, r.two = 0, 0, 0
	r.apart = false
	if r.found&r.m.working != 0 {
		r.attached, r.stays = true, true
	} else if r.i > 0 && r.text[r.i-1] == '\n' {
		r.attached = false
	}
}

// colon begins what is attached, unless it follows a word of address: "Question: …".
func (r *reader) colon() {
	if r.inLine > 1 {
		r.attached, r.facts.attached = true, true
		r.stays = r.found&r.m.working != 0
	}
	r.inLine, r.one, r.two = 0, 0, 0
}

// code passes what stands in backticks: three are a fence.
func (r *reader) code() {
	ticks := 1
	for r.i+ticks < len(r.text) && r.text[r.i+ticks] == '`' {
		ticks++
	}
	r.i += ticks
	if ticks >= 3 {
		r.facts.fences++
	} else {
		r.facts.codes++
	}
	for run := 0; r.i < len(r.text); r.i++ {
		if r.text[r.i] == '\n' && ticks < 3 {
			return
		}
		if r.text[r.i] != '`' {
			run = 0
			continue
		}
		if run++; run == ticks {
			r.i++
			r.attached, r.inLine = false, 0
			return
		}
	}
}

// word reads one, with its cues.
func (r *reader) word() {
	from, h, stem, runes, capital := r.i, hashSeed, uint32(0), 0, 0
	numeric := asciiKinds[r.text[r.i]&0x7F] == digit && r.text[r.i] < utf8.RuneSelf
	var set cueSet
letters:
	for r.i < len(r.text) {
		char, size := rune(r.text[r.i]), 1
		switch {
		case 'a' <= char && char <= 'z':
		case char >= utf8.RuneSelf:
			char, size = utf8.DecodeRune(r.text[r.i:])
			if kindOf(char) != letter {
				break letters
			}
			char = lower(char)
		case 'A' <= char && char <= 'Z':
			char += 'a' - 'A'
			if runes > 0 && r.text[r.i-1]|0x20 == r.text[r.i-1] {
				capital++ // a small letter stands before it
			}
		case char == '_':
			capital++
		case asciiKinds[char] != digit && (runes == 0 || !r.inWord(char)):
			break letters
		}
		h = roll(h, char)
		r.i += size
		if runes++; runes == begins {
			stem = h
		}
		if runes >= 3 && r.m.cues.begins.has(h) {
			set |= r.m.cues.find(mix(h, beginning))
		}
	}
	r.facts.letters += r.i - from
	if capital > 0 {
		r.facts.names++
	}
	if numeric {
		r.facts.numbers++
		h = r.number(from)
	}
	r.known(h, set)
	if runes > begins && !numeric {
		r.add(stem, isBeginning, from, r.i)
	}
	r.chain(h, from)
}

// number is what a number counts as: a year of these days, or how long it is.
func (r *reader) number(from int) uint32 {
	if n := r.i - from; n == 4 && string(r.text[from:from+2]) == "20" && r.text[from+2] >= '2' {
		r.cue(r.m.recent)
		return 2
	}
	return 1
}

// known looks up the cues of a word and of what it makes with the words before.
func (r *reader) known(h uint32, set cueSet) {
	set |= r.m.cues.find(mix(h, wholeWord))
	if r.one != 0 && r.m.cues.opens.has(r.one) {
		set |= r.m.cues.find(mix(pair(r.one, h), twoWords))
	}
	if r.two != 0 && r.m.cues.opens.has(r.two) {
		set |= r.m.cues.find(mix(pair(pair(r.two, r.one), h), threeWords))
	}
	r.cue(set)
}

// cue notes cues.
func (r *reader) cue(set cueSet) {
	if set == 0 {
		return
	}
	if r.beside() {
		r.aside |= set
		return
	}
	r.found |= set
	n := int8(bits.TrailingZeros64(uint64(set)))
	if r.first < 0 {
		r.first = n
	}
	if r.inLine <= 3 {
		r.last = n
	}
}

// chain adds a word and what it makes with the words before.
func (r *reader) chain(h uint32, from int) {
	r.add(h, isWord, from, r.i)
	if r.inLine == 0 {
		r.add(h, isFirst, from, r.i)
	} else if r.one != 0 {
		r.add(pair(r.one, h), isPair, from, r.i)
	}
	r.one, r.two = h, r.one
	r.inLine++
}

// wides reads characters of a script without spaces: each alone, and up to four together.
func (r *reader) wides() {
	from := r.i
	var h [4]uint32 // of the last characters that begin one, two, three and four before
	for n := 0; r.i < len(r.text); n++ {
		char, size := utf8.DecodeRune(r.text[r.i:])
		if char < utf8.RuneSelf || kindOf(char) != wide {
			break
		}
		begin := r.i
		r.i += size
		r.facts.letters += size
		h[3], h[2], h[1], h[0] = roll(h[2], char), roll(h[1], char), roll(h[0], char), roll(hashSeed, char)
		for k := range min(n+1, 4) {
			r.cue(r.m.cues.find(mix(h[k], characters)))
			if k < 3 {
				r.add(h[k], isCharacters, begin-k*size, r.i)
			}
		}
		if n == 1 && r.inLine == 0 {
			r.add(h[1], isFirst, from, r.i)
		}
	}
	r.one, r.two = h[1], 0
	r.inLine++
}

// add counts a word once. Beside what is asked only words as such count, not what they make with others.
func (r *reader) add(h, seed uint32, from, to int) {
	part := 0
	if r.beside() {
		if seed != isWord && seed != isCharacters {
			return
		}
		seed++
		part = 1
	}
	b := mix(h, seed) % buckets
	if r.seen[b>>6]>>(b&63)&1 == 1 {
		return
	}
	r.seen[b>>6] |= 1 << (b & 63)
	r.words[part]++
	if r.hits != nil {
		*r.hits = append(*r.hits, hit{h, seed, b, from, to, part == 1})
	}
	w, sum := &r.m.words[b], &r.sums[part]
	for i := range sum {
		sum[i] += int32(w[i])
	}
	if role, ok := roleOf(seed); ok {
		r.m.lexicon.weigh(h, role, sum)
	}
}

// beside tells whether the place is in what is attached or quoted, or in a sentence that does not ask.
func (r *reader) beside() bool { return r.attached || r.apart || !r.asks.hold(r.i-1) }

// inWord tells whether a mark belongs to the word before it: c++, c#, don't.
func (r *reader) inWord(char rune) bool {
	return char == '+' || char == '#' || char == '\'' && !r.owner()
}

// owner tells whether an apostrophe only says whose something is: Python's is Python to the cues.
func (r *reader) owner() bool {
	return r.i+1 < len(r.text) && r.text[r.i+1] == 's' && r.i > 2 && (r.i+2 >= len(r.text) || asciiKinds[r.text[r.i+2]&0x7F] == other) && !r.asked(r.i)
}

// asked tells whether a word that stands before is one of those that ask: what's, who's, it's, let's.
func (r *reader) asked(end int) bool {
	from := end
	for from > 0 && asciiKinds[r.text[from-1]&0x7F] == letter {
		from--
	}
	return end-from <= 5 && (end-from <= 4 || r.text[from]|0x20 == 'w' || r.text[from]|0x20 == 't')
}
