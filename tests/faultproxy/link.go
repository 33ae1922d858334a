package faultproxy

import (
	"bytes"
	"net"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// link is one connection from Vel and its partner to the upstream. Two goroutines serve it, one a direction.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn

	mu       sync.Mutex // guards what follows: the request side begins an answer, the answer side goes through it
	requests int        // begun on this connection
	fault    Fault      // of the current answer
	begun    bool       // the current answer has begun: the next request bytes belong to a new request
	head     []byte     // of the current answer, while its end has not been seen
	inBody   bool
	passed   int // body bytes that came through

	once sync.Once
	gone chan struct{}
}

var headEnd = []byte("\r\n\r\n")

// run copies both ways until either side is gone.
func (x *link) run() {
	var both sync.WaitGroup
	both.Go(x.forward)
	both.Go(x.back)
	both.Wait()
	x.close()
}

// close ends both connections; it may be called from anywhere, any number of times.
func (x *link) close() {
	x.once.Do(func() {
		close(x.gone)
		_ = x.client.Close()
		_ = x.server.Close()
	})
}

// forward passes requests. The fault of an answer is chosen when its request begins.
func (x *link) forward() {
	buf := make([]byte, 32<<10)
	for {
		n, err := x.client.Read(buf)
		if n > 0 {
			f, nth := x.request()
			switch {
			case f.Kind == Blackhole:
				continue
			case f.Kind == CloseReused && nth > 1:
				x.close()
				return
			}
			if _, err := x.server.Write(buf[:n]); err != nil {
				x.close()
				return
			}
		}
		if err != nil { // Vel is gone: so is the provider's caller
			x.close()
			return
		}
	}
}

// request notes request bytes: those after an answer has begun open a new request.
func (x *link) request() (f Fault, nth int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.requests == 0 || x.begun {
		x.requests++
		x.fault = x.proxy.next()
		x.begun, x.inBody, x.passed = false, false, 0
		x.head = x.head[:0]
	}
	return x.fault, x.requests
}

// back passes answers, up to the fault.
func (x *link) back() {
	buf := make([]byte, 32<<10)
	for {
		n, err := x.server.Read(buf)
		if n > 0 && !x.answer(buf[:n]) {
			return
		}
		if err != nil { // the provider closed: so does Vel's end
			x.close()
			return
		}
	}
}

// answer passes what may pass of p and says whether the answer goes on.
func (x *link) answer(p []byte) bool {
	x.mu.Lock()
	x.begun = true
	f := x.fault
	pass, struck := x.split(f, p)
	x.mu.Unlock()
	if f.Kind == Slow {
		return x.drip(pass, f.Pace)
	}
	if _, err := x.client.Write(pass); err != nil {
		x.close()
		return false
	}
	if struck {
		x.strike(f.Kind)
		return false
	}
	return true
}

// split cuts p where the fault strikes. Called with mu held.
func (x *link) split(f Fault, p []byte) (pass []byte, struck bool) {
	switch f.Kind {
	case Cut, Reset, Stall, HalfClose, Garbage, LongLength:
	default:
		return p, false
	}
	if f.After == BeforeHead {
		return nil, true
	}
	var head []byte
	if !x.inBody { // hold the head back until it is whole
		x.head = append(x.head, p...)
		i := bytes.Index(x.head, headEnd)
		if i < 0 {
			return nil, false
		}
		x.inBody = true
		head, p = x.head[:i+len(headEnd)], x.head[i+len(headEnd):]
		if f.Kind == LongLength {
			head = promiseMore(head)
		}
	}
	if left := f.After - x.passed; len(p) >= left {
		return append(bytes.Clone(head), p[:left]...), true
	}
	x.passed += len(p)
	return append(bytes.Clone(head), p...), false
}

// strike does the fault.
func (x *link) strike(k Kind) {
	switch k {
	case Reset:
		_ = x.client.SetLinger(0)
		x.close()
	case Stall:
		<-x.gone // forward notices when Vel gives up
	case HalfClose:
		_ = x.client.CloseWrite()
		<-x.gone
	case Garbage:
		_, _ = x.client.Write([]byte("\x16\x03\x01\x00\xff\xfe garbage \x00\x00\r\n\r\n\x80\x81"))
		x.close()
	default: // Cut, LongLength
		x.close()
	}
}

// drip passes p a few bytes at a time.
func (x *link) drip(p []byte, pace time.Duration) bool {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for len(p) > 0 {
		select {
		case <-tick.C:
		case <-x.gone:
			return false
		case <-x.proxy.done:
			return false
		}
		n := min(16, len(p))
		if _, err := x.client.Write(p[:n]); err != nil {
			x.close()
			return false
		}
		p = p[n:]
	}
	return true
}

var contentLength = regexp.MustCompile(`(?i)(\r\ncontent-length: *)(\d+)`)

// promiseMore raises the Content-Length in an answer's head by 1000.
func promiseMore(head []byte) []byte {
	return contentLength.ReplaceAllFunc(head, func(field []byte) []byte {
		m := contentLength.FindSubmatch(field)
		n, _ := strconv.Atoi(string(m[2])) // the pattern matched digits
		return append(m[1][:len(m[1]):len(m[1])], strconv.Itoa(n+1000)...)
	})
}
