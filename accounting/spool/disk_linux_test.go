package spool_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

// Where we may mount one, a disk is really full. Elsewhere a limit of the file's size has to do.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Logf("only root mounts a disk")
		return
	}
	if err := syscall.Mount("spool", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("no disk can be mounted: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	fullDisk(t, dir)
}

// refusals fills a disk until it refuses, and says what was taken and which error it was.
func refusals(t *testing.T, s *spool.Spool, next *int, bytes int) (taken []int, cause error) {
	t.Helper()
	for range 100_000 {
		err := s.Append(filled(*next, bytes))
		*next++
		var broken *spool.Broken
		if errors.As(err, &broken) {
			return taken, err
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, *next-1)
	}
	t.Fatal("the disk never refused")
	return nil, nil
}

// fullDisk is what must hold on a disk of two megabytes: see where it is made.
func fullDisk(t *testing.T, dir string) {
	s := open(t, dir, spool.Options{SegmentBytes: 256 << 10, Damaged: func(d *spool.Damage) { t.Error(d) }})
	next := 0
	taken, err := refusals(t, s, &next, 10_000)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("it was refused for %v", err)
	}
	if st := s.Stats(); !errors.Is(st.Broken, syscall.ENOSPC) || st.Appended != uint64(len(taken)) {
		t.Errorf("the stats are %+v", st)
	}
	r := s.Reader(spool.Cursor{})
	got, end := rest(t, r)
	if len(got) != len(taken) {
		t.Errorf("%d records were taken and %d are read", len(taken), len(got))
	}
	if err := s.Bury([]byte("x"), errors.New("no")); err == nil {
		_ = s.Bury(make([]byte, 1<<20), errors.New("no")) // there may be room for a small one
	}
	// What is stored elsewhere makes room, without hands.
	if err := s.Remove(end); err != nil {
		t.Fatal(err)
	}
	var more []int
	for deadline := time.Now().Add(10 * time.Second); len(more) < 100; { // the room is there when the syncer closes the files
		again, _ := refusals(t, s, &next, 10_000)
		more = append(more, again...)
		if time.Now().After(deadline) {
			t.Fatalf("after all was removed only %d records were taken", len(more))
		}
	}
	got, _ = rest(t, r)
	if len(got) != len(more) {
		t.Errorf("%d records were taken and %d are read", len(more), len(got))
	}
	// A process can start on it and read.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ = rest(t, open(t, dir, spool.Options{}).Reader(end))
	if len(got) != len(more) {
		t.Errorf("%d records were taken and %d are read after a start", len(more), len(got))
	}
}
