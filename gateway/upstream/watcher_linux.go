package upstream

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watcher tells when a peer closes its side of a connection, before anybody reads. It is one epoll instance
// that asks for EPOLLRDHUP alone, edge-triggered: data wakes nothing, no byte is read, and it works below TLS.
// A half-close counts as gone, as it does for nginx.
//
// The epoll descriptor is itself polled by the runtime's poller, so that waiting costs no thread.
type Watcher struct {
	epoll *os.File
	raw   syscall.RawConn
	done  chan struct{}

	mu    sync.Mutex // guards what follows: connections come and go on many goroutines
	slots []slot
	free  []int32
}

// slot is one watched connection. The generation travels with the event, so that news of an old connection
// never reaches the next one in the same slot.
type slot struct {
	peer       Leaver
	generation int32
}

// NewWatcher starts a watcher; Close stops it.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create the disconnect watcher: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("create the disconnect watcher: %w", err)
	}
	w := &Watcher{epoll: os.NewFile(uintptr(fd), "disconnect watcher"), done: make(chan struct{}), slots: make([]slot, 1, 1024)}
	if w.raw, err = w.epoll.SyscallConn(); err != nil {
		return nil, fmt.Errorf("create the disconnect watcher: %w", err)
	}
	go w.run()
	return w, nil
}

// Close stops the watcher and waits for it.
func (w *Watcher) Close() error {
	err := w.epoll.Close()
	<-w.done
	return err
}

// Add begins to watch a connection and returns its slot for Remove.
func (w *Watcher) Add(c syscall.Conn, peer Leaver) (int32, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("watch connection: %w", err)
	}
	s, generation := w.claim(peer)
	var failed error
	if err = rc.Control(func(fd uintptr) {
		ev := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: s, Pad: generation}
		failed = w.control(int(fd), &ev)
	}); err == nil {
		err = failed
	}
	if err != nil {
		w.Remove(s, peer)
		return 0, fmt.Errorf("watch connection: %w", err)
	}
	return s, nil
}

func (w *Watcher) control(fd int, ev *unix.EpollEvent) error {
	var failed error
	err := w.raw.Control(func(ep uintptr) { failed = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, fd, ev) })
	if err != nil {
		return err
	}
	return failed
}

func (w *Watcher) claim(peer Leaver) (s, generation int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		s, w.free = w.free[n-1], w.free[:n-1]
	} else {
		s, w.slots = int32(len(w.slots)), append(w.slots, slot{})
	}
	w.slots[s].peer = peer
	return s, w.slots[s].generation
}

// Remove ends the watch. It may be called twice: a second Close of a connection must not free the slot that
// another one has by then. The kernel itself forgets the descriptor when it is closed.
func (w *Watcher) Remove(s int32, peer Leaver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == 0 || w.slots[s].peer != peer {
		return
	}
	w.slots[s].peer = nil
	w.slots[s].generation++
	w.free = append(w.free, s)
}

func (w *Watcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 256)
	var left []Leaver
	for {
		n := 0
		err := w.raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		left = w.who(left[:0], events[:n])
		for _, peer := range left {
			peer.Left()
		}
		clear(left)
	}
}

func (w *Watcher) who(left []Leaver, events []unix.EpollEvent) []Leaver {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		if s := &w.slots[e.Fd]; s.peer != nil && s.generation == e.Pad {
			left = append(left, s.peer)
		}
	}
	return left
}
