package spool_test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
)

// A record is on the disk after Options.Sync at the latest, those that came meanwhile with it, and nothing is synced when
// nothing came.
func TestRecordsAreSyncedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Sync: time.Second})
		var syncs atomic.Int64
		s.OnSync(func(*os.File) error { syncs.Add(1); return nil })
		add(t, s, "one")
		time.Sleep(900 * time.Millisecond)
		add(t, s, "two")
		synctest.Wait()
		if st := s.Stats(); st.Synced != 0 || st.SyncedTo != (spool.Cursor{}) {
			t.Errorf("before it is time %+v", st)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if st := s.Stats(); st.Synced != 2 || st.SyncedTo != st.End || st.End.Offset != 78 {
			t.Errorf("when it is time %+v", st)
		}
		time.Sleep(time.Hour)
		if n := syncs.Load(); n != 1 {
			t.Errorf("two records were synced %d times", n)
		}
	})
}

// Whoever is strict waits for the disk, and all who wait are served by one sync.
func TestStrictAppendsShareASync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Strict: true})
		disk := make(chan error)
		s.OnSync(func(*os.File) error { return <-disk })
		done := make(chan error, 11)
		appendOne := func() { done <- s.Append([]byte("x")) }
		go appendOne()
		synctest.Wait() // its sync has begun
		for range 10 {
			go appendOne()
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("an append did not wait for the disk")
		}
		disk <- nil
		synctest.Wait()
		if len(done) != 1 {
			t.Fatalf("one sync ended, and with it %d appends", len(done))
		}
		disk <- nil
		synctest.Wait()
		if len(done) != 11 {
			t.Errorf("of 11 appends %d ended with two syncs", len(done))
		}
		close(disk)
	})
}

// What a sync does not take is told to whoever waits for it; others see it in the stats. The next record stands in
// another segment, and all are read.
func TestDiskThatDoesNotSync(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir, spool.Options{Strict: strict})
				fails := true
				s.OnSync(func(*os.File) error {
					if fails {
						return errDisk
					}
					return nil
				})
				for _, record := range []string{"one", "two", "three"} {
					err := s.Append([]byte(record))
					var broken *spool.Broken
					if strict != errors.As(err, &broken) || strict != errors.Is(err, errDisk) {
						t.Errorf("the append says %v", err)
					}
					time.Sleep(time.Second)
					synctest.Wait()
				}
				if st := s.Stats(); st.SyncFailures != 3 || st.Synced != 0 || !errors.Is(st.Broken, errDisk) {
					t.Errorf("the stats are %+v", st)
				}
				fails = false
				add(t, s, "four")
				time.Sleep(time.Second)
				synctest.Wait()
				if st := s.Stats(); st.SyncFailures != 3 || st.SyncedTo != st.End || st.Broken != nil {
					t.Errorf("afterwards they are %+v", st)
				}
				if n := len(segments(t, dir)); n != 2 {
					t.Errorf("there are %d segments", n)
				}
				got, _ := rest(t, s.Reader(spool.Cursor{}))
				want(t, got, "one", "two", "three", "four")
			})
		})
	}
}

var errDisk = errors.New("the disk is on fire")

// Close says if the last records are not on the disk.
func TestCloseSaysWhatTheDiskSays(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Options{Sync: time.Hour})
	s.OnSync(func(*os.File) error { return errDisk })
	add(t, s, "one")
	if err := s.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close says %v", err)
	}
}

// The clock may go back. What is appended then stands after what was there.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	dir := written(t, []string{"one"})
	before := segments(t, dir)[0]
	synctest.Test(t, func(t *testing.T) { // in the year 2000
		s := open(t, dir, spool.Options{})
		_, end := rest(t, s.Reader(spool.Cursor{}))
		if err := s.Remove(end); err != nil {
			t.Error(err)
		}
		add(t, s, "two")
		got, _ := rest(t, s.Reader(end))
		want(t, got, "two")
		if n := s.Stats().End.Segment; n != end.Segment+1 || segments(t, dir)[0] != before {
			t.Errorf("segment %d came after %d", n, end.Segment)
		}
	})
}

// What is stored does not stay for ever where little is appended.
func TestOldSegmentsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, spool.Options{})
		add(t, s, "one")
		r := s.Reader(spool.Cursor{})
		_, end := rest(t, r)
		if err := s.Remove(end); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Segments != 1 {
			t.Errorf("each batch would make a file: %+v", st)
		}
		time.Sleep(time.Hour)
		if err := s.Remove(end); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Segments != 0 || st.Bytes != 48 {
			t.Errorf("after an hour there are %+v", st)
		}
		add(t, s, "two")
		got, end := rest(t, r)
		want(t, got, "two")
		if err := s.Remove(end); err != nil {
			t.Error(err)
		}
		if n := len(segments(t, dir)); n != 1 {
			t.Errorf("%d files stay", n)
		}
	})
}
