package task

import (
	"bufio"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed cues.txt
var cueText string

// maxCues is how many cues fit into a set.
const maxCues = 48

// cueSet is a set of cues, by their numbers.
type cueSet uint64

// cues are the words that say the same thing in many languages, by their hashes. A name for each lets the model
// carry what it has learned from one language to another, and say it in a word.
type cues struct {
	names []string
	slots [cueSlots]cueSlot
	maybe sieve // the hashes that are there: most words are no cue, and end here

	begins, opens sieve // the beginnings, and the first words of several
}

// sieve tells of most hashes in one step that they are not there.
type sieve [1 << 15 / 64]uint64

func (s *sieve) put(h uint32) {
	h = h * 0x9E3779B1 >> 17
	s[h>>6] |= 1 << (h & 63)
}

func (s *sieve) has(h uint32) bool {
	h = h * 0x9E3779B1 >> 17
	return s[h>>6]>>(h&63)&1 == 1
}

const cueSlots = 1 << 14

type cueSlot struct {
	hash uint32 // 0: free
	cue  uint8
}

// The forms in which a cue is looked up. Each seeds the hash, so that a word and the beginning of one differ.
const (
	wholeWord uint32 = iota + 101
	beginning
	twoWords
	threeWords
	characters
)

// readCues reads lines as "name: word begin* two_words 漢字".
func readCues(text string) (*cues, error) {
	c := &cues{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, words, ok := strings.Cut(lines.Text(), ":")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		cue := c.number(name)
		if cue == maxCues {
			return nil, fmt.Errorf("read the cues: more than %d", maxCues)
		}
		for word := range strings.FieldsSeq(words) {
			if err := c.put(word, uint8(cue)); err != nil {
				return nil, err
			}
		}
	}
	return c, lines.Err()
}

// number finds a cue by its name, or adds it. A cue may take several lines.
func (c *cues) number(name string) int {
	for i, known := range c.names {
		if known == name {
			return i
		}
	}
	c.names = append(c.names, name)
	return len(c.names) - 1
}

// put adds one form of a cue.
func (c *cues) put(word string, cue uint8) error {
	stem, begins := strings.CutSuffix(word, "*")
	parts := strings.Split(stem, "_")
	var h uint32
	switch first := hashText(parts[0]); {
	case wideText(stem):
		h = mix(hashText(stem), characters)
	case begins:
		c.begins.put(first)
		h = mix(first, beginning)
	case len(parts) == 1:
		h = mix(first, wholeWord)
	case len(parts) == 2:
		c.opens.put(first)
		h = mix(pair(first, hashText(parts[1])), twoWords)
	case len(parts) == 3:
		c.opens.put(first)
		h = mix(pair(pair(first, hashText(parts[1])), hashText(parts[2])), threeWords)
	default:
		return fmt.Errorf("read the cues: %s has more than three words", word)
	}
	c.maybe.put(h)
	for i := h % cueSlots; ; i = (i + 1) % cueSlots {
		s := &c.slots[i]
		if s.hash == h|1<<31 && s.cue == cue {
			return nil
		}
		if s.hash == 0 {
			*s = cueSlot{h | 1<<31, cue} // the upper bit keeps it from being free
			return nil
		}
	}
}

// find is the set of cues that a hash is a form of.
func (c *cues) find(h uint32) (set cueSet) {
	if !c.maybe.has(h) {
		return 0
	}
	for i := h % cueSlots; c.slots[i].hash != 0; i = (i + 1) % cueSlots {
		if c.slots[i].hash == h|1<<31 {
			set |= 1 << c.slots[i].cue
		}
	}
	return set
}
