package task

import (
	"strings"
	"testing"
)

// TestForms: every form in which a request can ask is read, and what is around the last turn of the user is not.
func TestForms(t *testing.T) {
	t.Parallel()
	m := modelForTest(t)
	const code, chat = `"Write a Python function that sorts a list of numbers."`, `"Thanks, good night!"`
	for _, c := range []struct {
		name, value string
		want        Label
	}{
		{"a text", code, Code},
		{"texts", `[` + chat + `,` + code + `]`, Code},
		{"messages", `[{"role":"user","content":` + code + `}]`, Code},
		{"keys in another order", `[ {"content" : ` + code + ` , "name":"x", "role":"user"} ]`, Code},
		{"a system message", `[{"role":"system","content":` + chat + `},{"role":"user","content":` + code + `}]`, Code},
		{"the last turn counts", `[{"role":"user","content":` + code + `},{"role":"assistant","content":"ok"},{"role":"user","content":` + chat + `}]`, Simple},
		{"a tool's result is no turn", `[{"role":"user","content":` + code + `},{"role":"tool","content":` + chat + `}]`, Code},
		{"parts", `[{"role":"user","content":[{"type":"text","text":` + code + `},{"type":"image_url","image_url":{"url":"data:x"}}]}]`, Code},
		{"items of Responses", `[{"type":"message","role":"user","content":[{"type":"input_text","text":` + code + `}]},{"type":"reasoning","summary":[]}]`, Code},
		{"escapes", `[{"role":"user","content":"\u0057rite a Python\nfunction that \"sorts\" a list \ud83d\ude00"}]`, Code},
		{"nothing", `[]`, Simple},
		{"null", `null`, Simple},
		{"tokens", `[1,2,3]`, Simple},
		{"no content", `[{"role":"user","content":null}]`, Simple},
		{"an empty text", `""`, Simple},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := m.Classify([]byte(c.value)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got, _ := m.Explain([]byte(c.value)); got != c.want {
				t.Errorf("explained as %s, want %s", got, c.want)
			}
		})
	}
}

func TestExplainNamesWhatDecided(t *testing.T) {
	t.Parallel()
	m := modelForTest(t)
	label, why := m.Explain([]byte(`"What is the latest version of Node.js right now?"`))
	if label != Research || len(why) == 0 || len(why) > mostFeatures {
		t.Fatalf("%s because of %v", label, why)
	}
	all := ""
	for i, f := range why {
		all += f.String() + "\n"
		if f.Weight <= 0 || i > 0 && f.Weight > why[i-1].Weight {
			t.Errorf("%v in %v", f, why)
		}
	}
	if !strings.Contains(all, "latest") && !strings.Contains(all, "cue fresh") {
		t.Errorf("%s", all)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	for l := Code; l < labels; l++ {
		if Named([]byte(l.String())) != l {
			t.Errorf("%s is not the name of %d", l, l)
		}
	}
	if Named([]byte("Code")) != None || Named(nil) != None || None.String() != "" || Label(99).String() != "" {
		t.Error("what is no label has a name")
	}
}

// TestWeightsAreOfThisProgram: cues that changed after the weights were made would mean something else to them.
func TestWeightsAreOfThisProgram(t *testing.T) {
	t.Parallel()
	m := modelForTest(t)
	if len(m.cues.names) > maxCues || m.recent == 0 || m.request == 0 || m.filler == 0 || m.working == 0 {
		t.Errorf("%d cues, %b %b %b %b", len(m.cues.names), m.recent, m.request, m.filler, m.working)
	}
	if err := m.load(weights[1:]); err == nil {
		t.Error("weights of another size were loaded")
	}
	if _, err := readCues("a: one_two_three_four"); err == nil {
		t.Error("a cue of four words was taken")
	}
}

// FuzzClassify: no value, sound or not, breaks the reader, and it finds the same twice.
func FuzzClassify(f *testing.F) {
	m := modelForTest(f)
	for _, seed := range []string{`"x"`, `[{"role":"user","content":[{"text":"a\ud800\u12"}]}]`, "[\"```go\\nx\"]", `"“„«`, `[{"role":"user","content":"写:一"`, `{"\`, `["\\`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got := m.Classify(value)
		if again, _ := m.Explain(value); got != again || got == None {
			t.Errorf("%s, then %s", got, again)
		}
	})
}
