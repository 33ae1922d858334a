package chain

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Report is what a whole export proves.
type Report struct {
	Org         tenancy.ID
	From, To    time.Time // of which time the events are; zero: without a bound
	Events      int64
	Seals       int64
	Removed     int64 // seals whose events have had their time
	Checkpoints int64
	Head        Checkpoint // zero: nothing was ever sealed
	Keys        []Key      // that signed the head and the export
}

// Broken is the first place where an export is not what was sealed.
type Broken struct {
	Line    int64 // of the export
	Org     tenancy.ID
	Seal    int64      // 0: it is not about a seal
	Event   tenancy.ID // empty: it is not about one event
	Problem string
}

// Error names the place and what is wrong there.
func (b *Broken) Error() string {
	text := fmt.Sprintf("line %d: organization %s", b.Line, b.Org)
	if b.Seal != 0 {
		text += fmt.Sprintf(", seal %d", b.Seal)
	}
	if b.Event != "" {
		text += fmt.Sprintf(", event %s", b.Event)
	}
	return text + ": " + b.Problem
}

// longestLine is more than any line has.
const longestLine = 8 << 20

// Verify reads an export and proves it, or finds the first place that is broken: the error is a *Broken then. trusted
// are the keys that may sign; without any, the export is proved against the keys that it names itself, and the report
// says which these are.
func Verify(in io.Reader, trusted ...Key) (Report, error) {
	v := verifier{trusted: trusted, sum: sha256.New()}
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return v.report, fmt.Errorf("read the export: %w", err)
		}
		v.line++
		if broken := v.take(line); broken != nil {
			return v.report, broken
		}
		_, _ = v.sum.Write(line) // it never fails
	}
	if !v.ended {
		v.line++
		return v.report, v.broken("the export breaks off: it has no end")
	}
	return v.report, nil
}

// readLine reads a line with its end.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longestLine {
			return nil, errors.New("a line is too long")
		}
	}
}

// verifier is how far an export is proved.
type verifier struct {
	trusted []Key
	report  Report
	line    int64
	sum     hash.Hash // of the lines before this one

	seal       Seal // the last one
	open       bool // its events come
	places     int64
	root       []byte
	checkpoint Checkpoint // the last one
	ended      bool
}

// broken says what is wrong with this line.
func (v *verifier) broken(format string, args ...any) *Broken {
	return &Broken{Line: v.line, Org: v.report.Org, Problem: fmt.Sprintf(format, args...)}
}

// at says what is wrong with a seal, or an event in it.
func (v *verifier) at(seal int64, event tenancy.ID, format string, args ...any) *Broken {
	b := v.broken(format, args...)
	b.Seal, b.Event = seal, event
	return b
}

// take proves one line. Its result is nil, or what is broken.
func (v *verifier) take(line []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return v.broken("this is no line of an export: %v", err)
	}
	if v.ended {
		return v.broken("something follows the end")
	}
	if (v.line == 1) != (kind.Kind == "audit") {
		return v.broken("the first line, and no other, says whose log it is; this one is of the kind %q", kind.Kind)
	}
	if kind.Kind != "event" {
		if b := v.closeSeal(); b != nil {
			return b
		}
	}
	var b *Broken
	switch kind.Kind {
	case "audit":
		b = taken(v, line, v.header)
	case "head":
		b = taken(v, line, v.head)
	case "seal":
		b = taken(v, line, v.takeSeal)
	case "event":
		b = taken(v, line, v.takeEvent)
	case "checkpoint":
		b = taken(v, line, v.takeCheckpoint)
	case "unsealed":
		b = taken(v, line, v.unsealed)
	case "end":
		b = taken(v, line, v.end)
	default:
		b = v.broken("lines of the kind %q are not known", kind.Kind)
	}
	if b != nil {
		return b
	}
	return nil
}

// taken decodes a line and proves it.
func taken[L any](v *verifier, line []byte, prove func(*L) *Broken) *Broken {
	var l L
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return v.broken("this line can not be read: %v", err)
	}
	return prove(&l)
}

func (v *verifier) header(l *headerLine) *Broken {
	if l.Form != form {
		return v.broken("the form %q is not known; this program knows %q", l.Form, form)
	}
	v.report.Org, v.report.From, v.report.To = l.Org, time.Time(l.From), time.Time(l.To)
	return nil
}

func (v *verifier) head(l *checkpointLine) *Broken {
	c := l.checkpoint()
	switch {
	case v.line != 2:
		return v.broken("the head does not stand at the beginning")
	case c.Org != v.report.Org:
		return v.broken("the head is of the organization %s", c.Org)
	case !c.signed():
		return v.at(c.Seal, "", "the head is not what was signed")
	}
	v.report.Head = c
	return v.trust(c.Key, "head")
}

// trust refuses a signature by a key that is not among those that may sign.
func (v *verifier) trust(key Key, what string) *Broken {
	if len(v.trusted) > 0 && !slices.Contains(v.trusted, key) {
		return v.broken("the %s is signed by the key %s, which you do not trust", what, key)
	}
	if !slices.Contains(v.report.Keys, key) {
		v.report.Keys = append(v.report.Keys, key)
	}
	return nil
}

func (v *verifier) takeSeal(l *sealLine) *Broken {
	s := l.seal()
	first := v.report.Seals == 0
	switch {
	case v.report.Head.Seal == 0:
		return v.at(s.Number, "", "there are seals, but no signed head")
	case s.Org != v.report.Org:
		return v.at(s.Number, "", "the seal is of the organization %s", s.Org)
	case s.Number > v.report.Head.Seal:
		return v.at(s.Number, "", "the seal was added: the signed head ends with %d", v.report.Head.Seal)
	case first && v.report.From.IsZero() && s.Number != 1:
		return v.at(1, "", "the seal is missing: the first one is %d", s.Number)
	case !first && s.Number > v.seal.Number+1:
		return v.at(v.seal.Number+1, "", "the seal is missing: after %d comes %d", v.seal.Number, s.Number)
	case !first && s.Number <= v.seal.Number:
		return v.at(s.Number, "", "the seal is there twice, or out of order: it comes after %d", v.seal.Number)
	case s.hash() != s.Hash:
		return v.at(s.Number, "", "the seal was changed: what it says has the hash %s, and it was sealed with %s", s.hash(), s.Hash)
	case !first && s.Previous != v.seal.Hash, s.Number == 1 && s.Previous != "":
		return v.at(s.Number, "", "the chain is broken: it follows a seal with the hash %s, and the one before has %s", s.Previous, v.seal.Hash)
	}
	v.report.Seals++
	v.seal, v.open, v.places, v.root = s, true, 0, text(domainRoot)
	return nil
}

// covered tells whether the events of the seal are of the time that the export has.
func (v *verifier) covered() bool {
	r := &v.report
	return (r.From.IsZero() || !v.seal.Latest.Before(r.From)) && (r.To.IsZero() || v.seal.Earliest.Before(r.To))
}

func (v *verifier) takeEvent(l *eventLine) *Broken {
	e := l.event()
	at := e.Sealed
	switch {
	case !v.open || at.Seal != v.seal.Number:
		return v.at(at.Seal, e.ID, "the event does not stand behind its seal: it was inserted, or the order is another")
	case !v.covered():
		return v.at(at.Seal, e.ID, "the event was inserted: the seal is of another time than the export")
	case e.Org != v.report.Org:
		return v.at(at.Seal, e.ID, "the event is of the organization %s", e.Org)
	case at.Place >= v.seal.Count:
		return v.at(at.Seal, e.ID, "the event was inserted: it has the place %d in a seal of %d", at.Place, v.seal.Count)
	case at.Place < v.places:
		return v.at(at.Seal, e.ID, "the event was inserted, or the order is another: it has the place %d after %d", at.Place, v.places-1)
	case Leaf(&e) != at.Leaf:
		return v.at(at.Seal, e.ID, "the event was changed: what it says has the hash %s, and it was sealed with %s", Leaf(&e), at.Leaf)
	case at.Place > v.places && !v.removed():
		return v.at(at.Seal, "", "the event at the place %d is missing; %s is the next", v.places, e.ID)
	}
	v.report.Events++
	v.places = at.Place + 1
	v.root = field(v.root, at.Leaf)
	return nil
}

// removed tells whether the events of the seal have had their time, as was signed.
func (v *verifier) removed() bool { return v.seal.Earliest.Before(v.report.Head.KeptFrom) }

// closeSeal proves that the events of the last seal are all there, and are those that were sealed.
func (v *verifier) closeSeal() *Broken {
	if !v.open {
		return nil
	}
	v.open = false
	s := &v.seal
	switch {
	case !v.covered():
		return nil
	case v.removed():
		v.report.Removed++
		return nil
	case v.places < s.Count:
		return v.at(s.Number, "", "the event at the place %d of %d is missing", v.places, s.Count)
	case digest(v.root) != s.Root:
		return v.at(s.Number, "", "its %d events are not those that were sealed: together they have the hash %s, and the seal has %s", s.Count, digest(v.root), s.Root)
	}
	return nil
}

func (v *verifier) takeCheckpoint(l *checkpointLine) *Broken {
	c := l.checkpoint()
	whole := v.report.From.IsZero()
	switch {
	case c.Org != v.report.Org:
		return v.at(c.Seal, "", "the checkpoint is of the organization %s", c.Org)
	case !c.signed():
		return v.at(c.Seal, "", "the checkpoint %d is not what was signed", c.Number)
	case c.Seal != v.seal.Number || c.Hash != v.seal.Hash:
		return v.at(c.Seal, "", "the checkpoint %d was signed over a seal with the hash %s, and this is %d with %s", c.Number, c.Hash, v.seal.Number, v.seal.Hash)
	case v.report.Checkpoints > 0 && c.Number != v.checkpoint.Number+1, v.report.Checkpoints == 0 && whole && c.Number != 1:
		return v.at(c.Seal, "", "a checkpoint is missing, or the order is another: after %d comes %d", v.checkpoint.Number, c.Number)
	}
	v.report.Checkpoints++
	v.checkpoint = c
	return nil
}

func (v *verifier) unsealed(l *eventLine) *Broken {
	if l.Seal == 0 {
		return v.at(0, l.ID, "the event was never sealed, although it is old enough: it was inserted, or nobody seals")
	}
	return v.at(l.Seal, l.ID, "the event was inserted: it stands under a seal that the chain does not have")
}

func (v *verifier) end(l *endLine) *Broken {
	head, last := &v.report.Head, &v.checkpoint
	switch {
	case v.seal.Number != head.Seal || v.seal.Hash != head.Hash:
		return v.at(v.seal.Number+1, "", "the seal is missing: the signed head ends with %d and the hash %s", head.Seal, head.Hash)
	case v.report.Checkpoints > 0 && head.Number != last.Number, v.report.Checkpoints == 0 && v.report.From.IsZero() && head.Number != 0:
		return v.at(head.Seal, "", "a checkpoint is missing: the last one is %d, and the head has seen %d", last.Number, head.Number)
	case l.Lines != v.line-1 || l.Hash != hex.EncodeToString(v.sum.Sum(nil)):
		return v.broken("the export was changed after it was made: its lines are not those that were signed")
	case !l.Key.verifies(l.text(), l.Signature):
		return v.broken("the end of the export is not what was signed")
	}
	v.ended = true
	return v.trust(l.Key, "export")
}
