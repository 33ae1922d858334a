package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Reader reads records in their order. It belongs to one goroutine. It holds no file open and needs no end.
type Reader struct {
	s   *Spool
	at  Cursor
	end int64 // up to where its segment may be read
	w   window
}

// Reader reads what stands after a cursor.
func (s *Spool) Reader(from Cursor) *Reader { return &Reader{s: s, at: from} }

// Next is the next record, which holds until the call after, and the place behind it. io.EOF says that there is none yet.
// Damage is skipped and told. Any other error is the disk's; what can not be read at all counts as damage in the end.
func (r *Reader) Next() (record []byte, after Cursor, err error) {
	for {
		if r.at.Offset >= r.end {
			if err := r.advance(); err != nil {
				return nil, r.at, err
			}
		}
		record, at, ok, err := r.w.next(r.at.Offset, r.end)
		if err != nil {
			if err := r.fail(err); err != nil {
				return nil, r.at, err
			}
			continue
		}
		if at > r.at.Offset {
			r.s.damaged(&Damage{Segment: r.at.Segment, From: r.at.Offset, To: at})
		}
		r.at.Offset = at
		if ok {
			r.at.Offset += frameHead + int64(len(record))
			return record, r.at, nil
		}
	}
}

// advance goes to where there is more to read, in this segment or in a later one.
func (r *Reader) advance() error {
	g, err := r.s.locate(r.at)
	if err != nil {
		return err
	}
	if r.w.path == "" || g.number != r.at.Segment {
		r.w = window{path: filepath.Join(r.s.dir, g.name()), seed: g.seed, b: r.w.b[:0]}
	}
	if g.number != r.at.Segment || r.at.Offset < segmentHead {
		r.at = Cursor{g.number, segmentHead}
		r.s.checkHead(g)
	}
	r.end = g.size
	return nil
}

// locate is the first segment that has something after the cursor.
func (s *Spool) locate(after Cursor) (segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return segment{}, ErrClosed
	}
	i, _ := slices.BinarySearchFunc(s.segments, after.Segment, byNumber)
	for _, g := range s.segments[i:] {
		if g.size > segmentHead && (g.number > after.Segment || g.size > after.Offset) {
			return *g, nil
		}
	}
	return segment{}, io.EOF
}

func byNumber(g *segment, number uint64) int { return cmp.Compare(g.number, number) }

// find is the segment of that number; nil: it was removed. The lock is held.
func (s *Spool) find(number uint64) *segment {
	if i, ok := slices.BinarySearchFunc(s.segments, number, byNumber); ok {
		return s.segments[i]
	}
	return nil
}

// readTries is how often a place is read before it counts as damaged.
const readTries = 3

// fail decides what a failed read means: that the segment was removed meanwhile, that the caller should come again, or
// that the rest of it can not be read.
func (r *Reader) fail(err error) error {
	s := r.s
	s.mu.Lock()
	g := s.find(r.at.Segment)
	if g == nil || g.size <= r.at.Offset {
		s.mu.Unlock()
		r.end = 0
		return nil
	}
	g.failed++
	again := g.failed < readTries && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, io.EOF)
	if !again {
		g.failed = 0
	}
	s.mu.Unlock()
	if again {
		return fmt.Errorf("read the spool: %w", err)
	}
	s.damaged(&Damage{Segment: r.at.Segment, From: r.at.Offset, To: r.end, Cause: err})
	r.at.Offset = r.end
	return nil
}
