// Package spool is a node's durable list of records that are not yet in the database. It knows only bytes.
//
// It owns one directory: records are appended to its newest file, and read from its oldest one on by whoever ships them,
// who says how far they are stored elsewhere and may be removed. It does not own what a record means, nor where it goes,
// nor how far that has come: a Cursor is kept where the records are stored, in the same transaction.
//
//	DIR/                          0700, of one process at a time: flock on lock
//	  lock
//	  node                        who the directory is, whatever process has it, and the key of the checks; made once
//	  0001795667400000.records    a segment that is full
//	  0001795667453217.records    the newest one: records are appended to it
//	  quarantine/                 segments that were found damaged, as they are
//	  dead/                       records that the database will never take, with the reason: JSON lines
//
//	segment   ┌──────────────┬───────┬───────┬───────┬──
//	          │ head         │ frame │ frame │ frame │ …
//	          │ 48 bytes     │       │       │       │
//	          └──────────────┴───────┴───────┴───────┴──
//	frame     ┌─────────┬────────────────┬─────────────────┬────────┐     little-endian; both checks are CRC-32C,
//	          │ length  │ check of it    │ check of record │ record │     begun with the key of the directory, the
//	          │ uint32  │ uint32         │ uint32          │        │     number of the segment and the place in it
//	          └─────────┴────────────────┴─────────────────┴────────┘
//
// A frame is one write(2), so it outlives the process that wrote it, however that ends. It outlives the machine once it is
// synced: within Options.Sync, or before Append returns if the spool is Strict. A frame that is cut short is a write that
// a kill interrupted, and was never acknowledged. Anything else that does not check is damage: it is told, the segment is
// kept, and reading goes on at the next frame that checks. The key and the place are in the checks so that bytes that a
// client sends, and that a record carries, are never taken for a frame there.
//
// A process never appends to a segment that another one began, and the numbers of segments rise with the clock. So
// after the machine lost what was not synced, or the directory came back out of a backup, no record stands before a cursor
// that was moved past others in the same place.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Cursor is a place in a spool: between two records. The zero cursor is before the first one.
type Cursor struct {
	Segment uint64 // the number of the file; numbers rise, and they are times: milliseconds since 1970
	Offset  int64  // in it
}

// Options say how a spool is kept.
type Options struct {
	SegmentBytes int64         // how large a segment grows; 0: 64 MiB
	Sync         time.Duration // how long a record is not on the disk at most; 0: 50 ms
	Strict       bool          // Append waits until the record is on the disk, together with all others that wait
	// MaxBytes is how many bytes the segments may take; nil, or what is not above 0: there is no end. It is asked now and
	// then, also by Append, so it may change and must be quick. It must not use the spool.
	MaxBytes func() int64
	// Damaged is told what could not be read, on the goroutine that reads; nil: nobody is told. It must not use the spool.
	Damaged func(*Damage)
}

const (
	defaultSegment = 64 << 20
	defaultSync    = 50 * time.Millisecond
)

// Spool is a directory that this process has. All methods may be used by many goroutines at once.
type Spool struct {
	dir     string
	options Options
	node    identity
	lock    *os.File
	wake    chan struct{}
	dead    letters

	// The syncer.
	dirty chan struct{} // something is to be synced
	stop  chan struct{}
	done  chan struct{}
	fsync func(*os.File) error // on the syncer's goroutine

	mu       sync.Mutex // guards all that follows; it is held while a record is written
	closed   bool
	segments []*segment // in the order of their numbers
	active   *os.File   // the last segment, if this process appends to it; nil: the next record begins one
	buf      []byte     // a frame as it is written
	used     int64      // bytes of all segments
	quota    int64      // that was told last
	appended uint64     // records, by this process
	damages  uint64

	marked   bool       // the syncer knows that there is something to do
	retired  []*os.File // written, perhaps not synced; the syncer closes them
	renamed  bool       // the directory has entries that are not synced
	syncs    *sync.Cond // a sync ended
	round    *round     // in which what is appended now will be synced
	synced   uint64     // records, of those that are appended
	syncedTo Cursor
	failures uint64 // of syncs
	unsynced error  // how the last sync ended
	refused  error  // how the last write ended
}

// Open takes a directory, which it makes if there is none. *InUse says that another process has it.
func Open(dir string, o Options) (*Spool, error) {
	o.complete()
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make the spool's directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{
		dir: dir, options: o, lock: lock, wake: make(chan struct{}, 1),
		dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), fsync: (*os.File).Sync,
	}
	s.syncs, s.round = sync.NewCond(&s.mu), &round{}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go s.syncer()
	return s, nil
}

func (o *Options) complete() {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegment
	}
	if o.Sync <= 0 {
		o.Sync = defaultSync
	}
}

// load reads what the directory has.
func (s *Spool) load() error {
	segments, err := listSegments(s.dir)
	if err != nil {
		return fmt.Errorf("list the spool's segments: %w", err)
	}
	if s.node, err = identify(s.dir, segments); err != nil {
		return err
	}
	for _, g := range segments {
		g.seed = s.node.seed(g.number)
	}
	if s.segments, err = mend(s.dir, segments); err != nil {
		return err
	}
	for _, g := range s.segments {
		s.used += g.size
	}
	s.askQuota()
	return s.dead.open(filepath.Join(s.dir, "dead"))
}

// makeDir makes a directory that nobody else reads, and sees to it that its name is on the disk.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Node says who the directory is: a random name that was made with it and never changes, whatever process has it.
func (s *Spool) Node() string { return s.node.name }

// Wake has something to receive when records were appended since the last receive. It is meant for one reader.
func (s *Spool) Wake() <-chan struct{} { return s.wake }

// Close syncs what was appended and gives the directory back. An Append that runs meanwhile is synced or gets ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.done // it has synced everything, and closed all files

	s.mu.Lock()
	err := s.unsynced
	s.mu.Unlock()
	return errors.Join(err, s.dead.close(), s.lock.Close())
}
