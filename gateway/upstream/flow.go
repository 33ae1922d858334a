package upstream

import (
	"errors"
	"io"
	"os"

	"github.com/vel-gateway/vel/adapters"
)

// Each gives every piece that is still to come to take, until the body ends cleanly (nil), take returns an error,
// which is returned as it is, or the connection fails with an *adapters.Error. A piece is valid until take returns.
//
// It is Next in a loop, but cheaper: see flow.
func (x *Exchange) Each(take func(piece []byte) error) error {
	for {
		if x.reader == nil && x.inflate == nil && !x.body.ended {
			return x.flow(take)
		}
		b, err := x.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(b); err != nil {
			return err
		}
	}
}

// flow reads a plain connection to the end of the body inside one wait of the runtime's poller. A read that did not
// fill its buffer emptied the socket: the next one would only fail and park, so it is not made, and an event costs
// one read instead of two.
//
// The poller tells of a socket's news once. When the last bytes and the end of the connection came as one news, no
// other follows for the end: the watcher sees it, and wakes us through nudge.
func (x *Exchange) flow(take func(piece []byte) error) error {
	x.take, x.takeErr, x.pullErr = take, nil, nil
	x.conn.flowing.Store(x)
	defer x.conn.flowing.Store(nil)
	for {
		if err := x.rearm(); err != nil {
			return x.explain(err, adapters.ClassTruncated)
		}
		err := x.conn.raw.Read(x.pump)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && x.nudged():
			continue
		case err != nil:
			return x.explain(err, adapters.ClassTruncated)
		case x.takeErr != nil:
			return x.takeErr
		case x.body.ended, x.pullErr == io.EOF && x.body.kind == bodyUntilClose:
			x.body.ended = true
			return nil
		}
		return x.explain(x.pullErr, adapters.ClassTruncated)
	}
}

// pumpFrom reads the socket and hands on what it has; false means that nothing more is there yet.
func (x *Exchange) pumpFrom(fd uintptr) bool {
	for {
		if !x.pullFrom(fd) {
			return false
		}
		if x.pullErr == nil && x.got == 0 {
			x.pullErr = io.EOF
		}
		if x.pullErr != nil {
			return true
		}
		emptied := x.got < len(*x.piece)
		payload, err := x.body.take((*x.piece)[:x.got])
		if err != nil {
			x.pullErr = failure(adapters.ClassTruncated, "The provider's answer was malformed.", err)
			return true
		}
		if len(payload) > 0 {
			x.takeErr = x.take(payload)
		}
		if x.takeErr != nil || x.body.ended {
			return true
		}
		if x.pullErr = x.rearm(); x.pullErr != nil {
			return true
		}
		if emptied && !x.conn.left.Load() {
			x.dropPiece()
			return false
		}
	}
}

// nudge wakes a flow whose peer left, so that it reads on to the end. It runs on the watcher's goroutine.
func (x *Exchange) nudge(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == c && x.socket != nil { // else the exchange has another connection by now
		_ = x.socket.SetReadDeadline(past)
	}
}

// nudged tells whether the deadline that woke the owner was a nudge, and puts the real one back.
func (x *Exchange) nudged() bool {
	if x.wokenByLeave || !x.conn.left.Load() || x.wasCancelled() {
		return false
	}
	x.wokenByLeave = true
	return x.restore() == nil
}
