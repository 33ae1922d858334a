package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

var texts = []string{
	``, ` `, `{}`, `[]`, ` { } `, `{"a":1}`, `{"a":1,}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`,
	`null`, `nul`, `true`, `truex`, `false`, `"x"`, `"x`, `"\`, `"\u12"`, `"\u12G4"`, `"\uD800"`, `"\x"`, `"\"\\\/\b\f\n\r\t"`,
	`0`, `-0`, `01`, `-`, `1.`, `.1`, `1.5e+10`, `1e`, `1E-2`, `+1`, `0x1`, `12345678901234567890`, `1}`, `{}{}`, `[]]`, `[}`, `{]`,
	`{"a":{"b":[{"c":[]}]}}`, "[\"a\tb\"]", "{\"a\":\"b\nc\"}", "\"\x7f\"", "\"\xff\"", "\"é\"", "\xEF\xBB\xBF{}", "{\"\xc3\":1}", "\"\x00\"",
	`{"text":"something that is longer than eight bytes, with an escape \n in the middle"}`, "[1]\x00", "\"\xed\xa0\x80\"",
	"{\"a\"\n:\r1\t,\"b\":[ 1 , 2 ] }", strings.Repeat("[", 64) + strings.Repeat("]", 64), `{"a":` + strings.Repeat(`{"b":[`, 65) + "1" + strings.Repeat("]}", 65) + "}",
}

func TestWalkAcceptsWhatIsJSON(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		want := json.Valid([]byte(text)) && utf8.ValidString(text)
		if err := Walk([]byte(text), nil); (err == nil) != want {
			t.Errorf("%q: %v, want valid: %v", text, err, want)
		}
	}
}

func TestWalkReportsTopLevelMembers(t *testing.T) {
	t.Parallel()
	doc := []byte(` { "a" : 1 , "b\u0063":{"d":[1,{"e":2}]},"f":[ ],"":"x" } `)
	var got []string
	err := Walk(doc, func(key []byte, start, end int) error {
		got = append(got, fmt.Sprintf("%s=%s", key, doc[start:end]))
		return nil
	})
	want := []string{`a=1`, `b\u0063={"d":[1,{"e":2}]}`, `f=[ ]`, `="x"`}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("walked %v, %v; want %v", got, err, want)
	}
	stop := errors.New("stop")
	if err := Walk(doc, func([]byte, int, int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of member comes back as %v", err)
	}
	if err := Walk([]byte(`[{"a":1}]`), func([]byte, int, int) error { return stop }); err != nil {
		t.Errorf("a member below the top was reported: %v", err)
	}
}

func TestWalkBoundsDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if !Valid(nested(MaxDepth)) {
		t.Errorf("%d levels are refused", MaxDepth)
	}
	for _, n := range []int{MaxDepth + 2, 100_000, 10_000_000} {
		var fault *Error
		if err := Walk(nested(n), nil); !errors.As(err, &fault) || !fault.Deep {
			t.Errorf("%d levels: %v", n, err)
		}
	}
}

func TestFaultsSayWhere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":1,}`:         "expected a key at byte 7",
		`{"a":tru}`:        "unexpected character at byte 5",
		`{"a"`:             "expected a colon at byte 4",
		"{\"a\":\"\xff\"}": "invalid UTF-8 at byte 6",
		"[\"a\nb\"]":       "control character in a string at byte 3",
		`{"a":01}`:         "expected a comma or } at byte 6",
		`{} x`:             "unexpected character after the end at byte 3",
	} {
		if err := Walk([]byte(text), nil); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzWalk(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var spans int
		err := Walk(doc, func(_ []byte, start, end int) error {
			spans++
			if !json.Valid(doc[start:end]) {
				t.Errorf("%q: member %q is no value", doc, doc[start:end])
			}
			return nil
		})
		var fault *Error
		if errors.As(err, &fault) && fault.Deep {
			return
		}
		if want := json.Valid(doc) && utf8.Valid(doc); (err == nil) != want {
			t.Fatalf("%q: %v, want valid: %v", doc, err, want)
		}
		if err == nil && bytes.HasPrefix(bytes.TrimLeft(doc, " \t\r\n"), []byte("{")) {
			members := 0
			gjson.ParseBytes(doc).ForEach(func(_, _ gjson.Result) bool { members++; return true })
			if members != spans {
				t.Errorf("%q: %d members reported, there are %d", doc, spans, members)
			}
		}
	})
}

func conversation(size int) []byte {
	turn := `{"role":"user","content":"Here is a \"quoted\" sentence about <tags> and things, long enough to be like one that people write.\n"},`
	return []byte(`{"model":"gpt-4o","messages":[` + strings.Repeat(turn, size/len(turn)) + `{"role":"user","content":"x"}],"stream":true}`)
}

func TestWalkDoesNotAllocate(t *testing.T) {
	doc := conversation(10_000)
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		_ = Walk(doc, func([]byte, int, int) error { n++; return nil })
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkWalk compares the walk, which also bounds the depth and reports members, with gjson's check, which
// does neither and recurses.
func BenchmarkWalk(b *testing.B) {
	for _, size := range []int{400, 240_000} {
		doc := conversation(size)
		b.Run(fmt.Sprintf("walk %d", len(doc)), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if !Valid(doc) {
					b.Fatal("invalid")
				}
			}
		})
		b.Run(fmt.Sprintf("gjson %d", len(doc)), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if !gjson.ValidBytes(doc) {
					b.Fatal("invalid")
				}
			}
		})
	}
}
