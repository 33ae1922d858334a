package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Remove takes away the segments whose records all stand before a cursor. Nobody needs to read them any more.
func (s *Spool) Remove(before Cursor) error {
	removed, emptied, err := s.release(before)
	if err != nil {
		return err
	}
	// The files go without the lock: it takes a disk some time, and Append must not wait for that.
	for _, g := range removed {
		if err := os.Remove(filepath.Join(s.dir, g.name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a segment: %w", err)
		}
	}
	if emptied == nil {
		return nil
	}
	if err := s.empty(emptied); err != nil {
		return fmt.Errorf("empty a segment: %w", err)
	}
	return nil
}

// empty takes the records out of a segment's file. What is in quarantine has a second name, and must stay as it is: then
// another file takes the first one. That needs room on the disk, and gives none.
func (s *Spool) empty(g *segment) error {
	path := filepath.Join(s.dir, g.name())
	if _, err := os.Lstat(filepath.Join(s.dir, quarantine, g.name())); err == nil {
		return writeFile(path, g.head(s.node))
	}
	if err := os.Truncate(path, segmentHead); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// release takes out of the list what stands before the cursor. The newest segment stays in it, without its records: later
// ones have higher numbers because of it, see mend.
func (s *Spool) release(before Cursor) (removed []*segment, emptied *segment, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	if len(s.segments) == 0 {
		return nil, nil, nil
	}
	if s.active != nil && s.newest().before(before) && s.worthEnding() {
		s.retire()
		s.mark()
	}
	n := 0
	for n < len(s.segments)-1 && s.segments[n].before(before) {
		s.used -= s.segments[n].size
		n++
	}
	removed, s.segments = s.segments[:n:n], s.segments[n:]
	if g := s.newest(); s.active == nil && g.size > segmentHead && g.before(before) {
		s.used -= g.size - segmentHead
		g.size, emptied = segmentHead, g
	}
	return removed, emptied, nil
}

// before says whether all records of the segment are.
func (g *segment) before(c Cursor) bool {
	return g.number < c.Segment || g.number == c.Segment && g.size <= c.Offset || g.size <= segmentHead
}

// A segment that is appended to is ended when it is stored and large, or old: what is stored does not stay for ever, and
// not every batch makes a file.
const oldSegment = 10 * time.Minute

func (s *Spool) worthEnding() bool {
	return s.newest().size > s.segmentBytes()/4 || time.Since(s.newest().began()) > oldSegment
}
