package task

// Label is a kind of work.
type Label uint8

// The labels. None is of a call that nobody has judged.
const (
	None      Label = iota
	Code            // code, a query, a formula or a command is to be made, mended, explained or reviewed
	Reasoning       // an analysis, a proof, a decision or a plan from given facts
	Research        // a right answer needs facts that are newer than a model, or lie outside of it
	Simple          // small talk, a short transformation, an answer from what is given, stable knowledge
	labels
)

// classes is how many labels a model chooses among.
const classes = int(labels) - 1

var labelNames = [labels]string{"", "code", "reasoning", "research", "simple"}

// String is the label as rules, headers and records spell it; empty for None.
func (l Label) String() string {
	if l < labels {
		return labelNames[l]
	}
	return ""
}

// Named is the label with a name, or None.
func Named(name []byte) Label {
	for l := Code; l < labels; l++ {
		if string(name) == labelNames[l] {
			return l
		}
	}
	return None
}
