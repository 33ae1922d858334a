package task

import "math/bits"

// A sign is a feature that has a name: what a turn looks like, and its cues.
//
//	[0, plain)   what it looks like
//	+ cue        the cue is asked
//	+ cue        it is attached
//	+ cue        it is the first of all
//	+ cue        it begins the last sentence
//	+ cue        it was asked a turn before, and this turn is short
const (
	always = iota
	asksAtEnd
	asksSomewhere
	quotes
	inlineCode
	fence
	severalFences
	attachment
	codeBefore
	shortAfterCode
	noCue
	calls     // each of these comes in steps
	options   = calls + 3
	dotted    = options + 3
	operators = dotted + 3
	symbols   = operators + 3
	numbers   = symbols + 6
	names     = numbers + 5  // 3
	lineRuns  = names + 3    // 4
	asked     = lineRuns + 4 // how many words ask, in 6 steps
	told      = asked + 6    // and how many are beside
	place     = told + 6     // where it is asked, 4
	plain     = place + 4    // where the cues begin
	signs     = plain + 5*maxCues
)

var plainNames = [...]string{
	"always", "asks at the end", "asks somewhere", "a quotation", "inline code", "a code fence", "several code fences",
	"an attachment", "code in the answer before", "short after code", "no cue",
}

const short = 64 // bytes up to which a turn leans on the one before

// marks are the signs of a turn, each once.
type marks struct {
	list [256]uint16
	n    int
}

func (m *marks) put(sign int, is bool) {
	if is && m.n < len(m.list) {
		m.list[m.n] = uint16(sign)
		m.n++
	}
}

// look collects the signs of a turn that was read.
func (m *marks) look(t *turn, r *reader, before cueSet) {
	f := &r.facts
	m.put(always, true)
	m.put(asksAtEnd, f.asks)
	m.put(asksSomewhere, f.questions > 0 && !f.asks)
	m.put(quotes, f.quotes > 0)
	m.put(inlineCode, f.codes > 0)
	m.put(fence, f.fences > 0)
	m.put(severalFences, f.fences > 1)
	m.put(attachment, f.attached)
	m.put(codeBefore, t.fenced)
	m.put(shortAfterCode, t.fenced && t.n <= short)
	m.put(noCue, r.found == 0)
	m.put(calls+min(f.calls, 3)-1, f.calls > 0)
	m.put(options+min(f.options, 3)-1, f.options > 0)
	m.put(dotted+min(f.dotted, 3)-1, f.dotted > 0)
	m.put(operators+min(f.operators, 3)-1, f.operators > 0)
	m.put(symbols+min(bits.Len(uint(f.symbols*40/(f.letters+8))), 5), f.symbols > 1)
	m.put(numbers+min(f.numbers, 4), true)
	m.put(names+min(f.names, 2), f.names > 0)
	m.put(lineRuns+min(bits.Len(uint(f.lines)), 3), true)
	m.put(asked+min(bits.Len(uint(r.words[0]/8)), 5), true)
	m.put(told+min(bits.Len(uint(r.words[1]/8)), 5), true)
	m.place(r)
	m.cues(r, before)
}

// place notes where it is asked: nowhere in particular, at the beginning, at the end, at several places.
func (m *marks) place(r *reader) {
	n := r.asks.n
	m.put(place, n == 0)
	if n > 0 {
		m.put(place+1, r.asks.list[0][0] < 8)
		m.put(place+2, int(r.asks.list[n-1][1]) == len(r.text))
		m.put(place+3, n > 1)
	}
}

func (m *marks) cues(r *reader, before cueSet) {
	m.put(plain+2*maxCues+int(r.first), r.first >= 0)
	m.put(plain+3*maxCues+int(r.last), r.last >= 0)
	m.each(r.aside, plain+maxCues)
	m.each(before, plain+4*maxCues)
	m.each(r.found, plain)
}

func (m *marks) each(set cueSet, from int) {
	for ; set != 0; set &= set - 1 {
		m.put(from+bits.TrailingZeros64(uint64(set)), true)
	}
}
