package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func streamText(contents int, usage bool) string {
	event, at := contentEvent(usage)
	event = event[:at] + "1767225600000000000" + event[at+stampDigits:]
	text := strings.Repeat(event, contents) + finishEvent + eventEnd(usage)
	if usage {
		text += usageEvent
	}
	return text + doneEvent
}

// TestEventsCutAnywhere feeds a stream in two pieces, cut at every byte.
func TestEventsCutAnywhere(t *testing.T) {
	t.Parallel()
	text := ": a comment\n\n" + streamText(3, true)
	for cut := range len(text) {
		seen := 0
		s := eventScanner{want: script{Chunks: 3, Usage: true}, onContent: func(time.Duration) { seen++ }}
		for _, piece := range []string{text[:cut], text[cut:]} {
			if err := s.feed([]byte(piece)); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		if err := s.complete(); err != nil || seen != 3 {
			t.Fatalf("cut at %d: %d events, %v", cut, seen, err)
		}
	}
}

func TestWrongStreams(t *testing.T) {
	t.Parallel()
	good := streamText(2, false)
	for name, text := range map[string]string{
		"an event too few":    streamText(1, false),
		"an event too many":   streamText(3, false),
		"usage not asked for": streamText(2, true),
		"no [DONE]":           strings.TrimSuffix(good, doneEvent),
		"no finish":           strings.Replace(good, finishEvent+eventEnd(false), "", 1),
		"cut":                 good[:len(good)-4],
		"after [DONE]":        good + doneEvent,
		"an error":            `data: {"error":{"message":"no"}}` + "\n\n",
		"no stamp":            strings.Replace(good, "1767225600000000000", "hello", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := eventScanner{want: script{Chunks: 2}, onContent: func(time.Duration) {}}
			err := s.feed([]byte(text))
			if err == nil {
				err = s.complete()
			}
			if !errors.Is(err, errShape) {
				t.Errorf("got %v, want errShape", err)
			}
		})
	}
}

func TestEventIsAsLongAsAProviders(t *testing.T) {
	t.Parallel()
	if event, _ := contentEvent(false); len(event) < 200 || len(event) > 280 {
		t.Errorf("a content event has %d bytes", len(event))
	}
	if n := len(answerBody); n < 650 || n > 1000 {
		t.Errorf("an answer has %d bytes", n)
	}
	if n := len(chatBody(nil)); n < 900 || n > 1200 {
		t.Errorf("a request body has %d bytes", n)
	}
}
