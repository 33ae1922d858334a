package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vel-gateway/vel/config"
)

// How the log is written: the goroutine of a call only puts its record into a queue; one goroutine makes the lines,
// many at a time. Made one by one, between the other work of a call, the lines were a sixth of what a call costs.
// What is still in the queue when the process is killed is lost: at most flushEvery of it, and no error.
const (
	flushEvery = 100 * time.Millisecond
	queueBound = 16 << 10 // records; whoever finds it full writes them out
	logBlock   = 64 << 10 // bytes of one write
)

// log is the process's log and the goroutine that writes it.
type log struct {
	*slog.Logger
	queue *logQueue
	quit  chan struct{}
	done  chan struct{}
}

func newLog(w io.Writer, cfg config.Log) *log {
	l := &log{queue: &logQueue{out: bufio.NewWriterSize(w, logBlock)}, quit: make(chan struct{}), done: make(chan struct{})}
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // the configuration is checked
	options := &slog.HandlerOptions{Level: level}
	var lines slog.Handler = lineHandler{slog.NewJSONHandler(l.queue.out, options), l.queue.out}
	if cfg.Format == "text" {
		lines = slog.NewTextHandler(l.queue.out, options)
	}
	l.Logger = slog.New(queuedHandler{lines, l.queue})
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
			l.queue.flush()
		case <-l.quit:
			l.queue.flush()
			return
		}
	}
}

// stop writes what is left and waits for it.
func (l *log) stop() {
	close(l.quit)
	<-l.done
}

// logQueue holds records until they are written, in their order.
type logQueue struct {
	mu      sync.Mutex // guards waiting: records come from every goroutine
	waiting []queuedRecord

	writing sync.Mutex // guards the rest: one goroutine writes at a time
	spare   []queuedRecord
	out     *bufio.Writer
}

type queuedRecord struct {
	handler slog.Handler
	record  slog.Record
}

// flush writes everything that waits.
func (q *logQueue) flush() {
	q.writing.Lock()
	defer q.writing.Unlock()
	q.mu.Lock()
	records := q.waiting
	q.waiting, q.spare = q.spare, nil
	q.mu.Unlock()
	for i := range records {
		_ = records[i].handler.Handle(context.Background(), records[i].record)
	}
	_ = q.out.Flush() // when the log can not be written, there is nothing to say it to
	clear(records)
	q.spare = records[:0]
}

// queuedHandler hands records to the queue; the handler in it writes them.
type queuedHandler struct {
	slog.Handler
	queue *logQueue
}

// Handle queues a record. An error is written at once: the process may be about to die of it.
func (h queuedHandler) Handle(_ context.Context, r slog.Record) error {
	h.queue.mu.Lock()
	h.queue.waiting = append(h.queue.waiting, queuedRecord{h.Handler, r})
	full := len(h.queue.waiting) >= queueBound
	h.queue.mu.Unlock()
	if full || r.Level >= slog.LevelError {
		h.queue.flush()
	}
	return nil
}

// WithAttrs binds attributes.
func (h queuedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queuedHandler{h.Handler.WithAttrs(attrs), h.queue}
}

// WithGroup opens a group.
func (h queuedHandler) WithGroup(name string) slog.Handler {
	return queuedHandler{h.Handler.WithGroup(name), h.queue}
}
