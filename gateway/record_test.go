package gateway

import (
	"errors"
	"regexp"
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
	want.Decision = []byte(`{"rev":1,"asked":"m","route":"m","by":"fallback","tokens":8,"targets":[["p1","upstream-model",1],["p2","upstream-model",1]],"facts":{"v":1,"task":"simple","sure":0}}`)
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
	r.Decision = regexp.MustCompile(`"sure":[0-9.]+`).ReplaceAll(r.Decision, []byte(`"sure":0`)) // it is the classifier's matter how sure it is
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
		"a key as a model": {goodKey, strings.Replace(chatBody, `"m"`, `"`+goodKey+`"`, 1), nil, 404, "", "'***' does not exist"},
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

// A client that puts its key where it does not belong does not find it in its records.
func TestKeysAreNotRecorded(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, completion))}, l.into)
	h.call(chatBody, "User-Agent: curl/8 "+goodKey, "X-Vel-Tags: note="+goodKey+"-and-more")
	_, r := l.only(t)
	if want := []accounting.Tag{{Key: "note", Value: "***-and-more"}}; r.Agent != "curl/8 ***" || !slices.Equal(r.Tags, want) {
		t.Errorf("agent %q, tags %v", r.Agent, r.Tags)
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
