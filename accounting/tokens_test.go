package accounting

import (
	"runtime"
	"strings"
	"testing"
)

// The numbers are those of OpenAI's tiktoken.
func TestTokens(t *testing.T) {
	t.Parallel()
	tokens := NewTokens()
	for _, c := range []struct {
		model, text string
		want        int64
	}{
		{"gpt-4o", "", 0},
		{"gpt-4o", "hello world", 2},
		{"a model that nobody knows", "hello world", 2},
		{"gpt-4", "hello world", 2},
		{"gpt-4o", "antidisestablishmentarianism", 6},
		{"gpt-4-0613", "お誕生日おめでとう", 9},
		{"gpt-4.1-mini", "お誕生日おめでとう", 8},
		{"openai/gpt-5", "お誕生日おめでとう", 8},
		{"ft:gpt-3.5-turbo:me", "お誕生日おめでとう", 9},
	} {
		if got := tokens.Count(c.model, c.text); got != c.want {
			t.Errorf("%s: %q has %d tokens, want %d", c.model, c.text, got, c.want)
		}
	}
}

func BenchmarkTokens(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, and 12 others did not. ", 120)
	tokens := NewTokens()
	tokens.Count("", text)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tokens.Count("", text)
	}
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
}
