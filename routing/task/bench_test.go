package task

import (
	"encoding/json"
	"strings"
	"testing"
)

// conversation is the value of messages with about n bytes, of several turns.
func conversation(tb testing.TB, n int) []byte {
	tb.Helper()
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	part := "Compare the two proposals for the new warehouse; what would you decide, given these figures?\n- rent: 1,200 a month\n- distance: 14 km\n"
	asked := strings.Repeat(part, n/2/len(part)+1)
	b, err := json.Marshal([]message{
		{"system", "You are a helpful assistant."}, {"user", asked[:len(asked)/2]}, {"assistant", "Tell me more.\n```\nx := 1\n```"}, {"user", asked},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkClassify(b *testing.B) {
	m := modelForTest(b)
	for _, c := range []struct {
		name  string
		value []byte
	}{{"short", conversation(b, 100)}, {"4KB", conversation(b, 4<<10)}, {"4KB_one_turn", oneTurn(b, 4<<10)}, {"64KB", conversation(b, 64<<10)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.value)))
			b.ReportAllocs()
			for b.Loop() {
				m.Classify(c.value)
			}
		})
	}
}

func oneTurn(tb testing.TB, n int) []byte {
	tb.Helper()
	text, err := json.Marshal(strings.Repeat("Why did revenue \"fall\" in the third quarter? Überlege: 他们为什么不买? ", n/70))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// TestClassifyAllocatesNothing, whatever the form of what is asked.
func TestClassifyAllocatesNothing(t *testing.T) {
	m := modelForTest(t)
	parts := []byte(`[{"role":"user","content":[{"type":"text","text":"write \u0061 \n query"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"in SQL"}]}]`)
	for _, value := range [][]byte{conversation(t, 4<<10), oneTurn(t, 4<<10), parts, []byte(`["a","b"]`), []byte(`null`)} {
		if n := testing.AllocsPerRun(100, func() { m.Classify(value) }); n != 0 {
			t.Errorf("%.40s… allocates %v times", value, n)
		}
	}
}
