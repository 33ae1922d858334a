package simulator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// opt is a value that may be absent, where the zero value means something.
type opt[T any] struct {
	v  T
	ok bool
}

func (o opt[T]) or(other T) T {
	if o.ok {
		return o.v
	}
	return other
}

// faults is what the words of one call ask for. The zero value is a healthy call.
type faults struct {
	// shape: how a healthy answer is sent
	latency, delay                   opt[time.Duration]
	chunks, size                     opt[int]
	split, tear                      opt[int]
	earlyHead, gzip, crlf, cr, tight bool
	comment, noDone, close           bool
	slowBody                         opt[time.Duration]
	usage                            string // "", "none", "every"
	cached, reasoning                opt[int]
	id                               string
	fail                             opt[int]
	// failure: what goes wrong
	failure failure
}

// failure is the part of faults that fail=N switches off after N calls.
type failure struct {
	status                               opt[int]
	code                                 string
	retryAfter                           opt[time.Duration]
	errorRate                            opt[float64]
	die, cut, half, stall, errorMid      opt[int]
	errorFirst, garbage, empty, truncate bool
	wrongLength, twoAnswers              bool
}

// word is one entry of the table: its name, what its value is ("" for none), what it does, and how it is set.
type word struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Help  string `json:"help"`
	set   func(f *faults, value string) error
}

// Bounds of the numbers in words: a typing error must not fill the memory or hang a test for a day.
const (
	maxPause  = time.Hour
	maxChunks = 1_000_000
	maxSize   = 64 << 20
)

// words is the table of faults. It is never changed.
var words = []word{
	// how the answer is sent
	duration("latency", "time to the first byte, instead of the profile's draw", func(f *faults) *opt[time.Duration] { return &f.latency }),
	flag("early_head", "in streams, send the head at once and wait only then", func(f *faults) *bool { return &f.earlyHead }),
	number("chunks", "answer in exactly N content chunks, repeating or shortening the text", maxChunks, func(f *faults) *opt[int] { return &f.chunks }),
	duration("delay", "pause between chunks, instead of the profile's pace", func(f *faults) *opt[time.Duration] { return &f.delay }),
	number("size", "bytes of content in each chunk, or of each image", maxSize, func(f *faults) *opt[int] { return &f.size }),
	{"huge", "N", "one chunk of N bytes: short for chunks=1 size=N", setHuge},
	number("split", "cut each event in pieces of N bytes, each its own HTTP chunk", maxSize, func(f *faults) *opt[int] { return &f.split }),
	number("tear", "write to the socket in pieces of N bytes, so that heads and chunk sizes are cut too", maxSize, func(f *faults) *opt[int] { return &f.tear }),
	flag("gzip", "compress the answer, asked for or not", func(f *faults) *bool { return &f.gzip }),
	flag("crlf", "end the lines of events with CR LF", func(f *faults) *bool { return &f.crlf }),
	flag("cr", "end the lines of events with CR", func(f *faults) *bool { return &f.cr }),
	flag("tight", "write data: without the space behind it", func(f *faults) *bool { return &f.tight }),
	flag("comment", "send a keep-alive comment before each event", func(f *faults) *bool { return &f.comment }),
	flag("no_done", "end a stream without [DONE], in responses without its last event", func(f *faults) *bool { return &f.noDone }),
	flag("close", "close the connection after the answer, announced by Connection: close", func(f *faults) *bool { return &f.close }),
	duration("slow_body", "send a JSON answer in eight pieces over this time", func(f *faults) *opt[time.Duration] { return &f.slowBody }),
	{"usage", "none|every", "report no usage, or in streams the usage so far in every chunk", setUsage},
	number("cached", "report N of the prompt tokens as cached", maxChunks, func(f *faults) *opt[int] { return &f.cached }),
	number("reasoning", "report N reasoning tokens on top of the completion", maxChunks, func(f *faults) *opt[int] { return &f.reasoning }),
	{"id", "WORD", "a name for this call: for fail=N and for /simulator/requests/{id}", setID},
	number("fail", "let only the first N calls with the same id fail, as the other words say (status=500 if none does)", maxChunks, func(f *faults) *opt[int] { return &f.fail }),
	// what goes wrong
	{"status", "N", "answer with this error status, 400 to 599, in the provider's shape", setStatus},
	{"code", "WORD", "the error's code, with status", setCode},
	{"retry_after", "SECONDS", "retry-after and retry-after-ms, with status; seconds or a duration", setRetryAfter},
	{"error_rate", "SHARE", "fail this share of calls, 0 to 1, instead of the profile's", setErrorRate},
	number("die", "reset the connection after N chunks; 0: before the head", maxChunks, func(f *faults) *opt[int] { return &f.failure.die }),
	number("cut", "end the answer after N chunks as if it were whole: no finish reason, no [DONE]", maxChunks, func(f *faults) *opt[int] { return &f.failure.cut }),
	number("half", "after N chunks send FIN with the answer unfinished, and keep reading; 0: before the head", maxChunks, func(f *faults) *opt[int] { return &f.failure.half }),
	number("stall", "send nothing more after N chunks and keep the connection; 0: before the head", maxChunks, func(f *faults) *opt[int] { return &f.failure.stall }),
	flag("error_first", "200 whose first event, or whole body, is an error", func(f *faults) *bool { return &f.failure.errorFirst }),
	number("error_mid", "an error event after N chunks, then the end without [DONE]", maxChunks, func(f *faults) *opt[int] { return &f.failure.errorMid }),
	flag("garbage", "200 with something that is no JSON", func(f *faults) *bool { return &f.failure.garbage }),
	flag("empty", "200 without a body", func(f *faults) *bool { return &f.failure.empty }),
	flag("truncate", "leave out the end: half of the JSON, or the last content event cut in its middle", func(f *faults) *bool { return &f.failure.truncate }),
	flag("wrong_length", "announce more bytes than are sent, then close", func(f *faults) *bool { return &f.failure.wrongLength }),
	flag("two_answers", "send a second answer right behind the first, in the same write", func(f *faults) *bool { return &f.failure.twoAnswers }),
}

func flag(name, help string, field func(*faults) *bool) word {
	return word{name, "", help, func(f *faults, value string) error {
		switch value {
		case "", "true":
			*field(f) = true
		case "false":
			*field(f) = false
		default:
			return errors.New("takes no value")
		}
		return nil
	}}
}

func number(name, help string, most int, field func(*faults) *opt[int]) word {
	return word{name, "N", help, func(f *faults, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > most {
			return fmt.Errorf("must be a whole number from 0 to %d", most)
		}
		*field(f) = opt[int]{n, true}
		return nil
	}}
}

func duration(name, help string, field func(*faults) *opt[time.Duration]) word {
	return word{name, "DURATION", help, func(f *faults, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 || d > maxPause {
			return fmt.Errorf("must be a duration from 0 to %s, such as 200ms", maxPause)
		}
		*field(f) = opt[time.Duration]{d, true}
		return nil
	}}
}

func setHuge(f *faults, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxSize {
		return fmt.Errorf("must be a whole number from 1 to %d", maxSize)
	}
	f.chunks, f.size = opt[int]{1, true}, opt[int]{n, true}
	return nil
}

func setUsage(f *faults, value string) error {
	if value != "none" && value != "every" {
		return errors.New("must be none or every")
	}
	f.usage = value
	return nil
}

// maxID bounds what is remembered of a call's name.
const maxID = 128

func setID(f *faults, value string) error {
	if value == "" || len(value) > maxID {
		return fmt.Errorf("must have 1 to %d characters", maxID)
	}
	f.id = value
	return nil
}

func setStatus(f *faults, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 400 || n > 599 {
		return errors.New("must be a status from 400 to 599")
	}
	f.failure.status = opt[int]{n, true}
	return nil
}

func setCode(f *faults, value string) error {
	if value == "" {
		return errors.New("must not be empty")
	}
	f.failure.code = value
	return nil
}

func setRetryAfter(f *faults, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil {
		d, err = time.ParseDuration(value + "s")
	}
	if err != nil || d < 0 || d > maxPause {
		return fmt.Errorf("must be seconds or a duration from 0 to %s", maxPause)
	}
	f.failure.retryAfter = opt[time.Duration]{d, true}
	return nil
}

func setErrorRate(f *faults, value string) error {
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return errors.New("must be a share from 0 to 1")
	}
	f.failure.errorRate = opt[float64]{share, true}
	return nil
}

// apply sets the given words on top of what f holds already. The error names every word that is unknown,
// wrong or given twice.
func (f *faults) apply(given []string) error {
	var wrong []string
	seen := make(map[string]bool, len(given))
	for _, w := range given {
		name, value, _ := strings.Cut(w, "=")
		if seen[name] {
			wrong = append(wrong, fmt.Sprintf("%q stands twice", name))
			continue
		}
		seen[name] = true
		entry := lookup(name)
		if entry == nil {
			wrong = append(wrong, fmt.Sprintf("%q is unknown", name))
			continue
		}
		if err := entry.set(f, value); err != nil {
			wrong = append(wrong, fmt.Sprintf("%q %v", name, err))
		}
	}
	if total := f.chunks.or(1) * f.size.or(1); total > maxSize {
		wrong = append(wrong, fmt.Sprintf("chunks × size is over %d bytes", maxSize))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, ", "))
	}
	return nil
}

func lookup(name string) *word {
	for i := range words {
		if words[i].Name == name {
			return &words[i]
		}
	}
	return nil
}
