package accounting

import (
	"bytes"
	"sync"
)

// waitingBound is how many bytes of records wait in memory at most: the ends of some ten thousand calls.
const waitingBound = 16 << 20

// waiting holds encoded records that the spool did not take.
type waiting struct {
	mu      sync.Mutex // guards both
	records [][]byte
	bytes   int
}

// add keeps a copy of a record; false: there is no room.
func (w *waiting) add(record []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes+len(record) > waitingBound {
		return false
	}
	w.records = append(w.records, bytes.Clone(record))
	w.bytes += len(record)
	return true
}

// flush gives away what waits, until one is not taken. Its caller may be slow, so nothing is held meanwhile.
func (w *waiting) flush(take func([]byte) error) {
	for {
		record := w.first()
		if record == nil || take(record) != nil {
			return
		}
		w.mu.Lock()
		w.records[0] = nil
		w.records = w.records[1:]
		w.bytes -= len(record)
		w.mu.Unlock()
	}
}

func (w *waiting) first() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) == 0 {
		return nil
	}
	return w.records[0]
}

func (w *waiting) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records)
}
