package upstream

import (
	"io"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// brief is a deadline that a test waits for.
const brief = 50 * time.Millisecond

func TestDeadlines(t *testing.T) {
	t.Parallel()
	event := chunk("data: {}\n\n")
	for name, c := range map[string]struct {
		answer   string
		timeouts routing.Timeouts
		total    time.Duration
		stream   bool // begin to stream after the first piece
	}{
		"first byte":               {timeouts: routing.Timeouts{FirstByte: brief}},
		"first byte, half a head":  {answer: "HTTP/1.1 200 OK\r\nConte", timeouts: routing.Timeouts{FirstByte: brief}},
		"first byte, after a 103":  {answer: "HTTP/1.1 103 Early Hints\r\n\r\n", timeouts: routing.Timeouts{FirstByte: brief}},
		"first byte, in the body":  {answer: chunkedHead + event, timeouts: routing.Timeouts{FirstByte: brief}},
		"idle":                     {answer: chunkedHead + event, timeouts: routing.Timeouts{FirstByte: patience, Idle: brief}, stream: true},
		"total, before the answer": {timeouts: routing.Timeouts{FirstByte: patience}, total: brief},
		"total, in a stream":       {answer: chunkedHead + event, timeouts: routing.Timeouts{FirstByte: patience, Idle: patience}, total: brief, stream: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) {
				s.answer(c.answer)
				s.gone()
			})
			x := p.acquire(t)
			c.timeouts.Connect = patience
			begun, limit := time.Now(), time.Time{}
			if c.total > 0 {
				limit = begun.Add(c.total)
			}
			sent, err := x.Open(ping(), c.timeouts, limit)
			if err == nil && c.stream {
				if _, err = x.Next(); err == nil {
					x.Streaming(c.timeouts.Idle)
				}
			}
			if err == nil {
				_, err = readAll(x)
			}
			if !sent || classOf(t, err) != adapters.ClassTimeout {
				t.Errorf("sent %v, error %v", sent, err)
			}
			if took := time.Since(begun); took < brief {
				t.Errorf("gave up after %s, before the deadline", took)
			}
			x.Finish(err)
			if n := p.held(); n != 0 {
				t.Errorf("%d places still taken", n)
			}
		})
	}
}

// A stream that is older than every single deadline goes on as long as it is never silent for long.
func TestSteadyStreamOutlivesItsDeadlines(t *testing.T) {
	t.Parallel()
	const events, idle = 40, 400 * time.Millisecond
	next := make(chan struct{})
	p := provide(t, func(s *peer) {
		s.answer(chunkedHead)
		for range events {
			<-next
			s.send(chunk("data: {}\n\n"))
		}
		s.send("0\r\n\r\n")
		s.gone()
	})
	x := p.acquire(t)
	if _, err := x.Open(ping(), routing.Timeouts{Connect: patience, FirstByte: idle}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	x.Streaming(idle)
	tick := time.NewTicker(idle / 20)
	defer tick.Stop()
	for range events {
		next <- struct{}{}
		if _, err := x.Next(); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	if _, err := x.Next(); err != io.EOF {
		t.Fatalf("end: %v", err)
	}
	x.Finish(nil)
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	p := provide(t, func(*peer) {})
	p.blackhole(make(chan struct{}))
	x := p.acquire(t)
	sent, err := x.Open(ping(), routing.Timeouts{Connect: brief, FirstByte: patience}, time.Time{})
	x.Finish(err)
	if sent || classOf(t, err) != adapters.ClassConnect || p.held() != 0 {
		t.Errorf("sent %v, error %v, %d places taken", sent, err, p.held())
	}
}
