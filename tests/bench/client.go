package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// client is one connection of the load: it sends the same call again and again and checks every answer. It
// belongs to one goroutine; what it saw is read when that one has ended.
type client struct {
	addr    string
	request []byte
	scanner *eventScanner // nil: the answer is plain JSON
	meter   *meter
	timeout time.Duration // of the connection's whole life: nothing may hang

	conn       net.Conn
	r          *bufio.Reader
	sent       time.Time // when the call in progress was written
	latencies  []time.Duration
	firsts     []time.Duration
	delays     []time.Duration
	reconnects int
}

func newClient(spec *loadSpec, m *meter) *client {
	c := &client{addr: spec.Addr, meter: m, timeout: spec.Warmup + spec.Window + 30*time.Second}
	c.request = chatRequest(spec.Addr, chatBody(spec.Script))
	if spec.Script != nil {
		c.scanner = &eventScanner{want: *spec.Script, onContent: c.onContent}
	}
	return c
}

func (c *client) dial(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn = conn
	if c.r == nil {
		c.r = bufio.NewReaderSize(conn, 4096)
	} else {
		c.r.Reset(conn)
	}
	return conn.SetDeadline(time.Now().Add(c.timeout))
}

// repeat makes calls until the context ends, which closes the connection under the call in progress. It starts
// after the given wait, and with a pace it starts one call each pace at most.
func (c *client) repeat(ctx context.Context, wait, pace time.Duration) error {
	next := time.Now().Add(wait)
	if err := c.dial(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	defer func() { c.conn.Close() }()
	for {
		if !pauseUntil(ctx, next) {
			return nil
		}
		closing, err := c.call()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if closing {
			c.conn.Close()
			c.reconnects++
			if err := c.dial(ctx); err != nil {
				return err
			}
		}
		next = next.Add(pace)
	}
}

// call sends the request and reads the whole answer. Closing: the server will not take another on this connection.
func (c *client) call() (closing bool, err error) {
	c.sent = time.Now()
	if _, err = c.conn.Write(c.request); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	h, err := readHead(c.r)
	if err != nil {
		return false, fmt.Errorf("wait for the answer: %w", noEOF(err))
	}
	body, err := newBodyReader(c.r, h)
	if err != nil {
		return false, err
	}
	if h.status != 200 {
		text, _ := body.next()
		return false, fmt.Errorf("status %d: %.300s", h.status, text)
	}
	if c.scanner != nil {
		err = c.readStream(&body)
	} else {
		err = readAnswer(&body)
	}
	if err != nil {
		return false, err
	}
	if c.meter.measuring.Load() {
		c.latencies = append(c.latencies, time.Since(c.sent))
	}
	c.meter.calls.Add(1)
	return h.close, nil
}

func (c *client) readStream(body *bodyReader) error {
	c.scanner.reset()
	for {
		b, err := body.next()
		if errors.Is(err, io.EOF) {
			return c.scanner.complete()
		}
		if err != nil {
			return fmt.Errorf("read stream after %d content events: %w", c.scanner.contents, err)
		}
		if err = c.scanner.feed(b); err != nil {
			return err
		}
	}
}

func (c *client) onContent(delay time.Duration) {
	c.meter.events.Add(1)
	if !c.meter.measuring.Load() {
		return
	}
	c.delays = append(c.delays, delay)
	if c.scanner.contents == 1 {
		c.firsts = append(c.firsts, time.Since(c.sent))
	}
}

// readAnswer reads a plain answer, which must be the upstream's to the byte.
func readAnswer(body *bodyReader) error {
	for at := 0; ; {
		b, err := body.next()
		if errors.Is(err, io.EOF) && at == len(answerBody) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read answer after %d of %d bytes: %w", at, len(answerBody), noEOF(err))
		}
		if at+len(b) > len(answerBody) || answerBody[at:at+len(b)] != string(b) {
			return fmt.Errorf("answer %.200q at byte %d: %w", b, at, errShape)
		}
		at += len(b)
	}
}

// pauseUntil waits for the moment, or says false because the context ended first.
func pauseUntil(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
