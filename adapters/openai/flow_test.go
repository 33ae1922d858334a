package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
)

// asking is the codec that asks for usage, and a stream that it decodes.
func asking() adapters.Stream {
	return New("", "", AskUsage()).Codecs[adapters.ChatCompletions].DecodeStream(&adapters.Content{Stream: true}, nil)
}

func TestWhatVelAskedForIsTakenOutAgain(t *testing.T) {
	t.Parallel()
	const without = ": hi\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"x\"usage\":null"}}],"obfuscation":"ab"}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	const done = "data: [DONE]\n\n"
	with := strings.ReplaceAll(without, `}],"obf`, `}],"usage":null,"obf`)
	with = strings.ReplaceAll(with, `"stop"}]}`, `"stop"}],"usage":null}`)
	with += `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}` + "\n\n"
	for size := 1; size <= len(with); size++ {
		s := asking()
		var all []byte
		for in := []byte(with + done); len(in) > 0; in = in[min(size, len(in)):] {
			out, err := s.Feed(nil, bytes.Clone(in[:min(size, len(in))]))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, bytes.Join(out, nil)...)
		}
		if out, err := s.End(nil); err != nil || len(out) > 0 || string(all) != without+done {
			t.Fatalf("in reads of %d bytes: %v\n%s", size, err, all)
		}
		if u, seen := s.Usage(); !seen || u[adapters.Output] != 4 {
			t.Errorf("usage %v", u)
		}
	}
}

// An event larger than what is held back flows before it is whole, and nothing of it is lost or sent twice.
func TestALargeEventIsNotHeldBack(t *testing.T) {
	t.Parallel()
	sound := strings.Repeat("A", 3<<20)
	in := `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"audio":"` + sound + `"},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\ndata: [DONE]\n\n"
	s := asking()
	var all []byte
	most := 0
	for at := 0; at < len(in); at += 100_000 {
		end := min(at+100_000, len(in))
		out, err := s.Feed(nil, []byte(in[at:end]))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Join(out, nil)...)
		most = max(most, end-len(all))
	}
	if out, err := s.End(nil); err != nil || len(out) > 0 {
		t.Fatalf("%v, %d", err, len(out))
	}
	if want := strings.Replace(in, `data: {"choices":[],"usage":{"prompt_tokens":1}}`+"\n\n", "", 1); string(all) != want {
		t.Errorf("%d bytes became %d", len(want), len(all))
	}
	if most > largestCut+100_000 {
		t.Errorf("up to %d bytes were held back", most)
	}
}

func TestTheFirstPictureFlowsBeforeItIsWhole(t *testing.T) {
	t.Parallel()
	in := []byte("event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"" + strings.Repeat("A", 1<<20))
	s := New("", "").Codecs[adapters.ImageGenerations].DecodeStream(&adapters.Content{}, nil)
	if out, err := s.Feed(nil, in[:1000]); err != nil || len(out) > 0 {
		t.Fatalf("%v, %d: the first bytes may be an error", err, len(out))
	}
	out, err := s.Feed(nil, in[1000:])
	if err != nil || !bytes.Equal(bytes.Join(out, nil), in) {
		t.Errorf("%v", err)
	}
}

func TestUsageInTheTail(t *testing.T) {
	t.Parallel()
	codecs := New("", "").Codecs
	for _, test := range []struct {
		endpoint adapters.Endpoint
		tail     string
		want     adapters.Usage
		seen     bool
	}{
		{adapters.ImageGenerations, `AAAA"}],"size":"x" , "usage" : {"input_tokens":5,"output_tokens":9,"total_tokens":14}} `, adapters.Usage{adapters.Input: 5, adapters.ImageOut: 9, adapters.Images: 2}, true},
		{adapters.ImageGenerations, `AAAA"}]}`, adapters.Usage{adapters.Images: 2}, true},
		{adapters.ChatCompletions, `"}],"usage":{"prompt_tokens":5},"x":1}`, adapters.Usage{adapters.Input: 5}, true},
		{adapters.ChatCompletions, `"usage"}]}`, adapters.Usage{}, false},
		{adapters.ChatCompletions, `"usage":null}`, adapters.Usage{}, false},
		{adapters.ChatCompletions, ``, adapters.Usage{}, false},
	} {
		got, seen := codecs[test.endpoint].(adapters.TailDecoder).DecodeTail(&adapters.Content{Choices: 2}, []byte(test.tail))
		if got != test.want || seen != test.seen {
			t.Errorf("%s: %v, %t", test.tail, got, seen)
		}
	}
}

func TestTheQueryGoesAlong(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[adapters.Endpoint]string{
		adapters.Responses: "/responses?beta=true", adapters.Embeddings: "/embeddings?beta=true", adapters.Objects: "/files/f%2F1?beta=true",
	} {
		in := adapters.Content{Endpoint: endpoint, Method: "GET", Path: []byte("/files/f%2F1"), Query: []byte("beta=true"), Body: []byte(`{"model":"m"}`), Model: adapters.Span{Start: 9, End: 12}}
		var r adapters.Request
		if err := New("", "").Codecs[endpoint].EncodeRequest(&r, &in, "m"); err != nil || r.Path != want {
			t.Errorf("%v: %s, %v", endpoint, r.Path, err)
		}
	}
}

func TestPassingStreamsDoNotAllocate(t *testing.T) {
	out := make([][]byte, 0, 8)
	delta := []byte("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":5,\"delta\":\"x\"}\n\n")
	for name, test := range map[string]struct {
		s adapters.Stream
		p []byte
	}{
		"responses": {New("", "").Codecs[adapters.Responses].DecodeStream(&adapters.Content{}, nil), delta},
		"asking":    {asking(), []byte(withUsage)},
	} {
		if _, err := test.s.Feed(out, test.p); err != nil {
			t.Fatal(err)
		}
		for _, pieces := range [][][]byte{{test.p}, {test.p[:60], test.p[60:]}, {test.p[:len(test.p)-1], test.p[len(test.p)-1:]}} {
			feed := func() {
				for _, p := range pieces {
					if _, err := test.s.Feed(out, p); err != nil {
						t.Error(err)
					}
				}
			}
			feed() // the memory for cut events comes once
			feed()
			if n := testing.AllocsPerRun(100, feed); n != 0 {
				t.Errorf("%s in %d reads: %v allocations", name, len(pieces), n)
			}
		}
	}
}

func BenchmarkFeedTyped(b *testing.B) {
	p := []byte("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":5,\"item_id\":\"msg_67c9a8\",\"output_index\":0,\"content_index\":0,\"delta\":\" Hello\"}\n\n")
	for name, of := range map[string]func(adapters.Stream) adapters.Stream{
		"plain": func(s adapters.Stream) adapters.Stream { return s }, "collecting": func(s adapters.Stream) adapters.Stream { return collecting(s, &adapters.Texts{}) },
	} {
		b.Run(name, func(b *testing.B) {
			benchmarkFeed(b, of(New("", "").Codecs[adapters.Responses].DecodeStream(&adapters.Content{}, nil)), p)
		})
	}
}

func BenchmarkFeedAsking(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkFeed(b, asking(), []byte(withUsage)) })
	b.Run("collecting", func(b *testing.B) { benchmarkFeed(b, collecting(asking(), &adapters.Texts{}), []byte(withUsage)) })
}

func benchmarkFeed(b *testing.B, s adapters.Stream, p []byte) {
	out := make([][]byte, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Feed(out, p); err != nil {
			b.Fatal(err)
		}
	}
}

// The quick reader of usage finds in sound JSON what a careful one finds, and survives everything else.
func FuzzReadUsage(f *testing.F) {
	f.Add(`{"prompt_tokens":1019,"completion_tokens":3.9,"x":{"prompt_tokens":5,"y":["}"]},"prompt_tokens_details":{"cached_tokens":2}}`)
	f.Add(`{ "a" : "\"}" , "prompt_tokens" : 1e2 }`)
	f.Add(`{"prompt_tokens":-5,"completion_tokens":null,"prompt_tokens_details":[{"cached_tokens":3}]}`)
	f.Add(`{"prompt_tokens"`)
	f.Fuzz(func(t *testing.T, raw string) {
		var u adapters.Usage
		ReadUsage(&u, raw)
		for unit, n := range u {
			if n < 0 {
				t.Fatalf("%q: unit %d is %d", raw, unit, n)
			}
		}
		var careful map[string]any // not a struct, which would take Prompt_Tokens, too
		if strings.ContainsAny(raw, "\\") || strings.Count(raw, "prompt_tokens\"") != 1 || strings.Contains(raw, "input") || json.Unmarshal([]byte(raw), &careful) != nil {
			return
		}
		if n, ok := careful["prompt_tokens"].(float64); ok && careful["completion_tokens"] == nil && careful["total_tokens"] == nil && 0 <= n && n < most {
			if in, _ := u.Tokens(); in != int64(n) {
				t.Fatalf("%q: %d prompt tokens", raw, in)
			}
		}
	})
}

// However a stream is cut, the same is taken out of it; and what no one added stays.
func FuzzTrimmed(f *testing.F) {
	f.Add([]byte(withUsage+events("0")+"data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n"), uint16(100))
	f.Add([]byte("data: {\"usage\":null,\"choices\":[{\"finish_reason\":\"stop\"}]}\r\n\r\n\ndata: {\"choices\":[],\"usage\":{}}\r\n\r\n"), uint16(60))
	f.Add([]byte(": x\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}],\ndata: \"usage\":null}\n\n"), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, at uint16) {
		cut := int(at) % (len(in) + 1)
		whole, failed := decode(asking(), in)
		parts, failedToo := decode(asking(), in[:cut], in[cut:])
		if failed != failedToo || failed == "" && whole != parts {
			t.Fatalf("%q cut at %d gives %q (%s), in one piece %q (%s)", in, cut, parts, failedToo, whole, failed)
		}
		if passed, failed := drain(in); failed == "" && !bytes.Contains(in, []byte("usage")) && passed != whole {
			t.Fatalf("%q becomes %q", in, whole)
		}
	})
}
