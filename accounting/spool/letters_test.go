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

// The last eighth is left, and there is more room when the quota grows or segments go.
func TestTightAndFinish(t *testing.T) {
	t.Parallel()
	quota := int64(64 << 10)
	s, err := spool.Open(t.TempDir(), spool.Options{MaxBytes: func() int64 { return quota }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for !s.Tight() {
		if err := s.Append(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	st := s.Stats()
	if st.Bytes < quota/8*7 || st.Bytes > quota/8*7+2<<10 {
		t.Errorf("it is tight at %d of %d bytes", st.Bytes, quota)
	}
	quota *= 2
	if s.Tight() {
		t.Error("it is tight although the quota has grown")
	}
	quota /= 2
	s.Finish()
	if err := s.Remove(st.End); err != nil {
		t.Fatal(err)
	}
	if st = s.Stats(); s.Tight() || st.Segments != 0 {
		t.Errorf("%d segments, %d bytes are left", st.Segments, st.Bytes)
	}
	if err := s.Append([]byte("next")); err != nil {
		t.Error(err)
	}
}
