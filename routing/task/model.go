package task

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
)

//go:embed weights.bin
var weights []byte

// Model decides what kind of work a call asks for. It is immutable.
type Model struct {
	cues                             *cues
	recent, request, filler, working cueSet // the cues that the reader itself needs
	words                            *[buckets][classes]int8
	signs                            *[signs][classes]int16
	lexicon                          *lexicon
	scale                            float32 // of the weights
}

// New is the model that the program comes with.
func New() (*Model, error) {
	m, err := untrained(cueText)
	if err != nil {
		return nil, err
	}
	return m, m.load(weights)
}

// untrained is a model that knows the cues and has learned nothing.
func untrained(text string) (*Model, error) {
	c, err := readCues(text)
	if err != nil {
		return nil, err
	}
	m := &Model{cues: c, words: new([buckets][classes]int8), signs: new([signs][classes]int16), lexicon: &lexicon{}, scale: 1}
	for i, name := range c.names {
		switch name {
		case "fresh":
			m.recent = 1 << i
		case "request":
			m.request = 1 << i
		case "turn", "given":
			m.working |= 1 << i
		case "filler":
			m.filler = 1 << i
		}
	}
	return m, nil
}

// errWeights: weights and program are not of the same make. A test keeps it from being shipped.
var errWeights = errors.New("load the weights of the task model: they are not of this program")

// load takes weights as Pack writes them.
func (m *Model) load(b []byte) error {
	if len(b) < 4+buckets*classes+signs*classes*2 {
		return errWeights
	}
	m.scale = math.Float32frombits(binary.LittleEndian.Uint32(b))
	b = b[4:]
	for i := range m.words {
		for k := range classes {
			m.words[i][k] = int8(b[i*classes+k])
		}
	}
	b = b[buckets*classes:]
	for i := range m.signs {
		for k := range classes {
			m.signs[i][k] = int16(binary.LittleEndian.Uint16(b[(i*classes+k)*2:]))
		}
	}
	return m.lexicon.load(b[signs*classes*2:])
}

// Classify tells what kind of work is asked, from the value of messages, input or prompt as it stands in a checked
// body. It is pure and allocates nothing.
func (m *Model) Classify(value []byte) Label {
	label, _ := m.Judge(value)
	return label
}

// Judge is Classify with how much more spoke for the label than for the others on average; 0: nothing was asked.
func (m *Model) Judge(value []byte) (label Label, sure float32) {
	var t turn
	t.read(view(value))
	if t.n == 0 {
		return Simple, 0
	}
	r := reader{m: m, text: t.text[:t.n]}
	r.read()
	var signs marks
	signs.look(&t, &r, m.before(&t))
	score := m.score(&r, &signs)
	label = best(score)
	return label, lead(score, label)
}

// before are the cues of the turn before, if this one is too short to stand alone.
func (m *Model) before(t *turn) cueSet {
	if t.before == "" || t.n > short {
		return 0
	}
	var earlier turn
	earlier.decode(t.before)
	r := reader{m: m, text: earlier.text[:earlier.n]}
	r.read()
	return r.found
}

// score is the sum of the weights for each label. The words that ask share one weight among them, and those beside a
// smaller one, so that a long turn says no more than a short one.
func (m *Model) score(r *reader, s *marks) (score [classes]float32) {
	for k := range score {
		score[k] = (float32(r.sums[0][k])*r.share(0) + float32(r.sums[1][k])*r.share(1)) * m.scale
	}
	for _, sign := range s.list[:s.n] {
		for k := range score {
			score[k] += float32(m.signs[sign][k]) * m.scale
		}
	}
	return score
}

// besides is what all words beside what is asked count for, where those that ask count for 1.
const besides = 0.4

// share is what one word counts for: of those that ask, or of those beside.
func (r *reader) share(part int) float32 { return float32(share(part, r.words[part])) }

func share(part, words int) float64 {
	s := 1 / math.Sqrt(float64(max(words, 1)))
	if part == 1 {
		s *= besides
	}
	return s
}

func best(score [classes]float32) Label {
	label := Code
	for k := range score {
		if score[k] > score[label-1] {
			label = Label(k + 1)
		}
	}
	return label
}
