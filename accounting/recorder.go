package accounting

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/vel-gateway/vel/accounting/spool"
)

// OnFull says what becomes of calls that can not be written down.
type OnFull uint8

// The two ways.
const (
	Refuse OnFull = iota // no call is made that could be lost
	Drop                 // calls go on; what is lost of them is counted
)

// Recorder writes what is known of calls into the node's spool: that a call begins, before anything of it goes to a
// provider, and how it ended. A call that asked no provider has only an end. All methods may be used by many goroutines.
//
//	Begin ──▶ spool ◀── End ──▶ waiting, if the spool takes nothing: in memory, bounded, tried again by the Shipper
//
// Between the two it remembers that the call is open. So the Shipper can write a beginning again without ever writing it
// behind the end, and a beginning that nobody remembers is one of a process that is gone.
type Recorder struct {
	spool   *spool.Spool
	onFull  OnFull
	open    *openCalls
	waiting waiting
	buffers sync.Pool // of *[]byte

	lostBegun, lostEnded atomic.Uint64
}

// NewRecorder makes the recorder of a spool. It is the only one that writes there.
func NewRecorder(s *spool.Spool, onFull OnFull) *Recorder {
	return &Recorder{
		spool: s, onFull: onFull, open: newOpenCalls(),
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }},
	}
}

// Begin writes that a call begins: whose it is, where it goes, what it is taken to cost, what it holds. *Full says that
// this can not be written, so that the call must not be made.
func (r *Recorder) Begin(rec *Record) error {
	rec.State = Begun
	b := r.encode(rec)
	defer r.release(b)
	err := r.spool.Append(*b)
	switch {
	case err == nil:
		r.open.add(rec.ID)
		return nil
	case r.onFull == Drop:
		r.lostBegun.Add(1)
		return nil
	}
	return &Full{err}
}

// End writes how a call ended. What the spool does not take waits in memory. If that is full too, a call that has begun
// counts as interrupted, and is charged at its estimate.
func (r *Recorder) End(rec *Record) {
	rec.State = Ended
	r.open.remove(rec.ID) // before the end is written: see rewrite
	if !r.write(rec) {
		r.lostEnded.Add(1)
	}
}

// write writes the last word on a call; false: it is lost.
func (r *Recorder) write(rec *Record) bool {
	b := r.encode(rec)
	defer r.release(b)
	err := r.spool.AppendBeyond(*b)
	if errors.Is(err, spool.ErrTooLarge) { // then it is the content, which is the least of what matters
		rec.Prompt, rec.Answer = nil, nil
		*b = rec.Append((*b)[:0])
		err = r.spool.AppendBeyond(*b)
	}
	return err == nil || r.waiting.add(*b)
}

// rewrite writes a beginning again that stands in a segment which is to be removed; false: the call has ended, and its end
// is in the spool or about to be. An end is written after it was taken off the open calls, and this happens while it
// can not be: so in the spool an end comes after all beginnings of its call.
func (r *Recorder) rewrite(id []byte, record []byte) (bool, error) {
	return r.open.during(id, func() error { return r.spool.AppendBeyond(record) })
}

// retry writes what waits, if the spool has room.
func (r *Recorder) retry() { r.waiting.flush(r.spool.AppendBeyond) }

// retryAnyway writes what waits also if the quota is used up; false: the disk does not take it.
func (r *Recorder) retryAnyway() bool {
	r.waiting.flush(r.spool.AppendAnyway)
	return r.waiting.len() == 0
}

// encode gives a buffer with the record, to be released.
func (r *Recorder) encode(rec *Record) *[]byte {
	b := r.buffers.Get().(*[]byte)
	*b = rec.Append((*b)[:0])
	return b
}

// keepBuffer is how large a buffer may have grown to be used again.
const keepBuffer = 64 << 10

func (r *Recorder) release(b *[]byte) {
	if cap(*b) <= keepBuffer {
		r.buffers.Put(b)
	}
}
