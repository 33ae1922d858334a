package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/routing/task"
)

// prompt is one request to learn from.
type prompt struct {
	line     int // of all files: prompts of the same line share it
	language string
	file     string
	number   int // of the file
	label    task.Label
	body     []byte // the value of messages
}

const (
	perLine     = 4 // prompts that are made of a line with blanks
	amongOthers = 4 // prompts that are made of a line among sentences that say nothing
)

// readPrompts reads all files of a directory. Their form is described in training/README.md. Of each line it makes
// also that many prompts among sentences that say nothing.
func readPrompts(dir string, others int) ([]prompt, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	r := &lines{others: others}
	context := func(name string) bool { return strings.HasPrefix(filepath.Base(name), "context-") }
	for _, name := range files {
		if context(name) {
			if err := r.readContext(name); err != nil {
				return nil, err
			}
		}
	}
	for n, name := range slices.DeleteFunc(files, context) {
		r.number = n
		if err := r.file(name); err != nil {
			return nil, err
		}
	}
	return r.prompts, nil
}

// lines goes through the files.
type lines struct {
	around, behind map[string][]string // what says nothing, by language

	others   int // prompts that are made of a line among sentences that say nothing
	prompts  []prompt
	blanks   map[string][]string
	language string
	name     string // of the file
	number   int    // of the file
	label    task.Label
	line     int
}

func (r *lines) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r.name, _, _ = strings.Cut(filepath.Base(name), ".")
	r.language, _, _ = strings.Cut(r.name, "-")
	r.blanks, r.label = map[string][]string{}, task.None
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		if err := r.read(strings.TrimSpace(in.Text())); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return in.Err()
}

func (r *lines) read(line string) error {
	switch {
	case line == "" || line[0] == '#':
		return nil
	case line[0] == '$':
		name, list, _ := strings.Cut(line[1:], "=")
		for _, word := range strings.Split(list, "|") {
			r.blanks[strings.TrimSpace(name)] = append(r.blanks[strings.TrimSpace(name)], strings.TrimSpace(word))
		}
		return nil
	case line[0] == '@':
		if r.label = task.Named([]byte(line[1:])); r.label == task.None {
			return fmt.Errorf("no label %s", line)
		}
		return nil
	}
	r.line++
	times := 1
	if r.blank(line) {
		times = perLine
	}
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(line))
	random := rand.New(rand.NewPCG(seed.Sum64(), 0))
	for range times {
		filled, err := r.fill(line, random)
		if err != nil {
			return err
		}
		r.prompts = append(r.prompts, prompt{r.line, r.language, r.name, r.number, r.label, messages(filled, random)})
	}
	return r.among(line, random)
}

// blank tells whether a line has one: a brace that encloses no name of a list is text.
func (r *lines) blank(line string) bool {
	for name := range r.blanks {
		if strings.Contains(line, "{"+name+"}") {
			return true
		}
	}
	return false
}

// among adds the prompts of a line among sentences that say nothing.
func (r *lines) among(line string, random *rand.Rand) error {
	around := r.around[r.language]
	if len(around) == 0 {
		around = r.around["en"]
	}
	for range r.others {
		filled, err := r.fill(line, random)
		if err != nil {
			return err
		}
		all := strings.Split(filled, " || ")
		last := &all[len(all)-1]
		role, text := "", *last
		if strings.HasPrefix(text, "U: ") {
			role, text = "U: ", text[3:]
		}
		gap := []string{" ", " ", "\\n\\n", "\\n"}
		for range 1 + random.IntN(3) {
			if random.IntN(4) > 0 {
				text = around[random.IntN(len(around))] + gap[random.IntN(len(gap))] + text
			} else {
				text += gap[random.IntN(len(gap))] + around[random.IntN(len(around))]
			}
		}
		if behind := r.behind[r.language]; len(behind) > 0 && random.IntN(2) == 0 {
			text += gap[random.IntN(len(gap))] + behind[random.IntN(len(behind))]
		}
		*last = role + text
		r.prompts = append(r.prompts, prompt{r.line, r.language, r.name, r.number, r.label, messages(strings.Join(all, " || "), random)})
	}
	return nil
}

// readContext reads sentences that say nothing about what is asked.
func (r *lines) readContext(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if r.around == nil {
		r.around, r.behind = map[string][]string{}, map[string][]string{}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		language := "en"
		if len(line) > 4 && line[2:4] == ": " {
			language, line = line[:2], line[4:]
		}
		if after, ok := strings.CutPrefix(line, "~"); ok {
			r.behind[language] = append(r.behind[language], after)
			continue
		}
		r.around[language] = append(r.around[language], line)
	}
	return nil
}

// fill puts a word into every blank.
func (r *lines) fill(line string, random *rand.Rand) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(line, "{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		words := r.blanks[name]
		if !closed || len(words) == 0 {
			out.WriteByte('{')
			line = rest
			continue
		}
		out.WriteString(words[random.IntN(len(words))])
		line = after
	}
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

var roles = map[string]string{"S": "system", "U": "user", "A": "assistant"}

// messages makes a line a request. Some lose the mark at their end, as people leave it out.
func messages(line string, random *rand.Rand) []byte {
	var all []message
	for _, part := range strings.Split(line, " || ") {
		m := message{"user", part}
		if role, text, ok := strings.Cut(part, ": "); ok && roles[role] != "" {
			m = message{roles[role], text}
		}
		m.Content = strings.ReplaceAll(m.Content, `\n`, "\n")
		all = append(all, m)
	}
	if last := &all[len(all)-1]; random.IntN(5) == 0 {
		last.Content = strings.TrimRight(last.Content, ".?!。？！")
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err) // texts can always be encoded
	}
	return b
}
