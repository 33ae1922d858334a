package spool

import (
	"errors"
	"os"
	"slices"
	"time"
)

// mark tells the syncer that there is something to do. The lock is held.
func (s *Spool) mark() {
	if !s.marked {
		s.marked = true
		signal(s.dirty)
	}
}

// round is one sync, of all records that were appended between the one before and its beginning.
type round struct {
	ended bool
	err   error
}

// awaitSync waits until what was appended just now is synced. The lock is held, but not while it waits.
func (s *Spool) awaitSync() error {
	r := s.round
	for !r.ended {
		s.syncs.Wait()
	}
	if r.err != nil {
		return &Broken{r.err}
	}
	return nil
}

// syncer syncs what is appended until the spool is closed; then it syncs once more.
func (s *Spool) syncer() {
	defer close(s.done)
	for open := true; open; {
		select {
		case <-s.dirty:
			open = s.gather()
		case <-s.stop:
			open = false
		}
		s.sync(!open)
	}
}

// gather lets records come together that are synced at once; false: the spool is being closed. Where each record is
// waited for they come together while the disk is busy with those before.
func (s *Spool) gather() bool {
	if s.options.Strict {
		return true
	}
	timer := time.NewTimer(s.options.Sync)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// sync brings to the disk what was appended until now. At the end it leaves no file open.
func (s *Spool) sync(last bool) {
	s.mu.Lock()
	if last {
		s.retire()
	}
	r, upTo, end := s.round, s.appended, s.end()
	s.round = &round{}
	retired, renamed := s.retired, s.renamed
	files := retired
	if s.active != nil {
		files = append(slices.Clip(files), s.active)
	}
	s.retired, s.renamed, s.marked = nil, false, false
	s.askQuota()
	s.mu.Unlock()

	err := s.syncFiles(files, renamed)
	for _, f := range retired {
		err = errors.Join(err, f.Close())
	}
	s.settle(r, upTo, end, err)
}

func (s *Spool) syncFiles(files []*os.File, renamed bool) (err error) {
	for _, f := range files {
		err = errors.Join(err, s.fsync(f))
	}
	if renamed {
		err = errors.Join(err, syncDir(s.dir))
	}
	return errors.Join(err, s.dead.sync(s.fsync))
}

// settle notes how a sync ended. What a disk did not sync it may have dropped, and the next sync would not say so: the
// segment ends there, so that what comes next does not stand behind a hole. While a disk goes on to fail there is no new
// segment for each failure.
func (s *Spool) settle(r *round, upTo uint64, end Cursor, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.unsynced == nil {
		s.retire()
	}
	if err != nil {
		s.failures++
		s.renamed = true
	} else {
		s.synced, s.syncedTo = upTo, end
	}
	s.unsynced = err
	r.ended, r.err = true, err
	s.syncs.Broadcast()
}

// end is after the last record.
func (s *Spool) end() Cursor {
	if len(s.segments) == 0 {
		return Cursor{}
	}
	return Cursor{s.newest().number, s.newest().size}
}
