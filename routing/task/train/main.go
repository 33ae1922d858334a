// Command train makes the weights of the task model out of the prompts in ../training: run it in routing/task as
//
//	go run ./train            cross-validates and says how often it was right
//	go run ./train -validate  learns from all prompts and examines those in ../validation, which are never learned from
//	go run ./train -write     learns from all prompts and writes weights.bin
//
// It is for people who change the prompts or the cues; no build and no test runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/vel-gateway/vel/routing/task"
)

func main() {
	log.SetFlags(0)
	write := flag.Bool("write", false, "learn from all prompts and write weights.bin")
	rounds := flag.Int("rounds", 14, "how often each prompt is learned")
	rate := flag.Float64("rate", 0.1, "how far a step goes")
	decay := flag.Float64("decay", 1e-5, "how fast a weight is forgotten")
	pupils := flag.Int("pupils", 6, "how many learn, each in another order; the mean of what they know counts")
	folds := flag.Int("folds", 5, "parts of the cross-validation")
	held := flag.String("held", "", "hold out the files with these names instead of parts of all")
	whole := flag.Bool("files", false, "hold out whole files, so that what is examined was written at another time than what was learned")
	every := flag.Bool("every", false, "examine every prompt of a line, not only the first")
	validate := flag.Bool("validate", false, "learn from all prompts and examine those of validation")
	show := flag.Bool("show", false, "name the prompts that were judged wrong")
	flag.Parse()
	all, err := readPrompts("training", amongOthers)
	if err != nil {
		log.Fatal(err)
	}
	known, err := os.ReadFile("training/vectors.bin")
	if err != nil {
		log.Fatal(err)
	}
	vectors, err := task.ReadVectors(known)
	if err != nil {
		log.Fatal(err)
	}
	s := &school{all, *rounds, *rate, *decay, *pupils, vectors, *every}
	if *write {
		l, err := s.teach(func(*prompt) bool { return true })
		if err == nil {
			err = os.WriteFile("weights.bin", l.Pack(), 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	if *validate {
		if err := s.validate(*show); err != nil {
			log.Fatal(err)
		}
		return
	}
	part := func(p *prompt) int { return p.line % *folds }
	if *whole {
		part = func(p *prompt) int { return p.number % *folds }
	}
	if *held != "" {
		part = func(p *prompt) int {
			if slices.Contains(strings.Split(*held, ","), p.file) {
				return 0
			}
			return 1
		}
		*folds = 1
	}
	if err := s.examine(part, *folds, *show); err != nil {
		log.Fatal(err)
	}
}

// school teaches a model from prompts.
type school struct {
	prompts     []prompt
	rounds      int
	rate, decay float64
	pupils      int
	vectors     task.Vectors
	every       bool // examine every prompt of a line, not only the first
}

// teach lets several pupils learn from the prompts of some lines, and is what they know on average.
func (s *school) teach(with func(p *prompt) bool) (*task.Learner, error) {
	pupils, faults := make([]*task.Learner, s.pupils), make([]error, s.pupils)
	turns := make(chan struct{}, runtime.NumCPU())
	var all sync.WaitGroup
	for i := range pupils {
		all.Go(func() {
			turns <- struct{}{}
			pupils[i], faults[i] = s.pupil(with, uint64(i))
			<-turns
		})
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return task.Mean(pupils), nil
}

// pupil learns in an order of its own, which is always the same.
func (s *school) pupil(with func(p *prompt) bool, seed uint64) (*task.Learner, error) {
	l, err := task.NewLearner(s.rate, s.decay, s.vectors, seed)
	if err != nil {
		return nil, err
	}
	var examples []task.Example
	count, least := map[task.Label]int{}, math.MaxInt
	for i := range s.prompts {
		if p := &s.prompts[i]; with(p) {
			examples = append(examples, l.Example(p.body, p.label))
			count[p.label]++
		}
	}
	for _, n := range count {
		least = min(least, n)
	}
	random := rand.New(rand.NewPCG(1, seed))
	for range s.rounds {
		random.Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
		for i := range examples {
			if random.IntN(count[examples[i].Label]) < least { // all labels equally often
				l.Learn(&examples[i])
			}
		}
	}
	return l, nil
}

// examine holds out one part of the lines after the other. All prompts that were made of one line are in one part.
func (s *school) examine(part func(*prompt) int, folds int, show bool) error {
	r := report{show: show, by: map[string]score{}}
	for fold := range folds {
		l, err := s.teach(func(p *prompt) bool { return part(p) != fold })
		if err != nil {
			return err
		}
		seen := -1
		for i := range s.prompts {
			p := &s.prompts[i]
			if part(p) != fold || !s.every && p.line == seen {
				continue
			}
			seen = p.line
			r.ask(l, p, p.language)
		}
	}
	r.print()
	fmt.Printf("  there are %d prompts\n", len(s.prompts))
	return nil
}

// validate examines the prompts that are never learned from.
func (s *school) validate(show bool) error {
	held, err := readPrompts("validation", 0)
	if err != nil {
		return err
	}
	l, err := s.teach(func(*prompt) bool { return true })
	if err != nil {
		return err
	}
	r := report{show: show, by: map[string]score{}}
	for i := range held {
		r.ask(l, &held[i], held[i].file)
	}
	r.print()
	return nil
}
