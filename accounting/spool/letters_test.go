package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

func TestLetters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.Bury(fmt.Appendf(nil, "record %d", i), errors.New("no column holds it")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "dead", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], whole[:len(whole)-5], 0o600); err != nil { // a kill has cut the last line
		t.Fatal(err)
	}
	n := 0
	if err := spool.Letters(dir, func(l spool.Letter) error {
		if string(l.Record) != fmt.Sprintf("record %d", n) || l.Why != "no column holds it" || time.Since(l.Time) > time.Minute {
			t.Errorf("letter %d is %+v", n, l)
		}
		n++
		return nil
	}); err != nil || n != 2 {
		t.Errorf("%d letters, error %v, want the 2 that are whole", n, err)
	}
	if err := spool.Letters(t.TempDir(), nil); err != nil {
		t.Errorf("a directory without any: %v", err)
	}
}

// A segment that was finished goes like the others, and the next record begins another.
func TestFinish(t *testing.T) {
	t.Parallel()
	s, err := spool.Open(t.TempDir(), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, record := range []string{"first", "second"} {
		if err := s.Append([]byte(record)); err != nil {
			t.Fatal(err)
		}
		s.Finish()
		end := s.Stats().End
		if err := s.Remove(end); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Segments != 0 || st.End.Segment != end.Segment {
			t.Errorf("%d segments are left, the end is %v, was %v", st.Segments, st.End, end)
		}
	}
}
