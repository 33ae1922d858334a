//go:build unix && !linux

package upstream

import (
	"fmt"
	"sync"
	"syscall"
	"time"
)

// lookEvery is how often the connections are looked at where the kernel sends no news of a half-close.
const lookEvery = 250 * time.Millisecond

// Watcher tells when a peer closes its side of a connection. Elsewhere than on Linux it peeks at every
// connection four times a second: made for a developer's machine, not for many connections.
type Watcher struct {
	stop, done chan struct{}

	mu    sync.Mutex // guards peers and next
	peers map[int32]watched
	next  int32
}

type watched struct {
	peer Leaver
	raw  syscall.RawConn
}

// NewWatcher starts a watcher; Close stops it.
func NewWatcher() (*Watcher, error) {
	w := &Watcher{stop: make(chan struct{}), done: make(chan struct{}), peers: map[int32]watched{}}
	go w.run()
	return w, nil
}

// Close stops the watcher and waits for it.
func (w *Watcher) Close() error {
	close(w.stop)
	<-w.done
	return nil
}

// Add begins to watch a connection and returns its slot for Remove.
func (w *Watcher) Add(c syscall.Conn, peer Leaver) (int32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("watch connection: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.peers[w.next] = watched{peer, raw}
	return w.next, nil
}

// Remove ends the watch; it may be called twice.
func (w *Watcher) Remove(s int32, _ Leaver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.peers, s)
}

func (w *Watcher) run() {
	defer close(w.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			for _, peer := range w.look() {
				peer.Left()
			}
		}
	}
}

func (w *Watcher) look() (left []Leaver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, p := range w.peers {
		seen := peekEnd
		if err := p.raw.Control(func(fd uintptr) { seen = peekFD(fd) }); err != nil || seen == peekEnd {
			left = append(left, p.peer)
			delete(w.peers, s)
		}
	}
	return left
}
