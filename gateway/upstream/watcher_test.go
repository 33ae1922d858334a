package upstream

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// leaver tells that it was told.
type leaver struct {
	left  chan struct{}
	times atomic.Int64
}

func newLeaver() *leaver { return &leaver{left: make(chan struct{}, 8)} }

func (l *leaver) Left() {
	l.times.Add(1)
	l.left <- struct{}{}
}

func newTestWatcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// pairs makes connections, one end of each for the watcher.
func pairs(t *testing.T, n int) (ours, theirs []*net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	for range n {
		c, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
		if err != nil {
			t.Fatal(err)
		}
		s, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
		ours, theirs = append(ours, s), append(theirs, c)
	}
	return ours, theirs
}

func TestWatcherTellsHowPeersLeave(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*net.TCPConn) error{
		"close":              (*net.TCPConn).Close,
		"half-close":         (*net.TCPConn).CloseWrite,
		"reset":              func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() },
		"close behind bytes": func(c *net.TCPConn) error { _, _ = c.Write(make([]byte, 4096)); return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, l := newTestWatcher(t), newLeaver()
			ours, theirs := pairs(t, 1)
			s, err := w.Add(ours[0], l)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Remove(s, l)
			if err := leave(theirs[0]); err != nil {
				t.Fatal(err)
			}
			within(t, "the news", l.left)
		})
	}
}

// A peer that left before it was watched is told too: the news must not be lost between accept and watch.
func TestWatcherTellsOfPeersThatLeftBefore(t *testing.T) {
	t.Parallel()
	w, l := newTestWatcher(t), newLeaver()
	ours, theirs := pairs(t, 1)
	_ = theirs[0].Close()
	eventually(t, "the end has arrived", func() bool {
		raw, err := ours[0].SyscallConn()
		seen := peekQuiet
		return err == nil && raw.Control(func(fd uintptr) { seen = peekFD(fd) }) == nil && seen == peekEnd
	})
	if _, err := w.Add(ours[0], l); err != nil {
		t.Fatal(err)
	}
	within(t, "the news", l.left)
}

// Data is no news, however much comes.
func TestWatcherIsNotWokenByData(t *testing.T) {
	t.Parallel()
	w, l, mark := newTestWatcher(t), newLeaver(), newLeaver()
	ours, theirs := pairs(t, 2)
	if _, err := w.Add(ours[0], l); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(ours[1], mark); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := theirs[0].Write([]byte("event")); err != nil {
			t.Fatal(err)
		}
	}
	_ = theirs[1].Close() // its news is behind whatever the data would have brought
	within(t, "the mark", mark.left)
	if n := l.times.Load(); n != 0 {
		t.Errorf("told %d times of a peer that is there", n)
	}
}

// Remove may come twice: the second must not free the slot that another connection has by then.
func TestWatcherRemoveTwice(t *testing.T) {
	t.Parallel()
	w, first, second, third := newTestWatcher(t), newLeaver(), newLeaver(), newLeaver()
	ours, theirs := pairs(t, 3)
	s, err := w.Add(ours[0], first)
	if err != nil {
		t.Fatal(err)
	}
	w.Remove(s, first)
	again, err := w.Add(ours[1], second)
	if err != nil {
		t.Fatal(err)
	}
	w.Remove(s, first)
	w.Remove(0, first)
	other, err := w.Add(ours[2], third)
	if err != nil {
		t.Fatal(err)
	}
	if other == again {
		t.Fatalf("slot %d has two connections", other)
	}
	_ = theirs[1].Close()
	within(t, "the second's news", second.left)
	_ = theirs[2].Close()
	within(t, "the third's news", third.left)
	if n := first.times.Load(); n != 0 {
		t.Errorf("told %d times of a connection that is not watched", n)
	}
}

// News of a slot's old connection must not reach the new one: the first connection is still open in the kernel's
// list when its slot is given away.
func TestWatcherGenerations(t *testing.T) {
	t.Parallel()
	w, old, next, mark := newTestWatcher(t), newLeaver(), newLeaver(), newLeaver()
	ours, theirs := pairs(t, 3)
	s, err := w.Add(ours[0], old)
	if err != nil {
		t.Fatal(err)
	}
	w.Remove(s, old) // and ours[0] stays open, as between Remove and Close
	if _, err := w.Add(ours[1], next); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(ours[2], mark); err != nil {
		t.Fatal(err)
	}
	_ = theirs[0].Close()
	_ = theirs[2].Close()
	within(t, "the mark", mark.left)
	if old.times.Load() != 0 || next.times.Load() != 0 {
		t.Errorf("told the old connection %d times and the new one %d times", old.times.Load(), next.times.Load())
	}
	_ = theirs[1].Close()
	within(t, "the new connection's news", next.left)
}

// Thousands leave at once, more than one look brings, after as many have come and gone in the same slots.
func TestWatcherWithThousands(t *testing.T) {
	t.Parallel()
	const n = 3000
	w := newTestWatcher(t)
	ours, theirs := pairs(t, n)
	leavers, slots := make([]*leaver, n), make([]int32, n)
	var adding sync.WaitGroup
	for part := range 4 {
		adding.Go(func() {
			for i := part; i < n; i += 4 {
				leavers[i] = newLeaver()
				var err error
				if slots[i], err = w.Add(ours[i], leavers[i]); err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					w.Remove(slots[i], leavers[i])
					_ = ours[i].Close()
				}
			}
		})
	}
	adding.Wait()
	if t.Failed() {
		return
	}
	taken := map[int32]bool{}
	for i, s := range slots {
		if i%3 != 0 && taken[s] {
			t.Fatalf("slot %d has two connections", s)
		}
		taken[s] = taken[s] || i%3 != 0
	}
	for _, c := range theirs[:n-1] {
		_ = c.Close()
	}
	for i, l := range leavers[:n-1] {
		if i%3 != 0 {
			within(t, "the news of all", l.left)
		}
	}
	for i, l := range leavers {
		want := int64(1)
		if i%3 == 0 || i == n-1 {
			want = 0
		}
		if got := l.times.Load(); got != want {
			t.Fatalf("connection %d: told %d times, want %d", i, got, want)
		}
	}
}

func TestWatcherAfterClose(t *testing.T) {
	t.Parallel()
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := pairs(t, 1)
	s, err := w.Add(ours[0], newLeaver())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(ours[0], newLeaver()); err == nil {
		t.Error("a closed watcher took a connection")
	}
	w.Remove(s, nil)
}
