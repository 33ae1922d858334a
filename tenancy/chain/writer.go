package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Writer writes an export. Its methods are called in the order of the lines; the first error stays.
type Writer struct {
	out    io.Writer
	signer Signer
	lines  int64
	sum    hash.Hash
	buffer bytes.Buffer
	err    error
}

// NewWriter begins an export of the log of an organization: of what was done from a time on and before another one;
// zero times are no bounds. maker is the program.
func NewWriter(out io.Writer, signer Signer, org tenancy.ID, from, to, now time.Time, maker string) *Writer {
	w := &Writer{out: out, signer: signer, sum: sha256.New()}
	w.line(headerLine{"audit", form, org, stamp(from), stamp(to), stamp(now), maker})
	return w
}

// line writes one line.
func (w *Writer) line(v any) {
	if w.err != nil {
		return
	}
	w.buffer.Reset()
	e := json.NewEncoder(&w.buffer)
	e.SetEscapeHTML(false)
	if w.err = e.Encode(v); w.err != nil {
		return
	}
	w.lines++
	_, _ = w.sum.Write(w.buffer.Bytes()) // it never fails
	_, w.err = w.out.Write(w.buffer.Bytes())
}

// Head writes the signed head.
func (w *Writer) Head(c *Checkpoint) { w.line(lineOfCheckpoint("head", c)) }

// Seal writes a seal.
func (w *Writer) Seal(s *Seal) {
	w.line(sealLine{"seal", s.Org, s.Number, stamp(s.Time), s.Count, s.First, s.Last, stamp(s.Earliest), stamp(s.Latest), s.Root, s.Previous, s.Hash})
}

// Event writes an event of the seal that was written last.
func (w *Writer) Event(e *tenancy.AuditEvent) { w.line(lineOf(e)) }

// Checkpoint writes one that names the seal that was written last.
func (w *Writer) Checkpoint(c *Checkpoint) { w.line(lineOfCheckpoint("checkpoint", c)) }

// Unsealed writes an event that no seal proves although one should.
func (w *Writer) Unsealed(e *tenancy.AuditEvent) {
	l := lineOf(e)
	l.Kind = "unsealed"
	w.line(l)
}

// End signs what was written and ends the export. Without it an export is not whole.
func (w *Writer) End() error {
	l := endLine{Kind: "end", Lines: w.lines, Hash: hex.EncodeToString(w.sum.Sum(nil)), Key: w.signer.Key()}
	l.Signature = w.signer.sign(l.text())
	w.line(l)
	return w.err
}

// Err is the first error.
func (w *Writer) Err() error { return w.err }

func lineOfCheckpoint(kind string, c *Checkpoint) checkpointLine {
	return checkpointLine{kind, c.Org, c.Number, stamp(c.Time), c.Seal, c.Hash, stamp(c.KeptFrom), c.Key, c.Signature}
}
