package sse

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// found is an event whose memory is its own.
type found struct {
	Data, Type, ID string
	HasData        bool
	Retry          time.Duration
}

// scan feeds the pieces and checks that the blocks, put together, are the input.
func scan(t testing.TB, pieces ...string) (events []found, missing string) {
	t.Helper()
	var s Scanner
	var ev Event
	var raw strings.Builder
	take := func() {
		raw.Write(ev.Raw)
		if ev.Data != nil {
			events = append(events, found{string(ev.Data), string(ev.Type), string(ev.ID), true, ev.Retry})
		}
	}
	for _, piece := range pieces {
		p := []byte(piece)
		s.Feed(p)
		for s.Next(&ev) {
			take()
		}
		for i := range p {
			p[i] = 'x' // what Next has not kept by now it may not use
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if missing = s.End(&ev); missing != "" {
		take()
	}
	all := strings.Join(pieces, "")
	if got := raw.String(); got != all && got+"\n" != all { // the LF of a last CRLF may stay behind
		t.Errorf("blocks hold %q, the input was %q", got, all)
	}
	return events, missing
}

// reference is the standard's text turned into code, without a thought for speed: all lines, then all fields.
func reference(stream string) (events []found) {
	stream = strings.TrimPrefix(stream, "\uFEFF")
	lines := regexp.MustCompile("\r\n|\r|\n").Split(stream, -1)
	var ev found
	var data []string
	dispatch := func() {
		if len(data) > 0 {
			ev.Data, ev.HasData = strings.Join(data, "\n"), true
			events = append(events, ev)
		}
		ev, data = found{}, nil
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			dispatch()
		case name == "data":
			data = append(data, value)
		case name == "event":
			ev.Type = value
		case name == "id" && !strings.Contains(value, "\x00"):
			ev.ID = value
		case name == "retry" && regexp.MustCompile(`^[0-9]{1,9}$`).MatchString(value):
			d, _ := time.ParseDuration(value + "ms")
			ev.Retry = d
		}
	}
	dispatch() // what End does: an event without its empty line counts
	return events
}

var streams = []string{
	"",
	"\n\n\n",
	"data: one\n\ndata: two\n\n",
	"data:one\r\n\r\ndata:two\r\n\r\n",
	"data: one\r\rdata: two\r\r",
	"data: one\r\n\rdata: two\n\r\ndata: three\r\n\n",
	": ping\n\n: ping\n\ndata: x\n\n",
	"event: error\nid: 7\nretry: 1500\ndata: {\ndata: }\n\n",
	"data\n\n", "data:\n\n", "data: \n\n", "data:\ndata:\n\n", "data:  two spaces\n\n",
	"\uFEFFdata: mark\n\n", "data: x\n\n\uFEFFdata: no mark\n\n", "\uFEFF\ndata: x\n\n",
	"data: dangling", "data: dangling\n", "data: dangling\r", "data: a\r\n\r", ": dangling",
	"unknown: field\ndata: x\n\n", "data: x\nretry: soon\nid: a\x00b\n\n", "retry: 9999999999\ndata:1\n\n",
	"data: mixed\rdata: ends\ndata: here\r\n\n", "\ndata: x\n\n", "data: a\rb\n\n", "data: \xff\xfe\n\n",
	"data: [DONE]\n\n",
}

func TestScannerFindsWhatTheStandardSays(t *testing.T) {
	t.Parallel()
	for _, stream := range streams {
		want := fmt.Sprint(reference(stream))
		for i := range len(stream) + 1 {
			if got, _ := scan(t, stream[:i], stream[i:]); fmt.Sprint(got) != want {
				t.Errorf("%q cut at %d: found %v, want %v", stream, i, got, want)
			}
		}
		if got, _ := scan(t, strings.Split(stream, "")...); fmt.Sprint(got) != want {
			t.Errorf("%q byte by byte: found %v, want %v", stream, got, want)
		}
	}
}

func TestEndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{
		"":                    "",
		"data: x\n\n":         "",
		"data: x\r\n\r\n":     "",
		"data: x":             "\n\n",
		"data: x\n":           "\n",
		"data: x\r":           "\n\n",
		"data: x\r\n":         "\n",
		"data: x\n\ndata: y":  "\n\n",
		"data: x\r\n\r\n: pi": "\n\n",
	} {
		for i := range len(stream) + 1 {
			if _, missing := scan(t, stream[:i], stream[i:]); missing != want {
				t.Errorf("%q cut at %d lacks %q, want %q", stream, i, missing, want)
			}
		}
		whole, _ := scan(t, stream+want)
		if fmt.Sprint(whole) != fmt.Sprint(reference(stream)) {
			t.Errorf("%q completed gives %v", stream, whole)
		}
	}
}

func TestWholeEventsAliasTheInput(t *testing.T) {
	t.Parallel()
	p := []byte("data: one\n\nevent: x\ndata: two\r\n\r\n")
	var s Scanner
	var ev Event
	s.Feed(p)
	for s.Next(&ev) {
		first := bytes.Index(p, ev.Data)
		if &p[first] != &ev.Data[0] {
			t.Errorf("%q was copied", ev.Data)
		}
	}
}

func TestLongEvents(t *testing.T) {
	t.Parallel()
	image := strings.Repeat("A", 5<<20)
	events, _ := scan(t, "data: "+image[:1<<20], image[1<<20:], "\n\ndata: x\n\n")
	if len(events) != 2 || events[0].Data != image || events[1].Data != "x" {
		t.Fatalf("found %d events", len(events))
	}
	var s Scanner
	var ev Event
	piece := bytes.Repeat([]byte("A"), 1<<20)
	for range MaxEvent>>20 + 1 {
		s.Feed(piece)
		if s.Next(&ev) {
			t.Fatal("found an event where there is none")
		}
	}
	if !errors.Is(s.Err(), ErrTooLarge) {
		t.Fatalf("an event without end gives %v", s.Err())
	}
	if cap(s.cut) != 0 {
		t.Error("the memory of an event that is too large is kept")
	}
}

func FuzzScanner(f *testing.F) {
	for i, stream := range streams {
		f.Add(stream, uint16(i), uint16(i*7))
	}
	f.Fuzz(func(t *testing.T, stream string, a, b uint16) {
		i := int(a) % (len(stream) + 1)
		j := i + int(b)%(len(stream)-i+1)
		want := fmt.Sprint(reference(stream))
		if got, _ := scan(t, stream); fmt.Sprint(got) != want {
			t.Errorf("%q: found %v, want %v", stream, got, want)
		}
		if got, _ := scan(t, stream[:i], stream[i:j], stream[j:]); fmt.Sprint(got) != want {
			t.Errorf("%q cut at %d and %d: found %v, want %v", stream, i, j, got, want)
		}
	})
}

var chunk = []byte(`data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}` + "\n\n")

var lines = []byte("event: x\r\ndata: a\r\ndata: b\r\n\r\n")

// feed gives a whole event, one that is cut in two, and one with CRLF and several lines.
func feed(s *Scanner, ev *Event) (events int) {
	for _, p := range [][]byte{chunk, chunk[:100], chunk[100:], lines} {
		s.Feed(p)
		for s.Next(ev) {
			events++
		}
	}
	return events
}

func TestScannerDoesNotAllocate(t *testing.T) {
	var s Scanner
	var ev Event
	if n := testing.AllocsPerRun(100, func() {
		if feed(&s, &ev) != 3 {
			t.Error("not three events")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScanner(b *testing.B) {
	var s Scanner
	var ev Event
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		s.Feed(chunk)
		for s.Next(&ev) {
		}
	}
}
