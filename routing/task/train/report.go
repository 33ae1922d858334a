package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vel-gateway/vel/routing/task"
)

// score counts how often it was right.
type score struct{ right, all int }

func (s *score) count(right bool) {
	s.all++
	if right {
		s.right++
	}
}

func (s score) String() string {
	return fmt.Sprintf("%d of %d, %.1f %%", s.right, s.all, 100*float64(s.right)/float64(max(s.all, 1)))
}

// report is what an examination finds.
type report struct {
	show     bool // name the prompts that were judged wrong
	whole    score
	by       map[string]score // by language or file
	confused [5][5]int
}

// ask lets a learner judge a prompt.
func (r *report) ask(l *task.Learner, p *prompt, group string) {
	e := l.Example(p.body, p.label)
	guess, s := l.Guess(&e), r.by[group]
	right := guess == p.label
	r.confused[p.label][guess]++
	r.whole.count(right)
	s.count(right)
	r.by[group] = s
	if !right && r.show {
		fmt.Printf("%s taken for %s: %s\n", p.label, guess, p.body)
	}
}

func (r *report) print() {
	fmt.Println(r.whole)
	for _, name := range slices.Sorted(maps.Keys(r.by)) {
		fmt.Printf("  %s: %s\n", name, r.by[name])
	}
	for l := task.Code; l <= task.Simple; l++ {
		fmt.Printf("  %-10s %v\n", l, r.confused[l][1:])
	}
}
