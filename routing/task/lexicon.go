package task

import (
	"encoding/binary"
	"math"
	"slices"
)

// lexicon has what words weigh because of how they are used elsewhere, whether or not they were in a prompt. Unlike those
// in the table of buckets these weights are the word's alone: there are so many words that none would be left in peace.
type lexicon struct {
	hashes  [lexiconSlots]uint32 // 0: free
	weights [lexiconSlots][roles][classes]int8
}

const (
	lexiconSlots = 1 << 14
	maxLexicon   = lexiconSlots * 3 / 4 // above that a search would be long
	lexiconEntry = 4 + roles*classes
)

// find is the place of a word, or of the free slot where it would be.
func (l *lexicon) find(h uint32) (slot uint32, ok bool) {
	for slot = h % lexiconSlots; l.hashes[slot] != 0; slot = (slot + 1) % lexiconSlots {
		if l.hashes[slot] == h {
			return slot, true
		}
	}
	return slot, false
}

// weigh adds what a word weighs in a role to the sums.
func (l *lexicon) weigh(h uint32, role int, sums *[classes]int32) {
	if slot, ok := l.find(h); ok {
		for k, w := range l.weights[slot][role] {
			sums[k] += int32(w)
		}
	}
}

// load takes what appendLexicon has written.
func (l *lexicon) load(b []byte) error {
	if len(b)%lexiconEntry != 0 || len(b) > maxLexicon*lexiconEntry {
		return errWeights
	}
	for entry := range slices.Chunk(b, lexiconEntry) {
		slot, _ := l.find(binary.LittleEndian.Uint32(entry))
		l.hashes[slot] = binary.LittleEndian.Uint32(entry)
		for i, w := range entry[4:] {
			l.weights[slot][i/classes][i%classes] = int8(w)
		}
	}
	return nil
}

// appendLexicon writes the words that have vectors, with their weights, in the order of their hashes.
func (l *Learner) appendLexicon(b []byte, scale float64) []byte {
	for _, h := range l.known() {
		b = binary.LittleEndian.AppendUint32(b, h)
		for role := range roles {
			for _, w := range l.common.of(role, l.vectors[h]) {
				b = append(b, byte(int8(math.Round(w/scale))))
			}
		}
	}
	return b
}

// known are the words that have vectors, in an order that is always the same.
func (l *Learner) known() []uint32 {
	all := make([]uint32, 0, len(l.vectors))
	for h := range l.vectors {
		all = append(all, h)
	}
	slices.Sort(all)
	return all
}
