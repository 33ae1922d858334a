package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// errShape is an answer that differs from what the upstream sent.
var errShape = errors.New("not the answer that the upstream gave")

// eventScanner cuts a stream's body into events and checks each: what is counted has been seen whole.
type eventScanner struct {
	want script
	// onContent is told how long each content event was on its way, from the upstream's write to here.
	onContent func(delay time.Duration)

	part     []byte // the beginning of an event whose end has not yet arrived
	contents int
	finished bool
	usage    bool
	done     bool
}

var (
	eventGap    = []byte("\n\n")
	dataPrefix  = []byte("data: ")
	doneData    = []byte("[DONE]")
	contentKey  = []byte(contentMark)
	finishValue = []byte(`"finish_reason":"stop"`)
	usageValue  = []byte(`"usage":{`)
)

// reset prepares for the next stream; buffers stay.
func (s *eventScanner) reset() {
	*s = eventScanner{want: s.want, onContent: s.onContent, part: s.part[:0]}
}

// feed takes the next bytes of the body. They are not kept.
func (s *eventScanner) feed(b []byte) error {
	if len(s.part) > 0 {
		s.part = append(s.part, b...)
		b = s.part
	}
	for {
		event, rest, whole := bytes.Cut(b, eventGap)
		if !whole {
			s.part = append(s.part[:0], b...)
			return nil
		}
		if err := s.event(event); err != nil {
			return err
		}
		b = rest
	}
}

func (s *eventScanner) event(event []byte) error {
	if len(event) > 0 && event[0] == ':' {
		return nil // a comment, as a heartbeat is
	}
	data, ok := bytes.CutPrefix(event, dataPrefix)
	if !ok || s.done {
		return fmt.Errorf("event %.80q after %d: %w", event, s.contents, errShape)
	}
	if at := bytes.Index(data, contentKey); at >= 0 {
		return s.content(data[at+len(contentKey):])
	}
	switch {
	case bytes.Equal(data, doneData):
		s.done = true
	case bytes.Contains(data, finishValue):
		s.finished = true
	case bytes.Contains(data, usageValue):
		s.usage = true
	default:
		return fmt.Errorf("event %.200q after %d: %w", event, s.contents, errShape)
	}
	return nil
}

func (s *eventScanner) content(stamp []byte) error {
	if len(stamp) < stampDigits {
		return fmt.Errorf("stamp %.40q: %w", stamp, errShape)
	}
	sent, err := strconv.ParseInt(string(stamp[:stampDigits]), 10, 64)
	if err != nil {
		return fmt.Errorf("stamp %q: %w", stamp[:stampDigits], errShape)
	}
	s.contents++
	s.onContent(time.Duration(time.Now().UnixNano() - sent))
	return nil
}

// complete says whether the stream that has just ended was the one asked for.
func (s *eventScanner) complete() error {
	if s.contents != s.want.Chunks || !s.finished || !s.done || s.usage != s.want.Usage || len(s.part) > 0 {
		return fmt.Errorf("stream of %d content events (want %d), finish %v, usage %v (want %v), [DONE] %v, %d bytes left over: %w",
			s.contents, s.want.Chunks, s.finished, s.usage, s.want.Usage, s.done, len(s.part), errShape)
	}
	return nil
}
