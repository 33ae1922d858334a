// Package sse finds the events in a stream of server-sent events while its bytes pass.
//
// It owns where an event ends and what its fields are, as the WHATWG standard has it
// (https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end with LF, CRLF or CR, also when a
// read ends between CR and LF; an empty line ends an event. It does not own what the data means, and it does
// not hold bytes back: the caller has passed them on before or after, as it likes.
//
// A whole event is handed out as slices of what came in. Only an event that a read cuts in two is copied.
package sse

import (
	"bytes"
	"errors"
	"time"
)

// MaxEvent is how many bytes one event may have. A partial image is one event of several megabytes.
const MaxEvent = 32 << 20

// keep is how much memory a scanner keeps for the next cut event, so that one large event does not stay pinned
// for the rest of the stream.
const keep = 64 << 10

// ErrTooLarge says that an event is longer than MaxEvent.
var ErrTooLarge = errors.New("server-sent event larger than 32 MiB")

// Event is one block of a stream, up to and with its empty line. Its slices are valid until the next call of
// the scanner that gave it.
type Event struct {
	Raw   []byte        // the block as it came
	Data  []byte        // the data lines joined by LF; nil if there is none, and such a block is no event to a client
	Type  []byte        // the last event field, or nil
	ID    []byte        // the last id field, or nil
	Retry time.Duration // the last retry field, or 0
}

// Scanner finds events. The zero Scanner is at the start of a stream.
//
//	s.Feed(p)
//	for s.Next(&ev) { … }
//	if err := s.Err(); err != nil { … }
type Scanner struct {
	p      []byte // the bytes of the last Feed
	start  int    // in p: where the current block begins
	at     int    // in p: how far has been looked
	lf, cr int    // in p: the next LF and CR at or behind at; len(p) if there is none; -1 if not looked for

	cut    []byte // the beginning of the current block, from earlier reads
	joined []byte // data of several lines
	filled bool   // the current line has bytes
	afterC bool   // the last byte was a CR: a LF now belongs to it
	inside bool   // behind the first block: a byte order mark means nothing any more
	err    error
}

// Feed hands over the next bytes. They must not change until Next has said false, which must have happened
// before the next Feed.
func (s *Scanner) Feed(p []byte) { s.p, s.start, s.at, s.lf, s.cr = p, 0, 0, -1, -1 }

// Err is what made Next stop for good, if anything did.
func (s *Scanner) Err() error { return s.err }

// Next finds the next block and tells whether there was a whole one. If not, what is left of the bytes is kept
// for the next Feed.
func (s *Scanner) Next(ev *Event) bool {
	if s.start == len(s.p) || s.err != nil {
		return false
	}
	if s.fast(ev) {
		return true
	}
	if !s.boundary() {
		s.save(s.p[s.start:])
		s.p, s.start, s.at = nil, 0, 0
		return false
	}
	raw := s.p[s.start:s.at]
	if len(s.cut) > 0 {
		s.save(raw)
		raw = s.cut
		if cap(s.cut) > keep {
			s.cut = nil
		}
		s.cut = s.cut[:0]
	}
	s.start = s.at
	s.fields(ev, raw)
	return s.err == nil
}

// fast takes the block that almost every block is: one whole line of data, ended by LF LF.
func (s *Scanner) fast(ev *Event) bool {
	rest := s.p[s.start:]
	if len(rest) < 8 || string(rest[:6]) != "data: " || len(s.cut) > 0 || s.filled {
		return false
	}
	s.look()
	end := s.lf + 1
	if s.cr < end || end >= len(s.p) || s.p[end] != '\n' {
		return false
	}
	ev.Raw, ev.Data = s.p[s.start:end+1], s.p[s.start+6:s.lf]
	ev.Type, ev.ID, ev.Retry = nil, nil, 0
	s.start, s.at, s.afterC, s.inside = end+1, end+1, false, true
	return true
}

// look makes lf and cr right for at. Each byte is looked at once for each of the two, however many lines end
// in only one of the ways.
func (s *Scanner) look() {
	if s.lf < s.at {
		s.lf = s.next('\n')
	}
	if s.cr < s.at {
		s.cr = s.next('\r')
	}
}

func (s *Scanner) next(c byte) int {
	if i := bytes.IndexByte(s.p[s.at:], c); i >= 0 {
		return s.at + i
	}
	return len(s.p)
}

// boundary moves at behind the next empty line, or to the end of p.
func (s *Scanner) boundary() bool {
	for s.at < len(s.p) {
		if s.afterC && s.p[s.at] == '\n' { // the second half of a CRLF
			s.afterC = false
			s.at++
			continue
		}
		s.afterC = false
		s.look()
		end := min(s.lf, s.cr)
		s.filled = s.filled || end > s.at
		if end == len(s.p) {
			s.at = end
			return false
		}
		s.at, s.afterC = end+1, s.p[end] == '\r'
		if !s.filled {
			if s.afterC && s.at < len(s.p) && s.p[s.at] == '\n' {
				s.at, s.afterC = s.at+1, false
			}
			return true
		}
		s.filled = false
	}
	return false
}

func (s *Scanner) save(p []byte) {
	if len(s.cut)+len(p) > MaxEvent {
		s.cut, s.err = nil, ErrTooLarge
		return
	}
	s.cut = append(s.cut, p...)
}

// End takes what is left at the end of the stream as a block, as if its end had come, and returns the bytes
// that it lacks: nothing if nothing is left. By the standard such a block is lost, and to most SDKs it is; so
// whoever relays it completes it.
func (s *Scanner) End(ev *Event) (missing string) {
	*ev = Event{}
	if len(s.cut) == 0 || string(s.cut) == "\n" { // which is the second half of the last block's CRLF
		return ""
	}
	missing = "\n"
	if s.filled || s.afterC { // a single LF behind a CR would only be its second half
		missing = "\n\n"
	}
	s.fields(ev, s.cut)
	return missing
}

// fields reads a whole block.
func (s *Scanner) fields(ev *Event, raw []byte) {
	*ev = Event{Raw: raw}
	if s.joined = s.joined[:0]; cap(s.joined) > keep {
		s.joined = nil
	}
	rest := raw
	if !s.inside {
		rest = bytes.TrimPrefix(rest, []byte("\uFEFF"))
		s.inside = true
	}
	lineEnd := func(p []byte) int { return bytes.IndexByte(p, '\n') }
	if bytes.IndexByte(rest, '\r') >= 0 {
		lineEnd = func(p []byte) int { return bytes.IndexAny(p, "\r\n") } // slower
	}
	for len(rest) > 0 {
		end := lineEnd(rest)
		if end < 0 {
			end = len(rest)
		}
		s.field(ev, rest[:end])
		rest = rest[min(end+1, len(rest)):]
	}
}

func (s *Scanner) field(ev *Event, line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		s.data(ev, value)
	case "event":
		ev.Type = value
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			ev.ID = value
		}
	case "retry":
		if ms, ok := digits(value); ok {
			ev.Retry = ms * time.Millisecond
		}
	}
}

// data adds a line. The first one passes as it is; more are joined in memory of the scanner's own.
func (s *Scanner) data(ev *Event, line []byte) {
	if ev.Data == nil {
		if ev.Data = line; line == nil { // "data" without a colon is an empty line
			ev.Data = []byte{}
		}
		return
	}
	if len(s.joined) == 0 {
		s.joined = append(s.joined, ev.Data...)
	}
	s.joined = append(append(s.joined, '\n'), line...)
	ev.Data = s.joined
}

// digits reads a decimal number of at most nine digits, which is eleven days in milliseconds.
func digits(s []byte) (n time.Duration, ok bool) {
	for _, c := range s {
		if c-'0' >= 10 {
			return 0, false
		}
		n = n*10 + time.Duration(c-'0')
	}
	return n, 0 < len(s) && len(s) <= 9
}
