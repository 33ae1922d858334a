package spool

import (
	"errors"
	"fmt"
)

// What Append says of a record that it did not take.
var (
	ErrFull     = errors.New("the spool is full")
	ErrClosed   = errors.New("the spool is closed")
	ErrTooLarge = fmt.Errorf("the record has more than %d bytes", maxRecord)
)

// InUse says that another process has the directory.
type InUse struct{ Dir string }

func (e *InUse) Error() string {
	return fmt.Sprintf("another process has the spool in %s open", e.Dir)
}

// Broken says that the disk refused a record: it is full, or it fails. The record is not in the spool, except where the
// spool is strict and the disk refused to sync: then it may be. The next record is tried again.
type Broken struct{ Cause error }

func (e *Broken) Error() string { return "append to the spool: " + e.Cause.Error() }

func (e *Broken) Unwrap() error { return e.Cause }

// Damage says that a part of a segment can not be read. What stood there is skipped, nothing else is.
type Damage struct {
	Segment  uint64
	From, To int64  // the bytes of it that are skipped
	Kept     string // the segment in quarantine; empty: it could not be kept
	Cause    error  // why; nil: what is there does not check
}

func (d *Damage) Error() string {
	text := fmt.Sprintf("bytes %d to %d of segment %d are damaged", d.From, d.To, d.Segment)
	if d.Cause != nil {
		text += ": " + d.Cause.Error()
	}
	if d.Kept == "" {
		return text + "; the segment could not be kept"
	}
	return text + "; it is kept as " + d.Kept
}

func (d *Damage) Unwrap() error { return d.Cause }
