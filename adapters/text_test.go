package adapters_test

import (
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
)

// words counts as many tokens as there are words.
func words(text string) int64 { return int64(len(strings.Fields(text))) }

func TestPromptIsTheTextAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint adapters.Endpoint
		body     string
		text     string
		beside   int64
	}{
		"a message":     {adapters.ChatCompletions, `{"model":"m","messages":[{"role":"user","content":"one \"two\"\n"}]}`, "one \"two\"\n", 4 + 3},
		"a name":        {adapters.ChatCompletions, `{"messages":[{"role":"user","name":"Ann","content":"one"},{"role":"system","content":null}]}`, "Ann\none", 8 + 1 + 3},
		"parts":         {adapters.ChatCompletions, `{"messages":[{"role":"user","content":[{"type":"text","text":"one"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`, "one", 4 + 1000 + 3},
		"calls":         {adapters.ChatCompletions, `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"2"}]}`, "f\n{\"x\":1}\n2", 8 + 3},
		"tools":         {adapters.ChatCompletions, `{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"required":["x"]}}}],"user":"u"}`, "type\nfunction\nfunction\nname\nf\nparameters\nrequired\nx", 3},
		"a response":    {adapters.Responses, `{"input":"one","instructions":"two"}`, "one\ntwo", 8 + 3},
		"items":         {adapters.Responses, `{"input":[{"role":"user","content":[{"type":"input_text","text":"one"},{"type":"input_image"}]},{"type":"function_call_output","output":"two"}]}`, "one\ntwo", 8 + 1000 + 3},
		"a text":        {adapters.Completions, `{"prompt":["one","two"]}`, "one\ntwo", 0},
		"tokens":        {adapters.Embeddings, `{"input":[[1,2,3],[4]]}`, "", 4},
		"an embedding":  {adapters.Embeddings, `{"input":"one"}`, "one", 0},
		"not countable": {adapters.Speech, `{"input":"one"}`, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := adapters.Text{Limit: 1 << 10}
			(&adapters.Content{Endpoint: c.endpoint, Body: []byte(c.body)}).Prompt(&text)
			if text.String() != c.text {
				t.Errorf("text %q, want %q", text.String(), c.text)
			}
			if got := text.Count(words); got != words(c.text)+c.beside {
				t.Errorf("%d tokens, want %d and %d", got, words(c.text), c.beside)
			}
		})
	}
}

func TestAnswerIsTheTextAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint      adapters.Endpoint
		body          string
		said, thought string
	}{
		"a chat":       {adapters.ChatCompletions, `{"id":"x","choices":[{"message":{"role":"assistant","content":"one","refusal":null,"reasoning_content":"two"}},{"message":{"content":"three"}}]}`, "one\nthree", "two"},
		"calls":        {adapters.ChatCompletions, `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}`, "f\n{}", ""},
		"a text":       {adapters.Completions, `{"choices":[{"text":"one"}]}`, "one", ""},
		"a response":   {adapters.Responses, `{"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"two"}]},{"type":"message","content":[{"type":"output_text","text":"one"}]}]}`, "one", "two"},
		"an embedding": {adapters.Embeddings, `{"data":[{"embedding":[1]}]}`, "", ""},
		"no JSON":      {adapters.ChatCompletions, `}{`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var texts adapters.Texts
			texts.Reset(1 << 10)
			(&adapters.Content{Endpoint: c.endpoint}).Answer(&texts, []byte(c.body))
			if texts.Said.String() != c.said || texts.Thought.String() != c.thought {
				t.Errorf("%q and %q, want %q and %q", texts.Said.String(), texts.Thought.String(), c.said, c.thought)
			}
		})
	}
}

// What is not kept is counted by its length; the end of what is kept is a whole character.
func TestTextIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ long, kept string }{
		"letters":         {strings.Repeat("ab ", 100), "ab ab ab a"},
		"characters":      {strings.Repeat("é", 100), "ééééé"},
		"cut characters":  {"a" + strings.Repeat("é", 100), "aéééé"},
		"a cut escape":    {"abcdefg\\u00e9" + strings.Repeat("x", 100), "abcdefg"},
		"a cut backslash": {"abcdefghi\\nx" + strings.Repeat("x", 100), "abcdefghi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := adapters.Text{Limit: 10}
			text.Add([]byte(c.long))
			text.Add([]byte("behind"))
			text.End()
			if text.String() != c.kept || !text.Cut() || text.Held() > 10 {
				t.Errorf("kept %q (%d bytes, cut %v), want %q", text.String(), text.Held(), text.Cut(), c.kept)
			}
			if n := text.Count(func(s string) int64 { return int64(len(s)) }); n < int64(len(c.long)) || n > int64(len(c.long))+10 {
				t.Errorf("%d bytes are counted of %d", n, len(c.long)+6)
			}
			if want := int64(len(c.long)+6+3) / 4; text.Guess() != want {
				t.Errorf("guess %d, want %d", text.Guess(), want)
			}
		})
	}
}

// A request that is nested deeply, or large, is not read over and over.
func TestPromptsAreReadOnce(t *testing.T) {
	t.Parallel()
	const deep = 1000
	nested := strings.Repeat(`{"x":`, deep) + `"one"` + strings.Repeat("}", deep)
	for name, c := range map[string]struct {
		body string
		text string
		size int
	}{
		"a deep schema":  {`{"messages":[],"tools":[` + nested + `]}`, strings.TrimSuffix(strings.Repeat("x\n", 15), "\n"), 15 + len(nested) - 15*len(`{"x":}`)},
		"a large schema": {`{"messages":[],"tools":["` + strings.Repeat("x", 300<<10) + `"]}`, "", 300<<10 + 4},
		"calls in calls": {`{"messages":[` + strings.ReplaceAll(nested, `"x"`, `"function_call"`) + `]}`, "", 0},
		"deep lists":     {`{"messages":[],"prompt":[[["one"]]]}`, "", len(`["one"]`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := adapters.Text{Limit: 1 << 10}
			(&adapters.Content{Endpoint: adapters.ChatCompletions, Body: []byte(c.body)}).Prompt(&text)
			if text.String() != c.text || text.Size() != c.size {
				t.Errorf("text %q of %d bytes, want %q of %d", text.String(), text.Size(), c.text, c.size)
			}
		})
	}
}

func TestTextIsUsedAgain(t *testing.T) {
	t.Parallel()
	var text adapters.Text
	for range 2 {
		text.Reset(8)
		if !text.Empty() || text.Cut() {
			t.Error("it is not empty")
		}
		text.Add([]byte("ab"))
		text.End()
		text.Add([]byte("cd"))
		if copied := text.Clone(8); copied.String() != "ab\ncd" || copied.Cut() || text.Cut() {
			t.Errorf("%q", copied.String())
		}
	}
}
