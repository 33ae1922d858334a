package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// upstream is a pretend provider that costs as little as a Go program can: prepared bytes, one goroutine and one
// write per connection and event.
type upstream struct {
	answer []byte // head and body of a call that is not streamed
	alarm  *alarm // keeps the beat of the streams
}

// upstreamRole serves until the context ends. Both listeners give the same answers.
func upstreamRole(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench upstream", flag.ContinueOnError)
	plain := flags.String("listen", "", "address for plain HTTP")
	secure := flags.String("listen-tls", "", "address for HTTPS; empty: none")
	cert := flags.String("cert", "", "certificate file")
	key := flags.String("key", "", "key file")
	chunked := flags.Bool("chunked", false, "send plain answers in a chunk instead of with a Content-Length")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	u, err := newUpstream(*chunked)
	if err != nil {
		return err
	}
	defer u.alarm.stop()
	ln, err := net.Listen("tcp", *plain)
	if err != nil {
		return err
	}
	listeners := []net.Listener{ln}
	if *secure != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return fmt.Errorf("load the upstream's certificate: %w", err)
		}
		ln, err := tls.Listen("tcp", *secure, &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			return err
		}
		listeners = append(listeners, ln)
	}
	return u.serve(ctx, listeners)
}

func newUpstream(chunked bool) (*upstream, error) {
	framing := "Content-Length: " + strconv.Itoa(len(answerBody)) + "\r\n\r\n" + answerBody
	if chunked {
		framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(answerBody), answerBody)
	}
	a, err := newAlarm()
	return &upstream{answer: []byte(answerHead + "Content-Type: application/json\r\n" + framing), alarm: a}, err
}

// serve accepts on every listener until ctx ends; then it closes all connections and waits for them.
func (u *upstream) serve(ctx context.Context, listeners []net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(listeners))
	for _, ln := range listeners {
		context.AfterFunc(ctx, func() { ln.Close() })
		all.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					failed <- err
					return
				}
				all.Go(func() { u.serveConn(ctx, c) })
			}
		})
	}
	err := <-failed
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accept: %w", err)
}

// serveConn answers one call after the other. A peer that leaves, and one that sends what we do not understand,
// loses its connection: the load client will see that and say so.
func (u *upstream) serveConn(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	r := bufio.NewReaderSize(c, 4096)
	var body []byte
	for {
		h, err := readHead(r)
		if err != nil {
			return
		}
		if h.chunked || h.length < 0 {
			io.WriteString(c, "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		body = slices.Grow(body[:0], h.length)[:h.length]
		if _, err = io.ReadFull(r, body); err != nil {
			return
		}
		if bytes.Contains(body, streamWanted) {
			err = u.stream(ctx, c, body)
		} else {
			_, err = c.Write(u.answer)
		}
		if err != nil || h.close {
			return
		}
	}
}

var streamWanted = []byte(`"stream":true`)

// stream sends the content events on a fixed beat from the first, which leaves at once; then finish, usage if asked
// for, and [DONE], in one write.
func (u *upstream) stream(ctx context.Context, w io.Writer, body []byte) error {
	s, err := parseScript(string(body))
	if err != nil {
		return err
	}
	head := answerHead + "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
	event, stampAt := contentEvent(s.Usage)
	size := fmt.Sprintf("%x\r\n", len(event))
	first := []byte(head + size + event + "\r\n")
	chunk := first[len(head):]
	stamp := chunk[len(size)+stampAt:][:0:stampDigits]

	beat := wake{ring: make(chan struct{}, 1)}
	due := time.Now()
	out := first
	for i := range s.Chunks {
		if i > 0 {
			out = chunk
			due = due.Add(s.Delay)
			beat.at = onGrid(due, s.Grid)
			if err := u.alarm.wakeAt(&beat); err != nil {
				return err
			}
			select {
			case <-beat.ring:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		strconv.AppendInt(stamp, time.Now().UnixNano(), 10)
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	_, err = w.Write(streamEnd(s.Usage))
	return err
}

// onGrid moves t up to the next multiple of the grid; the monotonic reading stays.
func onGrid(t time.Time, grid time.Duration) time.Time {
	if grid <= 0 {
		return t
	}
	return t.Add(grid - time.Duration(t.UnixNano()%int64(grid)))
}

// streamEnd is everything after the last content event, each event in a chunk of its own.
func streamEnd(usage bool) []byte {
	events := []string{finishEvent + eventEnd(usage)}
	if usage {
		events = append(events, usageEvent)
	}
	var b bytes.Buffer
	for _, e := range append(events, doneEvent) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(e), e)
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}
