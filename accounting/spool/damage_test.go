package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/accounting/spool"
)

// reports are the damages that were told.
type reports struct {
	mu  sync.Mutex
	all []*spool.Damage
}

func (r *reports) note(d *spool.Damage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, d)
}

func (r *reports) take() []*spool.Damage {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// written is a directory with a segment for each group of records.
func written(t testing.TB, groups ...[]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, records := range groups {
		s := open(t, dir, spool.Options{}) // a process of its own, so a segment of its own
		add(t, s, records...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(segments(t, dir)); n != len(groups) {
		t.Fatalf("there are %d segments, want %d", n, len(groups))
	}
	return dir
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copied is another directory with the same identity, and with that segment in place of all.
func copied(t *testing.T, dir, segment string, b []byte) string {
	t.Helper()
	other := t.TempDir()
	write(t, filepath.Join(other, "node"), read(t, filepath.Join(dir, "node")))
	write(t, filepath.Join(other, filepath.Base(segment)), b)
	return other
}

// A write that was cut short at any byte costs the record that it was, and is no damage.
func TestTornTails(t *testing.T) {
	t.Parallel()
	records := []string{"one", "", "three"}
	ends := []int{48, 48 + 12 + 3, 48 + 12 + 3 + 12, 48 + 12 + 3 + 12 + 12 + 5}
	dir := written(t, records)
	segment := segments(t, dir)[0]
	b := read(t, segment)
	if len(b) != ends[3] {
		t.Fatalf("the segment has %d bytes, want %d", len(b), ends[3])
	}
	for size := range len(b) + 1 {
		torn := copied(t, dir, segment, b[:size])
		s := open(t, torn, spool.Options{Damaged: func(d *spool.Damage) { t.Errorf("cut at %d: %v", size, d) }})
		n := 0
		for n < 3 && ends[n+1] <= size {
			n++
		}
		got, end := rest(t, s.Reader(spool.Cursor{}))
		want(t, got, records[:n]...)
		if left := len(read(t, filepath.Join(torn, filepath.Base(segment)))); left > 48 && left != ends[n] {
			t.Errorf("cut at %d: %d bytes are left, want %d", size, left, ends[n])
		}
		add(t, s, "more")
		got, _ = rest(t, s.Reader(end))
		want(t, got, "more")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A bit that flips costs at most the record in which it is. It is told, the segment is kept as it was found, and what
// comes later is read. So it is whether the segment is the last one or not, and whether the process starts or runs.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	first, second := []string{"one", "two, which is longer", "", "four", "five"}, []string{"six"}
	for _, c := range []struct {
		name   string
		groups [][]string
	}{{"the last segment", [][]string{first}}, {"one before it", [][]string{first, second}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, c.groups...)
			segment := segments(t, dir)[0]
			b := read(t, segment)
			var told reports
			running := open(t, dir, spool.Options{Damaged: told.note})
			for bit := range len(b) * 8 {
				flipped := bytes.Clone(b)
				flipped[bit/8] ^= 1 << (bit % 8)
				lost := recordAt(first, bit/8)
				survivors := slices.Concat(c.groups...)
				if lost >= 0 {
					survivors = slices.Delete(survivors, lost, lost+1)
				}

				write(t, segment, flipped)
				got, _ := rest(t, running.Reader(spool.Cursor{}))
				want(t, got, survivors...)
				if bit/8%8 != bit%8 {
					continue // to start is slow: one bit of each byte
				}

				started := copied(t, dir, segment, flipped)
				for _, other := range segments(t, dir)[1:] {
					write(t, filepath.Join(started, filepath.Base(other)), read(t, other))
				}
				var toldAtStart reports
				s := open(t, started, spool.Options{Damaged: toldAtStart.note})
				got, _ = rest(t, s.Reader(spool.Cursor{}))
				want(t, got, survivors...)
				toldOnce(t, toldAtStart.take(), bit/8, flipped)
				if st := s.Stats(); st.Damages != 1 || st.Quarantined != 1 {
					t.Errorf("the stats are %+v", st)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if len(told.take()) == 0 {
				t.Error("nothing was told while it ran")
			}
		})
	}
}

// recordAt is which record's frame has that byte of a segment; -1: none.
func recordAt(records []string, at int) int {
	end := 48
	for i, r := range records {
		if at < end {
			return i - 1
		}
		end += 12 + len(r)
	}
	return len(records) - 1
}

func toldOnce(t *testing.T, told []*spool.Damage, at int, segment []byte) {
	t.Helper()
	if len(told) != 1 {
		t.Fatalf("byte %d: told were %v", at, told)
	}
	d := told[0]
	if int64(at) < d.From || int64(at) >= d.To {
		t.Errorf("byte %d: told was %v", at, d)
	}
	if !bytes.Equal(read(t, d.Kept), segment) {
		t.Errorf("byte %d: what is kept is not what was found", at)
	}
}

// What is in quarantine stays as it was found when its records are stored and gone, and damage is told once.
func TestQuarantineOutlivesTheSegment(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one", "two"})
	segment := segments(t, dir)[0]
	b := read(t, segment)
	b[48+12] ^= 1
	write(t, segment, b)
	var told reports
	s := open(t, dir, spool.Options{Damaged: told.note})
	for range 2 {
		got, end := rest(t, s.Reader(spool.Cursor{}))
		want(t, got, "two")
		if s.Waiting(end) != 0 || s.Waiting(spool.Cursor{}) != 30 {
			t.Errorf("%d bytes wait, and after all %d", s.Waiting(spool.Cursor{}), s.Waiting(end))
		}
	}
	_, end := rest(t, s.Reader(spool.Cursor{}))
	if err := s.Remove(end); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Bytes != 48 || st.Segments != 0 || !st.Oldest.IsZero() || s.Waiting(spool.Cursor{}) != 0 {
		t.Errorf("when all is removed the stats are %+v", st)
	}
	toldOnce(t, told.take(), 48+12, b)
	if st, err := spool.Inspect(dir); err != nil || st.Quarantined != 1 || st.Bytes != 48 {
		t.Errorf("it is inspected as %+v, %v", st, err)
	}
}

func TestQuarantineHasAnEnd(t *testing.T) {
	t.Parallel()
	var groups [][]string
	for range 10 {
		groups = append(groups, []string{"one", "two"})
	}
	dir := written(t, groups...)
	for _, segment := range segments(t, dir) {
		b := read(t, segment)
		b[48] ^= 1
		write(t, segment, b)
	}
	var told reports
	got, _ := rest(t, open(t, dir, spool.Options{Damaged: told.note}).Reader(spool.Cursor{}))
	if len(got) != 10 {
		t.Errorf("read were %q", got)
	}
	damages := told.take()
	if len(damages) != 10 || damages[7].Kept == "" || damages[8].Kept != "" || damages[9].Cause == nil ||
		!strings.Contains(damages[9].Error(), "could not be kept") {
		t.Errorf("told were %v", damages)
	}
}

// A record that carries the bytes of a frame is never taken apart, also where its own frame is damaged.
func TestBytesOfARecordAreNoFrame(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"})
	frame := string(read(t, segments(t, dir)[0])[48:])
	s := open(t, dir, spool.Options{})
	add(t, s, "two")
	segment := segments(t, dir)[1]
	frame += string(read(t, segment)[48:])
	add(t, s, frame+frame, "last")
	b := read(t, segment)
	b[48+12+3] ^= 1 // its length
	write(t, segment, b)
	got, _ := rest(t, s.Reader(spool.Cursor{}))
	want(t, got, "one", "two", "last")
}

// The disk may have made a file longer and not have written what stands there.
func TestZeroesAreDamage(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"}, []string{"two"})
	for _, segment := range segments(t, dir) {
		write(t, segment, append(read(t, segment), make([]byte, 300<<10)...))
	}
	var told reports
	got, _ := rest(t, open(t, dir, spool.Options{Damaged: told.note}).Reader(spool.Cursor{}))
	want(t, got, "one", "two")
	if n := len(told.take()); n != 2 {
		t.Errorf("%d damages were told", n)
	}
}

// The machine went down and lost what a cursor stands behind already: what is appended later is not before it.
func TestCursorBehindWhatWasLost(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{60, 48, 20, 0} {
		dir := t.TempDir()
		s := open(t, dir, spool.Options{})
		add(t, s, "one", "two", "three")
		_, end := rest(t, s.Reader(spool.Cursor{}))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(segments(t, dir)[0], size); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, spool.Options{})
		add(t, s, "four")
		got, _ := rest(t, s.Reader(end))
		want(t, got, "four")
	}
}

// With another name all records would be stored again.
func TestIdentityIsMadeGood(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, path string){
		"lost":    func(t *testing.T, path string) { remove(t, path) },
		"empty":   func(t *testing.T, path string) { write(t, path, nil) },
		"damaged": func(t *testing.T, path string) { write(t, path, append(read(t, path)[:30], 'x')) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, []string{"one"}, []string{"two"})
			path := filepath.Join(dir, "node")
			before := read(t, path)
			spoil(t, path)
			s := open(t, dir, spool.Options{})
			got, _ := rest(t, s.Reader(spool.Cursor{}))
			want(t, got, "one", "two")
			if after := read(t, path); !bytes.Equal(after, before) || !strings.HasPrefix(string(after), s.Node()+" ") {
				t.Errorf("the node was %s and is %s", before, after)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Somebody's hand is damage too: what it took is told, and the rest is read.
func TestSegmentThatSomebodyRemoved(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"}, []string{"two"}, []string{"three"})
	var told reports
	s := open(t, dir, spool.Options{Damaged: told.note})
	remove(t, segments(t, dir)[1])
	got, end := rest(t, s.Reader(spool.Cursor{}))
	want(t, got, "one", "three")
	if damages := told.take(); len(damages) == 0 || !errors.Is(damages[0], os.ErrNotExist) {
		t.Errorf("told were %v", damages)
	}
	if err := s.Remove(end); err != nil {
		t.Error(err)
	}
}

// A read that fails is tried again, and in the end the segment is given up. Here one is no file.
func TestSegmentThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"}, []string{"two"}, []string{"three"})
	var told reports
	s := open(t, dir, spool.Options{Damaged: told.note})
	segment := segments(t, dir)[1]
	remove(t, segment)
	if err := os.Mkdir(segment, 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	failures := 0
	for r := s.Reader(spool.Cursor{}); ; {
		record, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			failures++
			continue
		}
		got = append(got, string(record))
	}
	want(t, got, "one", "three")
	if n := len(told.take()); failures != 2 || n == 0 {
		t.Errorf("it failed %d times, and %d damages were told", failures, n)
	}
}

func TestLaterFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"})
	segment := segments(t, dir)[0]
	write(t, segment, spool.WithFormat(read(t, segment), 2))
	if _, err := spool.Open(dir, spool.Options{}); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("the error is %v", err)
	}
	write(t, segment, spool.WithFormat(read(t, segment), 1))
	got, _ := rest(t, open(t, dir, spool.Options{}).Reader(spool.Cursor{}))
	want(t, got, "one")
}

// Whatever stands in a segment, reading it ends, and gives nothing that was not appended, and nothing twice.
func FuzzReader(f *testing.F) {
	f.Add(uint16(50), []byte{1, 2, 3}, uint16(0))
	f.Add(uint16(48), make([]byte, 12), uint16(70))
	f.Add(uint16(0), make([]byte, 48), uint16(400))
	records := numbered(0, 10)
	dir := written(f, records)
	segment := segments(f, dir)[0]
	whole := read(f, segment)
	s := open(f, dir, spool.Options{})
	f.Fuzz(func(t *testing.T, at uint16, over []byte, size uint16) {
		b := bytes.Clone(whole)
		copy(b[min(int(at), len(b)):], over)
		if size > 0 {
			b = append(b, over...)[:min(int(size), len(b)+len(over))]
		}
		write(t, segment, b)
		got, _ := rest(t, s.Reader(spool.Cursor{}))
		last := -1
		for _, r := range got {
			i := slices.Index(records, r)
			if i <= last {
				t.Fatalf("it read %q", got)
			}
			last = i
		}
	})
}
