package spool

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Append adds a record. When it returns nil the record is read exactly once from this directory, however the process
// ends. ErrFull says that the quota is used up, *Broken that the disk refused; then it is not in the spool.
// It keeps nothing of the record.
func (s *Spool) Append(record []byte) error { return s.append(record, 1) }

// AppendBeyond is Append for what must follow a record that was taken. It may use an eighth more than the quota.
func (s *Spool) AppendBeyond(record []byte) error { return s.append(record, beyond) }

// AppendAnyway is Append whatever the quota says, for when all that the spool holds is stored elsewhere and a record is
// nowhere but in memory.
func (s *Spool) AppendAnyway(record []byte) error { return s.append(record, math.Inf(1)) }

// beyond is the share of the quota that AppendBeyond may use.
const beyond = 1.125

func (s *Spool) append(record []byte, share float64) error {
	if len(record) > maxRecord {
		return ErrTooLarge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if !s.hasRoom(frameHead+int64(len(record)), share) {
		return ErrFull
	}
	if err := s.write(record); err != nil {
		return err
	}
	s.mark()
	signal(s.wake)
	if s.options.Strict {
		return s.awaitSync()
	}
	return nil
}

// signal leaves one thing to receive.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write writes a frame at the end of the newest segment, or of a new one.
func (s *Spool) write(record []byte) error {
	frame := frameHead + int64(len(record))
	if s.refused = s.begin(frame); s.refused != nil {
		return &Broken{s.refused}
	}
	g := s.newest()
	s.buf = g.seed.frame(s.buf, g.size, record)
	if _, s.refused = s.active.WriteAt(s.buf, g.size); s.refused != nil {
		s.withdraw(g)
		return &Broken{s.refused}
	}
	g.size += frame
	s.used += frame
	s.appended++
	if cap(s.buf) > keepBytes {
		s.buf = nil
	}
	return nil
}

func (s *Spool) newest() *segment { return s.segments[len(s.segments)-1] }

// withdraw takes back what was written of a record. Where that can not be done either nothing is appended there any more.
func (s *Spool) withdraw(g *segment) {
	if s.active.Truncate(g.size) != nil {
		s.retire()
	}
}

// hasRoom says whether that share of the quota allows so many more bytes. The quota is asked again before a record is
// refused.
func (s *Spool) hasRoom(n int64, share float64) bool {
	if s.within(n, share) {
		return true
	}
	s.askQuota()
	return s.within(n, share)
}

func (s *Spool) within(n int64, share float64) bool {
	return s.quota <= 0 || float64(s.used+n) <= float64(s.quota)*share
}

func (s *Spool) askQuota() {
	if s.options.MaxBytes != nil {
		s.quota = s.options.MaxBytes()
	}
}

// segmentBytes is how large a segment grows. Only a whole one can be removed, so a small quota has small ones.
func (s *Spool) segmentBytes() int64 {
	if s.quota <= 0 {
		return s.options.SegmentBytes
	}
	return min(s.options.SegmentBytes, max(s.quota/8, leastSegment))
}

const leastSegment = 4 << 10

// begin sees to it that there is a segment with room for a frame. One that is larger than any segment gets its own.
func (s *Spool) begin(frame int64) error {
	if s.active != nil {
		size := s.newest().size
		if size == segmentHead || size+frame <= s.segmentBytes() {
			return nil
		}
		s.retire()
	}
	g := &segment{number: s.nextNumber(), size: segmentHead}
	g.seed = s.node.seed(g.number)
	path := filepath.Join(s.dir, g.name())
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	if _, err := f.Write(g.head(s.node)); err != nil {
		_ = f.Close()
		_ = os.Remove(path) // one without records harms nobody
		return fmt.Errorf("begin a segment: %w", err)
	}
	s.active, s.renamed = f, true
	s.segments = append(s.segments, g)
	s.used += g.size
	s.askQuota()
	return nil
}

// nextNumber is the time, or more if the clock is behind the last one.
func (s *Spool) nextNumber() uint64 {
	now := uint64(time.Now().UnixMilli())
	if len(s.segments) > 0 {
		now = max(now, s.newest().number+1)
	}
	return now
}

// retire ends the newest segment. Its file is closed when it is synced.
func (s *Spool) retire() {
	if s.active != nil {
		s.retired = append(s.retired, s.active)
		s.active = nil
	}
}
