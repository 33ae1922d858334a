package simulator

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestStreamFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words   string
		content string
		done    bool
		reading error // what reading the body must end with; nil: a clean end
	}{
		{"crlf", "abcdef", true, nil},
		{"cr", "abcdef", true, nil},
		{"comment tight", "abcdef", true, nil},
		{"split=7", "abcdef", true, nil},
		{"tear=5", "abcdef", true, nil},
		{"early_head latency=1ms", "abcdef", true, nil},
		{"no_done", "abcdef", false, nil},
		{"cut=2", "ab", false, nil},
		{"cut=99", "abcdef", false, nil},
		{"cut=0", "", false, nil},
		{"empty", "", false, nil},
		{"close", "abcdef", true, nil},
		{"usage=every", "abcdef", true, nil},
		{"die=3", "abc", false, syscall.ECONNRESET},
		{"wrong_length", "abcdef", true, io.ErrUnexpectedEOF},
	} {
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			a := chat(t, s, ask("abcdef [[size=1 "+c.words+"]]", streaming))
			all := events(a.body)
			if a.status != 200 || !errors.Is(a.err, c.reading) {
				t.Fatalf("%d %v %s", a.status, a.err, a.body)
			}
			// A reset may overtake what was sent before it, so less may have arrived.
			if got := content(t, all, 0); got != c.content && (!errors.Is(c.reading, syscall.ECONNRESET) || !strings.HasPrefix(c.content, got)) {
				t.Errorf("content %q in %s", got, a.body)
			}
			if done := len(all) > 0 && all[len(all)-1] == "[DONE]"; done != c.done {
				t.Errorf("done %v: %s", done, a.body)
			}
			await(t, s, func(t Stats) bool { return t.Open == 0 && t.Completed+t.Broken == 1 })
		})
	}
}

func TestStreamErrors(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for words, before := range map[string]int{"error_first": 0, "error_mid=2": 1 + 2, "error_mid=9": 1 + 6} {
		all := events(chat(t, s, ask("abcdef [[size=1 "+words+"]]", streaming)).body)
		if len(all) != before+1 || parse(t, all[before]).Error == nil {
			t.Errorf("%s: %q", words, all)
		}
	}
	for _, words := range []string{"garbage", "truncate"} {
		a := chat(t, s, ask("abcdef [["+words+"]]", streaming))
		all := events(a.body)
		if len(all) == 0 || strings.HasSuffix(all[len(all)-1], "}]}") || strings.Contains(a.body, "[DONE]") || a.err != nil {
			t.Errorf("%s: %q %v", words, all, a.err)
		}
	}
}

func TestWholeFaults(t *testing.T) {
	t.Parallel()
	whole := `"finish_reason":"stop"`
	for _, c := range []struct {
		words, has string
		lacks      string
		err        error
	}{
		{"garbage", "<html>", `"choices"`, nil},
		{"empty", "", "{", nil},
		{"truncate", `{"id"`, "total_tokens", nil},
		{"error_first", `{"error"`, `"choices"`, nil},
		{"slow_body=8ms", whole, "~", nil},
		{"split=9 tear=11", whole, "~", nil},
		{"usage=none", whole, "usage", nil},
		{"cached=2 reasoning=5", `"reasoning_tokens":5`, `"cached_tokens":0`, nil},
		{"wrong_length", whole, "~", io.ErrUnexpectedEOF},
		{"die=0", "", "{", syscall.ECONNRESET},
		{"huge=100000", strings.Repeat("ab", 50000), "~", nil},
	} {
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			a := chat(t, s, ask("ab [["+c.words+"]]"))
			if !errors.Is(a.err, c.err) || c.err == nil && a.status != 200 {
				t.Fatalf("%d %v", a.status, a.err)
			}
			if !strings.Contains(a.body, c.has) || strings.Contains(a.body, c.lacks) {
				t.Errorf("%.300s", a.body)
			}
		})
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, more := range [][]string{nil, {streaming}} {
		a := chat(t, s, ask("abc [[gzip]]", more...))
		if a.header.Get("Content-Encoding") != "gzip" {
			t.Fatal(a.header)
		}
		z, err := gzip.NewReader(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil || !strings.Contains(string(plain), "abc") {
			t.Errorf("%v %s", err, plain)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	a := chat(t, s, ask("x [[status=429 retry_after=1500ms]]"))
	checkError(t, a, 429, "rate_limit_exceeded", "Rate limit")
	if a.header.Get("Retry-After") != "2" || a.header.Get("Retry-After-Ms") != "1500" {
		t.Error(a.header)
	}
	checkError(t, chat(t, s, ask("x [[status=429 code=insufficient_quota]]", streaming)), 429, "insufficient_quota", "quota")
	checkError(t, chat(t, s, ask("x [[status=503 latency=1ms]]")), 503, "", "overloaded")
	stats := await(t, s, func(t Stats) bool { return t.Refused == 3 })
	if stats.Executed != 0 || stats.Calls != 3 {
		t.Errorf("%+v", stats)
	}
}

func TestFailsThenSucceeds(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, id := range []string{"a", "b"} {
		for i, want := range []int{503, 503, 200, 200} {
			if a := chat(t, s, ask("x [[fail=2 status=503 id="+id+"]]")); a.status != want {
				t.Errorf("%s, try %d: %d", id, i+1, a.status)
			}
		}
	}
	if a := chat(t, s, ask("x [[fail=1 id=c]]")); a.status != 500 {
		t.Errorf("fail alone: %d", a.status)
	}
	if a := chat(t, s, ask("x [[fail=1 id=d die=0]]")); !errors.Is(a.err, syscall.ECONNRESET) {
		t.Errorf("fail with die: %v", a.err)
	}
	if a := chat(t, s, ask("x [[fail=1 id=d die=0]]")); a.status != 200 {
		t.Errorf("after it: %v", a.err)
	}
}

func TestTriesAreBounded(t *testing.T) {
	t.Parallel()
	var x tries
	for i := range rememberedIDs + 10 {
		x.fails(strconv.Itoa(i), 1)
	}
	if len(x.count) != rememberedIDs || len(x.order) != rememberedIDs {
		t.Errorf("%d ids are remembered", len(x.count))
	}
	if x.fails(strconv.Itoa(rememberedIDs), 1) || !x.fails("0", 1) {
		t.Error("the newest was forgotten, or the oldest was not")
	}
}

func TestErrorRate(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Seed: 7})
	for range 20 {
		if a := chat(t, s, ask("x [[error_rate=1]]")); a.status != 503 && a.status != 500 && a.status != 429 {
			t.Fatal(a.status)
		}
	}
}

// The second answer stands on the connection right behind the first.
func TestTwoAnswers(t *testing.T) {
	t.Parallel()
	for _, more := range [][]string{nil, {streaming}} {
		s := start(t, Config{})
		c, r := dial(t, s, ask("first [[two_answers]]", more...))
		for _, want := range []string{"first", "belongs to nobody"} {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(body), want) {
				t.Errorf("%v %s", err, body)
			}
			if want == "first" && r.Buffered() == 0 {
				if _, err := r.Peek(1); err != nil {
					t.Error(err)
				}
			}
		}
		c.Close()
		await(t, s, func(t Stats) bool { return t.Broken == 1 && t.Connections.Open == 0 })
	}
}

// A half-closed answer ends with EOF, and the server still reads: it learns when the client leaves.
func TestHalf(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"half=0", "half=2"} {
		for _, more := range [][]string{nil, {streaming}} {
			s := start(t, Config{})
			c, r := dial(t, s, ask("abcdef [[size=1 "+words+"]]", more...))
			body, err := io.ReadAll(r)
			if err != nil || strings.HasSuffix(string(body), "0\r\n\r\n") || (len(body) == 0) != (words == "half=0") {
				t.Errorf("%s: %v %q", words, err, body)
			}
			if open := s.Stats().Open; open != 1 {
				t.Errorf("%s: %d calls are open", words, open)
			}
			c.Close()
			await(t, s, func(t Stats) bool { return t.Broken == 1 && t.Open == 0 })
		}
	}
}

func TestServerFaults(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Faults: "status=503"})
	if a := chat(t, s, ask("x")); a.status != 503 {
		t.Fatal(a.status)
	}
	send := func(method, body string) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/simulator/faults", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return do(t, r)
	}
	if a := send("PUT", `{"fail":2,"status":502,"latency":"1ms"}`); a.status != 200 || !strings.Contains(a.body, "status=502") {
		t.Fatal(a)
	}
	for i, want := range []int{502, 502, 200} {
		if a := chat(t, s, ask("x")); a.status != want {
			t.Errorf("try %d: %d", i+1, a.status)
		}
	}
	if a := send("PUT", `{"nonsense":1}`); a.status != 400 || !strings.Contains(a.body, "nonsense") {
		t.Error(a)
	}
	if a := send("PUT", `{"gzip":true}`); a.status != 200 {
		t.Error(a)
	}
	if a := chat(t, s, ask("x")); a.header.Get("Content-Encoding") != "gzip" {
		t.Error(a.header)
	}
	if a := send("DELETE", ""); a.status != 200 || !strings.Contains(a.body, `"faults": ""`) {
		t.Error(a)
	}
	if _, err := Start(Config{Faults: "nonsense"}); err == nil {
		t.Error("a wrong word was taken")
	}
}

// The bytes of an event are made without allocating.
func TestEventsDoNotAllocate(t *testing.T) {
	c := &call{ctx: t.Context(), profile: &Profile{Model: "m"}}
	r := &chatReply{dialect: &dialect{}, request: &chatRequest{}, id: "chatcmpl-1", model: "m", choices: make([]choice, 1)}
	s := newChatStream(newStream(c, newSink(bufio.NewWriter(io.Discard), func() error { return nil }, &c.faults), true), r)
	if n := testing.AllocsPerRun(100, func() {
		if err := s.chunk(0, " token"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}
