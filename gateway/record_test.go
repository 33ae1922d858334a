package gateway

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// ledger is a recorder that keeps copies in memory.
type ledger struct {
	refuse error // of Begin

	mu           sync.Mutex
	begun, ended []accounting.Record
}

func (l *ledger) Begin(r *accounting.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = append(l.begun, *(&metering{record: r}).own().record)
	return l.refuse
}

func (l *ledger) End(r *accounting.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, *(&metering{record: r}).own().record)
}

// into makes the house hand its records to a recorder.
func (l *ledger) into(h *house) {
	h.before = append(h.before, func(s *Server) { s.pipe.Record(l) })
}

// only waits for the records of the only call.
func (l *ledger) only(t *testing.T) (begun []accounting.Record, ended accounting.Record) {
	t.Helper()
	eventually(t, "the call has ended", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.ended) > 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ended) != 1 || len(l.begun) > 1 {
		t.Fatalf("%d records that begin and %d that end, want one at most and one", len(l.begun), len(l.ended))
	}
	return l.begun, l.ended[0]
}

// counting makes the house count tokens as OpenAI does.
func counting(h *house) {
	h.before = append(h.before, func(s *Server) {
		stop := s.pipe.CountTokens(accounting.NewTokens())
		h.t.Cleanup(func() {
			if err := stop(); err != nil {
				h.t.Error(err)
			}
		})
	})
}

func nanos(t *testing.T, dollars string) money.Nano {
	t.Helper()
	n, err := money.Parse(dollars)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is recorded of a call that went to one provider and was answered by another.
func TestRecordOfAFallback(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, garbledUsed)), answers(jsonAnswer(200, completion))}, priced, l.into)
	g := h.call(chatBody, "User-Agent: a client\xff", "X-Vel-Tags: team=search, env=prod", "X-Vel-Tags: note=a b=c")
	if g.StatusCode != 200 || g.Header.Get("X-Vel-Cost") != "0.0000655" {
		t.Fatalf("status %d, x-vel-cost %q, body %s", g.StatusCode, g.Header.Get("X-Vel-Cost"), g.body)
	}
	begun, r := l.only(t)
	if len(begun) != 1 {
		t.Fatal("there is no record of the beginning")
	}
	b := begun[0]
	want := accounting.Record{
		State: accounting.Begun, ID: tenancy.ID(g.Header.Get("X-Request-Id")), Begun: b.Begun, Who: tenancy.Identity{Org: "org", Key: "key-1"}, Route: "m",
		Provider: "p1", Model: "upstream-model", Endpoint: adapters.ChatCompletions, Agent: "a client\uFFFD",
		Tags: []accounting.Tag{{Key: "team", Value: "search"}, {Key: "env", Value: "prod"}, {Key: "note", Value: "a b=c"}},
		// 32 bytes of messages are 8 tokens at 2.5, and 4096 at 10
		Estimate: nanos(t, "0.04098"),
	}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("the record that begins:\n%s", d)
	}
	used := adapters.Usage{adapters.Input: 3, adapters.Output: 5, adapters.Requests: 1}
	want.State, want.Provider, want.Status, want.Cost = accounting.Ended, "p2", 200, nanos(t, "0.0000655")
	want.Usage = adapters.Usage{adapters.Input: 6, adapters.Output: 10, adapters.Requests: 2}
	want.Attempts = []accounting.Attempt{
		{Provider: "p1", Model: "upstream-model", Class: adapters.ClassServer, Status: 200, Executed: true, Usage: used, Cost: nanos(t, firstCost)},
		{Provider: "p2", Model: "upstream-model", Status: 200, Executed: true, Usage: used, Cost: nanos(t, secondCost)},
	}
	last := time.Duration(0)
	for i := range r.Attempts {
		a := &r.Attempts[i]
		if a.Began < last || a.FirstByte <= 0 || a.Total < a.FirstByte || a.Began+a.Total > r.Total || !strings.HasPrefix(a.Price, "own/") {
			t.Errorf("attempt %d: began %s, first byte %s, total %s of %s, price %q", i, a.Began, a.FirstByte, a.Total, r.Total, a.Price)
		}
		last = a.Began + a.Total
		a.Began, a.FirstByte, a.Total, a.Price = 0, 0, 0, ""
	}
	if r.FirstToken <= 0 || r.FirstToken > r.Total {
		t.Errorf("first token after %s of %s", r.FirstToken, r.Total)
	}
	r.FirstToken, r.Total = 0, 0
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("the record that ends:\n%s", d)
	}
}

// A call that was identified leaves a record, whatever it was refused for; one that was not leaves none.
func TestRecordsOfRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, body string
		fields    []string
		status    int
		route     string
		said      string // in the record's error; empty: there is no record
	}{
		"an unknown key":   {"sk-vel-unknown", chatBody, nil, 401, "", ""},
		"no JSON":          {goodKey, "hello", nil, 400, "", "not valid JSON"},
		"an unknown model": {goodKey, strings.Replace(chatBody, `"m"`, `"x"`, 1), nil, 404, "", "'x' does not exist"},
		"not allowed":      {narrowKey, chatBody, nil, 403, "m", "may not use the model 'm'"},
		"bad tags":         {goodKey, chatBody, []string{"X-Vel-Tags: a"}, 400, "", "x-vel-tags"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{wellBehaved}, priced, l.into)
			conn := h.dial()
			conn.write(request("POST", "/v1/chat/completions", c.body, append(c.fields, "Authorization: Bearer "+c.key)...))
			if g := conn.answer(); g.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", g.StatusCode, c.status, g.body)
			}
			h.settled(1)
			if c.said == "" {
				if len(l.begun)+len(l.ended) > 0 {
					t.Errorf("records %v and %v", l.begun, l.ended)
				}
				return
			}
			begun, r := l.only(t)
			if len(begun) > 0 || r.Status != c.status || r.Cost != 0 || len(r.Attempts) > 0 || r.Class != adapters.ClassInvalid || !strings.Contains(r.Error, c.said) || r.Route != c.route {
				t.Errorf("begun %v, ended %+v", begun, r)
			}
		})
	}
}

// A call of which nothing can be written down is not made.
func TestUnrecordedCallsAreRefused(t *testing.T) {
	t.Parallel()
	l := &ledger{refuse: errors.New("the disk is full")}
	h := newHouse(t, []func(*asked) bool{wellBehaved}, l.into)
	g := h.call(chatBody)
	if e := errorOf(t, g.body); g.StatusCode != 503 || e.code() != "recording_unavailable" || g.Header.Get("Retry-After") != "1" || strings.Contains(g.body, "disk") {
		t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
	}
	if n := h.backends[0].calls.Load(); n != 0 {
		t.Errorf("%d calls were made all the same", n)
	}
	if _, r := l.only(t); r.Status != 503 || len(r.Attempts) != 0 {
		t.Errorf("record %+v", r)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("k%=v,", 17)
	for i := range 17 {
		many = strings.Replace(many, "%", string(rune('a'+i)), 1)
	}
	for name, c := range map[string]struct {
		fields []string
		want   []accounting.Tag // nil: it is refused
	}{
		"none":               {nil, []accounting.Tag{}},
		"empty":              {[]string{""}, []accounting.Tag{}},
		"commas alone":       {[]string{" , ,"}, []accounting.Tag{}},
		"pairs":              {[]string{"a=1,b = 2 ", "C.d-e_=x=y z"}, []accounting.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "C.d-e_", Value: "x=y z"}}},
		"other letters":      {[]string{"a=é"}, []accounting.Tag{{Key: "a", Value: "é"}}},
		"the longest":        {[]string{strings.Repeat("k", 64) + "=" + strings.Repeat("é", 256)}, []accounting.Tag{{Key: strings.Repeat("k", 64), Value: strings.Repeat("é", 256)}}},
		"no pair":            {[]string{"a"}, nil},
		"no key":             {[]string{"=a"}, nil},
		"no value":           {[]string{"a="}, nil},
		"a key of others":    {[]string{"é=a"}, nil},
		"a space in a key":   {[]string{"a b=c"}, nil},
		"a long key":         {[]string{strings.Repeat("k", 65) + "=a"}, nil},
		"a long value":       {[]string{"a=" + strings.Repeat("é", 257)}, nil},
		"no UTF-8":           {[]string{"a=\xff"}, nil},
		"a control":          {[]string{"a=b\x01c"}, nil},
		"twice":              {[]string{"a=1", "a=2"}, nil},
		"many":               {[]string{many}, nil},
		"good before broken": {[]string{"a=1,b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := &Call{}
			for _, f := range c.fields {
				call.Tags = append(call.Tags, []byte(f))
			}
			err := call.readTags()
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), "x-vel-tags") || len(call.record.Tags) > 0 {
					t.Errorf("tags %v, error %v", call.record.Tags, err)
				}
				return
			}
			if err != nil || !slices.Equal(call.record.Tags, c.want) {
				t.Errorf("tags %v, error %v, want %v", call.record.Tags, err, c.want)
			}
		})
	}
}

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
			res, err := h.pipe.Execute(t.Context(), &Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(c.body), Task: "task_1"}, gather(&strings.Builder{}))
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

// mirror seals by turning a text around.
type mirror struct{}

func (mirror) Seal(text []byte, place ...string) string {
	b := []byte(strings.Join(place, "/") + ":" + string(text))
	slices.Reverse(b)
	return string(b)
}

func unsealed(b []byte) string {
	b = slices.Clone(b)
	slices.Reverse(b)
	return string(b)
}

// Prompt and answer are kept for organizations that want it: sealed for their place, without secrets, and not all of long
// ones.
func TestContentIsKept(t *testing.T) {
	t.Parallel()
	secretive := strings.Replace(chatBody, `"hi"`, `"hi, `+ourSecret+` and `+goodKey+`"`, 1)
	long := strings.Replace(chatBody, `"hi"`, `"`+strings.Repeat("é", 40_000)+`"`, 1)
	for name, c := range map[string]struct {
		body, answer string
		keep, sealer bool
		prompt, told string // empty: nothing is kept
	}{
		"off":            {chatBody, jsonAnswer(200, completion), false, true, "", ""},
		"no keyring":     {chatBody, jsonAnswer(200, completion), true, false, "", ""},
		"whole":          {chatBody, jsonAnswer(200, completion), true, true, chatBody, completion},
		"a stream":       {streamBody, streamHead + chunk(piece+piece+finish+done) + lastChunk, true, true, streamBody, "helhel"},
		"secrets":        {secretive, jsonAnswer(200, completion), true, true, strings.Replace(strings.Replace(secretive, ourSecret, "***", 1), goodKey, "***", 1), completion},
		"a long one":     {long, jsonAnswer(200, completion), true, true, long[:64<<10-1] + "\n[cut: 80055 bytes in all]", completion},
		"a large answer": {chatBody, jsonAnswer(200, largeUsed), true, true, chatBody, largeUsed[:64<<10] + "\n[cut: 1573059 bytes in all]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{answers(c.answer)}, l.into, func(h *house) {
				h.keepContent = c.keep
				if c.sealer {
					h.before = append(h.before, func(s *Server) { s.pipe.SealWith(mirror{}) })
				}
			})
			h.call(c.body)
			_, r := l.only(t)
			place := "calls/" + string(r.ID) + "/org:"
			for what, got := range map[string]struct{ is, want string }{"prompt": {unsealed(r.Prompt), c.prompt}, "answer": {unsealed(r.Answer), c.told}} {
				want := got.want
				if want != "" {
					want = place + want
				}
				if got.is != want {
					t.Errorf("%s: %d bytes %.200q … %.60q, want %d", what, len(got.is), got.is, got.is[max(0, len(got.is)-60):], len(want))
				}
			}
		})
	}
}
