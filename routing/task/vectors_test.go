package task

import (
	"errors"
	"os"
	"testing"
)

func spelled(word string, v vector) []byte {
	b := append([]byte{byte(len(word))}, word...)
	for _, x := range v {
		b = append(b, byte(x))
	}
	return b
}

// TestVectorsTeachOtherWords: what is learned of a word holds for one that is used alike and was in no prompt, and comes
// into the weights that a model loads.
func TestVectorsTeachOtherWords(t *testing.T) {
	t.Parallel()
	near, far := vector{0: 120, 1: 120}, vector{2: 120, 3: 120}
	vectors, err := ReadVectors(append(spelled("frobnicate", near), append(spelled("grommelize", near), spelled("quuxify", far)...)...))
	if err != nil {
		t.Fatal(err)
	}
	var pupils []*Learner
	for seed := range uint64(2) {
		l, err := NewLearner(0.1, 1e-5, vectors, seed)
		if err != nil {
			t.Fatal(err)
		}
		examples := []Example{l.Example([]byte(`"frobnicate"`), Research), l.Example([]byte(`"quuxify"`), Code)}
		for range 200 {
			for i := range examples {
				l.Learn(&examples[i])
			}
		}
		pupils = append(pupils, l)
	}
	mean := Mean(pupils)
	m, err := untrained(cueText)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.load(mean.Pack()); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]Label{`"frobnicate"`: Research, `"grommelize"`: Research, `"quuxify"`: Code, `"Grommelize"`: Research} {
		e := mean.Example([]byte(value), None)
		if got := mean.Guess(&e); got != want {
			t.Errorf("the learner takes %s for %s, want %s", value, got, want)
		}
		if got := m.Classify([]byte(value)); got != want {
			t.Errorf("the model takes %s for %s, want %s", value, got, want)
		}
	}
}

// TestVectorsAreWhole: the file beside the prompts can be read, and one that was cut is refused.
func TestVectorsAreWhole(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("training/vectors.bin")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadVectors(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10_000 || len(all) > maxLexicon || all[hashText("explain")] == (vector{}) {
		t.Errorf("%d words", len(all))
	}
	if _, err := ReadVectors(b[:len(b)-1]); !errors.Is(err, errVectors) {
		t.Errorf("a file that was cut: %v", err)
	}
}

// TestCutWeights: weights that are not whole are refused.
func TestCutWeights(t *testing.T) {
	t.Parallel()
	for _, cut := range []int{1, len(weights) / 2, len(weights) - 3} {
		m, err := untrained(cueText)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.load(weights[:len(weights)-cut]); !errors.Is(err, errWeights) {
			t.Errorf("%d bytes less: %v", cut, err)
		}
	}
}
