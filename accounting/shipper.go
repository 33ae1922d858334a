package accounting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

// Shipping says how records are brought into the database.
type Shipping struct {
	Batch int           // records of one transaction at most; 0: 2,000
	Every time.Duration // how long a record waits for others; 0: 1 s
	Last  time.Duration // how long the end of the process waits for what is left; 0: 5 s
	// Committed is told what the database has, once it has it: what was held for these calls is settled there. The records
	// are valid until it returns. nil: nobody wants to know.
	Committed func(ctx context.Context, records []Record)
}

func (o *Shipping) complete() {
	if o.Batch <= 0 {
		o.Batch = 2000
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Last <= 0 {
		o.Last = 5 * time.Second
	}
}

// Shipper brings the records of a spool into the store, each exactly once, and removes what is there.
//
//	spool ──▶ begun: remembered ──▶ written again, or interrupted ──▶ spool
//	      └─▶ ended, interrupted ──▶ batch ──▶ store, with the node's cursor ──▶ Remove
//
// What it does is a function of the spool and the cursor alone, so a process that was killed anywhere goes on where the
// last transaction ended. It reads from the oldest segment on: what stands before the cursor is stored, and only tells
// which calls have begun. A call that an earlier process began and did not end gets an end in the spool, once all that
// process wrote is read: it is interrupted, and from there on a record like others.
//
// Only ends go to the store. So that a stream of a quarter of an hour does not keep all segments since it began, its
// beginning is written again when its segment is no longer the newest, at most once a segment.
type Shipper struct {
	recorder *Recorder
	spool    *spool.Spool
	store    Store
	node     string
	options  Shipping
	log      *slog.Logger
	counts   shipped
	caught   atomic.Int64 // unix nanoseconds; what was written before is stored
	oldest   atomic.Int64 // when the first record of the batch ended, in nanoseconds; 0: everything is stored

	// The rest belongs to the goroutine that ships.
	reader  *spool.Reader // nil: it is not known where the node's cursor stands
	stored  spool.Cursor  // where it stands
	earlier spool.Cursor  // the end of what earlier processes wrote
	settled bool          // what they did not end is
	begun   begunCalls
	batch   batch
	tidied  time.Time
	passed  spool.Cursor // what is before it was not needed when tidied
	alarmed bool
}

// shipped is what a shipper has done.
type shipped struct{ records, dead, failures atomic.Uint64 }

// NewShipper makes the shipper of a recorder's spool. It is made before the recorder has written anything.
func NewShipper(r *Recorder, store Store, o Shipping, log *slog.Logger) *Shipper {
	o.complete()
	return &Shipper{
		recorder: r, spool: r.spool, store: store, node: r.spool.Node(), options: o, log: log,
		earlier: r.spool.Stats().End, begun: begunCalls{},
	}
}

// Shipped is how many records it has brought into the store, and how many it has put aside because that will never take
// them.
func (s *Shipper) Shipped() (records, dead uint64) {
	return s.counts.records.Load(), s.counts.dead.Load()
}

// CaughtUp tells whether all is stored that was written before a moment.
func (s *Shipper) CaughtUp(since time.Time) bool { return s.caught.Load() > since.UnixNano() }

// Run ships until ctx ends, and then what there is, for a bounded time. What is left stays in the spool.
func (s *Shipper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("records are not shipped", slog.Any("reason", err))
			s.pause(ctx, 5)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Last)
	defer cancel()
	if err := s.Drain(last); err != nil {
		s.log.Warn("records stay in the spool until the next start", slog.Any("reason", err))
	}
}

// round waits until a batch is due and ships it.
func (s *Shipper) round(ctx context.Context) error {
	began := time.Now()
	more, err := s.fill(ctx)
	if err != nil {
		return err
	}
	if more || s.batch.due(s.options.Every) {
		if err := s.shipGently(ctx); err != nil {
			return err
		}
	}
	if !more && len(s.batch.records) == 0 && s.recorder.waiting.len() == 0 {
		s.caught.Store(began.UnixNano())
	}
	if time.Since(s.tidied) >= s.options.Every {
		if err := s.tidy(); err != nil {
			return err
		}
	}
	if !more {
		s.await(ctx)
	}
	return nil
}

// To bring a record into the database costs more than to serve its call, and nobody waits for it. So while the records are
// young the cores belong to the calls: after each batch the shipper rests for so many times as long as that took.
const (
	restPerBatch = 9
	longestRest  = 3 * time.Second
	young        = 15 * time.Second
)

// shipGently ships the batch, and rests unless that would let the database fall behind.
func (s *Shipper) shipGently(ctx context.Context) error {
	begun, oldest := time.Now(), s.oldest.Load()
	err := s.ship(ctx)
	if err != nil || oldest == 0 || time.Since(time.Unix(0, oldest)) > young {
		return err
	}
	timer := time.NewTimer(min(restPerBatch*time.Since(begun), longestRest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// await waits until there may be more to do. Once there is a record the others are not waited for one by one.
func (s *Shipper) await(ctx context.Context) {
	timer := time.NewTimer(s.options.Every)
	defer timer.Stop()
	wake := s.spool.Wake()
	if len(s.batch.records) > 0 {
		wake = nil
		timer.Reset(max(0, s.options.Every-time.Since(s.batch.began)))
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// errWaiting says that not all that was to be recorded is on the disk.
var errWaiting = errors.New("some records are in memory only: the spool does not take them")

// Drain ships everything that is in the spool now, and removes it.
func (s *Shipper) Drain(ctx context.Context) error {
	for ctx.Err() == nil {
		read, waiting, passed := s.batch.to, s.recorder.waiting.len(), s.passed
		more, err := s.fill(ctx)
		if err != nil {
			return err
		}
		if err := s.ship(ctx); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := s.tidy(); err != nil {
			return err
		}
		if s.batch.to == read && s.recorder.waiting.len() == waiting && s.passed == passed { // then also nothing is removed any more
			return s.left()
		}
	}
	return ctx.Err()
}

// left empties the spool if everything is stored, and says if not.
func (s *Shipper) left() error {
	if s.recorder.waiting.len() > 0 {
		return errWaiting
	}
	if len(s.begun) > 0 {
		return nil
	}
	s.spool.Finish()
	if err := s.spool.Remove(s.stored); err != nil {
		return fmt.Errorf("remove what is stored: %w", err)
	}
	return nil
}

// fill reads into the batch; true: it is full, and there may be more.
func (s *Shipper) fill(ctx context.Context) (full bool, err error) {
	if s.reader == nil {
		if err := s.begin(ctx); err != nil {
			return false, err
		}
	}
	for !s.batch.full(s.options.Batch) {
		record, after, err := s.reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			if s.settle() {
				continue // with what that has written
			}
			return false, nil
		case err != nil:
			return false, err
		}
		if before(s.earlier, after) {
			s.settle()
		}
		s.take(record, after)
	}
	return true, nil
}

// begin asks where the cursor stands. At first it reads from the oldest segment on; later, when the cursor was not where it
// should be, from there or from where it has read to.
func (s *Shipper) begin(ctx context.Context) error {
	cursor, err := s.cursor(ctx)
	if err != nil {
		return err
	}
	from := s.batch.to
	if before(cursor, from) {
		from = cursor
	}
	s.stored, s.batch, s.reader = cursor, batch{to: from}, s.spool.Reader(from)
	return nil
}

// cursor asks until the store answers.
func (s *Shipper) cursor(ctx context.Context) (spool.Cursor, error) {
	for try := 0; ; try++ {
		within, cancel := context.WithTimeout(ctx, tryLimit)
		at, err := s.store.Cursor(within, s.node)
		cancel()
		if err == nil {
			return at, nil
		}
		if !s.failed(ctx, try, fmt.Errorf("ask how far the node's records are stored: %w", err)) {
			return at, ctx.Err()
		}
	}
}

// take adds a record that was read to what is known. What stands before the cursor is stored already.
func (s *Shipper) take(record []byte, after spool.Cursor) {
	s.batch.to = after
	state, id, err := heading(record)
	isNew := before(s.stored, after)
	switch {
	case err != nil && isNew:
		s.bury(record, err)
	case err != nil:
	case state == Begun:
		s.begun.add(id, record, after.Segment)
	default:
		s.begun.remove(id)
		if isNew {
			s.ended(record, after)
		}
	}
}

func (s *Shipper) ended(record []byte, after spool.Cursor) {
	if err := s.batch.add(record, after); err != nil {
		s.bury(record, err)
		return
	}
	if len(s.batch.records) == 1 {
		r := &s.batch.records[0]
		s.oldest.Store(r.Begun.Add(r.Total).UnixNano())
	}
}

// bury puts a record aside that the database will never take, so that the next ones come through.
func (s *Shipper) bury(record []byte, why error) {
	_, id, _ := heading(record)
	s.log.Error("a record is put aside: the database will never take it", slog.String("id", string(id)), slog.Any("reason", why))
	s.counts.dead.Add(1)
	if err := s.spool.Bury(record, why); err != nil {
		s.log.Error("a record is lost: it can not be put aside either", slog.String("id", string(id)), slog.Any("reason", err))
	}
}

// How a try that failed is tried again.
const (
	tryLimit = 30 * time.Second // for one answer of the database
	leastGap = 100 * time.Millisecond
	mostGap  = 5 * time.Second
)

// failed notes that the database did not do its part, and waits before the next try; false: ctx ended.
func (s *Shipper) failed(ctx context.Context, try int, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	s.counts.failures.Add(1)
	if try == 0 {
		s.log.Warn("records wait in the spool: the database does not take them", slog.Any("reason", err))
	}
	return s.pause(ctx, try)
}

// pause waits, longer with each try and never as long as others do; false: ctx ended.
func (s *Shipper) pause(ctx context.Context, try int) bool {
	gap := min(leastGap<<min(try, 10), mostGap)
	timer := time.NewTimer(gap/2 + rand.N(gap/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	s.recorder.retry()
	s.watch()
	return true
}

// before tells whether a place is before another one.
func before(a, b spool.Cursor) bool {
	return a.Segment < b.Segment || a.Segment == b.Segment && a.Offset < b.Offset
}
