package storage

import (
	"fmt"
	"math"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// sketchAccuracy is how far a quantile may be off, as a share of it. It belongs to what is stored: a sketch is encoded
// without it.
const sketchAccuracy = 0.01

// sketcher makes sketches of durations that can be merged with each other. Two of them encoded one behind the other are
// the encoding of both, so that the database can add to one that it does not understand.
type sketcher struct {
	mapping.IndexMapping
	store.Provider // of what holds the counts
}

// newSketcher makes sketches of which there are many, and little in each.
func newSketcher() sketcher { return sketcherOf(store.DefaultProvider) }

// newMerger makes those that many are merged into: several times as fast, and larger.
func newMerger() sketcher { return sketcherOf(store.DenseStoreConstructor) }

func sketcherOf(p store.Provider) sketcher {
	m, err := mapping.NewLogarithmicMapping(sketchAccuracy)
	if err != nil {
		panic(err) // the accuracy is between 0 and 1
	}
	return sketcher{m, p}
}

func (s sketcher) sketch() *sketch {
	return &sketch{ddsketch.NewDDSketchFromStoreProvider(s.IndexMapping, s.Provider)}
}

// sketch is how long something took, many times. nil: never.
type sketch struct{ of *ddsketch.DDSketch }

// add counts one more, in microseconds.
func (s *sketch) add(d time.Duration) {
	if err := s.of.Add(float64(max(d, time.Microsecond) / time.Microsecond)); err != nil {
		panic(err) // it is neither negative nor beyond what can be told apart
	}
}

// merge adds what another one counted.
func (s *sketch) merge(encoded []byte) error {
	if err := s.of.DecodeAndMergeWith(encoded); err != nil {
		return fmt.Errorf("read a sketch: %w", err)
	}
	return nil
}

func (s *sketch) encode() []byte {
	b := []byte{}
	if s != nil {
		s.of.Encode(&b, true)
	}
	return b
}

// at are quantiles: of so many, the one that this share of them does not exceed. Zeros if nothing was counted.
func (s *sketch) at(quantiles ...float64) []time.Duration {
	all := make([]time.Duration, len(quantiles))
	if s == nil || s.of.IsEmpty() {
		return all
	}
	for i, q := range quantiles {
		v, err := s.of.GetValueAtQuantile(s.nearest(q))
		if err != nil {
			panic(err) // a quantile between 0 and 1 of what is not empty
		}
		all[i] = time.Duration(v * float64(time.Microsecond))
	}
	return all
}

// nearest is what a sketch has to be asked for to give the nearest rank of a quantile: by itself it goes down to the one
// below, and of two calls would tell the faster one as the slowest hundredth. The middle between two ranks stands for the
// lower one, whatever is rounded.
func (s *sketch) nearest(q float64) float64 {
	n := s.of.GetCount()
	if n <= 1 {
		return q
	}
	return min((math.Ceil(q*n)-0.5)/(n-1), 1)
}
