package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	slowPieces  = 8   // pieces of a body that is sent slowly
	wrongLength = 100 // bytes announced and never sent
)

// whole sends a reply as one JSON body.
func (c *call) whole(r reply, flush func() error) error {
	f := &c.faults
	body, chunks := c.rendered(r)
	pace := time.Duration(chunks) * f.delay.or(c.profile.perToken())
	if err := c.strike(0, false); err != nil {
		return err
	}
	if err := pause(c.ctx, time.Now().Add(pace)); err != nil {
		return err
	}
	length := len(body)
	if f.failure.wrongLength {
		length += wrongLength
	}
	c.w.Header().Set("Content-Length", strconv.Itoa(length))
	out := newSink(c.w, flush, &faults{split: f.split}) // body is compressed already
	if f.failure.die.ok || f.failure.half.ok || f.failure.stall.ok {
		c.sent = true
		if err := out.write(body[:len(body)/2]); err != nil {
			return err
		}
		return c.strike(0, true)
	}
	if f.slowBody.ok {
		if err := c.slowly(out, body); err != nil {
			return err
		}
	} else {
		c.sent = true
		if err := out.write(body); err != nil {
			return err
		}
	}
	if g := &f.failure; g.garbage || g.errorFirst || g.truncate || g.cut.ok || g.errorMid.ok || g.wrongLength {
		return errBroken
	}
	return nil
}

// rendered renders the reply, spoilt as asked, and tells in how many pieces a model would have spoken it.
func (c *call) rendered(r reply) (body []byte, pieces int) {
	f := &c.faults
	body, pieces = r.whole(f)
	switch {
	case f.failure.garbage:
		body = []byte("<html>this is not JSON}")
	case f.failure.errorFirst, f.failure.errorMid.ok:
		if own, ok := r.(failing); ok && !f.failure.errorFirst {
			body = own.failedWhole()
		} else {
			d := c.server.dialect
			body = d.appendError(nil, d.status(500, c.profile.Model))
		}
	}
	if f.failure.truncate || f.failure.cut.ok {
		body = body[:len(body)/2]
	}
	if f.gzip {
		body = zipped(body)
	}
	return body, pieces
}

// slowly sends a body in eight pieces, evenly over the time asked for.
func (c *call) slowly(out *sink, body []byte) error {
	start := time.Now()
	for i := range slowPieces {
		if err := pause(c.ctx, start.Add(c.faults.slowBody.v*time.Duration(i)/slowPieces)); err != nil {
			return err
		}
		c.sent = true
		if err := out.write(body[len(body)*i/slowPieces : len(body)*(i+1)/slowPieces]); err != nil {
			return err
		}
	}
	return nil
}

// twice sends two answers in one write, the second one to a question that nobody asked, and then keeps the
// connection until the peer closes it: a gateway that takes the connection back into its pool would give
// the second answer to another caller.
func (c *call) twice(r reply) error {
	header := c.w.Header().Clone()
	var first bytes.Buffer
	if c.job.stream {
		out := newSink(&first, func() error { return nil }, &c.faults)
		if err := newStream(c, out, false).run(r); err != nil {
			return err
		}
	} else {
		body, _ := c.rendered(r)
		first.Write(body)
	}
	stray := chatReply{
		dialect: c.server.dialect, id: "chatcmpl-" + randomName(29), model: c.profile.Model, created: time.Now().Unix(),
		choices: []choice{{pieces: []string{"This answer belongs to nobody."}, finish: "stop"}},
	}

	raw, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection: %w", err)
	}
	defer raw.Close()
	both := appendAnswer(nil, header, first.Bytes(), c.job.stream)
	header.Set("Content-Type", "application/json")
	header.Del("Content-Encoding")
	both = appendAnswer(both, header, stray.appendWhole(nil, true), false)
	c.sent = true
	if _, err := raw.Write(both); err != nil {
		return err
	}
	// net/http does not stop what it gave away: the server's end closes the connection.
	defer context.AfterFunc(c.server.running, func() { _ = raw.Close() })()
	_, _ = io.Copy(io.Discard, raw)
	return errBroken
}

// appendAnswer writes a whole HTTP answer, as one chunk or with its length.
func appendAnswer(b []byte, h http.Header, body []byte, chunked bool) []byte {
	buf := bytes.NewBuffer(b)
	fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nDate: %s\r\n", time.Now().UTC().Format(http.TimeFormat))
	// Writing to memory can not fail.
	_ = h.Write(buf)
	if chunked {
		fmt.Fprintf(buf, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	} else {
		fmt.Fprintf(buf, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	return buf.Bytes()
}
