package task

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the figures into docs/task-types.md")

// judged is one labelled prompt. The prompts are for this evaluation only: nothing is ever learned from them.
type judged struct {
	Label    string          `json:"label"`
	Hard     bool            `json:"hard"`
	Lang     string          `json:"lang"`
	Messages json.RawMessage `json:"messages"`
}

// tally counts how often the model was right.
type tally struct{ right, all int }

func (t *tally) count(right bool) {
	t.all++
	if right {
		t.right++
	}
}

func (t tally) percent() float64 { return 100 * float64(t.right) / float64(max(t.all, 1)) }

// figures are what an evaluation finds.
type figures struct {
	all, plain, hard, english, others tally
	confused                          [labels][labels]int
}

func evaluate(t *testing.T, m *Model) (f figures) {
	t.Helper()
	file, err := os.Open("testdata/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var j judged
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			t.Fatal(err)
		}
		want, got := Named([]byte(j.Label)), m.Classify(j.Messages)
		f.confused[want][got]++
		right := want == got
		f.all.count(right)
		if j.Hard {
			f.hard.count(right)
		} else {
			f.plain.count(right)
		}
		if j.Lang == "en" {
			f.english.count(right)
		} else {
			f.others.count(right)
		}
	}
	return f
}

// String is the figures as the documentation has them.
func (f *figures) String() string {
	var b strings.Builder
	b.WriteString("| prompts | right | of | share |\n|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		t    tally
	}{{"all", f.all}, {"not marked hard", f.plain}, {"marked hard", f.hard}, {"English", f.english}, {"other languages", f.others}} {
		fmt.Fprintf(&b, "| %s | %d | %d | %.1f %% |\n", row.name, row.t.right, row.t.all, row.t.percent())
	}
	b.WriteString("\n| asked for ↓, taken for → | code | reasoning | research | simple |\n|---|---|---|---|---|\n")
	for want := Code; want < labels; want++ {
		c := f.confused[want]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", want, c[Code], c[Reasoning], c[Research], c[Simple])
	}
	return b.String()
}

func modelForTest(tb testing.TB) *Model {
	tb.Helper()
	m, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// The goal is 85 % of all prompts and 92 % of those that are not hard. The model has reached the first and not the second
// (docs/task-types.md); these floors keep it from getting worse than it is, but for the few prompts that chance moves when it
// learns from others: between its last two versions two became wrong and two right. Raise them with it.
const (
	floorOfAll   = 85
	floorOfPlain = 86
)

// TestFloor: the model is as good as it was.
func TestFloor(t *testing.T) {
	t.Parallel()
	f := evaluate(t, modelForTest(t))
	if f.all.all < 400 {
		t.Fatalf("%d prompts prove nothing", f.all.all)
	}
	if p := f.all.percent(); p < floorOfAll {
		t.Errorf("%.1f %% of all prompts are right, want %d", p, floorOfAll)
	}
	if p := f.plain.percent(); p < floorOfPlain {
		t.Errorf("%.1f %% of the prompts that are not hard are right, want %d", p, floorOfPlain)
	}
}

const begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

// TestDocumentedFigures: the documentation says what the model does. With -update it is made to.
func TestDocumentedFigures(t *testing.T) {
	t.Parallel()
	const page = "../../docs/task-types.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	was, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no place for the figures", page)
	}
	f := evaluate(t, modelForTest(t))
	if is := f.String(); is != was {
		if !*update {
			t.Fatalf("%s says\n%s\nand the model\n%s\nrun the test with -update", page, was, is)
		}
		if err := os.WriteFile(page, []byte(head+begin+is+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
