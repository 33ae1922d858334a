package spool_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/accounting/spool"
)

// model is what a spool should have, beside the spool.
type model struct {
	dir     string
	s       *spool.Spool
	r       *spool.Reader
	records []appended // after the cursor that was removed up to, as far as they are known
	read    int        // of them, those that r has read
	cursor  spool.Cursor
	number  int
}

type appended struct {
	text string
	torn bool // the machine lost it
}

// Whatever is appended, read, removed, closed, opened and torn, in whatever order: what was not removed or lost is read
// exactly once, in its order.
func TestSpoolIsAList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		m := &model{dir: dir}
		m.open(t)
		defer func() { _ = m.s.Close() }() // it may have failed to open
		t.Repeat(map[string]func(*rapid.T){
			"append":      m.append,
			"append more": m.append,
			"read":        m.readSome,
			"read all":    m.readAll,
			"remove":      m.remove,
			"restart":     func(t *rapid.T) { m.close(t); m.open(t) },
			"tear":        m.tear,
		})
		m.readAll(t)
	})
}

func (m *model) open(t *rapid.T) {
	s, err := spool.Open(m.dir, spool.Options{SegmentBytes: 500, Damaged: func(d *spool.Damage) { t.Error(d) }})
	if err != nil {
		t.Fatal(err)
	}
	s.OnSync(func(*os.File) error { return nil })
	m.s, m.r = s, s.Reader(m.cursor)
}

func (m *model) close(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) append(t *rapid.T) {
	m.number++
	text := fmt.Sprintf("%d %0*d", m.number, rapid.IntRange(0, 300).Draw(t, "length"), 0)
	if err := m.s.Append([]byte(text)); err != nil {
		t.Fatal(err)
	}
	m.records = append(m.records, appended{text: text})
}

// next reads one record and compares it; false: there is none.
func (m *model) next(t *rapid.T) bool {
	for m.read < len(m.records) && m.records[m.read].torn {
		m.read++
	}
	record, after, err := m.r.Next()
	if m.read == len(m.records) {
		if !errors.Is(err, io.EOF) {
			t.Fatalf("after the last record came %.40q, %v", record, err)
		}
		return false
	}
	if want := m.records[m.read].text; err != nil || string(record) != want {
		t.Fatalf("record %.40q came in place of %.40q: %v", record, want, err)
	}
	m.read++
	m.cursor = after
	return true
}

func (m *model) readSome(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "records") {
		m.next(t)
	}
}

func (m *model) readAll(t *rapid.T) {
	for m.next(t) {
	}
	if n := m.s.Waiting(m.cursor); n != 0 {
		t.Fatalf("all is read, and %d bytes wait", n)
	}
}

// remove removes what is read, and reads the rest with another reader.
func (m *model) remove(t *rapid.T) {
	if err := m.s.Remove(m.cursor); err != nil {
		t.Fatal(err)
	}
	m.records, m.read = slices.Clone(m.records[m.read:]), 0
	m.r = m.s.Reader(m.cursor)
}

// tear cuts the last frame short while nobody has the directory.
func (m *model) tear(t *rapid.T) {
	m.close(t)
	defer m.open(t)
	paths, err := filepath.Glob(filepath.Join(m.dir, "*.records"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Backward(paths) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() <= 48 {
			continue
		}
		last := len(m.records) - 1
		for last >= 0 && m.records[last].torn {
			last--
		}
		if last < 0 {
			return // it was removed, or is before all that are known
		}
		cut := rapid.IntRange(1, 12+len(m.records[last].text)).Draw(t, "cut")
		if err := os.Truncate(path, info.Size()-int64(cut)); err != nil {
			t.Fatal(err)
		}
		m.records[last].torn = true
		return
	}
}
