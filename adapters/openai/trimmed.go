package openai

import (
	"bytes"
	"slices"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters/sse"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// trimmed is a stream in which Vel asked for usage and the client did not. It takes out what came of that: the event
// that has usage and no choices, and "usage":null in all others. So it must hold back an event that a read cut in
// two, until it is whole or larger than any that has to be trimmed.
type trimmed struct {
	stream
	part   []byte // the bytes of the last, incomplete event
	spare  []byte // the memory of the part before, which the caller may still hold
	before int    // bytes of the incomplete event that came so far
	halved bool   // the last event was taken out up to a CR: a LF behind it goes, too
	loose  bool   // and that they have been given out
}

// largestCut is how much of an incomplete event is held back.
const largestCut = 1 << 20

// keepCut is up to which size its memory is kept for the next one.
const keepCut = 64 << 10

// Feed appends what is left of whole events.
func (s *trimmed) Feed(out [][]byte, p []byte) ([][]byte, error) {
	base := len(out)
	s.events.Feed(p)
	run := relay{out: out, part: s.part, p: p}
	var ev sse.Event
	for s.events.Next(&ev) {
		if ev.Data != nil {
			if !s.begun {
				if err := s.first(&ev); err != nil {
					return out, err
				}
			}
			s.watch(&ev)
		}
		size := len(ev.Raw)
		from, to := s.cut(&ev)
		if s.loose {
			from, to = 0, s.before // it has been given out already
		}
		run.take(size, s.before, from, to)
		s.before, s.loose = 0, false
		run.part = nil
	}
	if s.events.Err() != nil {
		return out, garbage("The provider sent an event that is too large.")
	}
	run.flush()
	s.keep(&run)
	out = run.out
	return s.hold(out, base)
}

// keep saves the incomplete event, or gives it out if it is too large to hold.
func (s *trimmed) keep(run *relay) {
	rest := run.p[run.at:]
	whole := run.part == nil // an event ended: the rest begins another
	if whole || s.before == 0 {
		s.part, s.spare = s.spare[:0], s.part
		if cap(s.part) > keepCut {
			s.part = nil
		}
	}
	s.before += len(rest)
	switch {
	case s.loose:
		run.out = appendPiece(run.out, rest)
	case s.before > largestCut:
		s.loose = true
		run.out = appendPiece(run.out, s.part)
		run.out = appendPiece(run.out, rest)
		s.part, s.spare = nil, nil
	default:
		s.part = append(s.part, rest...)
	}
}

// hold keeps everything until the stream has begun, and gives it out first then.
func (s *trimmed) hold(out [][]byte, base int) ([][]byte, error) {
	if !s.begun {
		for _, piece := range out[base:] {
			s.held = append(s.held, piece...)
		}
		if len(s.held) > sse.MaxEvent {
			return out[:base], garbage("The provider sent an event that is too large.")
		}
		return out[:base], nil
	}
	if s.held != nil {
		out = slices.Insert(out, base, s.held)
		s.held = nil
	}
	return out, nil
}

// End completes the stream; what was held back of a last event goes out if it is whole and the client's.
func (s *trimmed) End(out [][]byte) ([][]byte, error) {
	var ev sse.Event
	s.events.End(&ev)
	before := len(out)
	rest, drop := s.part, false
	if ev.Data != nil && !isDone(ev.Data) && !strictjson.Valid(ev.Data) {
		rest, drop = nil, !s.loose
	}
	if ev.Data != nil && rest != nil && !s.loose {
		if from, to := s.cut(&ev); to > from {
			drop = to == len(rest)
			rest = append(append(s.spare[:0], rest[:from]...), rest[to:]...)
		}
	}
	if s.halved && string(rest) == "\n" {
		rest = nil
	}
	s.part = nil
	if !s.begun {
		s.held = append(s.held, rest...)
		return s.stream.End(out)
	}
	if len(rest) > 0 {
		out = append(out, rest)
	}
	given := len(out)
	out, err := s.stream.End(out)
	switch {
	case err != nil && s.failed == nil:
		return out[:before], err
	case drop && len(out) > given: // the empty line of the event that is not there
		out = slices.Delete(out, given, given+1)
	}
	return out, err
}

// cut is the range of an event's bytes that goes. Where a read ends between CR and LF, the LF is the first byte of
// the next event, but belongs to the one before.
func (s *trimmed) cut(ev *sse.Event) (from, to int) {
	half := ev.Raw[0] == '\n'
	from, to = s.surplus(ev)
	switch {
	case from == 0 && to > 0 && half && !s.halved:
		from = 1
	case to == 0 && half && s.halved:
		to = 1
	}
	s.halved = to == len(ev.Raw) && ev.Raw[to-1] == '\r'
	return from, to
}

// surplus is the range of an event's bytes that the client must not see.
func (s *trimmed) surplus(ev *sse.Event) (from, to int) {
	data := ev.Data
	if data == nil || isDone(data) || !bytes.Contains(data, bytesOf(usageKey.end)) {
		return 0, 0
	}
	if says(data, usageKey) {
		root := gjson.Parse(stringOf(data))
		if choices := root.Get("choices"); root.Get("usage").IsObject() && choices.IsArray() && choices.Get("0").Raw == "" {
			return 0, len(ev.Raw)
		}
		return 0, 0
	}
	offset, ok := offsetIn(ev.Raw, data)
	if !ok {
		return 0, 0
	}
	from, to = nullUsage(data)
	if to == 0 {
		return 0, 0
	}
	return offset + from, offset + to
}

// offsetIn is where data begins in raw; data of several lines is not in it.
func offsetIn(raw, data []byte) (int, bool) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(data))) - uintptr(unsafe.Pointer(unsafe.SliceData(raw)))
	return int(at), at < uintptr(len(raw))
}

// nullUsage finds "usage":null in the top level of an object, with one of the commas beside it.
func nullUsage(data []byte) (from, to int) {
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte(`"usage"`))
		if i < 0 {
			return 0, 0
		}
		from, at = at+i, at+i+len(`"usage"`)
		rest := trimSpace(data[at:])
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = trimSpace(rest[1:])
		if !bytes.HasPrefix(rest, []byte("null")) || !closesOnce(rest[4:]) {
			continue
		}
		to = len(data) - len(rest) + 4
		front := bytes.TrimRight(data[:from], " \t\r\n")
		if n := len(front); n > 0 && front[n-1] == ',' {
			return n - 1, to
		}
		if behind := trimSpace(data[to:]); len(behind) > 0 && behind[0] == ',' {
			to = len(data) - len(behind) + 1
		}
		return from, to
	}
}

// closesOnce tells whether what follows a value closes exactly the object around it: then that object is the whole.
func closesOnce(rest []byte) bool {
	depth := 1
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			i = skipText(stringOf(rest), i+1)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return len(trimSpace(rest[i+1:])) == 0
			}
		}
	}
	return false
}

// relay gathers the slices of what passes. An event is bytes that were held back, then bytes of p; runs of p that
// pass unbroken stay one slice.
type relay struct {
	out     [][]byte
	part, p []byte
	start   int // in p: where the run begins
	at      int // in p: behind the last event
}

// take passes the next event of size bytes, of which the first ones came before, without the bytes from…to.
func (r *relay) take(size, before, from, to int) {
	end := r.at + size - before
	if from < before { // the cut lies in what was held back, at least with its beginning
		r.out = appendPiece(r.out, r.within(0, from))
		if to < before {
			r.out = appendPiece(r.out, r.within(to, before))
			to = before
		}
	} else {
		r.out = appendPiece(r.out, r.part)
	}
	if to > before || from < before && to == before {
		cutFrom, cutTo := r.at+max(from-before, 0), r.at+to-before
		r.out = appendPiece(r.out, r.p[r.start:cutFrom])
		r.start = cutTo
	}
	r.at = end
}

// within is a range of what was held back, which is nothing if it was given out.
func (r *relay) within(from, to int) []byte {
	if len(r.part) == 0 {
		return nil
	}
	return r.part[from:to]
}

// flush ends the run.
func (r *relay) flush() {
	if r.start < r.at {
		r.out = appendPiece(r.out, r.p[r.start:r.at])
	}
	r.start = r.at
}

func appendPiece(out [][]byte, piece []byte) [][]byte {
	if len(piece) == 0 {
		return out
	}
	return append(out, piece)
}
