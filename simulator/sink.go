package simulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"time"
)

// sink is where an answer's bytes go, each write flushed to the socket at once.
type sink struct {
	w     io.Writer
	flush func() error
	zip   *gzip.Writer // nil: not compressed
	split int          // 0: whole
}

func newSink(w io.Writer, flush func() error, f *faults) *sink {
	s := &sink{w: w, flush: flush, split: f.split.or(0)}
	if f.gzip {
		s.zip = gzip.NewWriter(w)
	}
	return s
}

// write sends p, in pieces if the call asks for that.
func (s *sink) write(p []byte) error {
	size := s.split
	if size == 0 {
		size = len(p)
	}
	for len(p) > 0 {
		part := p[:min(size, len(p))]
		p = p[len(part):]
		if err := s.part(part); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) part(p []byte) error {
	if s.zip == nil {
		if _, err := s.w.Write(p); err != nil {
			return err
		}
		return s.flush()
	}
	if _, err := s.zip.Write(p); err != nil {
		return err
	}
	if err := s.zip.Flush(); err != nil {
		return err
	}
	return s.flush()
}

// end writes what compression still owes.
func (s *sink) end() error {
	if s.zip == nil {
		return nil
	}
	if err := s.zip.Close(); err != nil {
		return err
	}
	return s.flush()
}

// zipped compresses a whole body. Writing to memory can not fail.
func zipped(p []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(p)
	_ = z.Close()
	return b.Bytes()
}

// pause waits until a time, or until the context ends; then it returns the cause.
func pause(ctx context.Context, until time.Time) error {
	wait := time.Until(until)
	if wait <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
