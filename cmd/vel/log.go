package main

import (
	"bufio"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vel-gateway/vel/config"
)

// The log is written in blocks: a write for every call would cost more than the call's own line. What is not
// written yet when the process is killed is lost, at most flushEvery of it.
const (
	flushEvery = 100 * time.Millisecond
	logBlock   = 64 << 10
)

// log is the process's log and the goroutine that flushes it.
type log struct {
	*slog.Logger
	out  *blockWriter
	quit chan struct{}
	done chan struct{}
}

func newLog(w io.Writer, cfg config.Log) *log {
	l := &log{out: &blockWriter{buf: bufio.NewWriterSize(w, logBlock)}, quit: make(chan struct{}), done: make(chan struct{})}
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // the configuration is checked
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		l.Logger = slog.New(slog.NewTextHandler(l.out, options))
	} else {
		l.Logger = slog.New(slog.NewJSONHandler(l.out, options))
	}
	go l.run()
	return l
}

func (l *log) run() {
	defer close(l.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.out.flush()
		case <-l.quit:
			l.out.flush()
			return
		}
	}
}

// stop writes what is left and waits for it. Lines that come later are written with the next block or never.
func (l *log) stop() {
	close(l.quit)
	<-l.done
}

// blockWriter gathers lines; slog writes each in one call.
type blockWriter struct {
	mu  sync.Mutex // guards buf: lines come from every goroutine
	buf *bufio.Writer
}

func (b *blockWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *blockWriter) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.buf.Flush() // when the log can not be written, there is nothing to say it to
}
