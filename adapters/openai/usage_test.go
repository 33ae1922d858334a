package openai

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/adapters"
)

// Whatever a provider says, no class is negative and the classes add up to the totals: no token is lost or counted twice.
func TestClassesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int64 { return rapid.Int64Range(0, 1000).Draw(t, name) }
		prompt, completion := n("prompt"), n("completion")
		raw := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,`+
			`"cached_tokens_details":{"audio_tokens":%d,"image_tokens":%d},"cache_write_tokens":%d,"audio_tokens":%d,"image_tokens":%d},`+
			`"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":%d,"image_tokens":%d}}`,
			prompt, completion, prompt+completion, n("cached"), n("cached audio"), n("cached image"), n("written"), n("audio in"), n("image in"),
			n("reasoning"), n("audio out"), n("image out"))
		var u adapters.Usage
		if !ReadUsage(&u, raw) {
			t.Fatalf("%s is no usage", raw)
		}
		for unit, units := range u {
			if units < 0 {
				t.Fatalf("%d of unit %d in %s", units, unit, raw)
			}
		}
		if in, out := u.Tokens(); in != prompt || out != completion {
			t.Fatalf("%d in and %d out of %s: %v", in, out, raw, u)
		}
	})
}

// Sound and pictures that come from the cache stand in two numbers, and are charged as what is cached.
func TestCachedSoundIsCountedOnce(t *testing.T) {
	t.Parallel()
	var u adapters.Usage
	ReadUsage(&u, `{"input_tokens":100,"input_tokens_details":{"cached_tokens":60,"text_tokens":10,"audio_tokens":50,"image_tokens":40,`+
		`"cached_tokens_details":{"text_tokens":5,"audio_tokens":30,"image_tokens":25}}}`)
	want := adapters.Usage{adapters.Input: 5, adapters.CacheRead: 60, adapters.AudioIn: 20, adapters.ImageIn: 15}
	if u != want {
		t.Errorf("%v, want %v", u, want)
	}
}

// The search tool is charged for searches, and not for opening what was found.
func TestOnlySearchesAreCounted(t *testing.T) {
	t.Parallel()
	const call = `{"type":"web_search_call","action":{"type":"%s"}}`
	u, _ := ResponseUsage(`{"output":[` + fmt.Sprintf(call, "search") + `,` + fmt.Sprintf(call, "open_page") + `,` +
		fmt.Sprintf(call, "find_in_page") + `,{"type":"web_search_call"},{"type":"message"}]}`)
	if u[adapters.Searches] != 2 {
		t.Errorf("%d searches, want 2", u[adapters.Searches])
	}
}
