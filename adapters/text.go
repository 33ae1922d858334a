package adapters

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Text is what of a request or an answer a model reads or writes, without the JSON around it. Of a long one the
// beginning is kept, and how long it is as a whole.
type Text struct {
	Limit int // bytes that are kept at most

	kept   []byte // as it stands in JSON, with its escapes; parts end with endOfPart
	parts  int    // of them
	size   int    // bytes of all that was added
	beside int64  // tokens that stand for no text
}

// endOfPart is a byte that no JSON has, since it is none of UTF-8.
const endOfPart = 0xff

// Add adds to the part under way what stands between the quotes of a JSON string.
func (t *Text) Add(escaped []byte) {
	t.size += len(escaped)
	room := t.Limit - len(t.kept) + t.parts
	switch {
	case len(escaped) <= room:
		t.kept = append(t.kept, escaped...)
	case room > 0:
		t.kept = append(t.kept, whole(escaped[:room])...)
		t.Limit = 0 // a shorter piece must not follow behind the gap
	}
}

// whole is a beginning of a JSON string without the half of a character or of an escape at its end.
func whole(cut []byte) []byte {
	const longest = len(`\u000`)
	if i := bytes.LastIndexByte(cut, '\\'); i >= 0 && i >= len(cut)-longest {
		for i > 0 && cut[i-1] == '\\' {
			i--
		}
		cut = cut[:i]
	}
	for n := 1; n < utf8.UTFMax && n <= len(cut); n++ {
		if c := cut[len(cut)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(cut[len(cut)-n:]) {
				cut = cut[:len(cut)-n]
			}
			break
		}
	}
	return cut
}

// End ends a part: no token reaches from it into the next one.
func (t *Text) End() {
	if n := len(t.kept); n > 0 && t.kept[n-1] != endOfPart && t.Limit > 0 {
		t.kept = append(t.kept, endOfPart)
		t.parts++
	}
}

// AddTokens adds what is charged without being text.
func (t *Text) AddTokens(n int64) { t.beside += n }

// Reset empties the text and keeps its memory.
func (t *Text) Reset(limit int) { *t = Text{Limit: limit, kept: t.kept[:0]} }

// Empty tells whether nothing was added.
func (t *Text) Empty() bool { return t.size == 0 && t.beside == 0 }

// Unread adds the length of a text of which nothing was looked at.
func (t *Text) Unread(size int) { t.size += size }

// Size is how long the text is as a whole, in JSON.
func (t *Text) Size() int { return t.size }

// Held is how much memory the text needs.
func (t *Text) Held() int { return len(t.kept) }

// Clone is the text in memory of its own, of which it keeps no more than so many bytes.
func (t *Text) Clone(limit int) Text {
	c := Text{size: t.size, beside: t.beside}
	c.kept = bytes.Clone(t.kept[:min(len(t.kept), limit)])
	if len(c.kept) < len(t.kept) {
		c.kept = whole(c.kept)
	}
	c.parts = bytes.Count(c.kept, []byte{endOfPart})
	return c
}

// bytesOfToken is how long a token is taken to be where nobody counts: the mean of English text, more than that of most
// other languages and of code.
const bytesOfToken = 4

// Guess is how many tokens the text has, by its length alone.
func (t *Text) Guess() int64 { return t.beside + int64(t.size+bytesOfToken-1)/bytesOfToken }

// Count is how many tokens the text has, by who can count those of a piece of text. What was not kept is taken to have as
// many for its length as what was.
func (t *Text) Count(of func(text string) int64) int64 {
	var counted int64
	for part := range bytes.SplitSeq(t.kept, []byte{endOfPart}) {
		if len(part) > 0 {
			counted += of(unescape(part))
		}
	}
	if kept := len(t.kept) - t.parts; kept > 0 && t.size > kept {
		counted = counted * int64(t.size) / int64(kept)
	} else if kept == 0 {
		return t.Guess()
	}
	return t.beside + counted
}

// String is what was kept, as people read it.
func (t *Text) String() string {
	var b strings.Builder
	for part := range bytes.SplitSeq(bytes.TrimSuffix(t.kept, []byte{endOfPart}), []byte{endOfPart}) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(unescape(part))
	}
	return b.String()
}

// Cut tells whether something was not kept.
func (t *Text) Cut() bool { return t.size > len(t.kept)-t.parts }

// add adds a string as a part of its own.
func (t *Text) add(v gjson.Result) {
	if v.Type == gjson.String && len(v.Raw) > 2 {
		t.Add(bytesOf(v.Raw[1 : len(v.Raw)-1]))
		t.End()
	}
}

// Texts are those of an answer: what it says, and what was thought before it.
type Texts struct{ Said, Thought Text }

// Reset empties both and keeps their memory.
func (t *Texts) Reset(limit int) {
	t.Said.Reset(limit)
	t.Thought.Reset(limit)
}

// Forget empties both and gives memory back that is larger than so many bytes.
func (t *Texts) Forget(above int) {
	t.Said.forget(above)
	t.Thought.forget(above)
}

func (t *Text) forget(above int) {
	if cap(t.kept) > above {
		t.kept = nil
	}
	t.Reset(0)
}

// Clone is both in memory of their own.
func (t *Texts) Clone(limit int) Texts { return Texts{t.Said.Clone(limit), t.Thought.Clone(limit)} }

// TextStream is a stream that can collect the text of its answer while it passes, for when its provider tells no usage.
type TextStream interface {
	// Collect makes the stream add the text of its events from now on. It is called before the first Feed.
	Collect(into *Texts)
}
