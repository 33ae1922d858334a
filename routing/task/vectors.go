package task

import "errors"

// Vectors say which words are used alike, so that what is learned of one word holds in part for those that were in no
// prompt: of condense what holds of shorten. They are by the words' hashes, and for the Learner; a Model has only weights.
type Vectors map[uint32]vector

// vector is a word's place among others, in steps of 1/vectorSteps.
type vector [dims]int8

const (
	dims        = 50
	vectorSteps = 200
)

// errVectors: the file was cut, or is another.
var errVectors = errors.New("read the vectors of words: they are not whole")

// ReadVectors reads words with their vectors: the length of the word, its letters, and a byte for each dimension.
func ReadVectors(b []byte) (Vectors, error) {
	all := Vectors{}
	for len(b) > 0 {
		n := 1 + int(b[0])
		if len(b) < n+dims {
			return nil, errVectors
		}
		var v vector
		for i := range v {
			v[i] = int8(b[n+i])
		}
		all[hashText(string(b[1:n]))] = v
		b = b[n+dims:]
	}
	return all, nil
}

// The roles in which a word is learned of by its vector.
const (
	roleAsked  = iota // it is in what asks
	roleBeside        // it is beside that
	roleFirst         // it begins a sentence that asks
	roles
)

// roleOf is the role of the words under a seed.
func roleOf(seed uint32) (role int, ok bool) {
	switch seed {
	case isWord:
		return roleAsked, true
	case isWord + 1:
		return roleBeside, true
	case isFirst:
		return roleFirst, true
	}
	return 0, false
}

// drift is the sum of the vectors of an example's words, for each role: a request as a whole.
type drift [roles * dims]float64

func (d *drift) add(role int, v vector, share float64) {
	for i, x := range v {
		d[role*dims+i] += float64(x) / vectorSteps * share
	}
}

// common is what the Learner has found of words by their vectors.
type common struct {
	weights, moved [roles * dims][classes]float64
}

func (c *common) chance(d *drift, k int) (sum float64) {
	for i, x := range d {
		sum += c.weights[i][k] * x
	}
	return sum
}

// of is what a word weighs in a role because of its vector.
func (c *common) of(role int, v vector) (w [classes]float64) {
	for i, x := range v {
		for k := range w {
			w[k] += c.weights[role*dims+i][k] * float64(x) / vectorSteps
		}
	}
	return w
}

// vector finds the vector of what was hit, and the role in which it stands there.
func (l *Learner) vector(h hit) (v vector, role int, ok bool) {
	if role, ok = roleOf(h.seed); ok {
		v, ok = l.vectors[h.hash]
	}
	return v, role, ok
}
