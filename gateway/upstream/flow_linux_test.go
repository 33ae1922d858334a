package upstream

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vel-gateway/vel/adapters"
)

// TestEachIsWoken: the last bytes and the end of the connection arrive as one news, and the watcher tells of the end
// only when the flow has parked again. Without the nudge the flow would wait for the idle time, and this test with it.
func TestEachIsWoken(t *testing.T) {
	t.Parallel()
	t.Run("streaming", func(t *testing.T) { t.Parallel(); eachIsWoken(t, time.Hour) })
	t.Run("with the deadline of Open", func(t *testing.T) { t.Parallel(); eachIsWoken(t, 0) })
}

func eachIsWoken(t *testing.T, idle time.Duration) {
	t.Helper()
	p := provide(t, func(s *peer) {
		if _, _, ok := s.request(); !ok {
			return
		}
		s.send(chunkedHead + chunk("a"))
		s.request()
		s.send(chunk("b"))
		s.request() // the flow runs
		corked(t, s.TCPConn)
		s.send(chunk("c"))
		_ = s.CloseWrite() // leaves with the bytes, in one segment
		s.gone()
	})
	x := p.open(t)
	if idle > 0 {
		x.Streaming(idle)
	}
	c := x.conn
	x.host.watcher.Remove(c.slot, c) // the test is the watcher, and a late one
	got := ""
	err := x.Each(func(b []byte) error {
		got += string(b)
		if got != "abc" {
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		} else {
			time.AfterFunc(50*time.Millisecond, c.Left)
		}
		return nil
	})
	x.Finish(err)
	if got != "abc" || classOf(t, err) != adapters.ClassTruncated {
		t.Fatalf("%q, %v", got, err)
	}
}

// corked makes a socket hold its bytes back until it is full or closed.
func corked(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	}
	if err != nil {
		t.Error(err)
	}
}
