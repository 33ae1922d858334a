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
	now := time.Now()
	c.record.FirstToken = now.Sub(c.begun)
	c.outcome.FirstByte = now.Sub(c.tryBegun)
	c.to = w
	defer func() { c.to, written = nil, c.written }()
	if c.kept != nil {
		return 0, c.relayKept()
	}
	c.tape.start(c)
	if c.stream == nil {
		return 0, c.relayWhole()
	}
	p.metrics.streams.Inc()
	defer p.metrics.streams.Dec()
	return 0, c.relayStream()
}

// relayWhole brings an answer that is no stream: gathered, or so large that it flows unread.
func (c *Call) relayWhole() error {
	err := c.flush()
	if err != nil || c.ended {
		return err
	}
	if err = c.exchange.Each(c.pass); err == nil {
		c.ended = true
		c.readTail()
		return nil
	}
	return c.broke(err)
}

// keepTail keeps the end of an answer that is too large to be read whole: its usage stands there.
func (c *Call) keepTail(b []byte) {
	if c.tail == nil {
		return
	}
	if c.tail = append(c.tail, b...); len(c.tail) > 2*adapters.TailSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-adapters.TailSize:]...)
	}
}

func (c *Call) readTail() {
	if decoder, ok := c.codec.(adapters.TailDecoder); ok && c.tail != nil {
		c.usage, _ = decoder.DecodeTail(&c.Content, c.tail[max(0, len(c.tail)-adapters.TailSize):])
	}
}

// relayStream brings the events of a stream.
func (c *Call) relayStream() error {
	err := c.flush()
	if err != nil || c.ended {
		return err
	}
	if err = c.lastEvents(c.exchange.Each(c.pass)); err != nil {
		return c.breakOff(err)
	}
	return c.flush()
}

// relayPiece brings one piece.
func (c *Call) relayPiece(b []byte) error {
	if c.stream == nil {
		c.keepTail(b)
		c.pieces = append(c.pieces, b)
		return c.flush()
	}
	pieces, err := c.stream.Feed(c.pieces, b)
	if c.pieces = pieces; err != nil {
		return err
	}
	return c.flush()
}

// lastEvents fills pieces with the end of the stream. A connection that broke after the last event took nothing
// from the client: the stream itself knows.
func (c *Call) lastEvents(broken error) error {
	if c.failed != nil {
		return broken // the client left
	}
	rest, err := c.stream.End(c.pieces)
	switch {
	case broken == nil || err == nil && len(rest) == 0:
		c.pieces, c.ended, c.torn = rest, true, broken != nil
		return err
	case err != nil && asError(err).Told:
		return err
	}
	return broken
}

// breakOff tells the client that the stream is not whole: what is left of it, then an error event, and no [DONE].
func (c *Call) breakOff(failed error) error {
	e := c.broke(failed)
	if e.Class == adapters.ClassGone {
		return e
	}
	if err := c.flush(); err != nil || e.Told {
		return err
	}
	c.pieces = append(c.pieces, appendErrorEvent(nil, c.Content.Endpoint, e, c.scrub))
	return c.flush()
}

// broke remembers why the relay did not reach the end.
func (c *Call) broke(err error) *adapters.Error {
	if c.failed != nil {
		return asError(c.failed) // the client left, and the write that found out says no more
	}
	e := asError(err)
	if why := c.endedBy(); why != adapters.ClassNone {
		e = endedError(why)
	}
	c.failed = e
	return e
}
