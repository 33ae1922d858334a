package simulator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                nil,
		"Hello world":     {"Hello", " world"},
		"a  b\nc":         {"a", "  b", "\nc"},
		"internationally": {"internat", "ionally"},
		"ääääääääö":       {"ääääääää", "ö"},
	} {
		if got := slices.Collect(tokens(text)); !slices.Equal(got, want) {
			t.Errorf("tokens(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("Hello wörld \x00\xff\"\\\n<&>", 3)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if got := strings.Join(slices.Collect(tokens(text)), ""); got != text {
			t.Fatalf("joined tokens are %q, not %q", got, text)
		}
		var back string
		if err := json.Unmarshal(appendString(nil, text), &back); err != nil || back != strings.ToValidUTF8(text, "\ufffd") && utf8.ValidString(text) {
			t.Fatalf("%q came back as %q: %v", text, back, err)
		}
		if size < 1 || size > 64 || !utf8.ValidString(text) {
			return
		}
		for _, p := range sized(text, size, opt[int]{3, true}) {
			if len(p) != size || !utf8.ValidString(p) {
				t.Fatalf("piece %q of %q has not %d bytes of whole runes", p, text, size)
			}
		}
		if got := strings.Join(sized(text, size, opt[int]{}), ""); text != "" && got != text {
			t.Fatalf("joined pieces are %q, not %q", got, text)
		}
	})
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, want string }{
		{`{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"integer","minimum":5}},"required":["b","a"]}`, `{"b":"Paris","a":5}`},
		{`{"type":"object","properties":{"u":{"enum":["c","f"]},"l":{"type":"array","items":{"type":"boolean"},"minItems":2}}}`, `{"u":"c","l":[true,true]}`},
		{`{"anyOf":[{"type":"null"},{"type":"string"}]}`, `null`},
		{`{"type":["string","null"],"maxLength":3}`, `"Par"`},
		{`{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"number","exclusiveMinimum":1,"maximum":9}}}`, `{"x":2}`},
		{`{"allOf":[{"$ref":"#/$defs/E"}],"$defs":{"E":{"enum":["one"]}}}`, `"one"`},
		{`{"allOf":[{"properties":{"a":{"const":1}}},{"properties":{"b":{"const":null}}}]}`, `{"a":1,"b":null}`},
		{`{"type":"string","format":"date"}`, `"2025-01-31"`},
		{`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, `0.5`},
		{`{"type":"integer","multipleOf":7}`, `7`},
		{`{"enum":["London","Paris"]}`, `"Paris"`},
	} {
		schema, e := readSchema(json.RawMessage(c.schema), "schema")
		if e != nil {
			t.Fatal(e.message)
		}
		if got := generate(schema, "Paris"); got != c.want {
			t.Errorf("%s: %s, want %s", c.schema, got, c.want)
		}
	}
}

// A schema that refers to itself, also twice on each level, must end.
func TestGenerateRecursive(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]}`,
		`{"type":"object","properties":{"l":{"$ref":"#"},"r":{"$ref":"#"}},"required":["l","r"]}`,
		`{"type":"array","minItems":100,"items":{"$ref":"#"}}`,
		`{"$ref":"#"}`,
	} {
		schema, e := readSchema(json.RawMessage(raw), "schema")
		if e != nil {
			t.Fatal(e.message)
		}
		if got := generate(schema, "x"); !json.Valid([]byte(got)) || len(got) > 1<<20 {
			t.Errorf("%s: %d bytes", raw, len(got))
		}
	}
}

func FuzzSchema(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":["integer","null"]}}}`))
	f.Add([]byte(`{"$ref":"#/$defs/~1","$defs":{"/":{"items":{"$ref":"#"}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		schema, e := readSchema(raw, "schema")
		if e == nil && !json.Valid([]byte(generate(schema, "word"))) {
			t.Fatalf("no JSON for %s", raw)
		}
	})
}
