package task

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// Example is a request whose label is known, as the trainer sees it.
type Example struct {
	Label Label
	words [2][]uint32 // that ask, and those beside
	signs []uint16
	drift *drift // nil: none of its words has a vector
}

// Learner finds weights for examples: multinomial logistic regression by stochastic gradient descent with steps
// that shrink for each weight by what it has moved (AdaGrad), and a decay that keeps rare words small. Each step leaves
// out some of the features by chance, so that no single one is relied on. What the vectors of words say is learned beside
// them and becomes the lexicon.
type Learner struct {
	Rate, Decay          float64
	DropWords, DropSigns float64 // the share that a step leaves out
	DropVectors          float64 // the share of steps that leave them out
	random               *rand.Rand
	model                *Model
	words                [][classes]float64
	signs                [][classes]float64
	movedWords           [][classes]float64
	movedSigns           [][classes]float64
	vectors              Vectors
	common               common
}

// NewLearner has learned nothing yet. Learners of different seeds find somewhat different weights.
func NewLearner(rate, decay float64, vectors Vectors, seed uint64) (*Learner, error) {
	m, err := untrained(cueText)
	return &Learner{
		Rate: rate, Decay: decay, DropWords: 0.3, DropSigns: 0.2, DropVectors: 0.2, random: rand.New(rand.NewPCG(3, seed)), model: m,
		words: make([][classes]float64, buckets), signs: make([][classes]float64, signs),
		movedWords: make([][classes]float64, buckets), movedSigns: make([][classes]float64, signs), vectors: vectors,
	}, err
}

// Example reads a request as Classify would.
func (l *Learner) Example(value []byte, label Label) Example {
	var t turn
	t.read(view(value))
	var hits []hit
	r := reader{m: l.model, text: t.text[:t.n], hits: &hits}
	r.read()
	var s marks
	s.look(&t, &r, l.model.before(&t))
	e := Example{Label: label, signs: append([]uint16(nil), s.list[:s.n]...)}
	for _, h := range hits {
		part := 0
		if h.aside {
			part = 1
		}
		e.words[part] = append(e.words[part], h.bucket)
	}
	e.drift = l.driftOf(&r, &e)
	return e
}

// driftOf sums the vectors of the words that were read, each with the share that its weight has.
func (l *Learner) driftOf(r *reader, e *Example) (d *drift) {
	for _, h := range *r.hits {
		v, role, ok := l.vector(h)
		if !ok {
			continue
		}
		part := 0
		if h.aside {
			part = 1
		}
		if d == nil {
			d = &drift{}
		}
		d.add(role, v, share(part, len(e.words[part])))
	}
	return d
}

// Learn makes one step for one example.
func (l *Learner) Learn(whole *Example) {
	e := &Example{Label: whole.Label, signs: some(whole.signs, l.DropSigns, l.random)}
	for part := range e.words {
		e.words[part] = some(whole.words[part], l.DropWords, l.random)
	}
	if l.random.Float64() >= l.DropVectors {
		e.drift = whole.drift
	}
	p := l.chances(e)
	for k := range p {
		slope := p[k]
		if Label(k+1) == e.Label {
			slope--
		}
		for part, words := range e.words {
			for _, b := range words {
				l.step(&l.words[b][k], &l.movedWords[b][k], slope*share(part, len(words)))
			}
		}
		for _, s := range e.signs {
			l.step(&l.signs[s][k], &l.movedSigns[s][k], slope)
		}
		if e.drift != nil {
			for i, x := range e.drift {
				l.step(&l.common.weights[i][k], &l.common.moved[i][k], slope*x)
			}
		}
	}
}

// some leaves out a share of a list.
func some[T any](list []T, share float64, random *rand.Rand) []T {
	kept := make([]T, 0, len(list))
	for _, v := range list {
		if random.Float64() >= share {
			kept = append(kept, v)
		}
	}
	return kept
}

func (l *Learner) step(w, moved *float64, slope float64) {
	slope += l.Decay * *w
	*moved += slope * slope
	*w -= l.Rate * slope / math.Sqrt(*moved+1e-8)
}

// chances are how likely each label is.
func (l *Learner) chances(e *Example) (p [classes]float64) {
	sum, top := 0.0, math.Inf(-1)
	for k := range p {
		for part, words := range e.words {
			for _, b := range words {
				p[k] += l.words[b][k] * share(part, len(words))
			}
		}
		for _, s := range e.signs {
			p[k] += l.signs[s][k]
		}
		if e.drift != nil {
			p[k] += l.common.chance(e.drift, k)
		}
		top = max(top, p[k])
	}
	for k := range p {
		p[k] = math.Exp(p[k] - top)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

// Mean is what learners have found, on average: what one has found by chance the others have not.
func Mean(all []*Learner) *Learner {
	mean := *all[0]
	mean.common = common{}
	mean.words, mean.signs = make([][classes]float64, buckets), make([][classes]float64, signs)
	for _, l := range all {
		add(mean.words, l.words, len(all))
		add(mean.signs, l.signs, len(all))
		add(mean.common.weights[:], l.common.weights[:], len(all))
	}
	return &mean
}

func add(sum, more [][classes]float64, of int) {
	for i := range sum {
		for k := range sum[i] {
			sum[i][k] += more[i][k] / float64(of)
		}
	}
}

// Guess is the label that is the most likely so far.
func (l *Learner) Guess(e *Example) Label {
	p := l.chances(e)
	label := Code
	for k := range p {
		if p[k] > p[label-1] {
			label = Label(k + 1)
		}
	}
	return label
}

// Pack rounds the weights into the bytes that a Model loads.
func (l *Learner) Pack() []byte {
	most := 0.0
	for i := range l.words {
		for _, w := range l.words[i] {
			most = max(most, math.Abs(w))
		}
	}
	for _, v := range l.vectors {
		for role := range roles {
			for _, w := range l.common.of(role, v) {
				most = max(most, math.Abs(w))
			}
		}
	}
	scale := float32(max(most, 1e-6) / math.MaxInt8)
	b := binary.LittleEndian.AppendUint32(nil, math.Float32bits(scale))
	for i := range l.words {
		for _, w := range l.words[i] {
			b = append(b, byte(int8(math.Round(w/float64(scale)))))
		}
	}
	for i := range l.signs {
		for _, w := range l.signs[i] {
			whole := math.Round(w / float64(scale))
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(min(max(whole, math.MinInt16), math.MaxInt16))))
		}
	}
	return l.appendLexicon(b, float64(scale))
}
