package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// keptMost is how much of an answer is kept before it begins to flow. A smaller one that is never flushed gets a
// Content-Length.
const keptMost = 4096

// bridgeWriter is the http.ResponseWriter of a bridge. It can be flushed, and not hijacked.
type bridgeWriter struct {
	bridge   *bridge
	header   http.Header // what the handler writes
	head     http.Header // what the client gets: header as it was at WriteHeader
	status   int         // 0: not decided
	length   int         // of the body, as the handler announced it; -1: it did not
	headOnly bool        // of a HEAD
	written  int
	kept     []byte // of the body, not lent yet
	flows    bool   // something was lent: the head is out
	broken   error  // the client did not take what was lent, and gets no more
}

// Header is the head of the answer, until WriteHeader.
func (w *bridgeWriter) Header() http.Header { return w.header }

// WriteHeader decides on the head. Informational ones are not sent.
func (w *bridgeWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status))
	}
	if w.status != 0 || status < http.StatusOK {
		return
	}
	w.status, w.head, w.length = status, w.header.Clone(), -1
	if n, err := strconv.Atoi(w.head.Get("Content-Length")); err == nil && n >= 0 {
		w.length = n
	}
}

// bodyless tells whether the status has no body.
func (w *bridgeWriter) bodyless() bool {
	return w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// Write gives the client a part of the body, at once or with the next Flush. An error means that the client left.
func (w *bridgeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.broken != nil:
		return 0, w.broken
	case w.bodyless():
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+len(p) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += len(p)
	if len(w.kept)+len(p) <= keptMost {
		w.kept = append(w.kept, p...)
		return len(p), nil
	}
	if err := w.push(); err != nil {
		return 0, err
	}
	if len(p) <= keptMost {
		w.kept = append(w.kept, p...)
		return len(p), nil
	}
	if err := w.lend(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// push lends what is kept.
func (w *bridgeWriter) push() error {
	if len(w.kept) == 0 {
		return nil
	}
	err := w.lend(w.kept)
	w.kept = w.kept[:0]
	return err
}

// lend waits until the client has taken p.
func (w *bridgeWriter) lend(p []byte) error {
	select {
	case <-w.bridge.left: // first of all: of two that are ready, select takes any
		w.broken = errLeft
		return w.broken
	default:
	}
	select {
	case w.bridge.lent <- p:
		w.flows = true
		w.broken = <-w.bridge.taken
	case <-w.bridge.left:
		w.broken = errLeft
	}
	return w.broken
}

// Flush brings what was written to the client at once.
func (w *bridgeWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *bridgeWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.broken != nil:
		return w.broken
	case w.bodyless():
		return nil // the head goes when the handler returns
	case len(w.kept) == 0 && !w.flows:
		return w.lend(nil)
	}
	return w.push()
}

// SetWriteDeadline does nothing: the connection gives every write a deadline of its own.
func (w *bridgeWriter) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: the whole request has been read.
func (w *bridgeWriter) SetReadDeadline(time.Time) error { return nil }

// end completes the answer when the handler has returned.
func (w *bridgeWriter) end() error {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.broken != nil:
		return w.broken
	case w.length >= 0 && w.written != w.length && !w.headOnly && !w.bodyless():
		return fmt.Errorf("the handler wrote %d bytes and announced %d", w.written, w.length)
	case w.flows:
		return w.push()
	}
	return nil
}
