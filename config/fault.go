package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong, with where it stands and what to do about it.
type Fault struct {
	Path    string `json:"path"`           // dotted as in the file: models.gpt-4o.targets[1].provider; empty: the whole file
	File    string `json:"file,omitempty"` // empty for what the environment says
	Line    int    `json:"line,omitempty"` // of the value, or of the nearest block above it; 0: not known
	Env     string `json:"env,omitempty"`  // the variable that the value comes from
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

// String is the fault on one line: where, path, problem, hint.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.Env != "":
		b.WriteString(f.Env + ": ")
	case f.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", f.File, f.Line)
	case f.File != "":
		b.WriteString(f.File + ": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Problem)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// Faults is everything that is wrong, in the order of the file. It is never empty when it is an error.
type Faults []Fault

// Error lists every fault on a line of its own.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Env, b.Env), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
}

// Notice is something that an operator should know although it is no fault.
type Notice struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// String is the notice on one line.
func (n Notice) String() string { return n.Path + ": " + n.Message }

// longestGuess is the length of a name beyond which nobody's typing error is looked for: it would take time
// with the square of it.
const longestGuess = 100

// suggest finds the known name that was probably meant, or none.
func suggest(name string, known []string) string {
	if len(name) > longestGuess {
		return ""
	}
	best, least := "", max(1, len(name)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), least); d <= least {
			if d < least || best == "" {
				best, least = k, d
			}
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with their neighbour (optimal string
// alignment). It gives up with limit+1 where the lengths alone differ by more than limit.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
