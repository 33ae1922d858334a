package gateway

import (
	"io"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
)

// The client left, or the stream broke off: what was relayed is counted, and the call is charged for it.
func TestInterruptedStreamsAreCounted(t *testing.T) {
	t.Parallel()
	text := []string{"The quick", " brown fox", " jumps over", " the lazy dog", "\\nお誕生日"}
	var events strings.Builder
	for _, s := range text {
		events.WriteString(strings.Replace(piece, `"hel"`, `"`+s+`"`, 1))
	}
	relayed := strings.ReplaceAll(strings.Join(text, ""), `\n`, "\n")
	tokens := accounting.NewTokens()
	out := tokens.Count("upstream-model", relayed)
	in := 4 + 3 + tokens.Count("upstream-model", "hi")
	for name, c := range map[string]struct {
		after func(a *asked, left <-chan struct{})
		leave bool
		class adapters.Class
	}{
		"the client leaves":    {func(a *asked, _ <-chan struct{}) { a.gone() }, true, adapters.ClassGone},
		"the provider is lost": {func(a *asked, read <-chan struct{}) { <-read; a.reset() }, false, adapters.ClassTruncated},
		"the provider ends":    {func(a *asked, _ <-chan struct{}) { a.send(lastChunk) }, false, adapters.ClassTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, read := &ledger{}, make(chan struct{})
			h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
				a.send(streamHead + chunk(events.String()))
				c.after(a, read)
				return false
			}}, priced, l.into, counting)
			conn := h.dial()
			conn.post(streamBody)
			got := make([]byte, events.Len())
			if _, err := io.ReadFull(conn.head("POST").Body, got); err != nil || string(got) != events.String() {
				t.Fatalf("%q, error %v", got, err)
			}
			close(read)
			if c.leave {
				_ = conn.Close()
			}
			_, r := l.only(t)
			want := adapters.Usage{adapters.Input: in, adapters.Output: out, adapters.Requests: 1}
			if r.Class != c.class || r.Usage != want || !r.Estimated || r.Unpriced != "" || !r.Attempts[0].Executed || !r.Attempts[0].Estimated {
				t.Errorf("class %s, usage %v, want %v: %+v", r.Class, r.Usage, want, r)
			}
			if cost := money.Nano(in*2500 + out*10000); r.Cost != cost || r.Attempts[0].Cost != cost {
				t.Errorf("cost %s, want %s", r.Cost, cost)
			}
			if line := h.settled(1); line["estimated"] != true || line["tokens_out"] != float64(out) || h.metric("vel_tokens_total", "kind", "output") != float64(out) {
				t.Errorf("line %v", line)
			}
		})
	}
}

// A provider that tells nothing is counted, whole and streamed; what was thought is a class of its own.
func TestUntoldUsageIsCounted(t *testing.T) {
	t.Parallel()
	tokens := accounting.NewTokens()
	count := func(text string) int64 { return tokens.Count("upstream-model", text) }
	thinking := strings.Replace(piece, `{"content":"hel"}`, `{"reasoning_content":"let me see"}`, 1)
	for name, c := range map[string]struct {
		body, answer string
		want         adapters.Usage
	}{
		"whole":    {chatBody, jsonAnswer(200, unmetered), adapters.Usage{adapters.Input: 7 + count("hi"), adapters.Output: count("hello")}},
		"a stream": {streamBody, streamHead + chunk(thinking+piece+finish+done) + lastChunk, adapters.Usage{adapters.Input: 7 + count("hi"), adapters.Output: count("hel"), adapters.Reasoning: count("let me see")}},
		"a long prompt": {strings.Replace(chatBody, `"hi"`, `"`+strings.Repeat("hello ", 1<<13)+`"`, 1), jsonAnswer(200, unmetered), adapters.Usage{
			adapters.Input: 7 + count(strings.Repeat("hello ", 1<<13)), adapters.Output: count("hello"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{answers(c.answer)}, priced, l.into, counting)
			if g := h.call(c.body); g.StatusCode != 200 || g.Header.Get("X-Vel-Cost") != "" {
				t.Errorf("status %d, x-vel-cost %q", g.StatusCode, g.Header.Get("X-Vel-Cost"))
			}
			_, r := l.only(t)
			want := c.want
			want[adapters.Requests] = 1
			for i, n := range r.Usage { // what is taken to go on like its beginning may be off by a thousandth
				if d := n - want[i]; d*d > max(0, want[i]/1000)*max(0, want[i]/1000) {
					t.Errorf("usage %v, want %v", r.Usage, want)
				}
			}
			if !r.Estimated || r.Unpriced != "" || r.Cost == 0 {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// A call that is made by a task knows its cost when it returns, counted or told.
func TestExecuteTellsTheCost(t *testing.T) {
	t.Parallel()
	tokens := accounting.NewTokens()
	for name, c := range map[string]struct {
		body, answer string
		in, out      int64
	}{
		"told in a stream": {streamBody, streamHead + chunk(piece+finish+usageEvent+done) + lastChunk, 3, 5},
		"told":             {chatBody, jsonAnswer(200, completion), 3, 5},
		"not told":         {chatBody, jsonAnswer(200, unmetered), 7 + tokens.Count("", "hi"), tokens.Count("", "hello")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{answers(c.answer)}, priced, l.into, counting)
			res, err := h.pipe.Execute(t.Context(), &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(c.body), Task: "task_1"}, gather(&strings.Builder{}))
			if err != nil {
				t.Fatal(err)
			}
			_, r := l.only(t)
			want := money.Nano(c.in*2500 + c.out*10000)
			if in, out := res.Usage.Tokens(); in != c.in || out != c.out || res.Cost != want || res.Unpriced != "" || res.Estimated != (name == "not told") {
				t.Errorf("result %+v", res)
			}
			if r.Task != "task_1" || r.Cost != want || r.Usage != res.Usage {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// What an attempt used that was lost before its answer began is counted, too, and charged beside the one that answered.
func TestLostAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	tokens := accounting.NewTokens()
	in := 7 + tokens.Count("upstream-model", "hi")
	for name, c := range map[string]struct {
		first func(*asked) bool
		class adapters.Class
		used  adapters.Usage // of the first attempt; none: it was not executed
	}{
		"a connection that is lost": {func(a *asked) bool { a.reset(); return false }, adapters.ClassReset, adapters.Usage{adapters.Input: in, adapters.Requests: 1}},
		"a stream of nonsense":      {answers(streamHead + chunk("data: {\n\n") + lastChunk), adapters.ClassGarbage, adapters.Usage{adapters.Input: in, adapters.Requests: 1}},
		"a refusal":                 {answers(jsonAnswer(429, "{}")), adapters.ClassRate, adapters.Usage{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{c.first, answers(streamHead + chunk(piece+finish+usageEvent+done) + lastChunk)}, priced, l.into, counting)
			if g := h.call(streamBody); g.StatusCode != 200 {
				t.Fatalf("status %d", g.StatusCode)
			}
			_, r := l.only(t)
			if len(r.Attempts) != 2 {
				t.Fatalf("%d attempts", len(r.Attempts))
			}
			first, second, executed := r.Attempts[0], r.Attempts[1], c.used != adapters.Usage{}
			if first.Class != c.class || first.Executed != executed || first.Estimated != executed || first.Usage != c.used {
				t.Errorf("the first attempt: %+v", first)
			}
			if want := (adapters.Usage{adapters.Input: 3, adapters.Output: 5, adapters.Requests: 1}); second.Usage != want || second.Estimated {
				t.Errorf("the second attempt: %+v", second)
			}
			if r.Estimated != executed || r.Cost != first.Cost+second.Cost || r.Usage[adapters.Input] != 3+c.used[adapters.Input] {
				t.Errorf("the call: %+v", r)
			}
		})
	}
}

// A drain that ends a stream leaves nothing uncharged.
func TestDrainedStreamsAreCounted(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool { a.send(streamHead + chunk(piece)); a.gone(); return false }}, priced, l.into)
	c := h.dial()
	c.post(streamBody)
	answer := c.head("POST")
	h.listener.drain()
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Error(err)
	}
	_, r := l.only(t)
	if want := (adapters.Usage{adapters.Input: 8, adapters.Output: 1, adapters.Requests: 1}); r.Class != adapters.ClassDraining || r.Usage != want || !r.Estimated || r.Error != "Vel is shutting down." {
		t.Errorf("record %+v", r)
	}
}

// A stream that told of its prompt and broke off is counted for its answer alone; one that told all is not counted.
func TestStreamsThatTellAPart(t *testing.T) {
	t.Parallel()
	told := func(out string) string {
		return `data: {"choices":[{"index":0,"delta":{"content":"hello"}}],"usage":{"prompt_tokens":50,"completion_tokens":` + out + `}}` + "\n\n"
	}
	for name, c := range map[string]struct {
		stream    string
		out       int64
		estimated bool
	}{
		"of the prompt":                {told("0"), 2, true},
		"of both":                      {told("1"), 1, false},
		"nothing of an answer of none": {told("0") + finish + done, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{answers(streamHead + chunk(c.stream) + lastChunk)}, priced, l.into)
			h.call(streamBody)
			_, r := l.only(t)
			if want := (adapters.Usage{adapters.Input: 50, adapters.Output: c.out, adapters.Requests: 1}); r.Usage != want || r.Estimated != c.estimated {
				t.Errorf("usage %v, estimated %v; want %v", r.Usage, r.Estimated, want)
			}
		})
	}
}

// Nothing of one call is counted for the next one that uses its memory.
func TestCountedCallsKeepApart(t *testing.T) {
	t.Parallel()
	l, n := &ledger{}, 0
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		n++
		text := strings.Repeat("x", 400/n)
		a.send(streamHead + chunk(strings.Replace(piece, "hel", text, 1)+finish+done) + lastChunk)
		return true
	}}, priced, l.into)
	for i := range 4 {
		h.call(streamBody, "X-Vel-Tags: n="+string(rune('0'+i)))
		h.settled(i + 1)
	}
	for i, r := range l.ended {
		if want := int64(100 / (i + 1)); r.Usage[adapters.Output]-want > 1 || r.Usage[adapters.Output] < want || len(r.Attempts) != 1 || len(r.Tags) != 1 {
			t.Errorf("call %d: %+v", i, r)
		}
	}
}

// A call on what a provider keeps is recorded and costs nothing.
func TestObjectsAreRecorded(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, `{"id":"file-1","object":"file"}`))}, priced, l.into)
	c := h.dial()
	c.write(request("POST", "/v1/batches", `{"input_file_id":null}`, "Authorization: Bearer "+goodKey))
	if g := c.answer(); g.StatusCode != 200 {
		t.Fatalf("status %d: %s", g.StatusCode, g.body)
	}
	begun, r := l.only(t)
	if len(begun) != 1 || begun[0].Estimate != 0 || r.Endpoint != adapters.Objects || r.Cost != 0 || r.Unpriced != "" || len(r.Attempts) != 1 || r.Attempts[0].Executed {
		t.Errorf("begun %+v, ended %+v", begun, r)
	}
}
