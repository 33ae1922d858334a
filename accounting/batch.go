package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

// batchBytes is how much is read into a batch, however few records that are.
const batchBytes = 8 << 20

// batch is what is brought into the store in one transaction.
type batch struct {
	began   time.Time // when its first record was read
	records []Record
	raw     []byte         // the same as they stand in the spool
	ends    []int          // of each of them in raw
	after   []spool.Cursor // the place behind each of them
	to      spool.Cursor   // behind all that was read
}

func (b *batch) add(record []byte, after spool.Cursor) error {
	var r Record
	if err := r.Decode(record); err != nil {
		return err
	}
	if len(b.records) == 0 {
		b.began = time.Now()
	}
	b.records = append(b.records, r)
	b.raw = append(b.raw, record...)
	b.ends = append(b.ends, len(b.raw))
	b.after = append(b.after, after)
	return nil
}

func (b *batch) full(records int) bool { return len(b.records) >= records || len(b.raw) >= batchBytes }

func (b *batch) due(every time.Duration) bool {
	return len(b.records) > 0 && time.Since(b.began) >= every
}

// of is a record as it stands in the spool.
func (b *batch) of(i int) []byte {
	begin := 0
	if i > 0 {
		begin = b.ends[i-1]
	}
	return b.raw[begin:b.ends[i]]
}

// stored is how many of its records stand before a cursor.
func (b *batch) stored(cursor spool.Cursor) (n int) {
	for n < len(b.after) && !before(cursor, b.after[n]) {
		n++
	}
	return n
}

// clear makes it empty. What it has of a rush is not kept.
func (b *batch) clear() {
	if cap(b.raw) > batchBytes/4 {
		b.raw = nil
	}
	clear(b.records)
	b.records, b.raw, b.ends, b.after = b.records[:0], b.raw[:0], b.ends[:0], b.after[:0]
}

// errMoved says that the node's cursor is not where this process has put it.
var errMoved = errors.New("the node's cursor was moved by somebody else")

// ship brings the batch into the store, however long that takes; an error says that ctx ended.
func (s *Shipper) ship(ctx context.Context) error {
	if len(s.batch.records) == 0 {
		return nil
	}
	err := s.put(ctx, s.batch.stored(s.stored), len(s.batch.records), s.batch.to)
	switch {
	case err == nil:
		s.batch.clear()
		s.oldest.Store(0)
		return nil
	case errors.Is(err, errMoved):
		s.reader = nil // where to read on is found out anew
		if s.failed(ctx, 0, err) {
			return nil
		}
	}
	return err
}

// put brings records of the batch into the store and the cursor to a place behind them. If one will never be taken the
// others are tried in halves, until it is found.
func (s *Shipper) put(ctx context.Context, from, end int, to spool.Cursor) error {
	err := s.append(ctx, s.batch.records[from:end], to)
	if _, rejected := errors.AsType[*Rejected](err); !rejected {
		return err
	}
	if end-from == 1 {
		s.bury(s.batch.of(from), err)
		return s.append(ctx, nil, to)
	}
	half := from + (end-from)/2
	if err := s.put(ctx, from, half, s.batch.after[half-1]); err != nil {
		return err
	}
	return s.put(ctx, half, end, to)
}

// append tries until the store has the records, or says that it will never take one of them.
func (s *Shipper) append(ctx context.Context, records []Record, to spool.Cursor) error {
	for try := 0; ; try++ {
		err := s.try(ctx, records, to)
		if err == nil {
			s.committed(ctx, records, to)
			return nil
		}
		if _, rejected := errors.AsType[*Rejected](err); rejected && len(records) > 0 || errors.Is(err, errMoved) {
			return err
		}
		if !s.failed(ctx, try, err) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// try makes one try. A commit whose answer was lost is known by the cursor.
func (s *Shipper) try(ctx context.Context, records []Record, to spool.Cursor) error {
	within, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	err := s.store.Append(within, s.node, s.stored, to, records)
	if !errors.Is(err, ErrCursor) {
		return err
	}
	at, err := s.store.Cursor(within, s.node)
	switch {
	case err != nil:
		return fmt.Errorf("ask how far the node's records are stored: %w", err)
	case at == to:
		return nil
	}
	return errMoved
}

func (s *Shipper) committed(ctx context.Context, records []Record, to spool.Cursor) {
	s.stored = to
	s.counts.records.Add(uint64(len(records)))
	if s.options.Committed != nil && len(records) > 0 {
		s.options.Committed(ctx, records)
	}
}
