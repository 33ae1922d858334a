package gateway

import (
	"io"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Relay brings the answer to the client, each piece as it comes. An error means that the client must not take
// what it has for a whole answer: its connection is closed in the middle of the body. A stream that breaks off
// upstream ends with an event that says so, which every SDK raises; then Relay returns nil and the call failed.
func (p *Pipeline) Relay(c *Call, w io.Writer) (written int64, err error) {
	c.outcome.Committed = true
	c.first = time.Since(c.begun)
	c.outcome.FirstByte = time.Since(c.tryBegun)
	if c.stream == nil {
		return p.relayWhole(c, w)
	}
	p.metrics.streams.Inc()
	defer p.metrics.streams.Dec()
	return p.relayStream(c, w)
}

// relayWhole brings an answer that is no stream: gathered, or so large that it flows unread.
func (p *Pipeline) relayWhole(c *Call, w io.Writer) (written int64, err error) {
	for {
		n, err := c.flush(w)
		if written += n; err != nil || c.ended {
			return written, err
		}
		b, err := c.exchange.Next()
		switch {
		case err == io.EOF:
			c.ended = true
		case err != nil:
			c.broke(err)
			return written, err
		default:
			c.pieces = append(c.pieces, b)
		}
	}
}

// relayStream brings the events of a stream.
func (p *Pipeline) relayStream(c *Call, w io.Writer) (written int64, err error) {
	for {
		n, err := c.flush(w)
		if written += n; err != nil || c.ended {
			return written, err
		}
		if failed := c.nextEvents(); failed != nil {
			n, err := p.breakOff(c, w, failed)
			return written + n, err
		}
	}
}

// nextEvents fills pieces with what the stream brought, or with its end. A connection that broke after the last
// event took nothing from the client: the stream itself knows.
func (c *Call) nextEvents() error {
	b, broken := c.exchange.Next()
	if broken == nil {
		var err error
		c.pieces, err = c.stream.Feed(c.pieces, b)
		return err
	}
	rest, err := c.stream.End(c.pieces)
	switch {
	case broken == io.EOF || err == nil && len(rest) == 0:
		c.pieces, c.ended, c.torn = rest, true, broken != io.EOF
		return err
	case err != nil && asError(err).Told:
		return err
	}
	return broken
}

// breakOff tells the client that the stream is not whole: what is left of it, then an error event, and no [DONE].
func (p *Pipeline) breakOff(c *Call, w io.Writer, failed error) (written int64, err error) {
	e := c.broke(failed)
	if e.Class == adapters.ClassGone {
		return 0, e
	}
	if written, err = c.flush(w); err != nil || e.Told {
		return written, err
	}
	n, err := w.Write(appendErrorEvent(nil, e, c.snapshot.Redactor))
	return written + int64(n), err
}

// broke remembers why the relay did not reach the end.
func (c *Call) broke(err error) *adapters.Error {
	e := asError(err)
	if why := c.endedBy(); why != adapters.ClassNone {
		e = endedError(why)
	}
	c.failed = e
	return e
}
