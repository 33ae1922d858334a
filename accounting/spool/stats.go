package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Stats is how a spool stands.
type Stats struct {
	Node        string
	InUse       bool      // a process has it
	Bytes       int64     // of all segments, also of what in them is stored already
	Quota       int64     // of Bytes; 0: there is none. Inspect does not know it
	Segments    int       // files that hold records
	Oldest      time.Time // when the oldest of them was begun; zero: there is none
	End         Cursor    // after the last record
	Dead        uint64    // letters that are kept
	Quarantined int       // segments that are kept because they were found damaged

	// Of the process that has it. Inspect does not know them.
	Appended     uint64 // records
	Synced       uint64 // of them, those that are on the disk
	SyncedTo     Cursor // before it everything is on the disk that this process appended
	SyncFailures uint64
	Damages      uint64 // that were told
	Broken       error  // what the disk refused last; nil: it takes everything
}

// Stats says how the spool stands now.
func (s *Spool) Stats() Stats {
	quarantined, _ := countQuarantined(s.dir)
	dead := s.dead.number() // not under the lock: it may wait for a sync
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askQuota()
	st := Stats{
		Node: s.node.name, InUse: !s.closed, Bytes: s.used, Quota: max(s.quota, 0), End: s.end(),
		Dead: dead, Quarantined: quarantined,
		Appended: s.appended, Synced: s.synced, SyncedTo: s.syncedTo, SyncFailures: s.failures, Damages: s.damages, Broken: errors.Join(s.refused, s.unsynced),
	}
	st.count(s.segments)
	return st
}

// Waiting is how many bytes of the segments stand after a cursor: what is still to be stored elsewhere.
func (s *Spool) Waiting(after Cursor) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		switch {
		case g.number > after.Segment:
			n += g.size - segmentHead
		case g.number == after.Segment:
			n += max(g.size-max(after.Offset, segmentHead), 0)
		}
	}
	return n
}

// count adds what the segments say.
func (st *Stats) count(segments []*segment) {
	for _, g := range segments {
		if g.size <= segmentHead {
			continue
		}
		if st.Segments == 0 {
			st.Oldest = g.began()
		}
		st.Segments++
	}
}

func countQuarantined(dir string) (int, error) {
	entries, err := os.ReadDir(filepath.Join(dir, quarantine))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return len(entries), err
}

// Inspect says how a directory stands that this process does not have; another one may. It changes nothing.
func Inspect(dir string) (Stats, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return Stats{}, fmt.Errorf("inspect the spool: %w", err)
	}
	st := Stats{InUse: locked(dir)}
	for _, g := range segments {
		st.Bytes += g.size
		st.End = Cursor{g.number, g.size}
	}
	st.count(segments)
	text, err := os.ReadFile(filepath.Join(dir, nodeName))
	if node, ok := parseIdentity(string(text)); ok {
		st.Node = node.name
	} else {
		return st, fmt.Errorf("inspect the spool: %w", errors.Join(err, errNoSpool))
	}
	var dead letters
	if err := dead.open(filepath.Join(dir, "dead")); err != nil {
		return st, fmt.Errorf("inspect the spool: %w", err)
	}
	st.Dead = dead.count
	st.Quarantined, err = countQuarantined(dir)
	return st, err
}

var errNoSpool = errors.New("the directory does not say whose spool it is")
