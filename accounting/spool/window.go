package spool

import "io"

// window is a piece of a segment in memory. It holds no file open: a segment may be removed while it is read.
type window struct {
	path string
	seed seed
	at   int64 // where the piece begins
	b    []byte
}

const (
	windowBytes = 256 << 10
	keepBytes   = 1 << 20 // a larger buffer is not kept
)

// The states of what stands in a place of a segment.
type state int

const (
	whole   state = iota // a frame
	torn                 // the beginning of a frame, and then the end
	damaged              // something else
)

// bytes are n bytes of the segment, which ends at end. They hold until the next call.
func (w *window) bytes(at int64, n int, end int64) ([]byte, error) {
	if i := at - w.at; i >= 0 && i+int64(n) <= int64(len(w.b)) {
		return w.b[i : i+int64(n)], nil
	}
	size := int(min(max(int64(n), windowBytes), end-at))
	if size < n {
		return nil, io.ErrUnexpectedEOF
	}
	if cap(w.b) < size || cap(w.b) > keepBytes && size <= windowBytes {
		w.b = make([]byte, size)
	}
	w.at, w.b = at, w.b[:size]
	if err := readAt(w.path, w.b, at); err != nil {
		w.b = w.b[:0]
		return nil, err
	}
	return w.b[:n], nil
}

// frame says what stands at a place before the end. The record holds until the next call.
func (w *window) frame(at, end int64) (record []byte, _ state, err error) {
	if end-at < frameHead {
		if at == end {
			return nil, whole, nil
		}
		return nil, torn, nil
	}
	b, err := w.bytes(at, frameHead, end)
	if err != nil {
		return nil, damaged, err
	}
	n, ok := w.seed.length(b, at)
	switch {
	case !ok:
		return nil, damaged, nil
	case at+frameHead+int64(n) > end:
		return nil, torn, nil
	}
	if b, err = w.bytes(at, frameHead+n, end); err != nil {
		return nil, damaged, err
	}
	if record, ok = w.seed.record(b); !ok {
		return nil, damaged, nil
	}
	return record, whole, nil
}

// next is the first record whose frame stands at or after a place, and where; false: none does.
func (w *window) next(at, end int64) (record []byte, found int64, ok bool, err error) {
	for ; at < end; at++ {
		record, state, err := w.frame(at, end)
		if err != nil {
			return nil, at, false, err
		}
		if state == whole {
			return record, at, true, nil
		}
	}
	return nil, end, false, nil
}
