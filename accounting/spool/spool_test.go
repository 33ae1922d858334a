package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

func open(t testing.TB, dir string, o spool.Options) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	return s
}

func add(t testing.TB, s *spool.Spool, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := s.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// rest reads until the end, and says where that is.
func rest(t testing.TB, r *spool.Reader) (records []string, end spool.Cursor) {
	t.Helper()
	for {
		record, after, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, after
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, string(record))
	}
}

func want(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("the records are %.200q, want %.200q", got, want)
	}
}

func numbered(from, to int) (records []string) {
	for i := from; i < to; i++ {
		records = append(records, fmt.Sprintf("record %d", i))
	}
	return records
}

// segments are the paths of the segments, the oldest first.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.records"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestRecordsComeBackInTheirOrder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "spool")
	s := open(t, dir, spool.Options{})
	r := s.Reader(spool.Cursor{})
	if got, end := rest(t, r); len(got) > 0 || end != (spool.Cursor{}) {
		t.Fatalf("a new spool has %q, up to %v", got, end)
	}
	large := strings.Repeat("x", 3<<20)
	add(t, s, "one", "", "two", large)
	select {
	case <-s.Wake():
	default:
		t.Error("nobody was woken")
	}
	got, middle := rest(t, r)
	want(t, got, "one", "", "two", large)
	add(t, s, "three")
	got, _ = rest(t, r)
	want(t, got, "three")

	node := s.Node()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	s = open(t, dir, spool.Options{})
	if s.Node() != node || !strings.HasPrefix(node, "node_") {
		t.Errorf("the node was %s and is %s", node, s.Node())
	}
	add(t, s, "four")
	got, _ = rest(t, s.Reader(middle))
	want(t, got, "three", "four")
	got, _ = rest(t, s.Reader(spool.Cursor{}))
	want(t, got, "one", "", "two", large, "three", "four")
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Options{SegmentBytes: 1 << 10})
	if err := s.Append(make([]byte, 16<<20+1)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
	largest := bytes.Repeat([]byte{7}, 16<<20)
	add(t, s, "before", string(largest), "after")
	got, _ := rest(t, s.Reader(spool.Cursor{}))
	want(t, got, "before", string(largest), "after")
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	_, err := spool.Open(dir, spool.Options{})
	var used *spool.InUse
	if !errors.As(err, &used) || used.Dir != dir || !strings.Contains(err.Error(), dir) {
		t.Fatalf("the error is %v", err)
	}
	if st, err := spool.Inspect(dir); err != nil || !st.InUse || st.Node != s.Node() {
		t.Errorf("it is inspected as %+v, %v", st, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := spool.Inspect(dir); err != nil || st.InUse {
		t.Errorf("it is inspected as %+v, %v", st, err)
	}
	if adopted := open(t, dir, spool.Options{}); adopted.Node() != s.Node() {
		t.Error("whoever adopts it ships it under another name")
	}
}

func TestSegmentsAreRemovedWhenTheyAreStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{SegmentBytes: 200})
	records := numbered(0, 50)
	add(t, s, records...)
	before := len(segments(t, dir))
	if before < 5 {
		t.Fatalf("50 records of 20 bytes made %d segments of 200", before)
	}
	slow, r := s.Reader(spool.Cursor{}), s.Reader(spool.Cursor{})
	if _, _, err := slow.Next(); err != nil {
		t.Fatal(err)
	}
	var at spool.Cursor
	for range 30 {
		_, after, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		at = after
	}
	if err := s.Remove(at); err != nil {
		t.Fatal(err)
	}
	if after := len(segments(t, dir)); after >= before || after < 2 {
		t.Errorf("of %d segments %d stayed", before, after)
	}
	got, _ := rest(t, s.Reader(at))
	want(t, got, records[30:]...)
	got, end := rest(t, slow) // what it has in memory, and what was not removed
	if tail := got[len(got)-20:]; !slices.Equal(tail, records[30:]) {
		t.Errorf("a reader in a segment that was removed goes on with %q", tail)
	}
	if err := s.Remove(end); err != nil {
		t.Fatal(err)
	}
	add(t, s, "later")
	got, _ = rest(t, s.Reader(end))
	want(t, got, "later")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(end); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("remove of a closed spool says %v", err)
	}
}

func TestFullSpoolTakesRecordsAgainWhenTheyAreStored(t *testing.T) {
	t.Parallel()
	var quota atomic.Int64
	quota.Store(40 << 10)
	s := open(t, t.TempDir(), spool.Options{MaxBytes: quota.Load})
	record := bytes.Repeat([]byte{1}, 500)
	fill := func() (n int) {
		for {
			switch err := s.Append(record); {
			case err == nil:
				n++
			case errors.Is(err, spool.ErrFull):
				return n
			default:
				t.Fatal(err)
			}
		}
	}
	first := fill()
	if st := s.Stats(); first < 70 || st.Bytes > quota.Load() || st.Quota != quota.Load() {
		t.Errorf("%d records went into %+v", first, st)
	}
	follow := 0
	for s.AppendBeyond(record) == nil {
		follow++
	}
	if err := s.AppendBeyond(record); !errors.Is(err, spool.ErrFull) || follow < 8 || follow > 11 {
		t.Errorf("%d records followed, then came %v", follow, err)
	}
	first += follow
	got, end := rest(t, s.Reader(spool.Cursor{}))
	if len(got) != first {
		t.Errorf("%d records of %d are there", len(got), first)
	}
	if err := s.Remove(end); err != nil {
		t.Fatal(err)
	}
	if again := fill(); again < 70 {
		t.Errorf("after all were stored only %d were taken", again)
	}
	quota.Store(80 << 10)
	if more := fill(); more < 70 {
		t.Errorf("after the quota doubled only %d were taken", more)
	}
}

func TestManyAppendAtOnce(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), spool.Options{SegmentBytes: 4 << 10, Strict: strict, Sync: time.Millisecond})
			const writers, each = 8, 50
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := range each {
						if err := s.Append(fmt.Appendf(nil, "%d %d", w, i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			seen, r := map[string]int{}, s.Reader(spool.Cursor{})
			for len(seen) < writers*each {
				<-s.Wake()
				got, end := rest(t, r)
				for _, record := range got {
					seen[record]++
				}
				if err := s.Remove(end); err != nil {
					t.Error(err)
				}
			}
			all.Wait()
			for record, n := range seen {
				if n != 1 {
					t.Errorf("record %s was read %d times", record, n)
				}
			}
			if st := s.Stats(); st.Appended != writers*each || strict && st.Synced != st.Appended {
				t.Errorf("the stats are %+v", st)
			}
		})
	}
}

func TestCloseDuringAppends(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, spool.Options{SegmentBytes: 1 << 10, Strict: strict})
			var all sync.WaitGroup
			var mu sync.Mutex
			var taken []string
			for w := range 8 {
				all.Go(func() {
					for i := 0; ; i++ {
						record := fmt.Sprintf("%d %d", w, i)
						if err := s.Append([]byte(record)); errors.Is(err, spool.ErrClosed) {
							return
						} else if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						taken = append(taken, record)
						mu.Unlock()
					}
				})
			}
			for range 20 {
				<-s.Wake()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			all.Wait()
			if err := s.Close(); !errors.Is(err, spool.ErrClosed) {
				t.Errorf("the second close says %v", err)
			}
			got, _ := rest(t, open(t, dir, spool.Options{}).Reader(spool.Cursor{}))
			slices.Sort(got)
			slices.Sort(taken)
			want(t, got, taken...)
		})
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	for i := range 3 {
		if err := s.Bury([]byte{0, 1, byte(i)}, errors.New("the database says no")); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Dead; n != 3 {
		t.Errorf("%d letters", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Bury(nil, errors.New("late")); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("a closed spool says %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "dead", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the files are %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(text), `"why":"the database says no","record":"AAEC"}`) {
		t.Errorf("the letters are %s, %v", text, err)
	}
	if n := open(t, dir, spool.Options{}).Stats().Dead; n != 3 {
		t.Errorf("%d letters after the start", n)
	}
	if st, err := spool.Inspect(dir); err != nil || st.Dead != 3 {
		t.Errorf("it is inspected as %+v, %v", st, err)
	}
}

func TestOnlyTheNewestDeadLettersStay(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Options{})
	record := make([]byte, 3<<20) // two of them fill a file
	for range 40 {
		if err := s.Bury(record, errors.New("no")); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Dead; n < 8 || n > 16 {
		t.Errorf("%d letters of 4 MiB stayed", n)
	}
}
