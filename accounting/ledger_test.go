package accounting_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/tenancy"
)

// memory is a store as storage.DB is one: records and cursor change together or not at all. Unlike it, it keeps what is
// brought twice.
type memory struct {
	mu      sync.Mutex
	cursor  map[string]spool.Cursor
	records []accounting.Record
	largest int // batch

	away   func(try int, records []accounting.Record) error // before a commit
	unsure func(try int) error                              // after one
	tries  int
}

func newMemory() *memory { return &memory{cursor: map[string]spool.Cursor{}} }

var errAway = errors.New("the database is away")

func (m *memory) Append(ctx context.Context, node string, from, to spool.Cursor, records []accounting.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if m.away != nil {
		if err := m.away(m.tries, records); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.cursor[node] != from {
		return accounting.ErrCursor
	}
	m.cursor[node] = to
	m.records = append(m.records, slices.Clone(records)...)
	m.largest = max(m.largest, len(records))
	if m.unsure != nil {
		return m.unsure(m.tries)
	}
	return nil
}

func (m *memory) Cursor(_ context.Context, node string) (spool.Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursor[node], nil
}

// is gives the state of every record in the order in which they came.
func (m *memory) is(id tenancy.ID) (states []accounting.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.ID == id {
			states = append(states, r.State)
		}
	}
	return states
}

func (m *memory) tried() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tries
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

// node is a process with a spool.
type node struct {
	spool    *spool.Spool
	recorder *accounting.Recorder
	shipper  *accounting.Shipper
}

func start(t interface {
	Helper()
	Fatal(args ...any)
}, dir string, store accounting.Store, o spool.Options, s accounting.Shipping, full accounting.OnFull,
) *node {
	t.Helper()
	sp, err := spool.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	r := accounting.NewRecorder(sp, full)
	return &node{sp, r, accounting.NewShipper(r, store, s, slog.New(slog.DiscardHandler))}
}

// crash ends the process. What it has written is in the directory, as after a kill: each record is a write of its own.
func (n *node) crash(t interface{ Fatal(args ...any) }) {
	if err := n.spool.Close(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) drain(t *testing.T) {
	t.Helper()
	if err := n.shipper.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func call(id tenancy.ID) *accounting.Record {
	r := realistic()
	r.ID, r.Decision, r.Holds = id, nil, nil
	return r
}

func begin(t *testing.T, r *accounting.Recorder, ids ...tenancy.ID) {
	t.Helper()
	for _, id := range ids {
		if err := r.Begin(call(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func end(r *accounting.Recorder, ids ...tenancy.ID) {
	for _, id := range ids {
		r.End(call(id))
	}
}
