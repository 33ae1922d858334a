package upstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// eachAll gathers what Each brings.
func eachAll(x *Exchange) (string, error) {
	var all strings.Builder
	err := x.Each(func(p []byte) error { all.Write(p); return nil })
	return all.String(), err
}

// TestEach sends bodies in steps, each of which comes after the one before was taken, so that the flow parks between
// them.
func TestEach(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 4096)
	for name, c := range map[string]struct {
		head   string
		steps  []string
		want   string
		class  adapters.Class // of the error; ClassNone: a clean end
		reused bool
	}{
		"chunked":               {chunkedHead, []string{chunk("a"), chunk("b"), chunk("c") + "0\r\n\r\n"}, "abc", adapters.ClassNone, true},
		"end by itself":         {chunkedHead, []string{chunk("a"), "0\r\n\r\n"}, "a", adapters.ClassNone, true},
		"cut chunk":             {chunkedHead, []string{"5\r\nhel", "lo\r\n0", "\r\n\r\n"}, "hello", adapters.ClassNone, true},
		"larger than a piece":   {chunkedHead, []string{chunk(long), chunk(long) + "0\r\n\r\n"}, long + long, adapters.ClassNone, true},
		"fixed":                 {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", []string{"ab", "cd"}, "abcd", adapters.ClassNone, true},
		"until close":           {"HTTP/1.1 200 OK\r\n\r\n", []string{"ab", "cd"}, "abcd", adapters.ClassNone, false},
		"closed in the middle":  {chunkedHead, []string{chunk("a"), chunk("b")}, "ab", adapters.ClassTruncated, false},
		"malformed":             {chunkedHead, []string{chunk("a"), "zz\r\n"}, "a", adapters.ClassTruncated, false},
		"more than was said":    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", []string{"a", "bEXTRA"}, "ab", adapters.ClassNone, false},
		"all at once, then end": {"HTTP/1.1 200 OK\r\n\r\n" + "all", nil, "all", adapters.ClassNone, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := make(chan struct{}, 1)
			p := provide(t, func(s *peer) {
				for {
					if _, _, ok := s.request(); !ok {
						return
					}
					s.send(c.head)
					for _, step := range c.steps {
						select {
						case <-taken:
						case <-time.After(20 * time.Millisecond): // a step without payload is taken in silence
						}
						s.send(step)
					}
					if !c.reused {
						return // closes right behind the last bytes: both may be one news for the poller
					}
				}
			})
			for range 2 {
				x := p.open(t)
				var got strings.Builder
				err := x.Each(func(b []byte) error {
					got.Write(b)
					select {
					case taken <- struct{}{}:
					default:
					}
					return nil
				})
				x.Finish(err)
				if got.String() != c.want {
					t.Errorf("%d bytes, want %d", got.Len(), len(c.want))
				}
				switch {
				case err == nil && c.class != adapters.ClassNone:
					t.Error("a clean end")
				case err != nil && classOf(t, err) != c.class:
					t.Errorf("error %v", err)
				}
			}
			if want := map[bool]int64{true: 1, false: 2}[c.reused]; p.accepted.Load() != want {
				t.Errorf("%d connections, want %d", p.accepted.Load(), want)
			}
		})
	}
}

func TestEachStops(t *testing.T) {
	t.Parallel()
	flowing := func(t *testing.T) *Exchange {
		p := provide(t, func(s *peer) {
			if _, _, ok := s.request(); ok {
				s.send(chunkedHead + chunk("a"))
				s.request() // until the other side goes
			}
		})
		return p.open(t)
	}
	t.Run("cancelled while parked", func(t *testing.T) {
		t.Parallel()
		x := flowing(t)
		err := x.Each(func([]byte) error { go x.Cancel(); return nil })
		x.Finish(err)
		if classOf(t, err) != adapters.ClassGone {
			t.Errorf("error %v", err)
		}
	})
	t.Run("silent for longer than idle", func(t *testing.T) {
		t.Parallel()
		x := flowing(t)
		x.Streaming(50 * time.Millisecond)
		_, err := eachAll(x)
		x.Finish(err)
		if classOf(t, err) != adapters.ClassTimeout {
			t.Errorf("error %v", err)
		}
	})
	t.Run("take refuses", func(t *testing.T) {
		t.Parallel()
		x := flowing(t)
		refused := errors.New("no more")
		err := x.Each(func([]byte) error { return refused })
		x.Finish(err)
		if !errors.Is(err, refused) {
			t.Errorf("error %v", err)
		}
	})
}
